/* Choosing: a choice is kept in the link, and a link is a choice. */
const saySelection = () => {
  const days = chosen.period || page.history_days;
  const { title, link } = page.courses[chosen.course];
  find(".shown").replaceChildren(word("control.shown", {
    period: word(`control.days_${chosen.period}`), first: dayText(days - 1), last: dayText(0),
  }), link ? make("a", { href: link, rel: "noopener noreferrer", textContent: title }) : title);
};
const show = (names) => {
  for (const button of findAll("[data-period]")) {
    button.ariaPressed = String(Number(button.dataset.period) === chosen.period);
  }
  find("#course").value = chosen.course;
  saySelection();
  fillTask();
  fillTiles();
  fillNotes();
  fillLists();
  for (const name of names) {
    waiting.add(name);
    shownRows[name] = FIRST_ROWS;
    fillTable(name);
  }
  sayDrawn();
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
    show(OF_PERIOD);
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
// The link of the page stays what is chosen.
find(".skip").onclick = (event) => {
  event.preventDefault();
  find("#key").focus();
};
for (const holder of findAll("[data-table]")) {
  holder.addEventListener("toggle", () => fillTable(holder.dataset.table));
}
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  for (const what of findAll(".what:hover, .what:focus-within")) what.classList.add("closed");
});
for (const what of findAll(".what")) {
  for (const leaving of ["pointerleave", "focusout"]) {
    what.addEventListener(leaving, () => what.classList.remove("closed"));
  }
}
readLink();
showAll();
goToTask();
