// Small things that every part of the page uses. Nothing here knows of votes.

/** @type {(id:string) => any} */
export const $ = (id) => document.getElementById(id);

/** @param {Element} inside @param {string} where */
export const part = (inside, where) => /** @type {Element} */ (inside.querySelector(where));

/** @param {string} id @param {string} text */
export function setText(id, text) {
  if ($(id).textContent !== text) $(id).textContent = text;
}

/** A to Z, then AA. @param {number} at @returns {string} */
export const letter = (at) => (at < 26 ? "" : letter(Math.floor(at / 26) - 1)) + String.fromCharCode(65 + (at % 26));

/** @param {string} code */
export const grouped = (code) => (/^\d{6}$/.test(code) ? `${code.slice(0, 3)} ${code.slice(3)}` : code);

/** By hand: crypto.randomUUID is missing on plain http, where a laptop in a meeting room serves. The 4 is the version and stays; the 8 becomes 8 to b. */
export const uuid = () => "00000000-0000-4000-8000-000000000000".replace(/[08]/g, (digit) => (Number(digit) | (crypto.getRandomValues(new Uint8Array(1))[0] & (digit === "8" ? 3 : 15))).toString(16));

/** Something is not as it is drawn. Who draws listens; who changes things need not know them. */
export const changed = () => dispatchEvent(new Event("changed"));
