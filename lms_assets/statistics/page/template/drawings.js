/* The rows of each chart of the chosen period and course, and what its label says. */
const CHARTED_TASKS = 15;
const CHARTED_OF_COURSE = 40;
const greatest = (rows, field) =>
  rows.reduce((best, row) => (best && best[field] >= row[field] ? best : row), null);
const tips = (figures, row) =>
  Object.fromEntries(figures.map((figure) => [`tip_${figure}`, shown(figure, row[figure])]));
const KINDS = ["correct", "wrong", "ungraded", "runs"];
const spanOf = (row, days) => ({
  day: dayAt(row.age), middle: dayAt(row.age - days / 2), until: dayAt(row.age - days),
  tip_day: dayText(row.age),
});
const stacked = (row) => {
  const span = spanOf(row, isWeekly() ? 7 : 1);
  let from = 0;
  return KINDS.filter((kind) => row[kind]).map((kind) => {
    const part = { ...span, kind: nameOf(kind), from, to: from + row[kind] };
    from = part.to;
    return { ...part, ...tips(["attempts", ...KINDS], row) };
  });
};
const placed = (rows, shape) => rows.map((row, i) => ({
  place: `${i}\t${taskName(row)}`, tip_task: taskName(row), ...shape(row),
}));
const topTask = (rows, figure) => ({ what: taskName(rows[0]), value: shown(figure, rows[0][figure]) });
const isLongTimed = (task) => task.timed_solvers >= 10;
/* A day without attempts has no row: none was active in it, and what 7 or 30 days saw is not known. */
const withQuietDays = (rows) => rows.flatMap((row, i) => {
  const gap = i ? rows[i - 1].age - row.age - 1 : 0;
  const quiet = Array.from({ length: gap }, (_, n) => ({ age: row.age + gap - n, users: 0 }));
  return [...quiet, row];
});
/* Of one course, the tasks in the order in which students work on them. */
const stopsCharted = () => (chosen.course
  ? stopping().sort((a, b) => b.worked_age - a.worked_age).slice(0, CHARTED_OF_COURSE)
  : stopping().slice(0, CHARTED_TASKS));

const charts = {
  activity: {
    rows: () => volumeShown().flatMap(stacked),
    label: () => {
      const top = greatest(volumeShown(), "attempts");
      return { value: number(top.attempts), when: dayText(top.age) };
    },
  },
  users: {
    rows: () => withQuietDays(daysShown()).map((row) => ({
      ...spanOf(row, 1), users: row.users, wau: row.wau, mau: row.mau,
      ...tips(["users", "wau", "mau"], row),
    })),
    label: () => {
      const top = greatest(daysShown(), "mau");
      return { value: number(top.mau), when: dayText(top.age) };
    },
  },
  success: {
    rows: () => volumeShown().filter((row) => row.success_pct != null).map((row) => ({
      ...spanOf(row, isWeekly() ? 7 : 1), success: row.success_pct, low: row.success_low_pct,
      high: row.success_high_pct, ...tips(["success_pct", "graded"], row),
      tip_interval: interval("success_low_pct", row),
    })),
    label: () => {
      const newest = volumeShown().filter((row) => row.success_pct != null).at(-1);
      return { value: percent(newest.success_pct), when: dayText(newest.age) };
    },
  },
  hardest: {
    nothing: "note.no_minimum",
    rows: () => placed(ranked().slice(0, CHARTED_TASKS), (task) => ({
      value: task.first_try_pct, low: task.first_try_low_pct, high: task.first_try_high_pct,
      ...tips(["first_try_pct", "students"], task), tip_interval: interval("first_try_low_pct", task),
    })),
    label: () => topTask(ranked(), "first_try_pct"),
  },
  items: {
    nothing: "note.no_compared",
    rows: () => compared().map((task) => ({
      x: task.first_try_pct, y: task.discrimination, state: word(`state.${task.discrimination_state}`),
      tip_task: taskName(task), tip_interval: interval("discrimination_low", task),
      ...tips(["discrimination", "compared_students", "first_try_pct"], task),
      href: linkTo({ task: task.place }),
    })),
    label: () => topTask(compared(), "discrimination"),
  },
  help: {
    rows: () => placed(needy().filter((task) => task.stuck).slice(0, CHARTED_TASKS), (task) => ({
      value: task.stuck, label: partOf(task.stuck, task.students),
    })),
    label: () => ({ what: taskName(needy()[0]), value: partOf(needy()[0].stuck, needy()[0].students) }),
  },
  time: {
    rows: () => placed(slowest().filter(isLongTimed).slice(0, CHARTED_TASKS), (task) => ({
      value: task.median_active_min, high: task.p90_active_min,
      ...tips(["median_active_min", "p90_active_min", "timed_solvers"], task),
    })),
    label: () => topTask(slowest().filter(isLongTimed), "median_active_min"),
  },
  stops: {
    nothing: "note.no_stops",
    rows: () => placed(stopsCharted(), (task) => ({
      solved: task.stopped_solvers, stopped: task.stopped,
      ...tips(["stopped", "stopped_solvers", "stopped_pct"], task),
      label: `${number(task.stopped)} (${percent(task.stopped_pct)})`,
    })),
    label: () => topTask(stopping(), "stopped"),
  },
  retention: {
    rows: (width) => retained()
      .filter((row) => row.weeks_later < Math.max(4, Math.floor((width - 130) / 34)))
      .map((row) => ({
        place: `${10_000 - row.age}\t${dayText(row.age)}`, later: row.weeks_later,
        pct: row.active_pct, label: number(row.active_pct), is_complete: row.is_complete,
        tip_cohort: dayText(row.age), tip_later: number(row.weeks_later), tip_active: activeText(row),
      })),
    label: () => {
      const later = retained().filter((row) => row.weeks_later === 1 && row.is_complete);
      return { value: later.length ? activeText(later.at(-1)) : "—" };
    },
  },
  heat: {
    rows: () => hours().map((cell) => ({
      place: `${cell.iso_weekday}\t${weekdayText(cell.iso_weekday)}`, hour: cell.hour,
      attempts: cell.attempts, tip_when: whenText(cell), ...tips(["attempts", "users"], cell),
    })),
    label: () => {
      const top = greatest(hours(), "attempts");
      return { value: number(top.attempts), when: whenText(top) };
    },
  },
  task: {
    rows: () => (chosenTask() ? taskDays().map((row) => ({
      ...spanOf(row, isByWeek() ? 7 : 1), share: row.solved_pct,
      state: row.alarm_kind ? word(`state.${row.alarm_kind}`) : word("word.no_alarm"),
      ...tips(["alarm_students", "solved", "solved_pct", "alarm_kind"], row),
    })) : []),
    label: () => {
      const newest = taskDays().at(-1);
      return { what: chosenTask().title, value: percent(newest.solved_pct), when: dayText(newest.age) };
    },
  },
};
