// The result as far as the audience may see it, and the clock.

import { currentPoll, phase, serverNow } from "/assets/vote/live.js";
import { $, changed, part, setText } from "/assets/vote/small.js";
import { number, shares, t, two } from "/assets/vote/words.js";

/** @typedef {import("/assets/vote/live.js").Poll} Poll */

const NEAR_S = 10; // before the close

/** @param {Poll} poll @param {Map<string, {label:HTMLElement}>} rows @param {boolean} voted @returns {string|null} who leads; null where nobody may know yet */
export function drawResults(poll, rows, voted) {
  const now = phase(poll);
  const isClosed = now === "closed";
  const results = now === "soon" || (poll.visibility === "after_vote" && !poll.revealed && !voted && !isClosed) ? null : poll.results;
  const counts = new Map(results?.choices.map((one) => [one.id, one]));
  const most = Math.max(1, ...(results?.choices ?? []).map((one) => one.votes)); // nobody leads with none
  const before = results?.before;
  const people = (/** @type {number} */ n) => t(poll.kind === "multiple" ? "voters" : "votes", { n });
  const leading = [];
  for (const [id, { label }] of rows) {
    const votes = counts.get(id)?.votes || 0;
    part(label, ".percent").textContent = results ? shares.format((counts.get(id)?.percent || 0) / 100) : "";
    part(label, ".votes").textContent = results ? number.format(votes) : "";
    label.style.setProperty("--share", String(results?.voters ? votes / results.voters : 0)); // finer than whole percents
    const was = before?.choices.find((one) => one.id === id);
    const mark = part(label, ".was");
    mark.toggleAttribute("hidden", !was);
    if (before && was) {
      label.style.setProperty("--was", String(was.votes / before.voters));
      mark.setAttribute("aria-label", `${t("round", { n: before.round })}: ${shares.format(was.percent / 100)}`);
    }
    label.classList.toggle("is-leading", votes === most);
    if (votes === most) leading.push(`${part(label, ".text").textContent} ${part(label, ".percent").textContent}`);
  }
  $("choices").classList.toggle("is-decided", results?.status === "final" && leading.length > 0);
  setText("voters", now === "soon" ? "" : results
    ? [...(results.voters ? [people(results.voters), t(results.status)] : [t(results.status === "final" ? "nobody" : "no_votes")]),
      ...(before ? [`| ${t("round", { n: before.round })}: ${people(before.voters)}`] : []), // the line in the bars
      ...(results.voters && poll.kind === "multiple" ? [t("several", { all: shares.format(1) })] : [])].join(" · ")
    : t(poll.visibility === "after_vote" ? "after_vote" : isClosed ? "not_shown" : poll.visibility === "after_close" ? "after_close" : "will_show"));
  return results && leading.join(", ");
}

let clockTimer = 0;

/** Opens and closes by the server's clock, with no request. */
export function drawClock() {
  clearTimeout(clockTimer);
  const poll = currentPoll();
  const now = poll && phase(poll);
  const until = now === "soon" ? poll?.opens_at : now === "open" ? poll?.closes_at : null;
  if (!until) {
    $("clock").removeAttribute("data-near");
    return setText("clock", "");
  }
  const left = Math.max(0, Math.ceil((until - serverNow()) / 1000));
  // Hours, where it is that long: 0:59, 59:00, 47:59:00.
  const parts = [left / 3600, (left / 60) % 60, left % 60].map(Math.floor);
  const time = (parts[0] ? parts : parts.slice(1)).map((part, at) => (at ? two : number).format(part)).join(":");
  setText("clock", t(now === "soon" ? "opens_in" : "left", { time }));
  $("clock").toggleAttribute("data-near", now === "open" && left <= NEAR_S);
  clockTimer = window.setTimeout(() => (until <= serverNow() ? changed() : drawClock()), 250);
}
