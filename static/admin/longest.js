// Texts that are longer than the server takes: nothing is cut. Below the field it is said how much is too much, or near the limit what is
// left, and a form is not sent before it fits. A field says its limit itself: data-longest, in characters, or data-longest-line for each line.

import { t } from "/assets/shared/words.js";
import { say, setText } from "/assets/admin/dom.js";
import { CHOICES_MOST, lines } from "/assets/admin/poll-fields.js";

const NEAR = 0.9; // of the limit
const PASTED_MOST = 20; // times the limit: a whole book is not split into its characters, nor are more lines than may be sent
const BYTES_MOST = 16; // for each character, as the server says: letters under a hundred accents are too long as well
const LIMITED = "[data-longest], [data-longest-line]";
const encoder = new TextEncoder();
const letters = Intl.Segmenter && new Intl.Segmenter(undefined, { granularity: "grapheme" });

/** @typedef {HTMLInputElement|HTMLTextAreaElement} Field */

/** As the server counts: an emoji of several people is one, a row of spaces too. @param {string} typed @param {number} most */
export function lengthOf(typed, most) {
  const text = typed.trim().replace(/\s+/g, " ").normalize();
  if (text.length > PASTED_MOST * most) return text.length;
  return Math.max([...(letters?.segment(text) ?? text)].length, Math.ceil(encoder.encode(text).length / BYTES_MOST));
}

/** With an ellipsis where it was too long. @param {string} text @param {number} most */
export function shortened(text, most) {
  if (lengthOf(text, most) <= most) return text;
  const parts = [...(letters?.segment(text) ?? text)].map((part) => (typeof part === "string" ? part : part.segment)).slice(0, most);
  do parts.pop(); while (lengthOf(`${parts.join("")}…`, most) > most);
  return `${parts.join("")}…`;
}

/** @param {Field} field @returns {{over:boolean, words:string}} no words where there is room */
function measure(field) {
  const { longest, longestLine } = field.dataset;
  const most = Number(longest ?? longestLine);
  const lengths = (longest ? [field.value] : lines(field.value).slice(0, CHOICES_MOST)).map((text) => lengthOf(text, most));
  const at = lengths.findIndex((length) => length > most);
  if (at >= 0) {
    const words = t("too_long", { n: lengths[at] - most, most });
    return { over: true, words: longest ? words : `${t("choice_n", { n: at + 1 })}: ${words}` };
  }
  return { over: false, words: longest && lengths[0] >= NEAR * most ? t("room_left", { n: most - lengths[0] }) : "" };
}

/** @type {WeakMap<Field, HTMLElement>} */
const notes = new WeakMap();
let made = 0;

/** Where the length of a field is spoken of. @param {Field} field */
function noteBelow(field) {
  const note = Object.assign(document.createElement("p"), { id: `length-${made += 1}`, className: "length" });
  note.dataset.testid = "length";
  (field.closest("label, .title") ?? field).after(note);
  notes.set(field, note);
  return note;
}

/** Looks at a field whose text has changed, and says what is to be said. @param {Field} field @returns {boolean} */
export function isTooLong(field) {
  const { over, words } = measure(field);
  if (!words && !notes.has(field)) return false;
  const note = notes.get(field) ?? noteBelow(field);
  const [was, is] = [note.className, over ? "length is-over" : words ? "length quiet" : "length"];
  setText(note, words);
  note.className = is;
  if (over) field.setAttribute("aria-invalid", "true");
  else if (was !== is) field.removeAttribute("aria-invalid");
  if (words) field.setAttribute("aria-describedby", note.id);
  else if (field.getAttribute("aria-describedby") === note.id) field.removeAttribute("aria-describedby");
  if (words && was !== is) say(words); // heard when it gets near and when it is too much, not with every letter
  return over;
}

/** The field goes. @param {Field} field */
export const forget = (field) => notes.get(field)?.remove();

document.addEventListener("input", ({ target }) => {
  const field = /** @type {Field} */ (target);
  if (field.matches(LIMITED)) isTooLong(field);
});

// Before the form itself hears of it.
document.addEventListener("submit", (event) => {
  const fields = /** @type {Field[]} */ ([.../** @type {HTMLFormElement} */ (event.target).querySelectorAll(LIMITED)]);
  const first = fields.find(isTooLong);
  if (!first) return;
  event.preventDefault();
  event.stopPropagation();
  first.focus();
  say(measure(first).words);
}, true);
