// The chart and its table twin. Rows stand in the order of the choices; only a key sorts them.

import { fit } from "/assets/present/fit.js";
import { fall, rise } from "/assets/present/rising.js";
import { digits, howMany, hue, letter, percent, t } from "/assets/shared/words.js";

/** @typedef {import("/assets/shared/live.js").Poll} Poll */

const MOVE_MS = 500;
const PERCENT_AT_ONCE = 3; // a bar that glides further has a number that counts along
const still = matchMedia("(prefers-reduced-motion: reduce)");

/** @type {(id:string) => any} */
const $ = (id) => document.getElementById(id);
let fitted = "";

/** The round before, where its marks are shown. @param {Poll} poll @param {{earlier:boolean, peek:boolean}} view */
export const earlierOf = (poll, view) => (view.earlier && (poll.revealed || view.peek) ? poll.results?.before : undefined);

/** @param {Poll} poll @param {{sorted:boolean, earlier:boolean, peek:boolean}} view */
export function drawBars(poll, view) {
  const list = $("bars");
  const key = `${poll.id}:${poll.round}:${poll.choices.map((choice) => choice.id).join()}`;
  if (list.dataset.key !== key) {
    list.dataset.key = key;
    list.replaceChildren(...poll.choices.map((_, at) => newRow(at)));
  }
  const shown = poll.revealed || view.peek ? poll.results : null;
  const results = new Map(shown?.choices.map((one) => [one.id, one]));
  const before = earlierOf(poll, view);
  const most = Math.max(0, ...[...results.values()].map((one) => one.votes || 0));
  list.classList.toggle("is-hidden", !shown);
  list.classList.toggle("is-decided", Boolean(shown?.status === "final" && most));
  poll.choices.forEach((choice, at) => {
    const row = list.children[at];
    const { votes = 0, percent: share = 0 } = results.get(choice.id) ?? {};
    setText(row, ".text", choice.text);
    part(row, ".text").setAttribute("dir", "auto");
    if (shown) {
      rise(part(row, ".percent"), share || 0, percent, PERCENT_AT_ONCE);
      rise(part(row, ".votes"), votes || 0, digits);
    } else {
      // Unseen, but as wide as what will stand there: nothing moves at the reveal.
      fall(part(row, ".percent"), percent(100), 0);
      fall(part(row, ".votes"), digits(poll.results?.voters), 0);
    }
    row.classList.toggle("is-leading", Boolean(most) && votes === most);
    // Of the votes, which are finer than whole percents. Nothing is not even a line.
    row.style.setProperty("--share", String(votes ? votes / (poll.results?.voters || votes) : -0.01));
    const was = before?.choices.find((one) => one.id === choice.id);
    part(row, ".was").toggleAttribute("hidden", !was);
    if (was) row.style.setProperty("--was", String(was.votes / (before?.voters || 1)));
  });
  // Counts of one width, so that percents stand below each other.
  list.style.setProperty("--digits", String(digits(shown ? most : poll.results?.voters).length));
  drawTwin(poll, results, Boolean(shown), before);
  // The number of voters decides how much room the numbers take: fitted again only when it gets longer.
  const room = JSON.stringify([key, poll.question, poll.choices.map((choice) => choice.text), String(poll.results?.voters ?? 0).length]);
  if (fitted !== room) {
    fitted = room;
    refit();
  }
  arrange(list, view.sorted && shown ? [...poll.choices.keys()].sort((a, b) => votesOf(poll, results, b) - votesOf(poll, results, a) || a - b) : [...poll.choices.keys()]);
}

/** @param {Poll} poll @param {Map<string, any>} results @param {number} at */
const votesOf = (poll, results, at) => results.get(poll.choices[at].id)?.votes ?? 0;

/** After the window, the text size or the numbers changed. */
export function refit() {
  fit($("question"), $("bars"), Number(document.documentElement.style.getPropertyValue("--scale")) || 1);
  placeHeld();
}

/** Across the tracks, wherever they came to lie. */
function placeHeld() {
  const [track, list, poll] = [$("bars").querySelector(".track"), $("bars"), $("poll")].map((one) => one?.getBoundingClientRect());
  if (!track?.width) return;
  const style = $("held").style;
  // In parts of the whole: in a window that gets narrower it stays inside until it is placed anew.
  style.setProperty("left", `${((track.left - poll.left) / poll.width) * 100}%`);
  style.setProperty("width", `${(track.width / poll.width) * 100}%`);
  style.setProperty("top", `${list.top - poll.top + list.height / 2}px`);
}

/** Moves rows to their places, so that the eye can follow. @param {HTMLElement} list @param {number[]} order */
function arrange(list, order) {
  const rows = /** @type {HTMLElement[]} */ ([...list.children]);
  if (order.every((row, place) => rows[row].style.order === String(place))) return;
  const before = rows.map((row) => row.getBoundingClientRect());
  const first = rows.every((row) => !row.style.order);
  order.forEach((row, place) => { rows[row].style.order = String(place); });
  if (first || still.matches) return;
  rows.forEach((row, at) => {
    const after = row.getBoundingClientRect();
    const [x, y] = [before[at].left - after.left, before[at].top - after.top];
    if (x || y) row.animate([{ transform: `translate(${x}px, ${y}px)` }, { transform: "none" }], { duration: MOVE_MS, easing: "cubic-bezier(0.2, 0.7, 0.2, 1)" });
  });
}

/** @param {number} at */
function newRow(at) {
  const row = $("bar").content.firstElementChild.cloneNode(true);
  row.dataset.hue = hue(at);
  row.querySelector(".letter").textContent = letter(at);
  return row;
}

/** The same in a table, for whoever listens instead of looking. @param {Poll} poll @param {Map<string, any>} results @param {boolean} shown @param {import("/assets/shared/live.js").Results["before"]} before */
function drawTwin(poll, results, shown, before) {
  const table = $("twin");
  setText(table, "caption", `${poll.question} ${howMany(poll)}${shown ? "" : `, ${t("bars_hidden")}`}`);
  const body = table.querySelector("tbody");
  table.querySelector(".was-head").hidden = !before;
  if (before) setText(table, ".was-head", t("percent_in", { round: t("round", { n: before.round }) }));
  while (body.rows.length > poll.choices.length) body.deleteRow(-1);
  poll.choices.forEach((choice, at) => {
    const row = body.rows[at] ?? newTwinRow(body);
    const one = results.get(choice.id);
    const cells = [`${letter(at)}: ${choice.text}`, shown ? digits(one?.votes) : t("hidden"), shown ? percent(one?.percent) : t("hidden"), before ? percent(before.choices.find((was) => was.id === choice.id)?.percent) : ""];
    row.cells[3].hidden = !before;
    cells.forEach((text, cell) => { if (row.cells[cell].textContent !== text) row.cells[cell].textContent = text; });
  });
}

/** @param {HTMLTableSectionElement} body */
function newTwinRow(body) {
  const row = body.insertRow();
  const head = document.createElement("th");
  head.scope = "row";
  row.append(head);
  row.insertCell();
  row.insertCell();
  row.insertCell();
  return row;
}

/** @param {Element} inside @param {string} where */
const part = (inside, where) => /** @type {Element} */ (inside.querySelector(where));

/** @param {Element} inside @param {string} where @param {string} text */
function setText(inside, where, text) {
  if (part(inside, where).textContent !== text) part(inside, where).textContent = text;
}
