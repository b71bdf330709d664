// The question and its choices: drawn so that a half-made ballot stays as it is, and tapped.

import { draft, setDraft } from "/assets/vote/keep.js";
import { currentPoll, phase } from "/assets/vote/live.js";
import { ballotKey, cast, mineOf } from "/assets/vote/outbox.js";
import { $, changed, letter, setText } from "/assets/vote/small.js";
import { t } from "/assets/vote/words.js";

/**
 * @typedef {import("/assets/vote/live.js").Poll} Poll
 * @typedef {import("/assets/vote/live.js").Choice} Choice
 * @typedef {import("/assets/vote/outbox.js").Saved} Saved
 * @typedef {{label:HTMLElement, input:HTMLInputElement}} Row
 */

const LONG_CHOICE = 44; // characters: then the numbers stand below
const IN_SIGHT = 5; // choices on a phone, at a glance

let editing = false;
let told = ""; // stays until the next tap
let asked = { key: "", voting: false };

/** Is a tap the vote? Not where several are picked, nor where a slip of the thumb could not be mended. @param {Poll} poll */
const isTapped = ({ kind, rules }) => kind === "single" && rules.change;

/** Changes only what changed. @param {Poll} poll @returns {{rows:Map<string, Row>, mine:Saved|null, isNew:boolean, unsent:boolean, told:string, own:string}} `isNew`: another question than before. `unsent`: what is ticked is not the vote that was sent. `told`: why a tap did nothing, or nothing can be tapped. `own`: the own vote in words, where it may be out of sight */
export function drawQuestion(poll) {
  const key = ballotKey(poll);
  const mine = mineOf(poll);
  const now = phase(poll);
  const voted = Boolean(mine?.picks.length);
  const isNew = asked.key !== key;
  if (isNew) {
    editing = voted && poll.rules.change && Boolean(draft(key)); // a change that was begun before a reload
    told = "";
    $("choices").replaceChildren();
  }
  if (now !== "open") editing = false;
  const voting = now === "open" && (!voted || editing);
  // What was told is over; what was ticked and not sent when it closed, is told.
  if (!isNew && asked.voting !== voting) {
    told = now === "closed" && !isSame(picked(), mine?.picks ?? []) ? `${t("too_late")} ${voted ? t("earlier") : ""}` : "";
    setText("say", told);
  }
  const rows = drawChoices(poll);
  if (isNew || asked.voting !== voting || !voting) {
    const ticked = voting ? draft(key) ?? mine?.picks ?? [] : mine?.picks ?? [];
    for (const [id, row] of rows) row.input.checked = ticked.includes(id);
  }
  $("ballot").dataset.kind = poll.kind;
  setText("question", poll.question);
  setText("poll-state", t(now) + (poll.round > 1 ? ` · ${t("round", { n: poll.round })}` : ""));
  $("poll-state").dataset.phase = now;
  setText("hint", voting ? howMany(poll) : "");
  $("choices-set").disabled = !voting;
  for (const [id, row] of rows) row.label.classList.toggle("is-mine", !voting && voted && Boolean(mine?.picks.includes(id)));
  $("send").hidden = !(voting && (!isTapped(poll) || $("ballot").dataset.arrows));
  $("change").hidden = $("clear").hidden = !(now === "open" && voted && poll.rules.change && !editing);
  $("keep").hidden = !editing;
  asked = { key, voting };
  return {
    rows, mine, isNew, unsent: voting && !isSame(picked(), mine?.picks ?? []), own: poll.choices.length > IN_SIGHT ? inWords(poll, mine?.picks ?? []) : "",
    told: now === "soon" && poll.round > 1 ? betweenRounds(poll) : now === "open" && !voting ? "" : told,
  };
}

/** The marks keep a name whole in a text of the other direction. @param {Poll} poll @param {string[]} picks */
const inWords = ({ choices }, picks) => choices.flatMap(({ id, text }, at) => (picks.includes(id) ? [picks.length > 1 || text.length > LONG_CHOICE ? letter(at) : `${letter(at)} \u2068${text}\u2069`] : [])).join(", ");

/** A round that is prepared takes the vote of the one before out of sight: what became of it, and what comes. @param {Poll} poll */
function betweenRounds(poll) {
  const n = poll.round - 1;
  const last = mineOf({ ...poll, round: n });
  return [last?.picks.length && last.state === "counted" && t("was_counted", { n }), t("again", { n: poll.round })].filter(Boolean).join(" ");
}

