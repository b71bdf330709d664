// A new event with its first question, by one form. The title may wait: then the event is called as its question.

import { api } from "/assets/shared/api.js";
import { begun } from "/assets/admin/begun.js";
import { clone, onSubmit, slot, text } from "/assets/admin/dom.js";
import { newPollFields, readNewPoll } from "/assets/admin/poll-fields.js";

const TITLE_LONGEST = 120; // characters

/** @param {import("/assets/admin/events.js").Tools} tools */
export function newEventPage({ go }) {
  const element = clone("new-event-page");
  slot(element, "poll").append(newPollFields());
  const form = element.querySelector("form");
  const draft = begun(form, "event");
  element.querySelector('[data-do="give-up"]').addEventListener("click", draft.drop);
  let event = ""; // made already, when only the question was refused: the next try must not make a second one
  onSubmit(form, async (fields) => {
    const poll = readNewPoll(fields);
    const title = text(fields, "title") || asTitle(poll.question);
    if (event) await api("PATCH", `events/${event}`, { title });
    else event = (await api("POST", "events", { title })).id;
    await api("POST", `events/${event}/polls`, poll);
    draft.drop();
    go(`/admin/events/${event}`);
  });
  return { element, leave: draft.leave, focus: "[name=question]" };
}

/** @param {string} question */
const asTitle = (question) => (question.length > TITLE_LONGEST ? `${[...question].slice(0, TITLE_LONGEST - 1).join("").trimEnd()}…` : question);
