// Always in sight: at the thumb where the vote is and what was refused, at the top whether anybody is there. In words, never as a spinner.

import { keep } from "/assets/vote/keep.js";
import { back, currentPoll, live, lost, phase, saidBack } from "/assets/vote/live.js";
import { announceVote } from "/assets/vote/news.js";
import { ballotKey, isRetrying, mineOf, read, unread, waiting } from "/assets/vote/outbox.js";
import { $, part, setText } from "/assets/vote/small.js";
import { reason, t } from "/assets/vote/words.js";

const STEPS = ["saved", "received", "counted"];
let stepWas = "";

/**
 * What it says is true of what is ticked: no step of the vote before is that of a choice which is not sent.
 * @param {boolean} isClosed @param {ReturnType<typeof import("/assets/vote/question.js").drawQuestion>} ballot
 */
export function drawReceipt(isClosed, { mine, isNew, unsent, told, own }) {
  const kept = mine?.state ?? "none";
  const step = unsent ? "none" : kept;
  const cleared = (kept === "received" || kept === "counted") && !mine?.picks.length;
  $("steps").hidden = kept === "none" || cleared; // no steps of no vote
  $("receipt").hidden = kept === "none" && !isClosed && !unsent && !told;
  if (!keep.lasts) part($("steps"), "li").textContent = t("held");
  for (const item of $("steps").children) {
    const at = STEPS.indexOf(item.dataset.step) - STEPS.indexOf(cleared ? "none" : step);
    item.classList.toggle("is-done", at <= 0);
    if (at === 0) item.setAttribute("aria-current", "step");
    else item.removeAttribute("aria-current");
  }
  // A vote that is on its way itself does not stand yet.
  setText("receipt-note", told || (unsent ? [t("unsent"), mine?.picks.length && kept !== "saved" && t("earlier")].filter(Boolean).join(" ")
    : !$("keep").hidden && kept !== "saved" ? t("earlier")
    : step === "saved" && isRetrying() && navigator.onLine ? t("sending") : cleared ? t("cleared") : isClosed && step === "none" ? t("not_voted") : own && t("your_vote", { step: own })));
  if (isNew) setText("say", "");
  if (isNew || step === "none") announceVote("");
  else if (stepWas !== step && !told) announceVote(cleared ? t("cleared") : t("your_vote", { step: part($("steps"), `[data-step="${step}"]`).textContent ?? "" }));
  stepWas = step;
  // Without a vote and without a button there is nothing to show at the thumb.
  $("dock").hidden = !$("dock").querySelector("#receipt:not([hidden]), button:not([hidden])");
}

/** On every screen: a vote may have been refused after the next question came. */
export function drawNotices() {
  const refused = unread();
  const end = document.documentElement;
  const pushesTheEnd = refused && $("refusal").hidden && scrollY + innerHeight >= end.scrollHeight - 1;
  $("refusal").hidden = !refused;
  if (refused) {
    const { key, mine, why } = refused;
    const current = currentPoll();
    const other = current && ballotKey(current) === key ? null : live?.polls.find((one) => one.id === mine.poll);
    const text = [other && `\u2068${other.question}\u2069:`, reason(why), mine.picks.length && t("earlier")].filter(Boolean).join(" ");
    setText("why", text);
  }
  if (pushesTheEnd) scrollTo(0, end.scrollHeight); // what stood at the end stands above it now, not under it
  const isWaiting = waiting().length > 0;
  $("connection").hidden = !lost && !back;
  if (lost) setText("connection", `${t(navigator.onLine ? "no_answer" : "is_offline")} ${t(isWaiting ? "will_be_sent" : canVote() ? "can_vote" : "trying")}`);
  else if (back) {
    // Nobody is told to carry on while a vote of theirs is still here.
    setText("connection", t(isWaiting ? "will_be_sent" : "back"));
    if (!isWaiting) saidBack();
  }
  $("forgetful").hidden = keep.lasts;
}

/** Only then it is a comfort that one can: not before it opens, after it closed, nor where the vote cannot be changed. */
function canVote() {
  const poll = currentPoll();
  return poll && live?.event.state === "live" && phase(poll) === "open" && (poll.rules.change || !mineOf(poll)?.picks.length);
}

// With many choices the own one is mostly somewhere else. Its name stands here; a tap goes there, as nothing may move by itself.
$("receipt").addEventListener("click", () => document.querySelector(".is-mine")?.scrollIntoView({ block: "center" }));

$("refusal").lastElementChild.addEventListener("click", () => {
  const refused = unread();
  if (refused) read(refused.key);
});
