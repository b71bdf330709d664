// A new event with its first question, by one form.

import { api } from "/assets/shared/api.js";
import { clone, onSubmit, required, slot } from "/assets/admin/dom.js";
import { newPollFields, readNewPoll } from "/assets/admin/poll-fields.js";

/** @param {import("/assets/admin/events.js").Tools} tools */
export function newEventPage({ go }) {
  const element = clone("new-event-page");
  slot(element, "poll").append(newPollFields("First question"));
  let event = ""; // made already, when only the question was refused: the next try must not make a second one
  onSubmit(element.querySelector("form"), async (fields) => {
    const title = required(fields, "title", "Give the event a title.");
    const poll = readNewPoll(fields);
    if (event) await api("PATCH", `events/${event}`, { title });
    else event = (await api("POST", "events", { title })).id;
    await api("POST", `events/${event}/polls`, poll);
    go(`/admin/events/${event}`);
  });
  return { element };
}
