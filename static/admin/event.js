// One event: how people join, its questions, and what can be done with it.

import { api } from "/assets/shared/api.js";
import { isScheduled, Latest } from "/assets/shared/live.js";
import { follow, presenters } from "/assets/shared/stream.js";
import { t } from "/assets/shared/words.js";
import { addresses } from "/assets/admin/addresses.js";
import { begun } from "/assets/admin/begun.js";
import { clone, confirm, control, done, onSubmit, setText, slot } from "/assets/admin/dom.js";
import { eventLook } from "/assets/admin/event-look.js";
import { inPlace } from "/assets/admin/in-place.js";
import { firstThingsFirst } from "/assets/admin/narrow.js";
import { shortened } from "/assets/admin/longest.js";
import { newPollFields, readNewPoll } from "/assets/admin/poll-fields.js";
import { isWaiting, pollCard } from "/assets/admin/poll-card.js";

const TITLE_LONGEST = 120; // characters
const LOST_AFTER_MS = 2_000; // a stream that is back by then was not missed

/** @param {string} id @param {import("/assets/admin/events.js").Tools} tools */
export async function eventPage(id, { go, trouble }) {
  const element = clone("event-page");
  const latest = new Latest();
  /** @type {Map<string, ReturnType<typeof pollCard>>} */
  const cards = new Map();
  let event = await api("GET", `events/${id}`);
  const ways = addresses(id, element);
  const narrow = firstThingsFirst(element);
  const look = eventLook(id, element, (...what) => act(...what));

  /** Asks for the change, then shows what the server says. @type {import("/assets/admin/poll-card.js").Act} */
  async function act(change, told, back, refused, written) {
    postponed = false; // it ends with a look at the server
    try {
      await change();
      await reload();
      if (told) done(told, back && wayBack(back, written));
    } catch (error) {
      if (!refused?.(error)) trouble(error);
      reload().catch(trouble); // a row that was dragged goes back to where it is
    }
  }

  /** Not over what somebody else has written there since: they would not see it go. @param {() => Promise<unknown>} back @param {(event:any) => unknown} [written] */
  function wayBack(back, written = () => "") {
    const saved = JSON.stringify(written(event));
    return () => act(async () => {
      if (JSON.stringify(written(await api("GET", `events/${id}`))) !== saved) throw Object.assign(new Error(), { detail: t("changed_meanwhile") });
      await back();
    }, t("undone"));
  }

  async function reload() {
    event = await api("GET", `events/${id}`);
    draw();
  }

  function draw() {
    setText(slot(element, "title"), event.title);
    setText(slot(element, "state"), t(event.state === "ended" ? "ended" : "live"));
    slot(element, "state").dataset.state = event.state;
    slot(element, "rehearsal").hidden = !event.rehearsal;
    drawEnded(event.state === "ended");
    narrow.draw(event);
    ways.draw(event.code, latest.live?.join_url ?? `${location.origin}/${event.code}`);
    look.draw(event, latest.live?.join_url ?? location.origin);
    drawPolls();
  }

  /** What is offered: while it is live to join it, then its results, or to go on. @param {boolean} ended */
  function drawEnded(ended) {
    const isUnasked = event.polls.every((/** @type {any} */ poll) => poll.state === "draft"); // nothing yet to be read
    setText(control(element, "end"), t(ended ? "live_again" : "end_event"));
    slot(element, "present").classList.toggle("main", !ended);
    control(element, "revive").hidden = !ended;
    slot(element, "outcome").hidden = isUnasked;
    slot(element, "results-again").hidden = isUnasked || !ended;
    slot(element, "results-page").hidden = ended;
    for (const one of [control(element, "copy"), ...["poster", "remote", "qr", "ways-in", "is-live"].map((name) => slot(element, name))]) one.hidden = ended;
    for (const name of ["is-over", "over-note"]) slot(element, name).hidden = !ended;
  }

  let postponed = false;
  let arrives = true;

  function drawPolls() {
    const list = slot(element, "polls");
    // What is in somebody's hand is not taken out of it; the rest is drawn when it is let go.
    if (list.querySelector(".is-dragged")) {
      postponed = true;
      return;
    }
    const ids = new Set(event.polls.map((/** @type {any} */ poll) => poll.id));
    const focused = document.activeElement;
    const next = nextOf(event.polls, event.current);
    for (const [gone, card] of cards) if (!ids.has(gone)) { card.element.remove(); cards.delete(gone); }
    event.polls.forEach((/** @type {any} */ poll, /** @type {number} */ at) => {
      const card = cards.get(poll.id) ?? pollCard(poll.id, { id, code: event.code }, act);
      cards.set(poll.id, card);
      if (list.children[at] !== card.element) list.insertBefore(card.element, list.children[at] ?? null);
      card.draw(poll, { current: event.current === poll.id, next: poll === next, arrives, ended: event.state === "ended" });
    });
    arrives = false;
    if (focused instanceof HTMLElement && focused !== document.activeElement && element.contains(focused)) focused.focus({ preventScroll: true });
    slot(element, "none").hidden = event.polls.length > 0;
  }

  slot(element, "polls").addEventListener("lostpointercapture", () => {
    if (!postponed) return;
    postponed = false;
    drawPolls();
  });

  let heard = ""; // one reload per change, even if the two never agree
  let lostTimer = 0;
  const isLost = (/** @type {boolean} */ lost) => {
    clearTimeout(lostTimer);
    lostTimer = lost ? window.setTimeout(() => setText(slot(element, "lost"), t("lost")), LOST_AFTER_MS) : 0;
    if (!lost) setText(slot(element, "lost"), "");
  };
  // The stream moves the numbers; who, what and in which order comes from the event itself.
  const stop = follow(presenters(id), {
    document(live) {
      isLost(false);
      if (!latest.take(live)) return;
      const known = event.polls.map(shape).join() + event.current + event.title;
      const told = live.polls.map(shape).join() + live.current + live.event.title;
      for (const poll of live.polls) cards.get(poll.id)?.count(poll);
      ways.draw(event.code, live.join_url);
      look.place(live.join_url);
      slot(element, "black").hidden = !live.view?.blank; // perhaps since yesterday
      if (known !== told && told !== heard) reload().catch(trouble);
      heard = told;
    },
    lost: () => { if (!lostTimer) isLost(true); },
    refused: trouble,
  });
  const leave = () => {
    clearTimeout(lostTimer);
    stop();
    narrow.leave();
    draft.leave();
    for (const card of cards.values()) card.leave();
  };

  const addForm = slot(element, "add").querySelector("form");
  const fields = () => slot(addForm, "poll").replaceChildren(newPollFields(event.polls.at(-1)?.visibility));
  fields();
  let draft = begun(addForm, `poll:${id}`);
  slot(element, "add").open = draft.found;
  onSubmit(addForm, async (given) => {
    await api("POST", `events/${id}/polls`, readNewPoll(given));
    draft.drop();
    if (!element.isConnected) return; // somebody looks at another page by now
    // It is added, whatever the next look at the server comes to: what stayed in the form would be sent again.
    addForm.reset();
    fields();
    draft = begun(addForm, `poll:${id}`);
    done(t("question_added"));
    const next = addForm.querySelector('[name="question"]'); // who adds one may add another
    next.focus();
    try {
      await reload();
      if (document.activeElement === next) next.scrollIntoView({ block: "center" }); // between what was added and what is to be written
    } catch (error) {
      trouble(error);
    }
  });

  inPlace(slot(element, "title"), control(element, "rename"), {
    longest: TITLE_LONGEST,
    save(title) {
      const was = event.title;
      const patch = (/** @type {string} */ to) => () => api("PATCH", `events/${id}`, { title: to });
      act(patch(title), t("saved"), patch(was), undefined, (now) => now.title);
    },
  });
  control(element, "copy-event").addEventListener("click", async () => {
    if (control(element, "copy-event").ariaDisabled) return; // one click, one copy
    control(element, "copy-event").ariaDisabled = "true";
    try {
      const title = shortened(t("copy_title", { title: event.title }), TITLE_LONGEST);
      const copy = await api("POST", "events", { title, copy_of: id });
      const there = `/admin/events/${copy.id}`;
      if (element.isConnected) go(there);
      done(t("event_copied"), () => api("DELETE", `events/${copy.id}`).then(() => { if (location.pathname === there) go(`/admin/events/${id}`); }).catch(trouble));
    } catch (error) {
      trouble(error);
    } finally {
      control(element, "copy-event").ariaDisabled = null;
    }
  });
  control(element, "show-screen").addEventListener("click", () => act(() => api("PATCH", `events/${id}/view`, { blank: false }), t("screen_shown")));
  const revive = () => act(() => api("PATCH", `events/${id}`, { state: "live" }), t("is_live"));
  control(element, "revive").addEventListener("click", revive);
  control(element, "end").addEventListener("click", async () => {
    if (event.state === "ended") return revive();
    const open = event.polls.filter((/** @type {any} */ poll) => poll.state === "open" && !isScheduled(poll)).length;
    if (await confirm(t("end_ask"), [t("end_ask_text"), open ? t("end_ask_open", { n: open }) : ""].filter(Boolean).join(" "), t("end_yes"))) act(() => api("PATCH", `events/${id}`, { state: "ended" }), t("has_ended"));
  });
  control(element, "delete-event").addEventListener("click", async () => {
    if (!await confirm(t("delete_event_ask"), t("delete_event_text", { title: event.title }), t("delete_yes"))) return;
    try {
      await api("DELETE", `events/${id}`);
      go("/admin");
    } catch (error) {
      trouble(error);
    }
  });

  draw();
  return { element, leave, shown: () => [draft, ...cards.values()].forEach((one) => one.shown()) };
}

/** What to open next: what is on stage, or follows it, or was left out before. @param {any[]} polls @param {string|null} current */
function nextOf(polls, current) {
  const at = Math.max(0, polls.findIndex((poll) => poll.id === current));
  return [...polls.slice(at), ...polls.slice(0, at)].find(isWaiting);
}

/** What makes a page redraw itself whole. @param {any} poll */
const shape = (poll) => [poll.id, poll.state, poll.round, poll.opens_at, poll.closes_at, poll.revealed, poll.visibility, poll.question, poll.kind, poll.rules.min, poll.rules.max, poll.rules.change, ...poll.choices.map((/** @type {any} */ one) => one.text)].join("|");
