// Small tools for pages made of templates. Data goes in as text, never as HTML.

import { t } from "/assets/shared/words.js";
import { standClear } from "/assets/admin/clear.js";

/** @type {(id:string) => any} */
export const $ = (id) => document.getElementById(id);

/** @param {string} template @returns {any} its first element, or all of it in a div */
export function clone(template) {
  const content = $(template).content.cloneNode(true);
  if (content.children.length === 1) return content.firstElementChild;
  const page = document.createElement("div");
  page.className = "sheet";
  page.append(content);
  return page;
}

/** @param {ParentNode} inside @param {string} name @returns {any} the element with data-fill="name" */
export const slot = (inside, name) => inside.querySelector(`[data-fill="${name}"]`);

/** @param {ParentNode} inside @param {string} name @returns {any} the control with data-do="name" */
export const control = (inside, name) => inside.querySelector(`[data-do="${name}"]`);

/** Is the link followed in this window? @param {MouseEvent} click */
export const isFollowedHere = ({ ctrlKey, metaKey, shiftKey }) => !ctrlKey && !metaKey && !shiftKey;

/**
 * Fills what is folded away before anybody can write in it: that it was opened or closed is told only later, and would wipe out what was typed by then.
 * @param {HTMLDetailsElement} details @param {() => void} fill @param {() => void} [closed] @returns {() => void} opens it
 */
export function onOpening(details, fill, closed) {
  let isFilled = false;
  const fillOnce = () => {
    if (!isFilled) fill();
    isFilled = true;
  };
  const close = () => {
    isFilled = false;
    closed?.();
  };
  details.querySelector("summary")?.addEventListener("click", () => (details.open ? close() : fillOnce()));
  details.addEventListener("toggle", () => (details.open ? fillOnce() : close())); // found by the browser's search, or closed by the page
  return () => {
    fillOnce();
    details.open = true;
  };
}

/** Touches the page only where it changes. @param {any} element @param {string} text */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Of one line, with a dot between each two. @param {Element} line @param {string[]} details empty ones are none */
export function tellDetails(line, details) {
  const wanted = details.filter(Boolean);
  if ([...line.children].map((one) => one.textContent).join("\n") === wanted.join("\n")) return; // somebody may be reading it
  line.replaceChildren(...wanted.map((detail) => Object.assign(document.createElement("span"), { textContent: detail })));
}

let alertTimer = 0;

/** @param {{detail?:string, message?:string}} error */
export function oops(error) {
  const box = $("alert");
  clearTimeout(alertTimer);
  box.textContent = error.detail ?? t("page_broken", { why: error.message ?? "" });
  box.hidden = false;
  box.scrollIntoView?.({ block: "nearest" });
  alertTimer = window.setTimeout(() => { box.hidden = true; }, 12_000);
}

/** @param {string} text */
export const say = (text) => { $("say").textContent = text; };

const UNDO_WITHIN_MS = 10_000;
let toastTimer = 0;
/** @type {(() => void)|undefined} */
let undo;

/** Something was done; it can be taken back for a while. What went wrong before is news no more. @param {string} text @param {() => void} [back] */
export function done(text, back) {
  clearTimeout(toastTimer);
  $("alert").hidden = true;
  undo = back;
  $("toast-text").textContent = text;
  $("undo").hidden = !back;
  $("toast").hidden = false;
  standClear($("toast"));
  say(text);
  leaveSoon();
}

/** Not while somebody is at it. */
function leaveSoon() {
  clearTimeout(toastTimer);
  toastTimer = window.setTimeout(() => { $("toast").matches(":hover, :focus-within") ? leaveSoon() : takeBack(null); }, UNDO_WITHIN_MS);
}

/** @param {(() => void)|undefined|null} back */
function takeBack(back) {
  $("toast").hidden = true;
  undo = undefined;
  back?.();
}

$("undo").addEventListener("click", () => takeBack(undo));
// As everywhere; in a field it takes back what is typed.
document.addEventListener("keydown", (pressed) => {
  if (!undo || pressed.key.toLowerCase() !== "z" || !(pressed.ctrlKey || pressed.metaKey) || pressed.shiftKey || pressed.altKey) return;
  if (/** @type {Element} */ (pressed.target).closest("input:not([type=checkbox], [type=radio], [type=color]), textarea, dialog")) return;
  pressed.preventDefault();
  takeBack(undo);
});

/** Asks before what cannot be taken back. @param {string} title @param {string} text @param {string} yes @param {{loses?:boolean}} [what] is anything lost by it? @returns {Promise<boolean>} */
export function confirm(title, text, yes, { loses = true } = {}) {
  const dialog = $("confirm");
  $("confirm-title").textContent = title;
  $("confirm-text").textContent = text;
  const button = dialog.querySelector('[value="yes"]');
  button.textContent = yes;
  button.classList.toggle("danger", loses);
  button.classList.toggle("main", !loses);
  dialog.returnValue = "no";
  dialog.showModal();
  return new Promise((resolve) => dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true }));
}

