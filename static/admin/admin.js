// The back office: who is there, and which page the address means. Each page is a file beside this one.

import { api, wordsOfRefusals } from "/assets/shared/api.js";
import { learn, t } from "/assets/shared/words.js";
import { en, others } from "/assets/admin/en.js";
import { $, clone, isFollowedHere, oops, setText, slot } from "/assets/admin/dom.js";
import { begunBy, forgetBegun } from "/assets/admin/begun.js";
import { accountPage, setupPage, signInPage } from "/assets/admin/account.js";
import { eventsPage } from "/assets/admin/events.js";
import { newEventPage } from "/assets/admin/new-event.js";
import { eventPage } from "/assets/admin/event.js";
import { rehearsalsPage } from "/assets/admin/rehearsals.js";
import { rehearsalPage } from "/assets/admin/rehearsal.js";

/** @type {(() => void) | void} what the shown page wants done when it goes */
let leave;

/** @param {string} path */
export function go(path) {
  history.pushState(null, "", path);
  route();
}

let turn = 0; // an answer that comes after the next page was asked for is dropped
const place = () => location.pathname + (location.hash.startsWith("#setup=") ? location.hash : "");
let shown = "";

async function route() {
  const mine = ++turn;
  shown = place();
  leave?.();
  leave = undefined;
  $("alert").hidden = true;
  const setup = location.hash.match(/^#setup=(.+)$/);
  // A link that was used already leads to the sign-in.
  if (setup && (await api("GET", "setup").catch(() => ({ needed: true }))).needed) return put(setupPage(decodeURIComponent(setup[1]), () => { history.replaceState(null, "", "/admin"); route(); }), false);
  try {
    const { user } = await api("GET", "session");
    if (mine !== turn) return;
    if (!user) return signedOut("");
    begunBy(user.id);
    $("who").hidden = $("rooms").hidden = false;
    $("who-email").textContent = user.email;
  } catch (error) {
    if (mine !== turn) return;
    return error.status === 401 ? signedOut("") : trouble(error);
  }
  const [room, open] = pageAt(location.pathname);
  for (const link of $("rooms").children) link.ariaCurrent = link.dataset.room === room ? "page" : null;
  if (!open) return put(gone(t("gone_page")), false);
  try {
    const page = await open({ go, trouble });
    if (mine !== turn) return page.leave?.();
    put(page.element, !page.focus);
    leave = page.leave;
    page.shown?.();
  } catch (error) {
    if (mine !== turn) return;
    if (error.status === 404) put(gone(t(room === "rehearsals" ? "gone_rehearsal" : "gone_event")), false);
    else trouble(error);
  }
}

/**
 * @typedef {{element:Node, leave?:() => void, shown?:() => void, focus?:string}} Page `shown`: once it stands in the document; `focus`: where one begins to write
 * @param {string} path @returns {[room?:string, open?:(tools:import("/assets/admin/events.js").Tools) => Page|Promise<Page>]} nothing: it leads nowhere
 */
function pageAt(path) {
  const [first = "events", id = "", ...more] = path.split("/").filter(Boolean).slice(1);
  if (more.length) return [];
  if (first === "events") return [first, id ? (tools) => eventPage(decoded(id), tools) : eventsPage];
  if (first === "rehearsals") return [first, id ? () => rehearsalPage(decoded(id)) : rehearsalsPage];
  if (first === "account" && !id) return ["", ({ go: leaveFor }) => accountPage($("who-email").textContent ?? "", () => leaveFor("/admin"))];
  return first === "new" && !id ? ["events", newEventPage] : [];
}

/** As it was before it came into an address; what was no address is nothing there is. @param {string} coded */
function decoded(coded) {
  try {
    return decodeURIComponent(coded);
  } catch {
    return coded;
  }
}

/** @param {string} what is not here */
function gone(what) {
  const page = clone("gone-page");
  setText(slot(page, "what"), what);
  return page;
}

/** @param {string} why */
async function signedOut(why) {
  const mine = ++turn;
  $("alert").hidden = $("who").hidden = $("rooms").hidden = true;
  const { needed } = await api("GET", "setup").catch(() => ({ needed: false }));
  if (mine !== turn) return;
  put(needed ? clone("no-account-page") : signInPage(why, signedIn), false);
}

/** Whoever came from a presenter's screen goes on there. */
function signedIn() {
  const then = new URLSearchParams(location.search).get("then") ?? "";
  if (/^\/present\/[\w-]+$/.test(then)) location.replace(then);
  else route();
}

/** @param {Node} page @param {boolean} focus on the heading, so that a keyboard or a reader starts there */
function put(page, focus) {
  $("page").replaceChildren(page);
  const heading = $("page").querySelector("h1");
  document.title = `${(heading?.querySelector("[data-fill]") ?? heading)?.textContent ?? ""} · Groundswell`;
  if (!focus) return $("page").querySelector("input")?.focus({ preventScroll: true });
  if (heading && moved) {
    heading.tabIndex = -1;
    heading.focus();
  }
  moved = true;
}
let moved = false; // the first page of a visit starts at its top by itself

/** Where an error has no place of its own. @param {import("/assets/shared/api.js").ApiError} error */
function trouble(error) {
  if (error.status === 401) {
    leave?.();
    leave = undefined;
    return void signedOut(t("signed_out"));
  }
  oops(error);
}

$("sign-out").addEventListener("click", async () => {
  try {
    await api("DELETE", "session");
    leave?.();
    leave = undefined;
    forgetBegun();
    history.replaceState(null, "", "/admin");
    route();
  } catch (error) {
    trouble(error);
  }
});

document.addEventListener("click", (event) => {
  const link = /** @type {HTMLAnchorElement|null} */ (/** @type {Element} */ (event.target).closest("a[data-link]"));
  if (!link || !isFollowedHere(event)) return;
  event.preventDefault();
  go(link.getAttribute("href") ?? "/admin");
});

await learn(en, others);
void wordsOfRefusals();
addEventListener("popstate", () => { if (place() !== shown) route(); }); // not for the skip link
route();
