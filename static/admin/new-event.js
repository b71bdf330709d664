// A new event with its first question, by one form. The title may wait: then the event is called as its question.

import { api } from "/assets/shared/api.js";
import { clone, onSubmit, slot, text } from "/assets/admin/dom.js";
import { newPollFields, readNewPoll } from "/assets/admin/poll-fields.js";

const TITLE_LONGEST = 120; // characters

/** @param {import("/assets/admin/events.js").Tools} tools */
export function newEventPage({ go }) {
  const element = clone("new-event-page");
  slot(element, "poll").append(newPollFields());
  let event = ""; // made already, when only the question was refused: the next try must not make a second one
  onSubmit(element.querySelector("form"), async (fields) => {
    const poll = readNewPoll(fields);
    const title = text(fields, "title") || asTitle(poll.question);
    if (event) await api("PATCH", `events/${event}`, { title });
    else event = (await api("POST", "events", { title })).id;
    await api("POST", `events/${event}/polls`, poll);
    go(`/admin/events/${event}`);
  });
  return { element, focus: "[name=question]" };
}

/** @param {string} question */
const asTitle = (question) => (question.length > TITLE_LONGEST ? `${[...question].slice(0, TITLE_LONGEST - 1).join("").trimEnd()}…` : question);
