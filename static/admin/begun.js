// What somebody has begun to write is still there after Back and Forward, a reload, or a look at another page of the desk. It stays in this
// tab, until it is sent, given up or signed out, or another signs in.

const KEY = "gs:begun:";
const WHOSE = "gs:begun-by";
const MOST = 200_000; // characters: no event is as long, and a tab has room for a few millions

/**
 * Puts back what was begun in this form.
 * @param {HTMLFormElement} form as it is when empty @param {string} name of what is written in it
 * @param {(fields:[string, string|boolean][]) => boolean} fits makes room for what is put back, or says that it is not of this form any more
 * @returns {{found:boolean, made:string, shown:() => void, leave:() => void, drop:() => void}} `made`: the id of what was made of it already, kept with it;
 *   `shown` when its page stands in the document, `leave` when it goes, `drop` when it was sent or given up
 */
export function begun(form, name, fits = () => true) {
  const key = KEY + name;
  const empty = JSON.stringify(read(form));
  const before = kept(key);
  let { made } = before;
  let dropped = false;
  const keep = () => {
    const now = read(form);
    const isNothing = dropped || (!made && JSON.stringify(now) === empty);
    const text = isNothing ? "" : JSON.stringify({ fields: now, made });
    set(key, text.length > MOST ? "" : text);
  };
  const leave = () => {
    removeEventListener("pagehide", keep);
    keep();
  };
  addEventListener("pagehide", keep);
  const found = before.fields.length > 0 && fits(before.fields) && write(form, before.fields);
  return {
    found,
    get made() { return made; },
    set made(id) {
      made = id;
      keep();
    },
    shown() { if (found) follow(form); },
    leave,
    drop() {
      dropped = true;
      leave();
    },
  };
}

/** Is there anything of this name? @param {string} name */
export const isBegun = (name) => kept(KEY + name).fields.length > 0;

/** Of whoever signs out. */
export function forgetBegun() {
  for (const key of Object.keys(sessionStorage)) if (key.startsWith(KEY)) set(key, "");
}

/** A session may end by itself: what was begun in it is there again for the same person, and for nobody else. @param {string} user who is signed in */
export function begunBy(user) {
  if (sessionStorage.getItem(WHOSE) !== user) forgetBegun();
  set(WHOSE, user);
}

/** @param {HTMLFormElement} form @returns {any[]} */
const fields = (form) => [...form.elements].filter((/** @type {any} */ field) => field.name);

/** @param {any} field */
const isTicked = (field) => field.type === "radio" || field.type === "checkbox";

/** @param {HTMLFormElement} form @returns {[string, string|boolean][]} */
const read = (form) => fields(form).map((field) => [field.name, isTicked(field) ? field.checked : field.value]);

/** @typedef {{fields:[string, string|boolean][], made:string}} Kept */

/** @param {HTMLFormElement} form @param {Kept["fields"]} values @returns {boolean} whether they are of this form */
function write(form, values) {
  const all = fields(form);
  if (all.map(({ name }) => name).join() !== values.map(([name]) => name).join()) return false; // or of another version of this page
  all.forEach((field, at) => { field[isTicked(field) ? "checked" : "value"] = values[at][1]; });
  return true;
}

/** What follows the fields by itself, such as the preview and what is said of their length, follows these too. @param {HTMLFormElement} form */
function follow(form) {
  for (const field of fields(form)) {
    if (field.type === "radio" && !field.checked) continue;
    for (const kind of ["input", "change"]) field.dispatchEvent(new Event(kind, { bubbles: true }));
  }
}

/** @param {string} key @returns {Kept} */
function kept(key) {
  try {
    const { fields = [], made = "" } = JSON.parse(sessionStorage.getItem(key) ?? "{}");
    return { fields, made };
  } catch {
    return { fields: [], made: "" };
  }
}

/** @param {string} key @param {string} text nothing: it goes */
function set(key, text) {
  try {
    sessionStorage.removeItem(key); // also where there is no room for what comes in its place
    if (text) sessionStorage.setItem(key, text);
  } catch { /* then it lives in the page only */ }
}
