// The fields that make a poll: how they are shown, and how they are read.

import { clone, required, slot, text, Wrong } from "/assets/admin/dom.js";

const CHOICES_MOST = 20;

/** Who sees the result, and when. @type {[string, string][]} */
export const VISIBILITY = [
  ["live", "while the vote is running"],
  ["after_vote", "once they have voted"],
  ["after_close", "after voting closes and you reveal it"],
  ["hidden", "only when you reveal it"],
];

/** @param {HTMLSelectElement} select @param {string} chosen */
export function fillVisibility(select, chosen) {
  select.replaceChildren(...VISIBILITY.map(([value, words]) => new Option(words, value, value === chosen, value === chosen)));
}

/** @param {string} label of the question @returns {HTMLElement} */
export function newPollFields(label) {
  const fields = clone("poll-fields");
  fields.querySelector("label").firstChild.textContent = `${label} `;
  fillVisibility(fields.querySelector("select"), "live");
  fields.addEventListener("change", (/** @type {Event} */ { target }) => {
    const radio = /** @type {HTMLInputElement} */ (target);
    if (radio.name === "kind") slot(fields, "limits").hidden = radio.value !== "multiple";
  });
  return fields;
}

/** @param {FormData} fields @returns {object} what the server is asked to make */
export function readNewPoll(fields) {
  const question = required(fields, "question", "Write the question.");
  const choices = text(fields, "choices").split("\n").map((line) => line.trim()).filter(Boolean);
  if (choices.length < 2) throw new Wrong("choices", "Write at least two choices, each on its own line.");
  if (choices.length > CHOICES_MOST) throw new Wrong("choices", `At most ${CHOICES_MOST} choices. These are ${choices.length}.`);
  const twice = choices.find((choice, at) => choices.indexOf(choice) !== at);
  if (twice) throw new Wrong("choices", `“${twice}” is there twice. Take one away.`);
  const kind = text(fields, "kind");
  const limits = kind === "multiple" ? readLimits(fields, choices.length) : {};
  return { kind, question, choices, visibility: text(fields, "visibility"), change: fields.has("change"), ...limits };
}

/** @param {FormData} fields @param {number} choices how many there are */
export function readLimits(fields, choices) {
  const min = Number(text(fields, "min") || 1);
  const max = Number(text(fields, "max") || choices);
  if (!Number.isInteger(min) || min < 1 || min > choices) throw new Wrong("min", `“At least” is a number from 1 to ${choices}.`);
  if (!Number.isInteger(max) || max < min || max > choices) throw new Wrong("max", `“At most” is a number from ${min} to ${choices}.`);
  return { min, max };
}
