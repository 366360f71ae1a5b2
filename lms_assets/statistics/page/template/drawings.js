/* For each chart: its rows for the chosen period and course, and the values in its label. */
const CHARTED_TASKS = 15;
const CHARTED_TASKS_OF_COURSE = 40;
/* The row with the largest value; of equal ones the first. */
const greatestRow = (rows, field) =>
  rows.reduce((best, row) => (best && best[field] >= row[field] ? best : row), null);
const tipFields = (figures, row) =>
  Object.fromEntries(figures.map((figure) => [`tip_${figure}`, figureText(figure, row[figure])]));
const KINDS = ["correct", "wrong", "ungraded", "runs"];
const spanOf = (row, days) => ({
  day: dayAt(row.age), middle: dayAt(row.age - days / 2), until: dayAt(row.age - days),
  tip_day: dayText(row.age),
});
/* The parts of one bar, one on top of the other, from 0 up. */
const stackedParts = (row) => {
  const span = spanOf(row, isWeekly() ? 7 : 1);
  let from = 0;
  return KINDS.filter((kind) => row[kind]).map((kind) => {
    const part = { ...span, kind: nameOf(kind), from, to: from + row[kind] };
    from = part.to;
    return { ...part, ...tipFields(["attempts", ...KINDS], row) };
  });
};
/* place is the row's number, a tab and the task's name. The number keeps two tasks of the same name
   apart, and the axis shows only the name. */
const placedRows = (rows, fieldsOf) => rows.map((row, i) => ({
  place: `${i}\t${taskName(row)}`, tip_task: taskName(row), ...fieldsOf(row),
}));
const topTaskFacts = (rows, figure) => ({
  what: taskName(rows[0]), value: figureText(figure, rows[0][figure]),
});
const isLongTimed = (task) => task.timed_solvers >= 10;
/* Days without attempts have no row in the database. The chart gets rows with 0 students for them.
   These rows have no wau and mau, because the database computes both only for days with attempts. */
const withQuietDays = (rows) => rows.flatMap((row, i) => {
  const gap = i ? rows[i - 1].age - row.age - 1 : 0;
  const quiet = Array.from({ length: gap }, (_, n) => ({ age: row.age + gap - n, users: 0 }));
  return [...quiet, row];
});
/* If a course is chosen, its tasks stand in the order in which students work on them. Else the tasks
   with the most stopped students come first. */
const chartedStops = () => (chosen.course
  ? stopTasks().sort((a, b) => b.worked_age - a.worked_age).slice(0, CHARTED_TASKS_OF_COURSE)
  : stopTasks().slice(0, CHARTED_TASKS));

const charts = {
  activity: {
    rows: () => volumeShown().flatMap(stackedParts),
    label: () => {
      const top = greatestRow(volumeShown(), "attempts");
      return { value: number(top.attempts), when: dayText(top.age) };
    },
  },
  users: {
    rows: () => withQuietDays(daysShown()).map((row) => ({
      ...spanOf(row, 1), users: row.users, wau: row.wau, mau: row.mau,
      ...tipFields(["users", "wau", "mau"], row),
    })),
    label: () => {
      const top = greatestRow(daysShown(), "mau");
      return { value: number(top.mau), when: dayText(top.age) };
    },
  },
  success: {
    rows: () => volumeShown().filter((row) => row.success_pct != null).map((row) => ({
      ...spanOf(row, isWeekly() ? 7 : 1), success: row.success_pct, low: row.success_low_pct,
      high: row.success_high_pct, ...tipFields(["success_pct", "graded"], row),
      tip_interval: intervalText("success_low_pct", row),
    })),
    label: () => {
      const newest = volumeShown().filter((row) => row.success_pct != null).at(-1);
      return { value: percent(newest.success_pct), when: dayText(newest.age) };
    },
  },
  hardest: {
    nothing: "note.no_minimum",
    rows: () => placedRows(rankedTasks().slice(0, CHARTED_TASKS), (task) => ({
      value: task.first_try_pct, low: task.first_try_low_pct, high: task.first_try_high_pct,
      ...tipFields(["first_try_pct", "students"], task),
      tip_interval: intervalText("first_try_low_pct", task),
    })),
    label: () => topTaskFacts(rankedTasks(), "first_try_pct"),
  },
  items: {
    nothing: "note.no_compared",
    rows: () => comparedTasks().map((task) => ({
      x: task.first_try_pct, y: task.discrimination, state: word(`state.${task.discrimination_state}`),
      tip_task: taskName(task), tip_interval: intervalText("discrimination_low", task),
      ...tipFields(["discrimination", "compared_students", "first_try_pct"], task),
      href: linkTo({ task: task.place }),
    })),
    label: () => topTaskFacts(comparedTasks(), "discrimination"),
  },
  help: {
    rows: () => placedRows(tasksToHelp().filter((task) => task.stuck).slice(0, CHARTED_TASKS), (task) => ({
      value: task.stuck, label: partText(task.stuck, task.students),
    })),
    label: () => {
      const [top] = tasksToHelp();
      return { what: taskName(top), value: partText(top.stuck, top.students) };
    },
  },
  time: {
    rows: () => placedRows(timedTasks().filter(isLongTimed).slice(0, CHARTED_TASKS), (task) => ({
      value: task.median_active_min, high: task.p90_active_min,
      ...tipFields(["median_active_min", "p90_active_min", "timed_solvers"], task),
    })),
    label: () => topTaskFacts(timedTasks().filter(isLongTimed), "median_active_min"),
  },
  stops: {
    nothing: "note.no_stops",
    rows: () => placedRows(chartedStops(), (task) => ({
      solved: task.stopped_solvers, stopped: task.stopped,
      ...tipFields(["stopped", "stopped_solvers", "stopped_pct"], task),
      label: `${number(task.stopped)} (${percent(task.stopped_pct)})`,
    })),
    label: () => topTaskFacts(stopTasks(), "stopped"),
  },
  retention: {
    rows: (width) => retentionRows()
      .filter((row) => row.weeks_later < Math.max(4, Math.floor((width - 130) / 34)))
      .map((row) => ({
        place: `${10_000 - row.age}\t${dayText(row.age)}`, later: row.weeks_later,
        pct: row.active_pct, label: number(row.active_pct), is_complete: row.is_complete,
        tip_cohort: dayText(row.age), tip_later: number(row.weeks_later), tip_active: activeText(row),
      })),
    label: () => {
      const later = retentionRows().filter((row) => row.weeks_later === 1 && row.is_complete);
      return { value: later.length ? activeText(later.at(-1)) : "—" };
    },
  },
  heat: {
    rows: () => heatCells().map((cell) => ({
      place: `${cell.iso_weekday}\t${weekdayText(cell.iso_weekday)}`, hour: cell.hour,
      attempts: cell.attempts, tip_when: whenText(cell), ...tipFields(["attempts", "users"], cell),
    })),
    label: () => {
      const top = greatestRow(heatCells(), "attempts");
      return { value: number(top.attempts), when: whenText(top) };
    },
  },
  task: {
    rows: () => (chosenTask() ? taskDays().map((row) => ({
      ...spanOf(row, isTaskByWeek() ? 7 : 1), share: row.solved_pct,
      state: row.alarm_kind ? word(`state.${row.alarm_kind}`) : word("word.no_alarm"),
      ...tipFields(["alarm_students", "solved", "solved_pct", "alarm_kind"], row),
    })) : []),
    label: () => {
      const newest = taskDays().at(-1);
      return { what: chosenTask().title, value: percent(newest.solved_pct), when: dayText(newest.age) };
    },
  },
};
