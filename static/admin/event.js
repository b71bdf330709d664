// One event: how people join, its questions, and what can be done with it.

import { api } from "/assets/shared/api.js";
import { Latest } from "/assets/shared/live.js";
import { follow } from "/assets/shared/stream.js";
import { grouped, spoken } from "/assets/shared/words.js";
import { clone, confirm, control, onSubmit, oops, required, say, setText, slot } from "/assets/admin/dom.js";
import { newPollFields, readNewPoll } from "/assets/admin/poll-fields.js";
import { pollCard } from "/assets/admin/poll-card.js";

/** @param {string} id @param {import("/assets/admin/events.js").Tools} tools */
export async function eventPage(id, { go, trouble }) {
  const element = clone("event-page");
  const latest = new Latest();
  /** @type {Map<string, ReturnType<typeof pollCard>>} */
  const cards = new Map();
  let event = await api("GET", `events/${id}`);

  /** Asks for the change, then shows what the server says. @param {() => Promise<unknown>} change @param {string} [done] */
  async function act(change, done) {
    try {
      await change();
      await reload();
      if (done) say(done);
    } catch (error) {
      trouble(error);
    }
  }

  async function reload() {
    event = await api("GET", `events/${id}`);
    draw();
  }

  function draw() {
    setText(slot(element, "title"), event.title);
    setText(slot(element, "state"), event.state === "ended" ? "Ended" : "Live");
    slot(element, "state").dataset.state = event.state;
    setText(control(element, "end"), event.state === "ended" ? "Make it live again" : "End the event …");
    drawJoin(element, event.code, latest.live?.join_url ?? `${location.origin}/${event.code}`);
    drawPolls();
  }

  function drawPolls() {
    const list = slot(element, "polls");
    const ids = new Set(event.polls.map((/** @type {any} */ poll) => poll.id));
    for (const [gone, card] of cards) if (!ids.has(gone)) { card.element.remove(); cards.delete(gone); }
    event.polls.forEach((/** @type {any} */ poll, /** @type {number} */ at) => {
      const card = cards.get(poll.id) ?? pollCard(poll.id, id, act);
      cards.set(poll.id, card);
      if (list.children[at] !== card.element) list.insertBefore(card.element, list.children[at] ?? null);
      card.draw(poll, { current: event.current === poll.id, first: at === 0, last: at === event.polls.length - 1 });
    });
    slot(element, "none").hidden = event.polls.length > 0;
  }

  let heard = ""; // one reload per change, even if the two never agree
  // The stream moves the numbers; who, what and in which order comes from the event itself.
  const stop = follow(id, {
    document(live) {
      if (!latest.take(live)) return;
      const known = event.polls.map(shape).join() + event.current + event.title;
      const told = live.polls.map(shape).join() + live.current + live.event.title;
      for (const poll of live.polls) cards.get(poll.id)?.count(poll);
      drawJoin(element, event.code, live.join_url);
      if (known !== told && told !== heard) reload().catch(trouble);
      heard = told;
    },
    lost() {},
    refused: trouble,
  });

  const addForm = slot(element, "add").querySelector("form");
  const fields = () => slot(addForm, "poll").replaceChildren(newPollFields("Question"));
  fields();
  onSubmit(addForm, async (given) => {
    await api("POST", `events/${id}/polls`, readNewPoll(given));
    await reload();
    addForm.reset();
    fields();
    slot(element, "add").open = false;
    slot(element, "polls").lastElementChild.querySelector("h3").focus();
    say("Question added.");
  });

  const rename = slot(element, "rename");
  rename.elements.title.value = event.title;
  onSubmit(rename, async (given) => {
    await api("PATCH", `events/${id}`, { title: required(given, "title", "Give the event a title.") });
    await reload();
    say("Saved.");
  });
  control(element, "end").addEventListener("click", async () => {
    const ended = event.state === "ended";
    if (!ended && !await confirm("End this event?", "Phones then show that it is over. Results stay, and you can make it live again.", "End the event")) return;
    act(() => api("PATCH", `events/${id}`, { state: ended ? "live" : "ended" }), ended ? "The event is live." : "The event has ended.");
  });
  control(element, "delete-event").addEventListener("click", async () => {
    if (!await confirm("Delete this event?", `“${event.title}” with all its questions and results will be gone. Download the CSV files first if you need them.`, "Delete for good")) return;
    try {
      await api("DELETE", `events/${id}`);
      go("/admin");
    } catch (error) {
      trouble(error);
    }
  });
  control(element, "copy").addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(slot(element, "link").href);
      control(element, "copy").textContent = "Copied";
      say("Link copied.");
    } catch {
      oops({ detail: "This browser does not let the page copy. Select the link and copy it by hand." });
    }
  });

  draw();
  return { element, leave: stop };
}

/** What makes a page redraw itself whole. @param {any} poll */
const shape = (poll) => [poll.id, poll.state, poll.round, poll.revealed, poll.visibility, poll.question, ...poll.choices.map((/** @type {any} */ one) => one.text)].join("|");

/** @param {any} element @param {string} code @param {string} url */
function drawJoin(element, code, url) {
  const link = slot(element, "link");
  link.href = url;
  setText(link, spoken(url));
  setText(slot(element, "code"), grouped(code));
  const qr = `/api/v1/live/${code}/qr.svg`;
  if (slot(element, "qr").getAttribute("src") !== qr) slot(element, "qr").src = qr;
  slot(element, "present").href = `/present/${location.pathname.split("/")[3]}`;
}
