// The list of events.

import { api } from "/assets/shared/api.js";
import { clone, control, slot } from "/assets/admin/dom.js";
import { count, grouped } from "/assets/shared/words.js";

/** @typedef {{go:(path:string) => void, trouble:(error:any) => void}} Tools */

const day = new Intl.DateTimeFormat("en", { dateStyle: "medium" });

/** @param {Tools} tools */
export async function eventsPage({ go, trouble }) {
  const { events } = await api("GET", "events");
  const element = clone("events-page");
  slot(element, "list").append(...events.map(row));
  slot(element, "list").hidden = events.length === 0;
  slot(element, "empty").hidden = events.length > 0;
  control(element, "demo").addEventListener("click", async (/** @type {Event} */ { currentTarget }) => {
    const button = /** @type {HTMLButtonElement} */ (currentTarget);
    button.disabled = true;
    try {
      const event = await api("POST", "events", { title: "Demo: try me", demo: true });
      go(`/admin/events/${event.id}`);
    } catch (error) {
      button.disabled = false;
      trouble(error);
    }
  });
  return { element };
}

/** @param {{id:string, code:string, title:string, state:string, polls:number, created_at:number}} event */
function row(event) {
  const item = clone("event-row");
  const link = item.querySelector("a");
  link.href = `/admin/events/${event.id}`;
  slot(item, "title").textContent = event.title;
  slot(item, "about").textContent = [
    `code ${grouped(event.code)}`, count(event.polls, "question"), day.format(event.created_at), event.state === "ended" ? "ended" : "",
  ].filter(Boolean).join(" · ");
  return item;
}
