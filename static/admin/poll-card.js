// One question in the list of an event: its state at a glance and what can be done with it.

import { api } from "/assets/shared/api.js";
import { howMany, t } from "/assets/shared/words.js";
import { isScheduled, isUntouched, phonesGoOn } from "/assets/shared/live.js";
import { isNeverAsked } from "/assets/admin/asked.js";
import { clone, confirm, control, setText, slot } from "/assets/admin/dom.js";
import { foldable } from "/assets/admin/fold.js";
import { inPlace } from "/assets/admin/in-place.js";
import { fillVisibility } from "/assets/admin/poll-fields.js";
import { editForm } from "/assets/admin/poll-edit.js";
import { resultsBox } from "/assets/admin/results.js";
import { momentHere, scheduleForm } from "/assets/admin/schedule.js";
import { sortable } from "/assets/admin/sortable.js";

/** @typedef {import("/assets/shared/live.js").Poll} Poll */
/**
 * @typedef {(change: () => Promise<unknown>, done?: string, back?: () => Promise<unknown>, refused?: (error: any) => boolean, written?: (event: any) => unknown) => Promise<void>} Act
 *   `back` takes it back, as long as what was `written` in the event is still that; `refused`: was that said elsewhere?
 */

const QUESTION_LONGEST = 300; // characters
const TIMER_LONGEST_MS = 2 ** 31 - 1; // 24 days: who leaves a desk open for longer loads it again

/** @param {string} id of the poll @param {{id:string, code:string}} of its event @param {Act} act */
export function pollCard(id, { id: event, code }, act) {
  const element = clone("poll-card");
  const line = foldable(element);
  const results = resultsBox(id, code, slot(element, "results"), slot(element, "results-body"));
  const edit = editForm(id, slot(element, "edit"), slot(element, "edit-form"), act);
  const schedule = scheduleForm(id, slot(element, "schedule"), slot(element, "schedule-form"), act);
  /** @type {Poll & {position:number}} */
  let poll;
  let opening = 0;

  /** @param {string} name @param {() => unknown} action */
  const on = (name, action) => control(element, name).addEventListener(name === "visibility" ? "change" : "click", action);
  const put = (/** @type {object} */ what) => api("PUT", `polls/${id}/visibility`, what);
  const patch = (/** @type {object} */ what) => api("PATCH", `polls/${id}`, what);
  const now = (/** @type {any} */ all) => all.polls.find((/** @type {Poll} */ one) => one.id === id);

  on("toggle", () => {
    if (isScheduled(poll)) return act(() => patch({ opens_at: null }), t("is_open")); // opened by hand, it waits no longer
    const open = poll.state === "open";
    act(async () => {
      if (!open && isAhead(poll.opens_at)) await patch({ opens_at: null }); // or it would wait, and be called open
      await api("PUT", `polls/${id}/state`, { state: open ? "closed" : "open" });
    }, t(open ? "is_closed" : "is_open"));
  });
  on("reveal", () => act(() => put({ revealed: !poll.revealed }), t(poll.revealed ? "bars_hidden" : "bars_shown")));
  on("stage", () => act(() => api("PUT", `events/${event}/current`, { poll: id }), t("on_stage_now")));
  on("visibility", () => {
    const was = poll.visibility;
    act(() => put({ visibility: control(element, "visibility").value }), t("saved"), () => put({ visibility: was }), undefined, (all) => now(all)?.visibility);
  });
  let copied = "";
  on("duplicate", () => act(async () => {
    const { kind, question, choices, rules, visibility } = poll;
    const limits = kind === "multiple" ? { min: rules.min, max: rules.max } : {};
    const copy = await api("POST", `events/${event}/polls`, { kind, question, choices: choices.map((choice) => choice.text), visibility, change: rules.change, ...limits });
    await api("PATCH", `polls/${copy.id}`, { position: poll.position + 1 });
    copied = copy.id;
  }, t("duplicated"), () => api("DELETE", `polls/${copied}`)));
  on("round", async () => {
    const { round } = poll;
    const yes = await confirm(t("round_ask", { n: round + 1 }), t("round_text", { n: round }), t("round_yes"), { loses: false });
    // Somebody else may have begun that round meanwhile, and it stands here: nobody asked for one more.
    if (yes && poll.round === round) act(() => api("POST", `polls/${id}/rounds`), t("round_ready"));
  });
  on("delete", async () => {
    if (await confirm(t("delete_poll_ask"), t(poll.state === "draft" ? "delete_draft_text" : "delete_poll_text", { question: poll.question }), t("delete_yes"))) act(() => api("DELETE", `polls/${id}`), t("poll_deleted"));
  });
  sortable(element, control(element, "move"), (from, to) => act(() => patch({ position: to }), t("moved"), () => patch({ position: from })));
  inPlace(slot(element, "question"), control(element, "reword"), {
    longest: QUESTION_LONGEST,
    save(question) {
      const was = poll.question;
      act(() => patch({ question }), t("saved"), () => patch({ question: was }), undefined, (all) => now(all)?.question);
    },
  });

  /** @param {Poll & {position:number}} now @param {{current:boolean, next:boolean, arrives:boolean, ended:boolean}} place `next`: to be opened; `ended`: the event */
  function draw(now, place) {
    poll = now;
    const scheduled = isScheduled(poll);
    const open = poll.state === "open" && !scheduled;
    clearTimeout(opening);
    const wait = (poll.opens_at ?? 0) - Date.now();
    if (scheduled && wait < TIMER_LONGEST_MS) opening = window.setTimeout(() => draw(poll, place), wait);
    setText(slot(element, "question"), poll.question);
    element.setAttribute("aria-label", poll.question);
    control(element, "move").setAttribute("aria-label", t("move_question", { question: poll.question }));
    slot(element, "stage").hidden = !place.current;
    element.classList.toggle("is-current", place.current);
    control(element, "stage").hidden = place.current;
    control(element, "toggle").hidden = place.ended && !open; // nothing opens before the event is live again
    setText(control(element, "toggle"), t(open ? "close_voting" : poll.closed_at && !isNeverAsked(poll) ? "open_again" : "open_voting"));
    setText(control(element, "reveal"), t(poll.revealed ? "hide" : "reveal"));
    control(element, "reveal").hidden = isUntouched(poll) || isNeverAsked(poll); // nothing is there to be hidden
    setText(control(element, "round"), t("ask_again", { n: poll.round + 1 }));
    control(element, "round").hidden = poll.state !== "closed" || isUntouched(poll) || isNeverAsked(poll) || place.ended; // to be opened, as all else
    slot(element, "phones-go-on").hidden = poll.revealed || !phonesGoOn(poll);
    const waits = isWaiting(poll);
    lightOne(element, place.ended ? "" : open || (waits && place.next) ? "toggle" : waits || poll.revealed ? "" : "reveal");
    line.draw(!open && !place.current && !(waits && place.next) && !edit.isBegun(), place.arrives);
    setText(slot(element, "about"), about(poll));
    const select = control(element, "visibility");
    if (document.activeElement !== select) fillVisibility(select, poll.visibility);
    edit.draw(poll);
    schedule.draw(poll);
    slot(element, "schedule").hidden = place.ended;
    count_(poll);
  }

  /** @param {Poll} now with fresh numbers */
  function count_(now) {
    drawLife(element, now);
    if (now.results) setText(slot(element, "voters"), now.state === "draft" || isScheduled(now) || isNeverAsked(now) ? "" : howMany(now));
    line.sum([element.querySelector(".life [aria-current]").textContent, slot(element, "voters").textContent, isScheduled(now) ? t("opens", { time: momentHere(now.opens_at ?? 0) }) : ""]);
    results.draw(now);
  }

  return { element, draw, count: count_, shown: edit.shown, leave: edit.leave };
}

