/* What is chosen, the link that keeps it, and the rows of it. */
const LONG_HISTORY_DAYS = 120;
const PERIODS = [7, 28, 90, 0];
const chosen = { period: 28, course: 0, task: null };

const rowsOf = (columns) => {
  const names = Object.keys(columns);
  return (columns[names[0]] ?? []).map((_, i) =>
    Object.fromEntries(names.map((name) => [name, columns[name][i]])));
};
const tasksOfAll = rowsOf(page.tasks);
tasksOfAll.forEach((task, place) => { task.place = place; });
const alarmsOfAll = rowsOf(page.alarms);

/* #period=7&course=…&task=…&site=…: ids, since titles may be alike and may change. */
const linkTo = (change = {}) => {
  const { period, course, task } = { ...chosen, ...change };
  const link = new URLSearchParams({ period });
  if (course) link.set("course", page.courses[course].id);
  if (task != null) {
    link.set("task", tasksOfAll[task].id);
    if (tasksOfAll[task].site) link.set("site", tasksOfAll[task].site);
  }
  return `#${link}`;
};
/* What a link does not name, or names and is not there any more, is as at first. */
const readLink = () => {
  const link = new URLSearchParams(location.hash.slice(1));
  const period = Number(link.get("period") ?? 28);
  chosen.period = PERIODS.includes(period) ? period : 28;
  chosen.course = Math.max(0, page.courses.findIndex(({ id }) => id && id === link.get("course")));
  const found = link.has("task") ? tasksOfAll.find((task) => task.id === link.get("task")
    && task.site === (link.get("site") ?? "")
    && (!chosen.course || task.course === chosen.course)) : null;
  chosen.task = found?.place ?? null;
};

const figuresOfPeriod = () => page.periods[chosen.course][chosen.period];
const overall = () => page.overall[chosen.course];
const isWeekly = () => chosen.period === 0 && page.history_days > LONG_HISTORY_DAYS;
const inPeriod = (row) => chosen.period === 0 || row.age < chosen.period;
const graded = (row) => ({ ...row, graded: row.correct + row.wrong });
const daysShown = () => rowsOf(page.days[chosen.course]).filter(inPeriod).map(graded);
const volumeShown = () => (isWeekly() ? rowsOf(page.weeks[chosen.course]).map(graded) : daysShown());
const ofCourse = (task) => !chosen.course || task.course === chosen.course;
const tasks = () => tasksOfAll.filter(ofCourse);
const hasManyCourses = () => !chosen.course && page.courses.length > 2;
const taskName = (task) => task.title + (hasManyCourses() ? ` · ${page.courses[task.course].title}` : "");
/* The newest day's alarms: collapsed first, then by q, as they come. */
const openAlarms = () => alarmsOfAll.filter((alarm) => !alarm.age && ofCourse(tasksOfAll[alarm.place]));
const ranked = () => tasks().filter((task) => task.is_ranked);
const needy = () => tasks().filter((task) => task.stuck || task.gave_up)
  .sort((a, b) => b.stuck - a.stuck || b.gave_up - a.gave_up);
const slowest = () => tasks().filter((task) => task.timed_solvers)
  .sort((a, b) => b.median_active_min - a.median_active_min);
const compared = () => tasks().filter((task) => task.discrimination != null)
  .sort((a, b) => a.discrimination - b.discrimination);
const stopping = () => tasks().filter((task) => task.stopped).sort((a, b) => b.stopped - a.stopped);
const retained = () => rowsOf(page.retention[chosen.course]);
const hours = () => {
  const { attempts, users } = page.heat[chosen.course];
  if (!attempts.some(Boolean)) return [];
  return attempts.map((n, i) => ({
    iso_weekday: Math.floor(i / 24) + 1, hour: i % 24, attempts: n, users: users[i],
  }));
};
const whenText = (cell) => `${weekdayText(cell.iso_weekday)} ${shown("hour", cell.hour)}`;
const partOf = (part, whole) => word("word.of", { part: number(part), whole: number(whole) });
const activeText = (row) => {
  const unfinished = row.is_complete ? "" : ` (${word("word.incomplete")})`;
  return `${percent(row.active_pct)}: ${partOf(row.active, row.cohort_students)}${unfinished}`;
};
