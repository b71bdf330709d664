// People over time: who had tapped, who had an answer, who was counted. A picture, drawn at the size it is seen at, and its twin as a table.

import { digits, lasted, locale, t } from "/assets/shared/words.js";
import { raceInWords } from "/assets/admin/report-words.js";

/** @typedef {import("/assets/admin/report-words.js").Report} Report */

const SVG = "http://www.w3.org/2000/svg";
const HEIGHT = 240; // px
const PAD = { top: 10, end: 14, bottom: 26, start: 14 };
const LETTER_PX = 8; // of a number beside the axis, at most
const PER_MARK_PX = { x: 90, y: 56 };
const ROWS = 12; // of the table
/** From the back to the front: a broad line under a thin one, so that both are seen where they are one. */
const LINES = /** @type {const} */ (["tapped", "counted", "accepted"]);
const compact = new Intl.NumberFormat(locale, { notation: "compact", maximumSignificantDigits: 3 });

/** @param {HTMLElement} figure @param {Report} report @returns {() => void} stops following the width of the window */
export function race(figure, report) {
  const picture = node("svg", { role: "img", "aria-label": raceInWords(report), class: "plot", height: HEIGHT });
  const legend = document.createElement("figcaption");
  for (const name of ["tapped", "answered", "counted"]) {
    const sample = node("svg", { class: "plot sample", width: 28, height: 12, "aria-hidden": "true" });
    sample.append(node("path", { class: name === "answered" ? "accepted" : name, d: "M1 6H27" }));
    const entry = document.createElement("span");
    entry.append(sample, t(name));
    legend.append(entry);
  }
  figure.replaceChildren(picture, legend);
  const observer = new ResizeObserver(() => draw(picture, report, figure.clientWidth));
  observer.observe(figure);
  return () => observer.disconnect();
}

/** @param {SVGElement} picture @param {Report} report @param {number} width */
function draw(picture, { timeline }, width) {
  if (!width || !timeline.length) return;
  const end = Math.max(0.001, timeline[timeline.length - 1].s);
  const most = Math.max(1, ...timeline.flatMap((point) => LINES.map((name) => point[name])));
  const heights = marks(most, Math.floor(HEIGHT / PER_MARK_PX.y)).map((people) => ({ people, name: compact.format(people) }));
  const start = PAD.start + LETTER_PX * Math.max(...heights.map(({ name }) => name.length));
  const x = (/** @type {number} */ s) => round(start + (s / end) * (width - start - PAD.end));
  const y = (/** @type {number} */ people) => round(HEIGHT - PAD.bottom - (people / most) * (HEIGHT - PAD.top - PAD.bottom));
  const axes = [
    ...heights.flatMap(({ people, name }) => [node("path", { class: "grid", d: `M${start} ${y(people)}H${width - PAD.end}` }), text(name, { x: start - 8, y: y(people) + 4, "text-anchor": "end" })]),
    ...marks(end, Math.max(2, Math.floor(width / PER_MARK_PX.x))).map((s) => text(lasted(s * 1000), { x: x(s), y: HEIGHT - 6, "text-anchor": "middle" })),
  ];
  const lines = LINES.map((name) => node("path", { class: name, d: timeline.map((point, at) => `${at ? "L" : "M"}${x(point.s)} ${y(point[name])}`).join("") }));
  picture.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
  picture.setAttribute("width", String(width));
  picture.replaceChildren(...axes, ...lines);
}

/** @param {HTMLTableSectionElement} body @param {Report} report */
export function raceTable(body, { timeline }) {
  const step = Math.max(1, (timeline.length - 1) / (ROWS - 1));
  const shown = new Set(Array.from({ length: Math.min(ROWS, timeline.length) }, (_, at) => Math.min(timeline.length - 1, Math.round(at * step))));
  for (const at of shown) {
    const point = timeline[at];
    const row = body.insertRow();
    row.append(Object.assign(document.createElement("th"), { scope: "row", textContent: lasted(point.s * 1000) }));
    for (const people of [point.tapped, point.accepted, point.counted]) row.insertCell().textContent = digits(people);
  }
}

/** Round numbers from 0 up to the end, about so many. @param {number} end @param {number} most */
function marks(end, most) {
  const raw = end / most;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 2.5, 5, 10].map((one) => one * power).find((one) => one >= raw) ?? 10 * power;
  return Array.from({ length: Math.floor((end * 1.0001) / step) + 1 }, (_, at) => at * step);
}

/** @param {number} px */
const round = (px) => Math.round(px * 10) / 10;

/** @param {string} name @param {Record<string, string|number>} attributes @returns {SVGElement} */
function node(name, attributes) {
  const made = /** @type {SVGElement} */ (document.createElementNS(SVG, name));
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, String(value));
  return made;
}

/** @param {string} words @param {Record<string, string|number>} attributes */
function text(words, attributes) {
  const made = node("text", attributes);
  made.textContent = words;
  return made;
}
