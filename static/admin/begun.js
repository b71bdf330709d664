// What somebody has begun to write is still there after Back and Forward, a reload, or a look at another page of the desk. It stays in this
// tab, until it is sent, given up or signed out.

const KEY = "gs:begun:";

/**
 * Puts back what was begun in this form.
 * @param {HTMLFormElement} form as it is when empty @param {string} name of what is written in it
 * @returns {{found:boolean, leave:() => void, drop:() => void}} `leave` when its page goes, `drop` when it was sent or given up
 */
export function begun(form, name) {
  const key = KEY + name;
  const empty = JSON.stringify(read(form));
  let dropped = false;
  const keep = () => {
    const now = JSON.stringify(read(form));
    if (dropped || now === empty) sessionStorage.removeItem(key);
    else sessionStorage.setItem(key, now);
  };
  const leave = () => {
    removeEventListener("pagehide", keep);
    keep();
  };
  addEventListener("pagehide", keep);
  return {
    found: write(form, sessionStorage.getItem(key)),
    leave,
    drop() {
      dropped = true;
      leave();
    },
  };
}

/** Of whoever signs out. */
export function forgetBegun() {
  for (const key of Object.keys(sessionStorage)) if (key.startsWith(KEY)) sessionStorage.removeItem(key);
}

/** @param {HTMLFormElement} form @returns {any[]} */
const fields = (form) => [...form.elements].filter((/** @type {any} */ field) => field.name);

/** @param {any} field */
const isTicked = (field) => field.type === "radio" || field.type === "checkbox";

/** @param {HTMLFormElement} form @returns {[string, string|boolean][]} */
const read = (form) => fields(form).map((field) => [field.name, isTicked(field) ? field.checked : field.value]);

/** @param {HTMLFormElement} form @param {string|null} kept */
function write(form, kept) {
  const values = /** @type {[string, string|boolean][]} */ (JSON.parse(kept ?? "[]"));
  const all = fields(form);
  if (!values.length || all.map(({ name }) => name).join() !== values.map(([name]) => name).join()) return false; // or of another version of this page
  all.forEach((field, at) => { field[isTicked(field) ? "checked" : "value"] = values[at][1]; });
  // What follows the fields by itself, such as the preview, follows these too.
  for (const field of all) {
    if (field.type === "radio" && !field.checked) continue;
    for (const kind of ["input", "change"]) field.dispatchEvent(new Event(kind, { bubbles: true }));
  }
  return true;
}
