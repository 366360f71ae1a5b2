/* Draws the charts one at a time: those in sight first, the others when the browser has nothing else
   to do, so that they are there before anyone scrolls or prints. */
const NARROW_PX = 480;
const OF_PERIOD = ["activity", "users", "success", "task"];
/* From the first day of what is chosen, or of the history, to the end of the last. */
const period = () => {
  const days = Math.min(chosen.period || Infinity, page.history_days);
  return [
    { name: "first", value: dayAt(days - 1) }, { name: "last", value: dayAt(-1) },
    { name: "dot", value: days > 60 ? 0 : 18 },
  ];
};
const views = {};
const sayNothing = (name, holder) => {
  holder.removeAttribute("role");
  holder.removeAttribute("aria-label");
  const nothing = word(charts[name].nothing ?? "control.nothing");
  holder.replaceChildren(make("p", { className: "note", textContent: nothing }));
};
const specOf = (name, rows) => {
  const spec = { ...page.specs[name], data: { name: "rows", values: rows } };
  if (OF_PERIOD.includes(name)) spec.params = period();
  if (spec.usermeta) spec.height = spec.usermeta.step * new Set(rows.map((row) => row.place)).size;
  return spec;
};
const draw = async (name) => {
  const holder = find(`[data-chart="${name}"]`);
  const rows = charts[name].rows(holder.clientWidth);
  views[name]?.finalize();
  delete views[name];
  if (!rows.length) return sayNothing(name, holder);
  holder.setAttribute("role", "img");
  holder.setAttribute("aria-label", word(`summary.${name}`, charts[name].label()));
  const canvas = make("div");
  // A few weeks are not stretched over the whole width.
  if (name === "retention") {
    canvas.style.maxWidth = `${130 + 60 * (1 + Math.max(...rows.map((row) => row.later)))}px`;
  }
  holder.replaceChildren(canvas);
  views[name] = await window.vegaEmbed(canvas, specOf(name, rows), {
    actions: false, renderer: "svg", defaultStyle: false, tooltip: { disableDefaultStyle: true },
    formatLocale: page.locale.numbers, timeFormatLocale: page.locale.days,
    config: {
      axisY: { labelLimit: Math.min(300, holder.clientWidth * 0.42) },
      legend: { columns: holder.clientWidth < NARROW_PX ? 2 : 4 },
    },
  });
  // Vega's parts are pictures without a name; the chart as a whole has one.
  find("svg", canvas).setAttribute("aria-hidden", "true");
  performance.mark(`drawn-${name}`);
  return null;
};

const waiting = new Set();
let isDrawing = false;
const isInSight = (name) => {
  const box = find(`[data-chart="${name}"]`).getBoundingClientRect();
  return box.bottom > 0 && box.top < window.innerHeight;
};
const idle = () => new Promise((resolve) =>
  (window.requestIdleCallback ? requestIdleCallback(resolve, { timeout: 300 }) : setTimeout(resolve)));
const sayDrawn = () => {
  document.body.dataset.drawn = findAll("[data-chart]").length - waiting.size;
};
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
    sayDrawn();
  }
  isDrawing = false;
};
window.drawCharts = drawWaiting;
