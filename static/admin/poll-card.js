// One question in the list of an event: its state at a glance and what can be done with it.

import { api } from "/assets/shared/api.js";
import { count } from "/assets/shared/words.js";
import { clone, confirm, control, setText, slot } from "/assets/admin/dom.js";
import { fillVisibility } from "/assets/admin/poll-fields.js";
import { editForm } from "/assets/admin/poll-edit.js";
import { resultsBox } from "/assets/admin/results.js";

/** @typedef {import("/assets/shared/live.js").Poll} Poll */

/**
 * @param {string} id of the poll @param {string} event
 * @param {(change: () => Promise<unknown>, done?: string) => Promise<void>} act
 */
export function pollCard(id, event, act) {
  const element = clone("poll-card");
  const results = resultsBox(id, slot(element, "results"), slot(element, "results-body"));
  const edit = editForm(id, slot(element, "edit"), slot(element, "edit-form"), act);
  /** @type {Poll & {position:number}} */
  let poll;

  /** @param {string} name @param {() => unknown} action */
  const on = (name, action) => control(element, name).addEventListener(name === "visibility" ? "change" : "click", action);

  on("toggle", () => {
    const open = poll.state === "open";
    act(() => api("PUT", `polls/${id}/state`, { state: open ? "closed" : "open" }), open ? "Voting is closed." : "Voting is open.");
  });
  on("reveal", () => act(() => api("PUT", `polls/${id}/visibility`, { revealed: !poll.revealed }), poll.revealed ? "The bars are hidden." : "The bars are shown."));
  on("stage", () => act(() => api("PUT", `events/${event}/current`, { poll: id }), "The question is on stage."));
  on("visibility", () => act(() => api("PUT", `polls/${id}/visibility`, { visibility: control(element, "visibility").value }), "Saved."));
  on("up", () => act(() => api("PATCH", `polls/${id}`, { position: poll.position - 1 }), "Moved up."));
  on("down", () => act(() => api("PATCH", `polls/${id}`, { position: poll.position + 1 }), "Moved down."));
  on("round", async () => {
    const text = `Counting starts again at zero. The votes of round ${poll.round} stay and can still be downloaded.`;
    if (await confirm("Start a new round?", text, "Start a new round")) act(() => api("POST", `polls/${id}/rounds`), "A new round is ready. It is not open yet.");
  });
  on("delete", async () => {
    const text = `“${poll.question}” and its votes in every round will be gone. Download the CSV first if you need it.`;
    if (await confirm("Delete this question?", text, "Delete for good")) act(() => api("DELETE", `polls/${id}`), "The question is deleted.");
  });

  /** @param {Poll & {position:number}} now @param {{current:boolean, first:boolean, last:boolean}} place */
  function draw(now, place) {
    poll = now;
    const open = poll.state === "open";
    setText(slot(element, "question"), poll.question);
    element.setAttribute("aria-label", poll.question);
    slot(element, "stage").hidden = !place.current;
    element.classList.toggle("is-current", place.current);
    control(element, "stage").hidden = place.current;
    setText(control(element, "toggle"), open ? "Close voting" : poll.closed_at ? "Open again" : "Open voting");
    setText(control(element, "reveal"), poll.revealed ? "Hide the bars" : "Reveal the bars");
    control(element, "round").hidden = poll.state === "draft";
    control(element, "up").hidden = place.first;
    control(element, "down").hidden = place.last;
    setText(slot(element, "about"), about(poll));
    const select = control(element, "visibility");
    if (document.activeElement !== select) fillVisibility(select, poll.visibility);
    edit.draw(poll);
    count_(poll);
  }

  /** @param {Poll} now with fresh numbers */
  function count_(now) {
    drawLife(element, now);
    if (now.results) setText(slot(element, "voters"), now.state === "draft" ? "" : now.results.voters ? count(now.results.voters, "vote") : "No votes yet");
    results.draw(now);
  }

  return { element, draw, count: count_ };
}

/** @param {any} element @param {Poll} poll */
function drawLife(element, poll) {
  const untouched = poll.state === "draft" || (poll.state === "closed" && !poll.closed_at); // a new round starts closed
  const step = untouched ? "draft" : poll.state === "closed" && poll.results?.status === "final" ? "final" : poll.state;
  setText(element.querySelector(".life li"), poll.state === "closed" && untouched ? "New round" : "Draft");
  for (const item of element.querySelectorAll(".life li")) {
    if (item.dataset.step === step) item.setAttribute("aria-current", "step");
    else item.removeAttribute("aria-current");
  }
}

/** @param {Poll} poll */
function about(poll) {
  const { min, max } = poll.rules;
  const pick = poll.kind === "single" ? "one choice" : min === max ? `exactly ${min}` : `${min} to ${max} choices`;
  return [pick, `of ${poll.choices.length}`, poll.rules.change ? "" : "no changing", poll.round > 1 ? `round ${poll.round}` : ""].filter(Boolean).join(" · ").replace(" · of", " of");
}