/** @param {Poll} poll @returns {Map<string, Row>} */
function drawChoices(poll) {
  const list = $("choices");
  const there = new Map(Array.from(list.children, (/** @type {HTMLElement} */ label) => [label.dataset.choice, label]));
  const rows = new Map();
  poll.choices.forEach((choice, at) => {
    const label = there.get(choice.id) ?? newRow(poll, choice);
    there.delete(choice.id);
    if (list.children[at] !== label) list.insertBefore(label, list.children[at] ?? null);
    label.dataset.hue = String((at % 8) + 1);
    label.querySelector(".letter").textContent = letter(at);
    label.querySelector(".text").textContent = choice.text;
    label.classList.toggle("is-long", choice.text.length > LONG_CHOICE);
    rows.set(choice.id, { label, input: label.querySelector("input") });
  });
  for (const gone of there.values()) gone.remove();
  return rows;
}

/** @param {Poll} poll @param {Choice} choice */
function newRow(poll, choice) {
  const label = $("choice").content.firstElementChild.cloneNode(true);
  const input = label.querySelector("input");
  input.type = poll.kind === "multiple" ? "checkbox" : "radio";
  input.name = "pick";
  input.value = choice.id;
  label.dataset.choice = choice.id;
  return label;
}

/** @param {Poll} poll */
function howMany(poll) {
  const { min, max } = poll.rules;
  const ticked = picked().length;
  if (isTapped(poll)) return t($("ballot").dataset.arrows ? "press_enter" : "tap_one");
  const rule = min === max ? t("pick", { n: max }) : min > 1 ? t("pick_range", { min, n: max }) : max >= poll.choices.length ? t("pick_any") : t("pick_up_to", { n: max });
  return ticked ? t("picked", { rule, n: ticked }) : t("then_send", { rule });
}

// ------------------------------------------------------------------------------------------------ hands on the screen

const picked = () => Array.from($("choices").querySelectorAll("input:checked"), (/** @type {HTMLInputElement} */ input) => input.value);

/** In any order. @param {string[]} some @param {string[]} others */
const isSame = (some, others) => [...some].sort().join() === [...others].sort().join();

// Arrow keys move between radios and must not vote; a tap, a click, Space or Enter does.
let byArrow = false;
$("ballot").addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => { byArrow = event.key.startsWith("Arrow"); });
$("ballot").addEventListener("keyup", () => { byArrow = false; });

$("choices").addEventListener("click", (/** @type {Event} */ event) => {
  const input = /** @type {HTMLInputElement} */ (event.target);
  const poll = currentPoll();
  if (!poll || input.tagName !== "INPUT") return;
  if (!isTapped(poll)) return tick(poll, input, event);
  if (byArrow) {
    $("ballot").dataset.arrows = "yes";
    return changed();
  }
  send(poll, [input.value]);
});

/** @param {Poll} poll @param {HTMLInputElement} input @param {Event} event */
function tick(poll, input, event) {
  if (input.checked && picked().length > poll.rules.max) {
    event.preventDefault();
    input.checked = false; // as it will be: it is counted now
    return tell(t("at_most", { n: poll.rules.max }));
  }
  setDraft(ballotKey(poll), picked());
  tell("");
}

$("ballot").addEventListener("submit", (/** @type {Event} */ event) => {
  event.preventDefault();
  const poll = currentPoll();
  if (poll) send(poll, picked());
});

/** @param {Poll} poll @param {string[]} picks */
function send(poll, picks) {
  const { min, max, change } = poll.rules;
  if (phase(poll) !== "open") return changed();
  if (picks.length < Math.max(1, min)) return tell(t("more", { n: Math.max(1, min) - picks.length }));
  if (picks.length > max) return tell(t("at_most", { n: max }));
  const mine = mineOf(poll);
  const same = mine?.picks.length && isSame(mine.picks, picks);
  delete $("ballot").dataset.arrows;
  // The second half: voted in another tab a moment ago.
  if (same || (mine?.picks.length && !change)) return stopEditing();
  editing = false;
  cast(poll, picks);
}

function stopEditing() {
  const poll = currentPoll();
  if (poll) setDraft(ballotKey(poll), null);
  editing = false;
  changed();
}

$("change").addEventListener("click", () => {
  editing = true;
  changed();
  ($("choices").querySelector("input:checked") ?? $("choices").querySelector("input")).focus({ preventScroll: true });
});
$("keep").addEventListener("click", stopEditing);
$("clear").addEventListener("click", () => {
  const poll = currentPoll();
  if (poll) cast(poll, []);
});

/** @param {string} text */
function tell(text) {
  told = text;
  changed();
  setText("say", text || `${$("hint").textContent} ${$("receipt-note").textContent}`.trim());
}
