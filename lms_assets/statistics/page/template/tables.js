/* Tables: the registry says which figures a table has; a heading that is pressed sorts it. */
const FIRST_ROWS = 10;
const MORE_ROWS = 100;
const taskOf = (row) => ("place" in row && !("title" in row) ? tasksOfAll[row.place] : row);
const taskLink = (_, row) => {
  const task = taskOf(row);
  return make("a", { href: linkTo({ task: task.place }), title: task.id, textContent: task.title });
};
const label = (state) => (state
  ? make("span", { className: `label ${state}`, textContent: word(`state.${state}`) }) : "");
const OWN_COLUMNS = {
  task: { value: (row) => taskOf(row).title, text: taskLink, isWords: true },
  course: {
    value: (row) => page.courses[taskOf(row).course].title, text: (title) => title, isWords: true,
  },
  iso_weekday: { value: (row) => row.iso_weekday, text: weekdayText, isWords: true },
  active_pct: { value: (row) => row.active_pct, text: (_, row) => activeText(row) },
};
const column = (figure) => {
  const { name: title, unit, low, high } = page.figures[figure];
  const value = (row) => row[figure];
  if (figure in OWN_COLUMNS) return { title, ...OWN_COLUMNS[figure] };
  if (high && !low) {
    return {
      title: word("word.interval"), value: (row) => row[high], text: (_, row) => interval(figure, row),
    };
  }
  if (unit === "date") {
    return {
      title, isWords: true, isDate: true, value: (row) => (value(row) ? Date.parse(value(row)) : -row.age),
      text: (_, row) => (value(row) ? shown(figure, value(row)) : dayText(row.age)),
    };
  }
  if (unit === "text") return { title, value, text: label, isWords: true };
  return { title, value, text: (number) => shown(figure, number) };
};
const columnsOf = (name) => page.tables[name]
  .filter((figure) => figure !== "course" || hasManyCourses())
  .map(column);
const byWeek = (columns, isIt) => (isIt
  ? [{ ...columns[0], title: word("word.week") }, ...columns.slice(1)] : columns);
const tables = {
  alarms: () => [columnsOf("alarms"), openAlarms()],
  task: () => [byWeek(columnsOf("task"), isByWeek()), taskDays().reverse()],
  activity: () => [byWeek(columnsOf("activity"), isWeekly()), volumeShown().reverse()],
  users: () => [columnsOf("users"), daysShown().reverse()],
  success: () => [byWeek(columnsOf("success"), isWeekly()), volumeShown().reverse()],
  hardest: () => [columnsOf("hardest"), ranked()],
  items: () => [columnsOf("items"), compared()],
  help: () => [columnsOf("help"), needy()],
  time: () => [columnsOf("time"), slowest()],
  stops: () => [columnsOf("stops"), stopping()],
  retention: () => [columnsOf("retention"), retained()],
  heat: () => [columnsOf("heat"), hours().filter((cell) => cell.attempts)],
};
const order = {};
const compare = (a, b) => {
  if (a == null || b == null) return (a == null) - (b == null);
  return typeof a === "string" ? a.localeCompare(b, page.language, { numeric: true }) : a - b;
};
const sorted = (name, columns, rows) => {
  const by = order[name];
  if (!by || !columns[by.column]) return rows;
  const { value } = columns[by.column];
  return rows.toSorted((a, b) => {
    const known = value(a) != null && value(b) != null;
    return compare(value(a), value(b)) * (known && by.isDescending ? -1 : 1);
  });
};
const headingCell = (name, { title, isWords }, index, refill) => {
  const cell = make("th", { scope: "col", className: isWords ? "words" : "" });
  const by = order[name];
  if (by?.column === index) cell.ariaSort = by.isDescending ? "descending" : "ascending";
  cell.append(make("button", {
    type: "button", textContent: title,
    onclick: () => {
      const again = order[name]?.column === index && order[name].isDescending === !isWords;
      order[name] = { column: index, isDescending: again ? Boolean(isWords) : !isWords };
      refill();
      find(`[data-table="${name}"]`).querySelectorAll("thead button")[index].focus();
    },
  }));
  return cell;
};
const bodyCell = (row, { title, value, text, isWords, isDate }, index) => {
  const cell = make(index ? "td" : "th", {
    ...(index ? {} : { scope: "row" }), className: isWords ? `words${isDate ? " date" : ""}` : "",
  }, text(value(row), row));
  cell.dataset.title = title; // Where rows stand as cards it is the heading.
  return cell;
};
const bodyRow = (columns, row) => make("tr", {},
  ...columns.map((one, index) => bodyCell(row, one, index)));
const shownRows = {};
const fillTable = (name) => {
  const holder = find(`[data-table="${name}"]`);
  if (!holder.open || (name === "task" && !chosenTask())) return;
  const [columns, rows] = tables[name]();
  const most = shownRows[name] ?? FIRST_ROWS;
  const refill = () => fillTable(name);
  const body = sorted(name, columns, rows).slice(0, most).map((row) => bodyRow(columns, row));
  const caption = find(`#heading-${name}`).textContent;
  find(".scroll", holder).replaceChildren(rows.length ? make("table", {},
    make("caption", { className: "spoken", textContent: caption }),
    make("thead", {}, make("tr", {},
      ...columns.map((one, index) => headingCell(name, one, index, refill)))),
    make("tbody", {}, ...body))
    : make("p", { className: "note", textContent: word("control.nothing") }));
  const more = find(".more", holder);
  more.hidden = rows.length <= most;
  more.textContent = word("control.more", { n: number(Math.min(MORE_ROWS, rows.length - most)) });
  more.onclick = () => {
    shownRows[name] = most + MORE_ROWS;
    refill();
  };
};
