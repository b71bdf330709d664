// The list of events, and a way to find one.

import { api } from "/assets/shared/api.js";
import { clone, control, slot } from "/assets/admin/dom.js";
import { day, grouped, t } from "/assets/shared/words.js";

/** @typedef {{go:(path:string) => void, trouble:(error:any) => void}} Tools */

const SEARCH_FROM = 6; // events: fewer are found by looking

/** @param {Tools} tools */
export async function eventsPage({ go, trouble }) {
  const { events } = await api("GET", "events");
  const element = clone("events-page");
  const list = slot(element, "list");
  list.append(...events.map(row));
  list.hidden = events.length === 0;
  slot(element, "empty").hidden = events.length > 0;
  slot(element, "search-field").hidden = events.length < SEARCH_FROM;
  control(element, "search").addEventListener("input", (/** @type {Event} */ { target }) => {
    const wanted = /** @type {HTMLInputElement} */ (target).value.trim().toLowerCase();
    let found = 0;
    events.forEach((/** @type {any} */ event, /** @type {number} */ at) => {
      const hit = [event.title, event.slug ?? ""].some((text) => text.toLowerCase().includes(wanted)) || (/^[\d\s]+$/.test(wanted) && event.code.includes(wanted.replace(/\D/g, "")));
      list.children[at].hidden = !hit;
      found += hit ? 1 : 0;
    });
    slot(element, "nothing").hidden = found > 0;
    slot(element, "nothing").textContent = found ? "" : t("nothing_found", { text: wanted });
  });
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
    t("code_line", { code: grouped(event.code) }), t("questions", { n: event.polls }), day(event.created_at), event.state === "ended" ? t("ended_small") : "",
  ].filter(Boolean).join(" · ");
  return item;
}
