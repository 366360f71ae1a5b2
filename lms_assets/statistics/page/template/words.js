/* Texts, numbers and days. The database has computed every figure, and the script computes none.
   Titles of courses and tasks were written by people, so the script sets them as text, never as
   markup. */
const page = JSON.parse(document.getElementById("figures").textContent);
const DAY_MS = 86_400_000;
const asOf = Date.parse(page.as_of);

const find = (selector, within = document) => within.querySelector(selector);
const findAll = (selector) => document.querySelectorAll(selector);
const make = (tag, properties = {}, ...children) => {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
};

const word = (key, facts = {}) => page.words[key].replace(/\{(\w+)\}/g, (_, name) => facts[name]);
const nameOf = (figure) => page.figures[figure].name;
const formats = [0, 1, 2, 3, 4].map((decimals) => new Intl.NumberFormat(page.language, {
  minimumFractionDigits: decimals, maximumFractionDigits: decimals,
}));
/* Rounds the decimal digits half away from zero, as `rounded` in lms_assets.texts does. Example: 1.005
   with two decimals is 1.01, although the binary number is a little less. The result is never −0. */
const rounded = (value, decimals) => (Math.abs(value) < 1e-6 ? 0 :
  Math.sign(value) * Number(`${Math.round(Number(`${Math.abs(value)}e${decimals}`))}e-${decimals}`) + 0);
/* Intl writes a hyphen before a negative number. The page shows a minus sign (U+2212). */
const number = (value, decimals = 0) => (value == null ? "—"
  : formats[decimals].format(rounded(value, decimals)).replace("-", "−"));
const percent = (value) => (value == null ? "—" : word("word.percent", { n: number(value, 1) }));

const dayFormat = new Intl.DateTimeFormat(page.locale.dates, { dateStyle: "medium", timeZone: "UTC" });
const weekdayFormat = new Intl.DateTimeFormat(page.language, { weekday: "short", timeZone: "UTC" });
const dayAt = (age) => asOf - age * DAY_MS;
const dayText = (age) => dayFormat.format(dayAt(age));
const A_MONDAY = Date.parse("2024-01-01");
const weekdayText = (iso) => weekdayFormat.format(A_MONDAY + (iso - 1) * DAY_MS);

/* The text of a figure's value; the figure's unit decides the form. */
const figureText = (figure, value) => {
  const { unit, decimals } = page.figures[figure];
  if (value == null) return "—";
  if (unit === "percent") return percent(value);
  if (unit === "date") return dayFormat.format(Date.parse(value));
  if (unit === "hour") return `${String(value).padStart(2, "0")}:00`;
  if (unit === "text") return word(`state.${value}`);
  if (unit === "probability" && value < 0.00005) return `< ${number(0.0001, decimals)}`;
  return number(value, decimals);
};
/* The text of an interval. The figure has the interval or is its lower bound: success_pct and
   success_low_pct give the same text. */
const intervalText = (figure, row) => {
  const { low = figure, high, decimals } = page.figures[figure];
  return row[low] == null ? "—" : `${number(row[low], decimals)} – ${figureText(figure, row[high])}`;
};
/* "Runs: 922 · Ungraded submits: 3" */
const figureTexts = (names, row) =>
  names.map((name) => `${nameOf(name)}: ${figureText(name, row[name])}`).join(" · ");
