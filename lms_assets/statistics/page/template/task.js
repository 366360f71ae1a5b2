/* The section of the chosen task: its figures, its days or weeks, its alarms. */
const DAILY_PERIODS = [7, 28];
const isTaskByWeek = () => !DAILY_PERIODS.includes(chosen.period);
const chosenTask = () => (chosen.task == null ? null : allTasks[chosen.task]);
const alarmsOf = (place) => allAlarms.filter((alarm) => alarm.place === place);
/* Rows of the task's chart and table, oldest first: by day for the periods of 7 and 28 days, by week
   for the others. A week is in alarm if one of its days is. It has a row if one of its days lies in
   the period; its age is that of its Monday. The payload has three numbers for each row: age in days,
   students, solved. */
const taskDays = () => {
  const numbers = page[isTaskByWeek() ? "task_weeks" : "task_days"][chosen.task] ?? [];
  const alarms = alarmsOf(chosen.task);
  const length = isTaskByWeek() ? 7 : 1;
  return Array.from({ length: numbers.length / 3 }, (_, i) => {
    const [age, students, solved] = numbers.slice(3 * i, 3 * i + 3);
    return {
      age, alarm_students: students, solved, solved_pct: (100 * solved) / students,
      alarm_kind: alarms.find((alarm) => alarm.age <= age && alarm.age > age - length)?.alarm_kind,
    };
  }).filter((row) => chosen.period === 0 || row.age < chosen.period + length - 1);
};
/* One entry per alarm: its newest day. Days in alarm with the same first day and kind are one alarm. */
const alarmsOfTask = () => {
  const newestDays = new Map();
  for (const alarm of alarmsOf(chosen.task)) {
    const key = `${alarm.since} ${alarm.alarm_kind}`;
    if (!newestDays.has(key)) newestDays.set(key, alarm);
  }
  return [...newestDays.values()];
};
const fillAlarmsOfTask = () => {
  const sentences = alarmsOfTask().map((alarm) => make("li", {}, stateLabel(alarm.alarm_kind), " ",
    word("note.task_alarm", {
      since: figureText("since", alarm.since), last: dayText(alarm.age),
      solved: partText(alarm.solved, alarm.alarm_students), usual: percent(alarm.usual_pct),
      q: figureText("q", alarm.q),
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