/** Voting is yet to be opened, by hand or by the clock. @param {Poll} poll */
export const isWaiting = (poll) => isUntouched(poll) || isScheduled(poll) || isNeverAsked(poll);

/** What comes next stands out: to open again what is over does not. @param {any} element @param {string} next */
function lightOne(element, next) {
  for (const name of ["toggle", "reveal"]) control(element, name).classList.toggle("main", name === next);
}

/** @param {any} element @param {Poll} poll */
function drawLife(element, poll) {
  const untouched = isUntouched(poll);
  const scheduled = isScheduled(poll);
  const step = untouched || scheduled ? "draft" : isNeverAsked(poll) ? "final" : poll.state === "closed" && poll.results?.status === "final" ? "final" : poll.state;
  const never = isNeverAsked(poll);
  for (const between of ["open", "closed"]) element.querySelector(`.life [data-step="${between}"]`).hidden = never;
  setText(element.querySelector('.life [data-step="final"]'), t(never ? "not_asked_step" : "final_step"));
  setText(element.querySelector(".life li"), t(scheduled ? "scheduled" : poll.state === "closed" && untouched ? "new_round_step" : "draft"));
  for (const item of element.querySelectorAll(".life li")) {
    if (item.dataset.step === step) item.setAttribute("aria-current", "step");
    else item.removeAttribute("aria-current");
  }
}

/** @param {number|null} at */
const isAhead = (at) => Boolean(at && at > Date.now());

/** @param {Poll} poll */
function about(poll) {
  const { min, max } = poll.rules;
  const n = poll.choices.length;
  const pick = poll.kind === "single" ? t("one_choice", { n }) : t(min === max ? "exactly" : "between", { min, max, n });
  return [
    pick, poll.rules.change ? "" : t("no_changing"), poll.round > 1 ? t("round", { n: poll.round }) : "",
    isAhead(poll.opens_at) && !isNeverAsked(poll) ? t("opens", { time: momentHere(poll.opens_at ?? 0) }) : "", isAhead(poll.closes_at) && poll.state !== "closed" ? t("closes", { time: momentHere(poll.closes_at ?? 0) }) : "",
  ].filter(Boolean).join(" ·\u00a0");
}
