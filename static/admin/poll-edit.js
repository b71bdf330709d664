// Correcting a question: its words, its choices until the first vote, its limits.

import { api } from "/assets/shared/api.js";
import { hue, letter, t } from "/assets/shared/words.js";
import { begun, isBegun } from "/assets/admin/begun.js";
import { clone, control, done, onOpening, onSubmit, required, slot, Wrong } from "/assets/admin/dom.js";
import { isTooLong } from "/assets/admin/longest.js";
import { onPaste } from "/assets/admin/pasted.js";
import { sortable } from "/assets/admin/sortable.js";
import { CHOICES_MOST, readLimits, twiceIn } from "/assets/admin/poll-fields.js";
import { previewBeside } from "/assets/admin/preview.js";

/** @typedef {import("/assets/shared/live.js").Poll} Poll */

/**
 * @param {string} id @param {HTMLDetailsElement} details @param {HTMLFormElement} form
 * @param {import("/assets/admin/poll-card.js").Act} act
 */
export function editForm(id, details, form, act) {
  form.append(clone("edit-fields"));
  const list = slot(form, "choices");
  const preview = previewBeside(slot(form, "beside"), () => {
    const { question, kind, change, min, max } = /** @type {any} */ (form.elements);
    return { question: question.value.trim(), choices: [...list.children].map((row) => textOf(row).value.trim()).filter(Boolean), several: kind.value === "multiple", change: change.checked, min: Number(min.value), max: Number(max.value), visibility: poll.visibility };
  });
  const name = `edit:${id}`;
  /** @type {Poll} */
  let poll;
  /** @type {ReturnType<typeof begun>|undefined} */
  let draft;

  const open = onOpening(details, fill, () => draft?.drop()); // closed without Save, it is given up

  let filled = 0; // times
  function fill() {
    filled += 1;
    const fields = /** @type {any} */ (form.elements);
    fields.question.value = poll.question;
    isTooLong(fields.question); // what was said of other words goes
    fields.kind.value = poll.kind;
    const { min, max } = poll.kind === "multiple" ? poll.rules : { min: 1, max: "" }; // as many as there will be
    fields.min.value = min;
    fields.max.value = max;
    fields.change.checked = poll.rules.change;
    fields.of.value = JSON.stringify([poll.question, poll.kind, poll.rules, poll.choices]);
    const asItIs = () => list.replaceChildren(...poll.choices.map((choice) => choiceRow(choice.id, choice.text)));
    asItIs();
    const [first] = list.children;
    draft = begun(form, name, fits);
    if (!draft.found && !first?.isConnected) asItIs(); // rows were made for what then did not fit
    slot(form, "begun").hidden = !draft.found;
    lock();
  }

  /** What was begun is put back only into the question that it was begun in. @param {[string, string|boolean][]} kept */
  function fits(kept) {
    const rows = kept.filter(([field]) => field === "choice").length;
    if (new Map(kept).get("of") !== /** @type {any} */ (form.elements).of.value || (poll.locked && rows !== poll.choices.length)) return false;
    list.replaceChildren(...Array.from({ length: rows }, () => choiceRow("", "")));
    return true;
  }

  /** What follows from the state of the question, its kind and its rows. */
  function lock() {
    const locked = Boolean(poll.locked);
    slot(form, "kinds").hidden = poll.state !== "draft";
    if (poll.state !== "draft") /** @type {any} */ (form.elements).kind.value = poll.kind; // opened while this form was open
    slot(form, "limits").hidden = /** @type {any} */ (form.elements).kind.value !== "multiple";
    slot(form, "locked").hidden = !locked;
    slot(form, "adding").hidden = locked;
    control(form, "add-choice").disabled = list.children.length >= Math.max(CHOICES_MOST, poll.choices.length);
    for (const remove of list.querySelectorAll('[data-do="remove-choice"]')) remove.hidden = locked;
    [...list.children].forEach((row, at) => {
      row.dataset.hue = hue(at);
      row.querySelector(".letter").textContent = letter(at);
      textOf(row).setAttribute("aria-label", t("choice_n", { n: at + 1 }));
      control(row, "move-choice").setAttribute("aria-label", t("move_n", { n: at + 1 }));
      control(row, "remove-choice").setAttribute("aria-label", t("remove_n", { n: at + 1 }));
    });
    preview();
  }

  /** A choice came or went: what was said of them may be true no more. */
  function changed() {
    lock();
    list.dispatchEvent(new Event("input", { bubbles: true }));
  }

  /** @param {string} choice its id, or "" for a new one @param {string} text */
  function choiceRow(choice, text) {
    const row = clone("edit-choice");
    row.querySelector('[name="known"]').value = choice;
    const field = textOf(row);
    field.value = text;
    onPaste(field, (all) => {
      if (poll.locked) return all.join(" "); // as a field of one line does by itself
      row.after(...all.slice(1).map((more) => choiceRow("", more)));
      lock();
      return all[0];
    });
    sortable(row, control(row, "move-choice"), lock);
    control(row, "remove-choice").addEventListener("click", () => {
      const [at, filling] = [[...list.children].indexOf(row), filled];
      row.remove();
      changed();
      control(form, "add-choice").focus();
      if (field.value.trim()) done(t("choice_removed", { text: field.value.trim() }), () => {
        if (filling !== filled || poll.locked) return; // what stands there now is without it, or has it already
        list.insertBefore(row, list.children[at] ?? null);
        changed();
        field.focus();
      });
    });
    return row;
  }

  slot(form, "kinds").addEventListener("change", lock);
  control(form, "add-choice").addEventListener("click", () => {
    const row = choiceRow("", "");
    list.append(row);
    changed();
    textOf(row).focus();
  });

  onSubmit(form, async (fields) => {
    const question = required(fields, "question", t("write_question"));
    const choices = [...list.children].map((/** @type {any} */ row) => ({ id: row.querySelector('[name="known"]').value, text: textOf(row).value.trim(), field: textOf(row) }))
      .filter((choice) => choice.text || choice.id);
    const empty = choices.find((choice) => !choice.text);
    if (empty) throw new Wrong(empty.field, t("choice_empty"));
    if (choices.length < 2) throw new Wrong(list.querySelector('[name="choice"]') ?? "", t("choices_keep_two"));
    const most = Math.max(CHOICES_MOST, poll.choices.length); // of more, which came by the API, none is taken away
    if (choices.length > most) throw new Wrong(choices[most].field, t("choices_many", { most, n: choices.length }));
    const twice = twiceIn(choices.map((choice) => choice.text));
    if (twice) throw new Wrong(choices.filter((choice) => choice.text === twice).at(-1)?.field ?? "", t("choice_twice", { text: twice }));
    const { question: asked, choices: given, rules: { min, max, change }, kind } = poll;
    const picked = poll.state === "draft" ? String(fields.get("kind")) : kind;
    const limits = picked === "multiple" ? readLimits(fields, choices.length) : {};
    const body = { ...(picked !== kind && { kind: picked }), question, choices: choices.map(({ id: known, text }) => (known ? { id: known, text } : { text })), change: fields.has("change"), ...limits };
    await api("PATCH", `polls/${id}`, body);
    draft?.drop();
    details.open = false;
    details.querySelector("summary")?.focus();
    const kept = new Set(choices.map((choice) => choice.id)); // what is not cannot be named again: it comes as a new one
    const was = { ...(picked !== kind && { kind }), question: asked, choices: given.map((choice) => (kept.has(choice.id) ? { id: choice.id, text: choice.text } : { text: choice.text })), change, ...(kind === "multiple" && { min, max }) };
    await act(async () => {}, t("saved"), () => api("PATCH", `polls/${id}`, was), undefined, (event) => {
      const now = event.polls.find((/** @type {Poll} */ one) => one.id === id);
      return now && [now.question, now.kind, now.rules, now.choices];
    });
  });

  return {
    /** Is there anything of it from before a reload? Then it is open, and so is what it lies in. */
    isBegun: () => isBegun(name),
    shown: () => draft?.shown(),
    leave: () => { if (details.open) draft?.leave(); },
    /** @param {Poll} now */
    draw(now) {
      const isFirst = !poll;
      const isOther = poll && (Boolean(poll.locked) !== Boolean(now.locked) || poll.state !== now.state);
      poll = now;
      if (isFirst && isBegun(name)) open();
      if (isOther && details.open) lock(); // opened, the first vote came or a new round began, while this form was open
    },
  };
}

/** @param {any} row @returns {HTMLInputElement} */
const textOf = (row) => row.querySelector('[name="choice"]');
