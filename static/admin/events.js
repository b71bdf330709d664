// The list of events, and a way to find one: the server looks, because it has them all.

import { api } from "/assets/shared/api.js";
import { lengthOf } from "/assets/admin/longest.js";
import { clone, control, say, setText, slot, tellDetails } from "/assets/admin/dom.js";
import { day, grouped, language, t } from "/assets/shared/words.js";

/** @typedef {{go:(path:string) => void, trouble:(error:any) => void}} Tools */
/** @typedef {{id:string, code:string, title:string, state:string, polls:number, open:number, created_at:number, question?:string}} EventLine `open`: polls that take votes now; `question`: the one it was found by */
/** @typedef {{events:EventLine[], next?:string, refused?:string}} Page `refused`: why it was not looked for, in words */

const SEARCH_FROM = 6; // events: fewer are found by looking
const SEARCH_LONGEST = 300; // characters, as a question
const PER_PAGE = 50; // events
const PER_PAGE_MOST = 500; // as the server gives
const TYPED_MS = 250; // a pause this long: the word is there
const LOOK_EVERY_MS = 10_000; // whether voting is open changes without us

/** @param {Tools} tools */
export async function eventsPage({ go, trouble }) {
  let wanted = new URLSearchParams(location.search).get("search") ?? "";
  const first = await page(wanted, "");
  const element = clone("events-page");
  const [list, input] = [slot(element, "list"), control(element, "search")];
  let next = "";
  let turn = 0; // an answer that comes after the next question is dropped
  let timer = 0;

  /** @param {Page} found */
  function draw(found) {
    next = found.next ?? "";
    list.replaceChildren(...found.events.map(row));
    list.hidden = found.events.length === 0;
    slot(element, "more").hidden = !next;
    const isEmpty = !wanted && !found.events.length;
    slot(element, "empty").hidden = !isEmpty;
    slot(element, "new").hidden = isEmpty; // the way to begin is the bright one there
    slot(element, "nothing").hidden = !wanted || found.events.length > 0;
    const n = found.events.length;
    setText(slot(element, "found"), found.refused ?? (!wanted ? "" : n === 0 ? t("nothing_found", { text: wanted }) : t(next ? "found_more" : "found", { n })));
  }

  async function look() {
    clearTimeout(timer);
    const text = input.value.trim();
    if (text === wanted) return;
    wanted = text;
    const mine = ++turn;
    remember(isTooLong(text) ? "" : text);
    try {
      const found = await page(text, "");
      if (mine === turn) draw(found);
    } catch (error) {
      if (mine === turn) trouble(error);
    }
  }

  draw(first);
  input.value = wanted;
  slot(element, "search-field").hidden = first.events.length < SEARCH_FROM && !wanted;
  input.addEventListener("input", () => {
    clearTimeout(timer);
    timer = window.setTimeout(look, TYPED_MS);
  });
  input.addEventListener("keydown", (/** @type {KeyboardEvent} */ { key }) => { if (key === "Enter") look(); });
  control(element, "all").addEventListener("click", () => {
    input.value = "";
    input.focus();
    look();
  });
  control(element, "more").addEventListener("click", async () => {
    const mine = turn;
    try {
      const found = await page(wanted, next);
      if (mine !== turn) return;
      next = found.next ?? "";
      const rows = found.events.map(row);
      list.append(...rows);
      rows[0]?.querySelector("a").focus();
      slot(element, "more").hidden = !next;
      say(t(next ? "found_more" : "found", { n: list.children.length }));
    } catch (error) {
      trouble(error);
    }
  });
  control(element, "demo").addEventListener("click", async (/** @type {Event} */ { currentTarget }) => {
    const button = /** @type {HTMLButtonElement} */ (currentTarget);
    button.disabled = true;
    try {
      const event = await api("POST", "events", { title: t("demo_title"), demo: true, lang: language });
      go(`/admin/events/${event.id}`);
    } catch (error) {
      button.disabled = false;
      trouble(error);
    }
  });
  let again = window.setTimeout(refresh, LOOK_EVERY_MS);
  return { element, leave() {
    turn += 1;
    clearTimeout(timer);
    clearTimeout(again);
  } };

  /** What is shown stays where it is, and says what holds now. What was found stays as it is: looking for it again is work. */
  async function refresh() {
    const mine = turn;
    try {
      if (document.hidden || wanted) return;
      const { events } = await page("", "", Math.min(PER_PAGE_MOST, Math.max(PER_PAGE, list.children.length)));
      if (mine === turn) for (const event of events) for (const shown of list.querySelectorAll(`li:has(> a[href="${address(event)}"])`)) fill(shown, event);
    } catch (error) {
      if (mine === turn && /** @type {import("/assets/shared/api.js").ApiError} */ (error).status === 401) trouble(error); // else the next time
    } finally {
      if (element.isConnected) again = window.setTimeout(refresh, LOOK_EVERY_MS);
    }
  }
}

/** What is found; nothing, and why, where the server does not look. @param {string} search @param {string} after @param {number} [limit] @returns {Promise<Page>} */
async function page(search, after, limit = PER_PAGE) {
  if (isTooLong(search)) return { events: [], refused: t("search_long", { most: SEARCH_LONGEST }) };
  const query = new URLSearchParams({ limit: String(limit), ...(search && { search }), ...(after && { after }) });
  try {
    return await api("GET", `events?${query}`);
  } catch (error) {
    const { status, detail } = /** @type {import("/assets/shared/api.js").ApiError} */ (error);
    if (search && !after && status === 422) return { events: [], refused: detail }; // an address may ask for anything: the page stands all the same
    throw error;
  }
}

/** @param {string} search */
const isTooLong = (search) => lengthOf(search, SEARCH_LONGEST) > SEARCH_LONGEST;

/** So that the way back from an event leads to what was found. @param {string} search */
function remember(search) {
  const address = new URL(location.href);
  if (search) address.searchParams.set("search", search);
  else address.searchParams.delete("search");
  history.replaceState(null, "", address);
}

/** @param {EventLine} event */
export function row(event) {
  const item = clone("event-row");
  item.querySelector("a").href = address(event);
  fill(item, event);
  return item;
}

/** @param {EventLine} event */
const address = ({ id }) => `/admin/events/${id}`;

/** @param {Element} item @param {EventLine} event */
function fill(item, event) {
  const isOver = event.state === "ended";
  setText(slot(item, "title"), event.title);
  tellDetails(slot(item, "about"), [t("code_line", { code: grouped(event.code) }), t("questions", { n: event.polls }), day(event.created_at)]);
  slot(item, "question").hidden = !event.question;
  setText(slot(item, "question"), event.question ?? "");
  const state = slot(item, "state");
  setText(state, t(isOver ? "ended" : event.open ? "voting_open" : "live"));
  state.dataset.state = isOver ? "ended" : event.open ? "open" : "live";
  item.classList.toggle("is-over", isOver);
  const screen = slot(item, "screen");
  screen.hidden = isOver; // it invites nobody any more
  screen.href = `/present/${event.id}`;
  screen.setAttribute("aria-label", `${t("screen_link")}: ${event.title}`);
}
