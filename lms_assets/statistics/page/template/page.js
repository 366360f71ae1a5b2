/* The controls. A choice changes the link in the address bar, and a changed link is read as a choice. */
const showSelection = () => {
  const days = chosen.period || page.history_days;
  const { title, link } = page.courses[chosen.course];
  find(".shown").replaceChildren(word("control.shown", {
    period: word(`control.days_${chosen.period}`), first: dayText(days - 1), last: dayText(0),
  }), link ? make("a", { href: link, rel: "noopener noreferrer", textContent: title }) : title);
};
/* Fills the whole page, but draws only the named charts and their tables again. */
const show = (names) => {
  for (const button of findAll("[data-period]")) {
    button.ariaPressed = String(Number(button.dataset.period) === chosen.period);
  }
  find("#course").value = chosen.course;
  showSelection();
  fillTask();
  fillTiles();
  fillNotes();
  fillLists();
  for (const name of names) {
    waitingCharts.add(name);
    rowLimits[name] = FIRST_ROWS;
    fillTable(name);
  }
  countDrawn();
  drawWaiting();
};
const showAll = () => {
  fillTable("alarms");
  show(Object.keys(charts));
};
const choose = (change) => {
  history.pushState(null, "", linkTo(change));
  readLink();
};
for (const button of findAll("[data-period]")) {
  button.onclick = () => {
    choose({ period: Number(button.dataset.period) });
    show(PERIOD_CHARTS);
  };
}
const select = find("#course");
select.append(...page.courses.map((course, index) =>
  make("option", { value: index, textContent: course.title })));
select.onchange = () => {
  choose({ course: Number(select.value) });
  showAll();
};
const goToTask = () => {
  if (chosen.task == null) return;
  find("#task").scrollIntoView();
  find("#heading-task").focus({ preventScroll: true });
};
window.addEventListener("hashchange", () => {
  const before = chosen.task;
  readLink();
  showAll();
  if (chosen.task !== before) goToTask();
});
// The browser would put #key into the address bar, where the link stores the choice.
find(".skip").onclick = (event) => {
  event.preventDefault();
  find("#key").focus();
};
for (const holder of findAll("[data-table]")) {
  holder.addEventListener("toggle", () => fillTable(holder.dataset.table));
}
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  for (const holder of findAll(".definition:hover, .definition:focus-within")) {
    holder.classList.add("closed");
  }
});
for (const holder of findAll(".definition")) {
  for (const eventName of ["pointerleave", "focusout"]) {
    holder.addEventListener(eventName, () => holder.classList.remove("closed"));
  }
}
readLink();
showAll();
goToTask();
