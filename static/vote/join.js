// Joining by the code that stands on the screen.

import { $, grouped } from "/assets/vote/small.js";
import { t } from "/assets/vote/words.js";

const CODE_LONGEST = 40; // characters: a short name of an event

/** Forgives spaces and dashes between digits, and takes a whole link: what is last in its path. @param {string} typed */
export function readCode(typed) {
  const text = typed.trim().toLowerCase().replace(/\/*([?#].*)?$/, "").replace(/.*\//, "").replace(/[\u0660-\u0669\u06f0-\u06f9]/g, (digit) => String(digit.charCodeAt(0) & 15)); // Arabic digits
  return /^[\d\s-]+$/.test(text) ? text.replace(/\D/g, "") : text.replace(/\s+/g, "-");
}

/** @param {(code:string) => void} enter */
export function askForCode(enter) {
  $("join").addEventListener("submit", (/** @type {Event} */ event) => {
    event.preventDefault();
    const typed = readCode($("code").value);
    const digits = /^\d*$/.test(typed);
    if (!typed) return complain(t("digits_first"));
    if (typed.length > CODE_LONGEST) return notKnown(`${typed.slice(0, CODE_LONGEST)}…`); // nobody need be asked
    if (digits && typed.length !== 6) return complain(t("digits_six", { n: typed.length }));
    complain("");
    enter(typed);
  });
}

/** @param {string} code */
export function turnAway(code) {
  $("code").value = grouped(code);
  notKnown(grouped(code));
}

/** The marks keep it whole in a text from right to left. @param {string} code */
const notKnown = (code) => complain(t("unknown_code", { code: `\u2068${code}\u2069` }));

/** @param {string} text */
function complain(text) {
  $("join-error").textContent = text;
  $("code").toggleAttribute("aria-invalid", text !== "");
  if (text) $("code").focus();
}
