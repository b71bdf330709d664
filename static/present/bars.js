// The chart and its table twin. Order is the order of the choices: a bar moves, a row never does.

import { count, digits, hue, letter } from "/assets/shared/words.js";

/** @typedef {import("/assets/shared/live.js").Poll} Poll */

/** @type {(id:string) => any} */
const $ = (id) => document.getElementById(id);

/** @param {Poll} poll */
export function drawBars(poll) {
  const list = $("bars");
  const key = `${poll.id}:${poll.round}:${poll.choices.map((choice) => choice.id).join()}`;
  if (list.dataset.key !== key) {
    list.dataset.key = key;
    list.dataset.many = poll.choices.length > 12 ? "very" : poll.choices.length > 6 ? "yes" : "no";
    list.style.setProperty("--rows", String(poll.choices.length));
    list.replaceChildren(...poll.choices.map((_, at) => newRow(at)));
  }
  const shown = poll.revealed ? poll.results : null;
  const results = new Map(shown?.choices.map((one) => [one.id, one]));
  list.classList.toggle("is-hidden", !shown);
  poll.choices.forEach((choice, at) => {
    const row = list.children[at];
    const { votes = 0, percent = 0 } = results.get(choice.id) ?? {};
    setText(row, ".text", choice.text);
    setText(row, ".percent", shown ? `${digits(percent)}%` : "");
    setText(row, ".votes", shown ? digits(votes) : "");
    row.style.setProperty("--share", String(Math.min(100, percent || 0) / 100));
  });
  drawTwin(poll, results, Boolean(shown));
}

/** @param {number} at */
function newRow(at) {
  const row = $("bar").content.firstElementChild.cloneNode(true);
  row.dataset.hue = hue(at);
  row.querySelector(".letter").textContent = letter(at);
  return row;
}

/** The same in a table, for whoever listens instead of looking. @param {Poll} poll @param {Map<string, any>} results @param {boolean} shown */
function drawTwin(poll, results, shown) {
  const table = $("twin");
  const total = count(poll.results?.voters, "voter");
  setText(table, "caption", shown ? `${poll.question}: ${total}` : `${poll.question}: ${total}, result hidden`);
  const body = table.querySelector("tbody");
  while (body.rows.length > poll.choices.length) body.deleteRow(-1);
  poll.choices.forEach((choice, at) => {
    const row = body.rows[at] ?? newTwinRow(body);
    const one = results.get(choice.id);
    const cells = [`${letter(at)}: ${choice.text}`, shown ? digits(one?.votes) : "hidden", shown ? `${digits(one?.percent)}%` : "hidden"];
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
  return row;
}

/** @param {Element} inside @param {string} where @param {string} text */
function setText(inside, where, text) {
  const place = /** @type {Element} */ (inside.querySelector(where));
  if (place.textContent !== text) place.textContent = text;
}
