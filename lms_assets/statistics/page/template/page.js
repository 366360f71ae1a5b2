"use strict";
/* Shows the figures of the chosen period and course. Figures come ready from the database: nothing
   is defined here. What people named goes into the page as text only, never as markup. */
(() => {
  const page = JSON.parse(document.getElementById("figures").textContent);
  const DAY_MS = 86_400_000;
  const LONG_HISTORY_DAYS = 120;
  const CHARTED_TASKS = 15;
  const NARROW_PX = 480;
  const asOf = Date.parse(page.as_of);
  const chosen = { period: 28, course: 0 };

  const find = (selector, within = document) => within.querySelector(selector);
  const make = (tag, properties = {}, ...children) => {
    const element = Object.assign(document.createElement(tag), properties);
    element.append(...children);
    return element;
  };

  // --- Words, numbers, days ---------------------------------------------------------------------
  const word = (key, facts = {}) => page.words[key].replace(/\{(\w+)\}/g, (_, name) => facts[name]);
  const formats = [0, 1, 2].map((decimals) => new Intl.NumberFormat(page.language, {
    minimumFractionDigits: decimals, maximumFractionDigits: decimals,
  }));
  /* Half away from zero, of the number as it is written; minus as U+2212; never −0. */
  const rounded = (value, decimals) => (Math.abs(value) < 1e-6 ? 0 :
    Math.sign(value) * Number(`${Math.round(Number(`${Math.abs(value)}e${decimals}`))}e-${decimals}`) + 0);
  const number = (value, decimals = 0) => (value == null ? "—"
    : formats[decimals].format(rounded(value, decimals)).replace("-", "−"));
  const percent = (value) => (value == null ? "—" : word("word.percent", { n: number(value, 1) }));
  const interval = (low, high) => (low == null ? "—" : `${number(low, 1)} – ${percent(high)}`);
  const minutes = (value) => {
    if (value == null) return "—";
    if (value < 120) return word("word.minutes", { n: number(value, 1) });
    if (value < 48 * 60) return word("word.hours", { n: number(value / 60, 1) });
    return word("word.days", { n: number(value / 1440, 1) });
  };
  const dayFormat = new Intl.DateTimeFormat(page.locale.dates, { dateStyle: "medium", timeZone: "UTC" });
  const weekdayFormat = new Intl.DateTimeFormat(page.language, { weekday: "short", timeZone: "UTC" });
  const dayAt = (age) => asOf - age * DAY_MS;
  const dayText = (age) => dayFormat.format(dayAt(age));
  const MONDAY = Date.parse("2024-01-01");
  const weekdayText = (iso) => weekdayFormat.format(MONDAY + (iso - 1) * DAY_MS);

  // --- The chosen figures -----------------------------------------------------------------------
  const rowsOf = (columns) => {
    const names = Object.keys(columns);
    return (columns[names[0]] ?? []).map((_, i) =>
      Object.fromEntries(names.map((name) => [name, columns[name][i]])));
  };
  const figuresOfPeriod = () => page.periods[chosen.course][chosen.period];
  const overall = () => page.overall[chosen.course];
  const isWeekly = () => chosen.period === 0 && page.history_days > LONG_HISTORY_DAYS;
  const inPeriod = (row) => chosen.period === 0 || row.age < chosen.period;
  const daysShown = () => rowsOf(page.days[chosen.course]).filter(inPeriod);
  const volumeShown = () => (isWeekly() ? rowsOf(page.weeks[chosen.course]) : daysShown());
  const tasks = () => page.tasks.filter((task) => !chosen.course || task.course === chosen.course);
  const taskName = (task) => task.title +
    (chosen.course || page.courses.length <= 2 ? "" : ` · ${page.courses[task.course].title}`);
  page.tasks = rowsOf(page.tasks);

  // --- Tiles and notes --------------------------------------------------------------------------
  const trend = (change, before, text = (count) => number(count)) => {
    if (chosen.period === 0) return [];
    if (before == null) return [word("trend.none", { days: chosen.period })];
    const was = word("trend.before", { before: text(before), days: chosen.period });
    if (change == null) return [was];
    const way = change > 0 ? "up" : change < 0 ? "down" : "same";
    const sign = { up: "▲ ", down: "▼ ", same: "= " }[way];
    const size = text === percent ? `${number(Math.abs(change), 1)} ${word("trend.points")}`
      : percent(Math.abs(change));
    return [
      make("span", { className: "spoken", textContent: `${word(`trend.${way}`)} ` }),
      make("b", {}, make("span", { ariaHidden: "true", textContent: sign }), size), ` · ${was}`,
    ];
  };
  const tiles = {
    attempts: (p) => [number(p.attempts),
      word("note.per_user", {
        mean: number(p.mean_attempts_per_user, 1), median: number(p.median_attempts_per_user, 1),
      }),
      trend(p.attempts_trend_pct, p.previous_attempts)],
    users: (p) => [number(p.users), word("note.users"),
      trend(p.users_trend_pct, p.previous_users)],
    new_users: (p) => [number(p.new_users),
      word(chosen.course ? "note.new_users_course" : "note.new_users"),
      trend(p.new_users_trend_pct, p.previous_new_users)],
    success: (p) => [percent(p.success_pct),
      word("note.interval", {
        low: number(p.success_low_pct, 1), high: percent(p.success_high_pct),
        n: number(p.correct + p.wrong),
      }),
      trend(p.success_trend_points, p.previous_success_pct, percent)],
    run_submit: (p) => [`${number(p.runs)} : ${number(p.submits)}`,
      word("note.verdicts", {
        correct: number(p.correct), wrong: number(p.wrong), ungraded: number(p.ungraded),
      }), []],
    correct_of_all: (p) => [percent(p.correct_of_all_pct),
      word("note.n_attempts", { n: number(p.attempts) }), []],
    run_to_success: (p) => [percent(p.run_to_success_pct),
      word("note.n_runs", { n: number(p.runs) }), []],
    help: () => [number(overall().stuck),
      word("note.help", { n: number(overall().pairs), gave_up: number(overall().gave_up) }), []],
  };
  const fillTiles = () => {
    for (const tile of document.querySelectorAll("[data-tile]")) {
      const [value, note, change] = tiles[tile.dataset.tile](figuresOfPeriod());
      find(".value", tile).textContent = value;
      find(".note", tile).textContent = note;
      find(".trend", tile).replaceChildren(...change);
    }
  };

  const notes = {
    activity: () => [word("note.sum_attempts", { n: number(figuresOfPeriod().attempts) }),
      isWeekly() ? word("note.weekly") : ""].join(" "),
    users: () => {
      const newest = page.newest[chosen.course];
      return newest ? word("note.users_now", {
        day: dayText(newest.age), dau: number(newest.users), wau: number(newest.wau),
        mau: number(newest.mau), stickiness: percent(newest.stickiness_pct),
      }) : "";
    },
    success: () => [
      word("note.graded", { n: number(figuresOfPeriod().correct + figuresOfPeriod().wrong) }),
      isWeekly() ? word("note.weekly") : ""].join(" "),
    hardest: () => {
      const count = (test) => number(tasks().filter(test).length);
      return word("note.hardest", {
        tasks: count(() => true), ranked: count((t) => t.is_ranked),
        hard: count((t) => t.difficulty === "hard"),
        very_easy: count((t) => t.difficulty === "very_easy"),
      });
    },
    help: () => word("note.help_tasks", {
      stuck: number(overall().stuck), gave_up: number(overall().gave_up),
      n: number(overall().pairs), day: dayText(0),
    }),
    time: () => word("note.time", {
      n: number(overall().solved_pairs), instant: number(overall().instant_pairs),
    }),
    runs: () => word("note.runs", { n: number(overall().submits_on_tasks) }),
    retention: () => {
      const cohorts = rowsOf(page.retention[chosen.course]).filter((row) => row.later === 0);
      return word("note.retention", {
        cohorts: number(cohorts.length),
        n: number(cohorts.reduce((sum, row) => sum + row.students, 0)),
      });
    },
    heat: () => word("note.heat", {
      n: number(page.heat[chosen.course].attempts.reduce((a, b) => a + b, 0)),
      first: dayText(27), last: dayText(0), zone: page.zone,
    }),
    without_task: () => word("note.without_task", {
      n: number(overall().without_task), attempts: number(overall().attempts),
      share: percent(overall().without_task_pct),
    }),
  };
  const fillNotes = () => {
    for (const note of document.querySelectorAll("[data-note]")) {
      note.textContent = notes[note.dataset.note]();
    }
  };

  const stats = {
    time: (o) => [
      ["stat.active_median", minutes(o.median_active_min), o.timed_pairs],
      ["stat.active_p90", minutes(o.p90_active_min), o.timed_pairs],
      ["stat.wall_median", minutes(o.median_wall_min), o.timed_pairs],
      ["stat.wall_p90", minutes(o.p90_wall_min), o.timed_pairs],
      ["stat.instant", number(o.instant_pairs), o.solved_pairs],
    ],
    runs: (o) => [
      ["stat.runs_per_submit", number(o.runs_per_submit, 2)],
      ["stat.blind", percent(o.blind_pct)],
      ["stat.success_after_run", percent(o.success_after_run_pct)],
      ["stat.success_blind", percent(o.success_blind_pct)],
    ],
    retention: (o) => [
      ["stat.active", number(o.active_students), o.users],
      ["stat.at_risk", number(o.at_risk_students), o.users],
      ["stat.dropped", number(o.dropped_students), o.users],
    ],
  };
  const fillStats = () => {
    for (const list of document.querySelectorAll("[data-stats]")) {
      list.replaceChildren(...stats[list.dataset.stats](overall()).map(([key, value, n]) =>
        make("div", {}, make("dt", { textContent: word(key) }), make("dd", {}, value,
          ...(n == null ? [] : [make("small", { textContent: ` n = ${number(n)}` })])))));
    }
  };

  // --- Charts: rows of each, and what its label says --------------------------------------------
  const greatest = (rows, field) =>
    rows.reduce((best, row) => (best && best[field] >= row[field] ? best : row), null);
  const volumeTips = (row) => ({
    tip_day: dayText(row.age), tip_attempts: number(row.attempts), tip_runs: number(row.runs),
    tip_correct: number(row.correct), tip_wrong: number(row.wrong),
    tip_ungraded: number(row.ungraded),
  });
  const spanOf = (row, days) => ({
    day: dayAt(row.age), middle: dayAt(row.age - days / 2), until: dayAt(row.age - days),
  });
  const stacked = (row) => {
    const span = spanOf(row, isWeekly() ? 7 : 1);
    let from = 0;
    return ["correct", "wrong", "ungraded", "runs"].filter((kind) => row[kind]).map((kind) => {
      const part = { ...span, kind: word(`column.${kind}`), from, to: from + row[kind] };
      from = part.to;
      return { ...part, ...volumeTips(row) };
    });
  };
  const placed = (rows, shape) => rows.map((row, i) => ({ place: `${i}\t${taskName(row)}`, ...shape(row) }));
  const ranked = () => tasks().filter((task) => task.is_ranked);
  const needy = () => tasks().filter((task) => task.stuck || task.gave_up)
    .sort((a, b) => b.stuck - a.stuck || b.gave_up - a.gave_up);
  const slowest = () => tasks().filter((task) => task.timed >= 10)
    .sort((a, b) => b.median_active - a.median_active);
  const parts = (task) => ({ part: number(task.stuck), whole: number(task.students) });
  const someOf = (task) => word("word.of", parts(task));
  const needHelp = (task) => word("word.need_help", parts(task));

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
        ...spanOf(row, 1), dau: row.dau, wau: row.wau, mau: row.mau, tip_day: dayText(row.age),
        tip_dau: number(row.dau), tip_wau: number(row.wau), tip_mau: number(row.mau),
      })),
      label: () => {
        const top = greatest(daysShown(), "mau");
        return { value: number(top.mau), when: dayText(top.age) };
      },
    },
    success: {
      rows: () => volumeShown().filter((row) => row.success != null).map((row) => ({
        ...spanOf(row, isWeekly() ? 7 : 1), success: row.success, low: row.low, high: row.high,
        tip_day: dayText(row.age), tip_success: percent(row.success),
        tip_interval: interval(row.low, row.high), tip_n: number(row.correct + row.wrong),
      })),
      label: () => {
        const newest = volumeShown().filter((row) => row.success != null).at(-1);
        return { value: percent(newest.success), when: dayText(newest.age) };
      },
    },
    hardest: {
      rows: () => placed(ranked().slice(0, CHARTED_TASKS), (task) => ({
        value: task.first_try, low: task.low, high: task.high, tip_task: taskName(task),
        tip_value: percent(task.first_try), tip_interval: interval(task.low, task.high),
        tip_students: number(task.students),
      })),
      label: () => ({ what: taskName(ranked()[0]), value: percent(ranked()[0].first_try) }),
    },
    help: {
      rows: (width) => placed(needy().filter((task) => task.stuck).slice(0, CHARTED_TASKS), (task) => ({
        value: task.stuck, label: width < NARROW_PX ? someOf(task) : needHelp(task),
      })),
      label: () => ({ what: taskName(needy()[0]), value: needHelp(needy()[0]) }),
    },
    time: {
      rows: () => placed(slowest().slice(0, CHARTED_TASKS), (task) => ({
        value: task.median_active, high: task.p90_active, tip_task: taskName(task),
        tip_median: minutes(task.median_active), tip_p90: minutes(task.p90_active),
        tip_n: number(task.timed),
      })),
      label: () => ({ what: taskName(slowest()[0]), value: minutes(slowest()[0].median_active) }),
    },
    retention: {
      rows: (width) => rowsOf(page.retention[chosen.course])
        .filter((row) => row.later < Math.max(4, Math.floor((width - 130) / 34)))
        .map((row) => ({
          place: `${10_000 - row.age}\t${dayText(row.age)}`, later: row.later, pct: row.pct,
          label: number(row.pct), is_complete: row.is_complete, tip_cohort: dayText(row.age),
          tip_later: number(row.later), tip_active: activeText(row),
        })),
      label: () => {
        const later = rowsOf(page.retention[chosen.course])
          .filter((row) => row.later === 1 && row.is_complete);
        return { value: later.length ? activeText(later.at(-1)) : "—" };
      },
    },
    heat: {
      rows: () => hours().map((cell) => ({
        place: `${cell.weekday}\t${weekdayText(cell.weekday)}`, hour: cell.hour,
        attempts: cell.attempts, tip_when: cell.when, tip_attempts: number(cell.attempts),
        tip_users: number(cell.users),
      })),
      label: () => {
        const top = greatest(hours(), "attempts");
        return { value: number(top.attempts), when: top.when };
      },
    },
  };
  /* A day without attempts has no row: none was active in it, and what 7 or 30 days saw is not known. */
  const withQuietDays = (rows) => rows.flatMap((row, i) => {
    const gap = i ? rows[i - 1].age - row.age - 1 : 0;
    const quiet = Array.from({ length: gap }, (_, n) => ({ age: row.age + gap - n, dau: 0 }));
    return [...quiet, row];
  });
  const activeText = (row) => {
    const of = word("word.of", { part: number(row.active), whole: number(row.students) });
    const unfinished = row.is_complete ? "" : ` (${word("word.incomplete")})`;
    return `${percent(row.pct)}: ${of}${unfinished}`;
  };
  const hours = () => {
    const { attempts, users } = page.heat[chosen.course];
    if (!attempts.some(Boolean)) return [];
    return attempts.map((n, i) => {
      const [weekday, hour] = [Math.floor(i / 24) + 1, i % 24];
      return { weekday, hour, attempts: n, users: users[i], when: `${weekdayText(weekday)} ${hour}:00` };
    });
  };

  const OF_PERIOD = ["activity", "users", "success"];
  /* From the first day of what is chosen, or of the history, to the end of the last. */
  const period = () => {
    const days = Math.min(chosen.period || Infinity, page.history_days);
    return [
      { name: "first", value: dayAt(days - 1) }, { name: "last", value: dayAt(-1) },
      { name: "dot", value: days > 60 ? 0 : 18 },
    ];
  };
  const views = {};
  const draw = async (name) => {
    const holder = find(`[data-chart="${name}"]`);
    const rows = charts[name].rows(holder.clientWidth);
    views[name]?.finalize();
    delete views[name];
    if (!rows.length) {
      const nothing = name === "hardest" ? "note.no_minimum" : "control.nothing";
      holder.removeAttribute("role");
      holder.removeAttribute("aria-label");
      holder.replaceChildren(make("p", { className: "note", textContent: word(nothing) }));
      return;
    }
    holder.setAttribute("role", "img");
    holder.setAttribute("aria-label", word(`summary.${name}`, charts[name].label()));
    const canvas = make("div");
    // A few weeks are not stretched over the whole width.
    if (name === "retention") {
      canvas.style.maxWidth = `${130 + 60 * (1 + Math.max(...rows.map((row) => row.later)))}px`;
    }
    holder.replaceChildren(canvas);
    const spec = { ...page.specs[name], data: { name: "rows", values: rows } };
    if (OF_PERIOD.includes(name)) spec.params = period();
    if (spec.usermeta) spec.height = spec.usermeta.step * new Set(rows.map((row) => row.place)).size;
    const drawn = await window.vegaEmbed(canvas, spec, {
      actions: false, renderer: "svg", defaultStyle: false, tooltip: { disableDefaultStyle: true },
      formatLocale: page.locale.numbers, timeFormatLocale: page.locale.days,
      config: {
        axisY: { labelLimit: Math.min(300, holder.clientWidth * 0.42) },
        legend: { columns: holder.clientWidth < NARROW_PX ? 2 : 4 },
      },
    });
    views[name] = drawn;
    performance.mark(`drawn-${name}`);
  };

  /* One at a time, those in sight first; the others when the browser has nothing else to do, so that
     they are there before anyone scrolls or prints. */
  const waiting = new Set();
  let isDrawing = false;
  const isInSight = (name) => {
    const box = find(`[data-chart="${name}"]`).getBoundingClientRect();
    return box.bottom > 0 && box.top < window.innerHeight;
  };
  const idle = () => new Promise((resolve) =>
    (window.requestIdleCallback ? requestIdleCallback(resolve, { timeout: 300 }) : setTimeout(resolve)));
  const drawWaiting = async () => {
    if (isDrawing || !window.vegaEmbed) return;
    isDrawing = true;
    while (waiting.size) {
      const names = [...waiting];
      const seen = names.find(isInSight);
      if (!seen) await idle();
      const name = seen ?? names[0];
      waiting.delete(name);
      await draw(name);
      document.body.dataset.drawn = document.querySelectorAll("[data-chart]").length - waiting.size;
    }
    isDrawing = false;
  };
  window.drawCharts = drawWaiting;

  // --- Tables -----------------------------------------------------------------------------------
  const named = (key, value, text = (shown) => number(shown)) => ({ title: word(`column.${key}`), value, text });
  const asText = (value) => value ?? "";
  const taskLink = (_, task) => (task.link
    ? make("a", { href: task.link, rel: "noopener noreferrer", textContent: task.title })
    : make("span", { title: task.id, textContent: task.title }));
  const taskColumns = () => [
    { ...named("task", (t) => t.title, taskLink), words: true },
    ...(chosen.course || page.courses.length <= 2 ? []
      : [{ ...named("course", (t) => page.courses[t.course].title, asText), words: true }]),
  ];
  const difficulty = (value) => (value
    ? make("span", { className: `label ${value}`, textContent: word(`word.${value}`) }) : "");
  const dayColumn = () => ({
    ...named(isWeekly() ? "week" : "day", (row) => -row.age, (_, row) => dayText(row.age)), words: true,
  });
  const tables = {
    activity: () => [[dayColumn(), ...["attempts", "runs", "correct", "wrong", "ungraded"]
      .map((key) => named(key, (row) => row[key]))], volumeShown().reverse()],
    users: () => [[{ ...named("day", (row) => -row.age, (_, row) => dayText(row.age)), words: true },
      ...["dau", "wau", "mau"].map((key) => named(key, (row) => row[key]))], daysShown().reverse()],
    success: () => [[dayColumn(), named("success", (row) => row.success, percent),
      named("interval", (row) => row.low, (_, row) => interval(row.low, row.high)),
      named("n", (row) => row.correct + row.wrong)], volumeShown().reverse()],
    hardest: () => [[...taskColumns(), named("difficulty", (t) => t.difficulty, difficulty),
      named("first_try", (t) => t.first_try, percent),
      named("interval", (t) => t.high, (_, t) => interval(t.low, t.high)),
      named("students", (t) => t.students), named("solve", (t) => t.solve, percent),
      named("to_solve", (t) => t.to_solve, (v) => number(v, 1)),
      named("to_solve_p90", (t) => t.to_solve_p90),
      named("per_solver", (t) => t.per_solver, (v) => number(v, 1)),
      named("submits", (t) => t.submits), named("success", (t) => t.success, percent)], ranked()],
    help: () => [[...taskColumns(), named("need_help", (t) => t.stuck / (t.students || 1),
      (_, t) => needHelp(t)), named("stuck", (t) => t.stuck), named("gave_up", (t) => t.gave_up),
    named("students", (t) => t.students)], needy()],
    time: () => [[...taskColumns(), named("active_median", (t) => t.median_active, minutes),
      named("active_p90", (t) => t.p90_active, minutes),
      named("wall_median", (t) => t.median_wall, minutes),
      named("wall_p90", (t) => t.p90_wall, minutes), named("timed", (t) => t.timed),
      named("instant", (t) => t.instant)],
    tasks().filter((t) => t.timed).sort((a, b) => b.median_active - a.median_active)],
    retention: () => [[{
      ...named("cohort", (row) => -row.age, (_, row) => dayText(row.age)), words: true,
    }, named("weeks_later", (row) => row.later), named("students", (row) => row.students),
    named("active", (row) => row.pct, (_, row) => activeText(row))],
    rowsOf(page.retention[chosen.course])],
    heat: () => [[{
      ...named("weekday", (cell) => cell.weekday, weekdayText), words: true,
    }, named("hour", (cell) => cell.hour), named("attempts", (cell) => cell.attempts),
    named("users", (cell) => cell.users)], hours().filter((cell) => cell.attempts)],
  };
  const FIRST_ROWS = 10;
  const MORE_ROWS = 100;
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
  const headingCell = (name, column, index, refill) => {
    const cell = make("th", { scope: "col", className: column.words ? "words" : "" });
    const by = order[name];
    if (by?.column === index) cell.ariaSort = by.isDescending ? "descending" : "ascending";
    cell.append(make("button", {
      type: "button", textContent: column.title,
      onclick: () => {
        const again = order[name]?.column === index && order[name].isDescending === !column.words;
        order[name] = { column: index, isDescending: again ? Boolean(column.words) : !column.words };
        refill();
        find(`[data-table="${name}"]`).querySelectorAll("thead button")[index].focus();
      },
    }));
    return cell;
  };
  const bodyRow = (columns, row) => make("tr", {}, ...columns.map((column, index) =>
    make(index ? "td" : "th", {
      ...(index ? {} : { scope: "row" }), className: column.words ? "words" : "",
    }, column.text(column.value(row), row))));
  const shownRows = {};
  const fillTable = (name) => {
    const holder = find(`[data-table="${name}"]`);
    if (!holder.open) return;
    const [columns, rows] = tables[name]();
    const shown = shownRows[name] ?? FIRST_ROWS;
    const refill = () => fillTable(name);
    const body = sorted(name, columns, rows).slice(0, shown).map((row) => bodyRow(columns, row));
    const caption = find(`#heading-${name}`).textContent;
    find(".scroll", holder).replaceChildren(rows.length ? make("table", {},
      make("caption", { className: "spoken", textContent: caption }),
      make("thead", {}, make("tr", {},
        ...columns.map((column, index) => headingCell(name, column, index, refill)))),
      make("tbody", {}, ...body))
      : make("p", { className: "note", textContent: word("control.nothing") }));
    const more = find(".more", holder);
    more.hidden = rows.length <= shown;
    more.textContent = word("control.more", { n: number(Math.min(MORE_ROWS, rows.length - shown)) });
    more.onclick = () => {
      shownRows[name] = shown + MORE_ROWS;
      refill();
    };
  };

  // --- Choosing ---------------------------------------------------------------------------------
  const saySelection = () => {
    const days = chosen.period || page.history_days;
    const { title, link } = page.courses[chosen.course];
    find(".shown").replaceChildren(word("control.shown", {
      period: word(`control.days_${chosen.period}`), first: dayText(days - 1), last: dayText(0),
    }), link ? make("a", { href: link, rel: "noopener noreferrer", textContent: title }) : title);
  };
  const show = (names) => {
    for (const button of document.querySelectorAll("[data-period]")) {
      button.ariaPressed = String(Number(button.dataset.period) === chosen.period);
    }
    saySelection();
    fillTiles();
    fillNotes();
    fillStats();
    for (const name of names) {
      waiting.add(name);
      shownRows[name] = FIRST_ROWS;
      fillTable(name);
    }
    drawWaiting();
  };
  for (const button of document.querySelectorAll("[data-period]")) {
    button.onclick = () => {
      chosen.period = Number(button.dataset.period);
      show(OF_PERIOD);
    };
  }
  const select = find("#course");
  select.append(...page.courses.map((course, index) =>
    make("option", { value: index, textContent: course.title })));
  select.onchange = () => {
    chosen.course = Number(select.value);
    show(Object.keys(charts));
  };
  // A browser may keep the choice of before a reload in the list alone.
  select.value = 0;
  for (const holder of document.querySelectorAll("[data-table]")) {
    holder.addEventListener("toggle", () => fillTable(holder.dataset.table));
  }
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    for (const what of document.querySelectorAll(".what:hover, .what:focus-within")) {
      what.classList.add("closed");
    }
  });
  for (const what of document.querySelectorAll(".what")) {
    for (const leaving of ["pointerleave", "focusout"]) {
      what.addEventListener(leaving, () => what.classList.remove("closed"));
    }
  }
  show(Object.keys(charts));
})();
