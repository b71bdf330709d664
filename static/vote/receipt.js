// At the thumb, always in sight: where the vote is, what went wrong, and whether anybody is there. In words, never as a spinner.

import { keep } from "/assets/vote/keep.js";
import { back, currentPoll, live, lost } from "/assets/vote/live.js";
import { ballotKey, isRetrying, read, unread, waiting } from "/assets/vote/outbox.js";
import { $, part, setText } from "/assets/vote/small.js";
import { reason, t } from "/assets/vote/words.js";

/** @typedef {import("/assets/vote/outbox.js").Saved} Saved */

const STEPS = ["saved", "received", "counted"];
let stepWas = "";

/** @param {boolean} isClosed @param {Saved|null} mine @param {boolean} isNew another question than before: nothing to read out */
export function drawReceipt(isClosed, mine, isNew) {
  const step = mine?.state ?? "none";
  $("receipt").hidden = step === "none" && !isClosed;
  $("steps").hidden = step === "none";
  if (!keep.lasts) part($("steps"), "li").textContent = t("held");
  for (const item of $("steps").children) {
    const at = STEPS.indexOf(item.dataset.step) - STEPS.indexOf(step);
    item.classList.toggle("is-done", at <= 0);
    if (at === 0) item.setAttribute("aria-current", "step");
    else item.removeAttribute("aria-current");
  }
  const cleared = step !== "none" && !mine?.picks.length;
  setText("receipt-note",
    step === "saved" && isRetrying() && navigator.onLine ? t("sending") : cleared ? t("cleared") : isClosed && step === "none" ? t("not_voted") : "");
  if (!isNew && stepWas !== step && step !== "none") setText("say", cleared ? t("cleared") : t("your_vote", { step: part($("steps"), `[data-step="${step}"]`).textContent ?? "" }));
  stepWas = step;
  // Without a vote and without a button there is nothing to show at the thumb.
  $("dock").hidden = $("send").hidden && $("keep").hidden && !mine && !isClosed;
}

/** On every screen: a vote may have been refused after the next question came. */
export function drawNotices() {
  const refused = unread();
  $("refusal").hidden = !refused;
  if (refused) {
    const { key, mine, why } = refused;
    const current = currentPoll();
    const other = current && ballotKey(current) === key ? null : live?.polls.find((one) => one.id === mine.poll);
    const text = [other && `\u2068${other.question}\u2069:`, reason(why), mine.picks.length && t("earlier")].filter(Boolean).join(" ");
    if ($("refusal").firstElementChild.textContent !== text) $("refusal").firstElementChild.textContent = text;
  }
  $("connection").hidden = !lost && !back;
  if (lost) setText("connection", `${t(navigator.onLine ? "no_answer" : "is_offline")} ${t(!live ? "trying" : waiting().length ? "will_be_sent" : "can_vote")}`);
  else if (back) setText("connection", t("back"));
  $("forgetful").hidden = keep.lasts;
}

$("refusal").lastElementChild.addEventListener("click", () => {
  const refused = unread();
  if (refused) read(refused.key);
});
