/* Draws the charts one at a time. Charts in sight come first. The browser draws the others when it is
   idle, so they are ready before a reader scrolls or prints. */
const NARROW_PX = 480;
const PERIOD_CHARTS = ["activity", "users", "success", "task"];
/* The parameters of the time axis: from the start of the first day to the end of the last one. The
   first day is that of the period, or that of the history if the history is shorter. Points on the
   line need room, so over more than 60 days their size (dot) is 0. */
const periodParams = () => {
  const days = Math.min(chosen.period || Infinity, page.history_days);
  return [
    { name: "first", value: dayAt(days - 1) }, { name: "last", value: dayAt(-1) },
    { name: "dot", value: days > 60 ? 0 : 18 },
  ];
};
const chartViews = {};
const showNothing = (name, holder) => {
  holder.removeAttribute("role");
  holder.removeAttribute("aria-label");
  const note = word(charts[name].nothing ?? "control.nothing");
  holder.replaceChildren(make("p", { className: "note", textContent: note }));
};
const specOf = (name, rows) => {
  const spec = { ...page.specs[name], data: { name: "rows", values: rows } };
  if (PERIOD_CHARTS.includes(name)) spec.params = periodParams();
  if (spec.usermeta) spec.height = spec.usermeta.step * new Set(rows.map((row) => row.place)).size;
  return spec;
};
const draw = async (name) => {
  const holder = find(`[data-chart="${name}"]`);
  const rows = charts[name].rows(holder.clientWidth);
  chartViews[name]?.finalize();
  delete chartViews[name];
  if (!rows.length) return showNothing(name, holder);
  holder.setAttribute("role", "img");
  holder.setAttribute("aria-label", word(`summary.${name}`, charts[name].label()));
  const canvas = make("div");
  // Without a limit, the cells of a few weeks would fill the whole width.
  if (name === "retention") {
    canvas.style.maxWidth = `${130 + 60 * (1 + Math.max(...rows.map((row) => row.later)))}px`;
  }
  holder.replaceChildren(canvas);
  chartViews[name] = await window.vegaEmbed(canvas, specOf(name, rows), {
    actions: false, renderer: "svg", defaultStyle: false, tooltip: { disableDefaultStyle: true },
    formatLocale: page.locale.numbers, timeFormatLocale: page.locale.days,
    config: {
      axisY: { labelLimit: Math.min(300, holder.clientWidth * 0.42) },
      legend: { columns: holder.clientWidth < NARROW_PX ? 2 : 4 },
    },
  });
  // Vega marks parts of the chart as pictures but gives them no name. The holder has the name of the
  // whole chart, so screen readers skip the parts.
  find("svg", canvas).setAttribute("aria-hidden", "true");
  performance.mark(`drawn-${name}`);
  return null;
};

const waitingCharts = new Set();
let isDrawing = false;
const isInSight = (name) => {
  const box = find(`[data-chart="${name}"]`).getBoundingClientRect();
  return box.bottom > 0 && box.top < window.innerHeight;
};
const untilIdle = () => new Promise((resolve) =>
  (window.requestIdleCallback ? requestIdleCallback(resolve, { timeout: 300 }) : setTimeout(resolve)));
/* Tests and pictures wait for this number in the page. */
const countDrawn = () => {
  document.body.dataset.drawn = findAll("[data-chart]").length - waitingCharts.size;
};
const drawWaiting = async () => {
  if (isDrawing || !window.vegaEmbed) return;
  isDrawing = true;
  while (waitingCharts.size) {
    const names = [...waitingCharts];
    const nameInSight = names.find(isInSight);
    if (!nameInSight) await untilIdle();
    const name = nameInSight ?? names[0];
    waitingCharts.delete(name);
    await draw(name);
    countDrawn();
  }
  isDrawing = false;
};
window.drawCharts = drawWaiting;