const DOUBLE_CLICK_MS = 1000;
let errors = 0;

/**
 * Says what is wrong with a field, below it.
 * @param {HTMLElement} field @param {HTMLElement} words where it is said @param {string} message @returns {() => void} takes it back
 */
export function tellBelow(field, words, message) {
  words.id = `error-${errors += 1}`;
  field.setAttribute("aria-invalid", "true");
  field.setAttribute("aria-describedby", words.id);
  const row = field.closest(".edit-choice"); // one of several in their field
  if (row) row.append(words);
  else (field.closest(".limits") ?? field.closest(".field"))?.after(words); // in sight, also where the form is longer than the window
  words.textContent = message;
  return () => {
    words.textContent = "";
    if (field.getAttribute("aria-describedby") !== words.id) return; // something else is wrong with it by now
    for (const name of ["aria-invalid", "aria-describedby"]) field.removeAttribute(name);
  };
}

/**
 * A form that says what went wrong below each field that is wrong, until it changes, or else above its button, and cannot be sent twice.
 * @param {HTMLFormElement} form
 * @param {(fields: FormData) => Promise<void>} send throws what is `Wrong`, or an ApiError
 */
export function onSubmit(form, send) {
  const error = /** @type {HTMLElement} */ (form.querySelector(".error"));
  const below = error.nextElementSibling;
  /** @type {{field:any, holds:Wrong["holds"], forget:() => void}[]} */
  let told = [];
  let sending = false;

  /** @param {Wrong} problem @param {number} at */
  function tell({ field: name, message, holds }, at) {
    const field = name instanceof HTMLElement ? name : /** @type {HTMLElement|null} */ (form.querySelector(`[name="${name}"]`));
    const words = at ? /** @type {HTMLElement} */ (error.cloneNode()) : error;
    if (at) delete words.dataset.testid; // one form, one of that name
    const takeBack = field ? tellBelow(field, words, message) : () => { words.textContent = ""; };
    if (!field) words.textContent = message;
    if (!at) field?.focus();
    told.push({ field, holds, forget() {
      takeBack();
      if (at) words.remove();
      else below?.before(words);
    } });
  }

  /** @param {(one: (typeof told)[number]) => boolean} isOver */
  function forget(isOver) {
    for (const one of told) if (isOver(one)) one.forget();
    told = told.filter((one) => !isOver(one));
  }

  // Also of a field that is not asked for any more; and of one of several when another of them changes, comes or goes.
  const isOne = (/** @type {any} */ field, /** @type {any} */ target) => field === target || Boolean(field.closest(".edit-choice")?.parentElement?.contains(target));
  for (const kind of ["input", "change"]) form.addEventListener(kind, ({ target }) => forget(({ field, holds }) => !field?.isConnected || field.closest("[hidden]") || (isOne(field, target) && !holds(field.value))));

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (sending) return;
    sending = true;
    forget(() => true);
    error.textContent = "";
    try {
      await send(new FormData(form));
      setTimeout(() => { sending = false; }, DOUBLE_CLICK_MS); // the second click of a double click is not another form
    } catch (problem) {
      sending = false;
      if (problem instanceof Wrong) [problem, ...problem.others].forEach(tell);
      else error.textContent = problem.detail ?? problem.message;
    }
  });
}

/** A field that cannot be right yet. */
export class Wrong extends Error {
  /** Of the same form. @type {Wrong[]} */
  others = [];

  /** @param {string|HTMLElement} field its name, or itself where it has none @param {string} text @param {(value:string) => boolean} [holds] is it still so, of a field that has changed? */
  constructor(field, text, holds = () => false) {
    super(text);
    this.field = field;
    this.holds = holds;
  }
}

/**
 * Reads all of them, so that all that is wrong is told at once.
 * @template T @param {...() => T} reads each may throw what is `Wrong` @returns {T[]}
 */
export function each(...reads) {
  /** @type {Wrong[]} */
  const wrong = [];
  const values = reads.flatMap((read) => {
    try {
      return [read()];
    } catch (problem) {
      if (!(problem instanceof Wrong)) throw problem;
      wrong.push(problem);
      return [];
    }
  });
  if (wrong.length) throw Object.assign(wrong[0], { others: wrong.slice(1) });
  return values;
}

/** @param {FormData} fields @param {string} name */
export const text = (fields, name) => String(fields.get(name) ?? "").trim();

/** @param {FormData} fields @param {string} name @param {string} otherwise what to say when it is empty */
export function required(fields, name, otherwise) {
  const value = text(fields, name);
  if (!value) throw new Wrong(name, otherwise);
  return value;
}
