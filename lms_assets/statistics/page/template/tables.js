/* Tables. The registry of figures says which columns a table has. A click on a column's heading sorts
   the rows. */
const FIRST_ROWS = 10;
const MORE_ROWS = 100;
/* A row of an alarm names its task by place; a row of a task is the task. */
const taskOf = (row) => ("place" in row && !("title" in row) ? allTasks[row.place] : row);
const taskLink = (_, row) => {
  const task = taskOf(row);
  return make("a", { href: linkTo({ task: task.place }), title: task.id, textContent: task.title });
};
const stateLabel = (state) => (state
  ? make("span", { className: `label ${state}`, textContent: word(`state.${state}`) }) : "");
const OWN_COLUMNS = {
  task: { value: (row) => taskOf(row).title, text: taskLink, isWords: true },
  course: {
    value: (row) => page.courses[taskOf(row).course].title, text: (title) => title, isWords: true,
  },
  iso_weekday: { value: (row) => row.iso_weekday, text: weekdayText, isWords: true },
  active_pct: { value: (row) => row.active_pct, text: (_, row) => activeText(row) },
};
const columnOf = (figure) => {
  const { name: title, unit, low, high } = page.figures[figure];
  const value = (row) => row[figure];
  if (figure in OWN_COLUMNS) return { title, ...OWN_COLUMNS[figure] };
  if (high && !low) {
    return {
      title: word("word.interval"), value: (row) => row[high], text: (_, row) => intervalText(figure, row),
    };
  }
  if (unit === "date") {
    return {
      title, isWords: true, isDate: true, value: (row) => (value(row) ? Date.parse(value(row)) : -row.age),
      text: (_, row) => (value(row) ? figureText(figure, value(row)) : dayText(row.age)),
    };
  }
  if (unit === "text") return { title, value, text: stateLabel, isWords: true };
  return { title, value, text: (figureValue) => figureText(figure, figureValue) };
};
const columnsOf = (name) => page.tables[name]
  .filter((figure) => figure !== "course" || hasManyCourses())
  .map(columnOf);
const withWeekTitle = (columns, hasWeeks) => (hasWeeks
  ? [{ ...columns[0], title: word("word.week") }, ...columns.slice(1)] : columns);
const tables = {
  alarms: () => [columnsOf("alarms"), openAlarms()],
  task: () => [withWeekTitle(columnsOf("task"), isTaskByWeek()), taskDays().reverse()],
  activity: () => [withWeekTitle(columnsOf("activity"), isWeekly()), volumeShown().reverse()],
  users: () => [columnsOf("users"), daysShown().reverse()],
  success: () => [withWeekTitle(columnsOf("success"), isWeekly()), volumeShown().reverse()],
  hardest: () => [columnsOf("hardest"), rankedTasks()],
  items: () => [columnsOf("items"), comparedTasks()],
  help: () => [columnsOf("help"), tasksToHelp()],
  time: () => [columnsOf("time"), timedTasks()],
  stops: () => [columnsOf("stops"), stopTasks()],
  retention: () => [columnsOf("retention"), retentionRows()],
  heat: () => [columnsOf("heat"), heatCells().filter((cell) => cell.attempts)],
};
const sortOrders = {};
/* A missing value comes last, in both directions. */
const compare = (a, b) => {
  if (a == null || b == null) return (a == null) - (b == null);
  return typeof a === "string" ? a.localeCompare(b, page.language, { numeric: true }) : a - b;
};
const sortedRows = (name, columns, rows) => {
  const order = sortOrders[name];
  if (!order || !columns[order.column]) return rows;
  const { value } = columns[order.column];
  return rows.toSorted((a, b) => {
    const areKnown = value(a) != null && value(b) != null;
    return compare(value(a), value(b)) * (areKnown && order.isDescending ? -1 : 1);
  });
};
const headingCell = (name, { title, isWords }, index, refill) => {
  const cell = make("th", { scope: "col", className: isWords ? "words" : "" });
  const order = sortOrders[name];
  if (order?.column === index) cell.ariaSort = order.isDescending ? "descending" : "ascending";
  cell.append(make("button", {
    type: "button", textContent: title,
    onclick: () => {
      // Numbers are first sorted from the largest, words from A. A second click reverses the order.
      const hasFirstOrder = sortOrders[name]?.column === index
        && sortOrders[name].isDescending === !isWords;
      sortOrders[name] = { column: index, isDescending: hasFirstOrder ? Boolean(isWords) : !isWords };
      refill();
      // The click has replaced the heading, so the new one gets the focus.
      find(`[data-table="${name}"]`).querySelectorAll("thead button")[index].focus();
    },
  }));
  return cell;
};
const bodyCell = (row, { title, value, text, isWords, isDate }, index) => {
  const cell = make(index ? "td" : "th", {
    ...(index ? {} : { scope: "row" }), className: isWords ? `words${isDate ? " date" : ""}` : "",
  }, text(value(row), row));
  cell.dataset.title = title; // On a phone page.css shows it beside the value.
  return cell;
};
const bodyRow = (columns, row) => make("tr", {},
  ...columns.map((column, index) => bodyCell(row, column, index)));
const rowLimits = {};
const fillTable = (name) => {
  const holder = find(`[data-table="${name}"]`);
  if (!holder.open || (name === "task" && !chosenTask())) return;
  const [columns, rows] = tables[name]();
  const limit = rowLimits[name] ?? FIRST_ROWS;
  const refill = () => fillTable(name);
  const body = sortedRows(name, columns, rows).slice(0, limit).map((row) => bodyRow(columns, row));
  const caption = find(`#heading-${name}`).textContent;
  find(".scroll", holder).replaceChildren(rows.length ? make("table", {},
    make("caption", { className: "spoken", textContent: caption }),
    make("thead", {}, make("tr", {},
      ...columns.map((column, index) => headingCell(name, column, index, refill)))),
    make("tbody", {}, ...body))
    : make("p", { className: "note", textContent: word("control.nothing") }));
  const more = find(".more", holder);
  more.hidden = rows.length <= limit;
  more.textContent = word("control.more", { n: number(Math.min(MORE_ROWS, rows.length - limit)) });
  more.onclick = () => {
    rowLimits[name] = limit + MORE_ROWS;
    refill();
  };
};
