// A list that comes from elsewhere, with the bullets, numbers or letters it had there: they are no part of what can be chosen.

const BULLET = /^(?:[-•*–·●▪◦]\s+(?:\[[ xX]?\]\s+)?|\[[ xX]?\]\s+)(?=\S)/; // with a box to tick or without; what has no blank behind it is a word, or a temperature
const COUNTED = [
  { mark: /^\(?(\p{Nd}{1,3})[.)]\s+(?=\S)/u, value: (/** @type {string} */ digits) => Number(digits.replace(/[٠-٩۰-۹]/g, (digit) => String(digit.charCodeAt(0) & 15))) },
  { mark: /^\(?([A-Z])[.)]\s+(?=\S)/, value: (/** @type {string} */ one) => one.charCodeAt(0) },
  { mark: /^\(?([a-z])[.)]\s+(?=\S)/, value: (/** @type {string} */ one) => one.charCodeAt(0) },
];

/** @param {string} list @returns {string[]} its lines, but for empty ones */
export const rows = (list) => list.split("\n").map((line) => line.trim()).filter(Boolean);

/** A row of a table, when it is all there is. @param {string[]} all @returns {string[]} its cells */
const cells = (all) => (all.length === 1 ? all[0].split("\t").map((cell) => cell.trim()).filter(Boolean) : all);

/** @param {string[]} all lines @returns {string[]} without their bullets; of one line alone nobody knows what it means by it */
const unbulleted = (all) => (all.length < 2 ? all : all.map((line) => line.replace(BULLET, "")));

/** Only where all of them have one, and count: "1. FC Köln" and "1. FC Nürnberg" do not, and of "1. May" and "2. May" too little would be left. @param {string[]} all */
function uncounted(all) {
  for (const { mark, value } of COUNTED) {
    const found = all.map((line) => mark.exec(line));
    const counts = all.length > 1 && found.every((one, at) => one && value(one[1]) === value(found[0]?.[1] ?? "") + at);
    const bare = all.map((line) => line.replace(mark, ""));
    if (counts && new Set(bare).size === all.length) return bare;
  }
  return all;
}

/** What was pasted, without its marks. @param {string[]} all */
export const unmarked = (all) => uncounted(unbulleted(all));

/** What was written line by line: a "-" may be meant where not every line has one. @param {string[]} all */
export const bare = (all) => (all.every((line) => BULLET.test(line)) ? unbulleted(all) : uncounted(all));

/**
 * Where lists are pasted: `take` may do something else with the lines than to put them into the field.
 * @param {HTMLInputElement|HTMLTextAreaElement} field @param {(lines:string[]) => string} take gives what is to be put into it
 */
export function onPaste(field, take) {
  field.addEventListener("paste", (event) => {
    const pasted = /** @type {ClipboardEvent} */ (event).clipboardData?.getData("text/plain") ?? "";
    const all = cells(rows(pasted));
    const plain = unmarked(all);
    if (all.length < 2 || (field.tagName === "TEXTAREA" && plain.join("\n") === rows(pasted).join("\n"))) return;
    event.preventDefault();
    insert(field, take(plain) + (field.tagName === "TEXTAREA" && /\n\s*$/.test(pasted) ? "\n" : ""));
  });
}

/** As if it were typed, so that the keyboard takes it back. @param {HTMLInputElement|HTMLTextAreaElement} field @param {string} text */
function insert(field, text) {
  if (document.execCommand("insertText", false, text)) return;
  field.setRangeText(text, field.selectionStart ?? 0, field.selectionEnd ?? 0, "end");
  field.dispatchEvent(new Event("input", { bubbles: true }));
}
