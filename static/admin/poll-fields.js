// The fields that make a poll: how they are shown, and how they are read. Templates fill them; a preview follows them.

import { t } from "/assets/shared/words.js";
import { clone, each, required, slot, text, Wrong } from "/assets/admin/dom.js";
import { drawPreview } from "/assets/admin/preview.js";

export const CHOICES_MOST = 20;
const TEMPLATES = ["yes_no", "agreement", "which", "ice"];

/** Who sees the result, and when. */
const VISIBILITY = ["live", "after_vote", "after_close", "hidden"];

/** @param {HTMLSelectElement} select @param {string} chosen */
export function fillVisibility(select, chosen) {
  select.replaceChildren(...VISIBILITY.map((value) => new Option(t(`see_${value}`), value, value === chosen, value === chosen)));
}

/** @returns {HTMLElement} */
export function newPollFields() {
  const fields = clone("poll-fields");
  const question = /** @type {HTMLInputElement} */ (fields.querySelector('[name="question"]'));
  const choices = /** @type {HTMLTextAreaElement} */ (fields.querySelector('[name="choices"]'));
  const preview = () => drawPreview(slot(fields, "preview"), question.value.trim(), lines(choices.value));
  fillVisibility(fields.querySelector("select"), "live");
  slot(fields, "templates").append(...TEMPLATES.map((name) => {
    const button = Object.assign(document.createElement("button"), { type: "button", textContent: t(name) });
    button.dataset.testid = `template-${name}`;
    button.addEventListener("click", () => {
      // Its question stands in for one that is not written yet, or comes from another template.
      if (!question.value.trim() || TEMPLATES.some((other) => question.value === t(`${other}_question`))) question.value = t(`${name}_question`);
      choices.value = t(`${name}_choices`);
      for (const field of [question, choices]) field.dispatchEvent(new Event("input", { bubbles: true }));
      question.select();
    });
    return button;
  }));
  fields.addEventListener("input", preview);
  fields.addEventListener("change", (/** @type {Event} */ { target }) => {
    const radio = /** @type {HTMLInputElement} */ (target);
    if (radio.name === "kind") slot(fields, "limits").hidden = radio.value !== "multiple";
  });
  preview();
  return fields;
}

/** A pasted list: bullets, numbers and empty lines are not part of the choices. @param {string} pasted */
export function lines(pasted) {
  const all = pasted.split("\n").map((line) => line.trim()).filter(Boolean);
  const bare = all.map((line) => line.replace(/^(?:[-*•–]\s+|\(?\d{1,2}[.)]\s+)/, ""));
  // Only where every line has such a mark: one line beginning with "3." may mean it.
  return all.length > 1 && bare.every((line, at) => line && line !== all[at]) ? bare : all;
}

/** @param {FormData} fields @returns {{kind:string, question:string, choices:string[]}} what the server is asked to make */
export function readNewPoll(fields) {
  const [question, choices] = /** @type {[string, string[]]} */ (each(/** @returns {string|string[]} */ () => required(fields, "question", t("write_question")), () => readChoices(text(fields, "choices"))));
  const kind = text(fields, "kind");
  const limits = kind === "multiple" ? readLimits(fields, choices.length) : {};
  return { kind, question, choices, .../** @type {object} */ ({ visibility: text(fields, "visibility"), change: fields.has("change") }), ...limits };
}

/** @param {string} written */
function readChoices(written) {
  const choices = lines(written);
  if (choices.length < 2) throw new Wrong("choices", t("choices_two"));
  if (choices.length > CHOICES_MOST) throw new Wrong("choices", t("choices_many", { most: CHOICES_MOST, n: choices.length }));
  const twice = twiceIn(choices);
  if (twice) throw new Wrong("choices", t("choice_twice", { text: twice }), (now) => twiceIn(lines(now)) === twice);
  return choices;
}

/** @param {string[]} choices */
const twiceIn = (choices) => choices.find((choice, at) => choices.findIndex((other) => other.toLowerCase() === choice.toLowerCase()) !== at);

/** @param {FormData} fields @param {number} choices how many there are */
export function readLimits(fields, choices) {
  const min = Number(text(fields, "min") || 1);
  const max = Number(text(fields, "max") || choices);
  if (!Number.isInteger(min) || min < 1 || min > choices) throw new Wrong("min", t("least_range", { n: choices }));
  if (!Number.isInteger(max) || max < min || max > choices) throw new Wrong("max", t("most_range", { min, n: choices }));
  return { min, max };
}
