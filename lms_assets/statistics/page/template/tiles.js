/* Tiles, the note under each heading, and lists of figures. */
/* The comparison with the period before. If the history covers only a part of that period, the text
   says how many days have data and gives no change. */
const trendNodes = (figure, { changes, ...row }) => {
  const days = chosen.period;
  if (!days || !(figure in changes)) return [];
  const coveredDays = Math.min(days, page.history_days - days);
  const before = row[`previous_${figure}`];
  if (coveredDays <= 0 || before == null) return [word("trend.none", { days })];
  if (coveredDays < days) {
    return [word("trend.partial", { before: figureText(figure, before), days: coveredDays })];
  }
  const beforeText = word("trend.before", { before: figureText(figure, before), days });
  const change = changes[figure];
  if (change == null) return [beforeText];
  const direction = change > 0 ? "up" : change < 0 ? "down" : "same";
  const sign = { up: "▲ ", down: "▼ ", same: "= " }[direction];
  const size = page.figures[figure].unit === "percent"
    ? `${number(Math.abs(change), 1)} ${word("trend.points")}` : percent(Math.abs(change));
  return [
    make("span", { className: "spoken", textContent: `${word(`trend.${direction}`)} ` }),
    make("b", {}, make("span", { ariaHidden: "true", textContent: sign }), size), ` · ${beforeText}`,
  ];
};
const noteOfTile = (figure, row) => {
  const { n, low } = page.figures[figure];
  return [
    low && row[low] != null ? word("note.interval", { interval: intervalText(figure, row) }) : "",
    n && row[n] != null ? `n\u00a0=\u00a0${number(row[n])}` : "",
    figureTexts(page.tiles[figure], row),
  ].filter(Boolean).join(" · ");
};
const fillTiles = () => {
  for (const tile of findAll("[data-tile]")) {
    const figure = tile.dataset.tile;
    const isOfPeriod = figure in page.periods[0][0];
    const row = isOfPeriod ? figuresOfPeriod() : overallFigures();
    find(".value", tile).textContent = figureText(figure, row[figure]);
    find(".note", tile).textContent = noteOfTile(figure, row);
    find(".trend", tile).replaceChildren(...(isOfPeriod ? trendNodes(figure, row) : []));
  }
};

const volumeNote = (n) => word("note.n", { n: number(n) }) + (isWeekly() ? ` ${word("note.weekly")}` : "");
const notes = {
  alarms: () => (openAlarms().length ? word("note.alarms", { day: dayText(0) })
    : word("note.no_alarms", { day: dayText(0) })),
  activity: () => volumeNote(figuresOfPeriod().attempts),
  users: () => {
    const newest = page.newest[chosen.course];
    const names = ["users", "wau", "mau"];
    if (!newest) return "";
    return word("note.on_day", { day: dayText(newest.age), facts: figureTexts(names, newest) });
  },
  success: () => volumeNote(figuresOfPeriod().graded ?? 0),
  hardest: () => {
    const count = (test) => number(tasksShown().filter(test).length);
    return word("note.hardest", {
      tasks: count(() => true), ranked: count((t) => t.is_ranked),
      hard: count((t) => t.difficulty === "hard"),
      very_easy: count((t) => t.difficulty === "very_easy"),
    });
  },
  items: () => word("note.items", {
    tasks: number(tasksShown().length), compared: number(comparedTasks().length),
    negative: number(comparedTasks().filter((t) => t.discrimination_state === "negative").length),
  }),
  help: () => word("note.as_of", {
    day: dayText(0), facts: figureTexts(["stuck", "gave_up", "pairs"], overallFigures()),
  }),
  time: () => word("note.history"),
  runs: () => word("note.history"),
  stops: () => word(chosen.course ? "note.stops_course" : "note.stops", { day: dayText(0) }),
  retention: () => {
    const cohorts = retentionRows().filter((row) => row.weeks_later === 0);
    return word("note.retention", {
      cohorts: number(cohorts.length),
      n: number(cohorts.reduce((sum, row) => sum + row.cohort_students, 0)),
    });
  },
  heat: () => word("note.heat", {
    n: number(page.heat[chosen.course].attempts.reduce((a, b) => a + b, 0)),
    first: dayText(27), last: dayText(0), zone: page.zone,
  }),
  task: () => word(isTaskByWeek() ? "note.task_weeks" : "note.task_days"),
  without_task: () => word("note.without_task", {
    n: number(overallFigures().without_task), attempts: number(overallFigures().attempts),
    share: percent(overallFigures().without_task_pct),
  }),
};
const fillNotes = () => {
  for (const note of findAll("[data-note]")) note.textContent = notes[note.dataset.note]();
};
const fillLists = () => {
  for (const list of findAll("[data-list]")) {
    const row = list.dataset.list === "task" ? chosenTask() : overallFigures();
    if (!row) continue;
    list.replaceChildren(...page.lists[list.dataset.list]
      .filter((figure) => row[figure] != null).map((figure) => {
        const { n: base, low } = page.figures[figure];
        const n = row[base];
        const between = low && row[low] != null ? ` (${intervalText(figure, row)})` : "";
        return make("div", {}, make("dt", { textContent: nameOf(figure) }), make("dd", {},
          figureText(figure, row[figure]), make("small", { textContent: between }),
          ...(n == null ? [] : [make("small", { textContent: ` n = ${number(n)}` })])));
      }));
  }
};
