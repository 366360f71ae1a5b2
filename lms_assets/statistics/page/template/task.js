/* The view of one task: its figures, its days or weeks, its alarms. */
const DAILY_PERIODS = [7, 28];
const isByWeek = () => !DAILY_PERIODS.includes(chosen.period);
const chosenTask = () => (chosen.task == null ? null : tasksOfAll[chosen.task]);
const alarmsOf = (place) => alarmsOfAll.filter((alarm) => alarm.place === place);
/* Days of 7 or 28 days, else weeks, oldest first; a week is in alarm when a day of it is. */
const taskDays = () => {
  const numbers = page[isByWeek() ? "task_weeks" : "task_days"][chosen.task] ?? [];
  const alarms = alarmsOf(chosen.task);
  const length = isByWeek() ? 7 : 1;
  return Array.from({ length: numbers.length / 3 }, (_, i) => {
    const [age, students, solved] = numbers.slice(3 * i, 3 * i + 3);
    return {
      age, alarm_students: students, solved, solved_pct: (100 * solved) / students,
      alarm_kind: alarms.find((alarm) => alarm.age <= age && alarm.age > age - length)?.alarm_kind,
    };
  }).filter((row) => chosen.period === 0 || row.age < chosen.period + length - 1);
};
/* Days in alarm of one first day and kind are one alarm. */
const alarmsOfTask = () => {
  const found = new Map();
  for (const alarm of alarmsOf(chosen.task)) {
    const key = `${alarm.since} ${alarm.alarm_kind}`;
    if (!found.has(key)) found.set(key, alarm);
  }
  return [...found.values()];
};
const fillAlarmsOfTask = () => {
  const sentences = alarmsOfTask().map((alarm) => make("li", {}, label(alarm.alarm_kind), " ",
    word("note.task_alarm", {
      since: shown("since", alarm.since), last: dayText(alarm.age),
      solved: partOf(alarm.solved, alarm.alarm_students), usual: percent(alarm.usual_pct),
      q: shown("q", alarm.q),
    })));
  find("#task .alarms").replaceChildren(...(sentences.length ? sentences
    : [make("li", { textContent: word("note.no_task_alarms") })]));
};
const fillTask = () => {
  const task = chosenTask();
  find("#task").hidden = !task;
  if (!task) return;
  find("#heading-task").textContent = `${task.title} · ${page.courses[task.course].title}`;
  find("#task .close").href = linkTo({ task: null });
  find("#task .outside").hidden = !task.link;
  if (task.link) find("#task .outside").href = task.link;
  fillAlarmsOfTask();
};
