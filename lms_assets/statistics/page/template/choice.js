/* The reader's choice (period, course, task), the link that stores it, and its rows. */
const LONG_HISTORY_DAYS = 120;
const PERIODS = [7, 28, 90, 0];
const chosen = { period: 28, course: 0, task: null };

const rowsOf = (columns) => {
  const names = Object.keys(columns);
  return (columns[names[0]] ?? []).map((_, i) =>
    Object.fromEntries(names.map((name) => [name, columns[name][i]])));
};
const allTasks = rowsOf(page.tasks);
allTasks.forEach((task, place) => { task.place = place; });
const allAlarms = rowsOf(page.alarms);

/* #period=7&course=…&task=…&site=…; site is the task's consumer key. The link has ids, because two
   titles may be the same and a title may change. */
const linkTo = (change = {}) => {
  const { period, course, task } = { ...chosen, ...change };
  const link = new URLSearchParams({ period });
  if (course) link.set("course", page.courses[course].id);
  if (task != null) {
    link.set("task", allTasks[task].id);
    if (allTasks[task].site) link.set("site", allTasks[task].site);
  }
  return `#${link}`;
};
/* Applies the link in the address bar. A part that the link does not have, or whose course or task no
   longer exists, gets its default: 28 days, all courses, no task. */
const readLink = () => {
  const link = new URLSearchParams(location.hash.slice(1));
  const period = Number(link.get("period") ?? 28);
  chosen.period = PERIODS.includes(period) ? period : 28;
  chosen.course = Math.max(0, page.courses.findIndex(({ id }) => id && id === link.get("course")));
  const linkedTask = link.has("task") ? allTasks.find((task) => task.id === link.get("task")
    && task.site === (link.get("site") ?? "")
    && (!chosen.course || task.course === chosen.course)) : null;
  chosen.task = linkedTask?.place ?? null;
};

const figuresOfPeriod = () => page.periods[chosen.course][chosen.period];
const overallFigures = () => page.overall[chosen.course];
const isWeekly = () => chosen.period === 0 && page.history_days > LONG_HISTORY_DAYS;
const isInPeriod = (row) => chosen.period === 0 || row.age < chosen.period;
const withGraded = (row) => ({ ...row, graded: row.correct + row.wrong });
const daysShown = () => rowsOf(page.days[chosen.course]).filter(isInPeriod).map(withGraded);
const volumeShown = () => (isWeekly() ? rowsOf(page.weeks[chosen.course]).map(withGraded) : daysShown());
const isOfCourse = (task) => !chosen.course || task.course === chosen.course;
const tasksShown = () => allTasks.filter(isOfCourse);
const hasManyCourses = () => !chosen.course && page.courses.length > 2;
const taskName = (task) => task.title + (hasManyCourses() ? ` · ${page.courses[task.course].title}` : "");
/* The alarms of the newest day. The database has sorted them: collapsed first, then by q. */
const openAlarms = () => allAlarms.filter((alarm) => !alarm.age && isOfCourse(allTasks[alarm.place]));
const rankedTasks = () => tasksShown().filter((task) => task.is_ranked);
const tasksToHelp = () => tasksShown().filter((task) => task.stuck || task.gave_up)
  .sort((a, b) => b.stuck - a.stuck || b.gave_up - a.gave_up);
const timedTasks = () => tasksShown().filter((task) => task.timed_solvers)
  .sort((a, b) => b.median_active_min - a.median_active_min);
const comparedTasks = () => tasksShown().filter((task) => task.discrimination != null)
  .sort((a, b) => a.discrimination - b.discrimination);
const stopTasks = () => tasksShown().filter((task) => task.stopped).sort((a, b) => b.stopped - a.stopped);
const retentionRows = () => rowsOf(page.retention[chosen.course]);
const heatCells = () => {
  const { attempts, users } = page.heat[chosen.course];
  if (!attempts.some(Boolean)) return [];
  return attempts.map((n, i) => ({
    iso_weekday: Math.floor(i / 24) + 1, hour: i % 24, attempts: n, users: users[i],
  }));
};
const whenText = (cell) => `${weekdayText(cell.iso_weekday)} ${figureText("hour", cell.hour)}`;
const partText = (part, whole) => word("word.of", { part: number(part), whole: number(whole) });
const activeText = (row) => {
  const unfinished = row.is_complete ? "" : ` (${word("word.incomplete")})`;
  return `${percent(row.active_pct)}: ${partText(row.active, row.cohort_students)}${unfinished}`;
};
