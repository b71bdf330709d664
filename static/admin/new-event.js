// A new event with its first question, by one form. The title may wait: then the event is called as its question.

import { api } from "/assets/shared/api.js";
import { begun } from "/assets/admin/begun.js";
import { clone, isFollowedHere, onSubmit, slot, text } from "/assets/admin/dom.js";
import { newPollFields, readNewPoll } from "/assets/admin/poll-fields.js";

const TITLE_LONGEST = 120; // characters

/** @param {import("/assets/admin/events.js").Tools} tools */
export function newEventPage({ go }) {
  const element = clone("new-event-page");
  slot(element, "poll").append(newPollFields());
  const form = element.querySelector("form");
  const draft = begun(form, "event");
  element.querySelector('[data-do="give-up"]').addEventListener("click", (/** @type {MouseEvent} */ click) => { if (isFollowedHere(click)) draft.drop(); });
  onSubmit(form, async (fields) => {
    const poll = readNewPoll(fields);
    const title = text(fields, "title") || asTitle(poll.question);
    // Made already, when only the question was refused: the next try, also after a reload, must not make a second one.
    if (draft.made && !await isThere(draft.made, title)) draft.made = "";
    const event = draft.made ||= (await api("POST", "events", { title })).id;
    await api("POST", `events/${event}/polls`, poll);
    draft.drop();
    go(`/admin/events/${event}`);
  });
  return { element, leave: draft.leave, shown: draft.shown, focus: "[name=question]" };
}

/** Calls it so; not if it was deleted meanwhile. @param {string} event @param {string} title */
async function isThere(event, title) {
  try {
    await api("PATCH", `events/${event}`, { title });
    return true;
  } catch (error) {
    if (/** @type {any} */ (error).status === 404) return false;
    throw error;
  }
}

/** The "…" is known again where the results are shown (src/wire/shown.rs). @param {string} question */
function asTitle(question) {
  const letters = [...question.normalize()];
  return letters.length > TITLE_LONGEST ? `${letters.slice(0, TITLE_LONGEST - 1).join("").trimEnd()}…` : question;
}
