// The fields that make a poll: how they are shown, and how they are read. Templates fill them; a preview follows them.

import { t } from "/assets/shared/words.js";
import { clone, done, each, required, slot, text, Wrong } from "/assets/admin/dom.js";
import { bare, onPaste, rows } from "/assets/admin/pasted.js";
import { previewBeside } from "/assets/admin/preview.js";

export const CHOICES_MOST = 20;
const TEMPLATES = ["yes_no", "agreement", "which", "ice"];

/** Who sees the result, and when. */
const VISIBILITY = ["live", "after_vote", "after_close", "hidden"];

/** @param {HTMLSelectElement} select @param {string} chosen */
export function fillVisibility(select, chosen) {
  select.replaceChildren(...VISIBILITY.map((value) => new Option(t(`see_${value}`), value, value === chosen, value === chosen)));
}

/** @param {string} text @param {"question"|"choices"} part */
const isTemplate = (text, part) => TEMPLATES.some((name) => text === t(`${name}_${part}`));

/** @param {string} [visibility] as the question before has it @returns {HTMLElement} */
export function newPollFields(visibility = "live") {
  const fields = clone("poll-fields");
  const question = /** @type {HTMLInputElement} */ (fields.querySelector('[name="question"]'));
  const choices = /** @type {HTMLTextAreaElement} */ (fields.querySelector('[name="choices"]'));
  const value = (/** @type {string} */ name) => fields.querySelector(`[name="${name}"]`).value;
  const preview = previewBeside(fields, () => ({
    question: question.value.trim(), choices: lines(choices.value), several: fields.querySelector('[name="kind"][value="multiple"]').checked, change: fields.querySelector('[name="change"]').checked,
    min: Number(value("min")), max: Number(value("max")), visibility: value("visibility"),
  }));
  const write = (/** @type {string} */ asked, /** @type {string} */ given) => {
    [question.value, choices.value] = [asked, given];
    for (const field of [question, choices]) field.dispatchEvent(new Event("input", { bubbles: true }));
  };
  fillVisibility(fields.querySelector("select"), visibility);
  slot(fields, "templates").append(...TEMPLATES.map((name) => {
    const button = Object.assign(document.createElement("button"), { type: "button", textContent: t(name) });
    button.dataset.testid = `template-${name}`;
    button.addEventListener("click", () => {
      const [asked, given] = [question.value, choices.value];
      // Its question stands in for one that is not written yet, or comes from another template.
      write(!asked.trim() || isTemplate(asked, "question") ? t(`${name}_question`) : asked, t(`${name}_choices`));
      question.select();
      const n = lines(given).length;
      // Of what was written there, which is more than a click.
      if (n && !isTemplate(given, "choices")) done(t("template_replaced", { n }), () => {
        if (!choices.isConnected) return;
        write(question.value === t(`${name}_question`) ? asked : question.value, given);
        done(t("undone"));
      });
    });
    return button;
  }));
  onPaste(choices, (all) => all.join("\n"));
  fields.addEventListener("change", (/** @type {Event} */ { target }) => {
    const radio = /** @type {HTMLInputElement} */ (target);
    if (radio.name === "kind") slot(fields, "limits").hidden = radio.value !== "multiple";
  });
  preview();
  return fields;
}

/** The choices, one on each line. @param {string} written */
export const lines = (written) => bare(rows(written));

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

/** The text that stands there a second time. @param {string[]} choices */
export const twiceIn = (choices) => choices.find((choice, at) => choices.findIndex((other) => other.toLowerCase() === choice.toLowerCase()) !== at);

/** @param {FormData} fields @param {number} choices how many there are */
export function readLimits(fields, choices) {
  const min = Number(text(fields, "min") || 1);
  const max = Number(text(fields, "max") || choices);
  if (!Number.isInteger(min) || min < 1 || min > choices) throw new Wrong("min", t("least_range", { n: choices }));
  if (!Number.isInteger(max) || max < min || max > choices) throw new Wrong("max", t("most_range", { min, n: choices }));
  return { min, max };
}
