// The live document: fetched, kept for a reload without a network, and read by the server's clock. What is asked of the server here is the
// same for everybody; votes are in outbox.js.

import { keep } from "/assets/vote/keep.js";
import { ask, Later } from "/assets/vote/server.js";
import { changed } from "/assets/vote/small.js";

/**
 * @typedef {{id:string, text:string}} Choice
 * @typedef {{id:string, votes:number, percent:number}[]} Counts
 * @typedef {{voters:number, status:"provisional"|"final", choices:Counts, before?:{round:number, voters:number, choices:Counts}}} Results
 * @typedef {{id:string, kind:"single"|"multiple", question:string, state:"open"|"closed", round:number, opens_at:number|null,
 *   closes_at:number|null, closed_at:number|null, visibility:string, revealed:boolean,
 *   rules:{min:number, max:number, change:boolean}, choices:Choice[], results:Results|null}} Poll
 * @typedef {{event:{code:string, title:string, state:"live"|"ended", accent?:{light:string, dark:string}, logo?:string, rehearsal?:boolean}, now:number, version:number, counted_through:number,
 *   refresh_ms:number, current:string|null, polls:Poll[]}} Live
 */

const KEPT_DOCUMENT_MS = 12 * 3600_000; // a reload without a network may show a document this old
const REFRESH_MS = 2_000; // before the server has said how often
const OVER_MS = 30_000; // an event that was ended by mistake goes on
const NOTICE_MS = 2_000;

/** The code or the vanity name in the address. @type {string} */
export let address = "";
/** @type {Live|null} */
export let live = null;
/** The server has answered for it since the page was loaded. */
let confirmed = false;
/** The server's clock minus ours: the largest seen, because a cached document is older. */
let clockOffset = -Infinity;
/** Our clock minus the one that nobody can set, at the last answer. */
let clockSetting = NaN;

export const currentPoll = () => live?.polls.find((one) => one.id === live?.current);

/** @param {string} where */
export function join(where) {
  address = where;
  live = null;
  confirmed = false;
  clockOffset = -Infinity;
  for (const key of keep.keys("gs:live:")) {
    const kept = keep.get(key);
    const age = Date.now() - kept?.at;
    if (!(age < KEPT_DOCUMENT_MS)) keep.drop(key);
    else if (key === `gs:live:${address}`) {
      live = kept.live;
      clockOffset = kept.offset ?? -Infinity;
      // Reloaded before it was time to ask again: so the impatient ask no more often than others.
      if (age >= 0 && age < kept.live.refresh_ms) quietUntil = performance.now() + kept.live.refresh_ms - age;
    }
  }
}

/** The server knows no such event. */
export function leave() {
  address = "";
  live = null;
}

// ------------------------------------------------------------------------------------------------ asking again and again

let refreshTimer = 0;
let refreshing = false;
let misses = 0;
let quietUntil = 0; // by performance.now(), or a clock that is set back would silence the page

/** Hardly anything will change any more: the event has ended, and this phone waits for nothing. @type {() => boolean} */
let isOver = () => false;
/** @type {(code:string) => void} */
let unknown = () => {};
/** @type {(first:boolean) => void} */
let news = () => {};

/** @param {{over:() => boolean, unknown:(code:string) => void, news:(first:boolean) => void}} listener */
export function follow(listener) {
  ({ over: isOver, unknown, news } = listener);
}

/** Safe to call at any time; then it goes on by itself while somebody looks. */
export async function refresh() {
  clearTimeout(refreshTimer);
  if (!address || refreshing || document.hidden) return;
  const quiet = quietUntil - performance.now();
  if (quiet > 0) {
    refreshTimer = window.setTimeout(refresh, quiet);
    return;
  }
  refreshing = true;
  const asked = address;
  let least = 0;
  try {
    const answer = await ask(`/api/v1/live/${encodeURIComponent(asked)}`);
    const isHere = asked === address; // or joined elsewhere meanwhile
    if (answer.status === 200 && answer.body?.event) isHere && take(answer.body);
    // "Too many" is only ever said of codes that are wrong: who mistyped one wants to type it again.
    else if (!/^(event_un|too_)/.test(answer.body?.code)) throw new Later(answer.retryAfterMs);
    else if (isHere) return unknown(asked);
    connected(true);
  } catch (error) {
    if (!(error instanceof Later)) throw error;
    misses += 1;
    least = error.afterMs;
    quietUntil = performance.now() + least;
    if (misses > 1 || !confirmed || !navigator.onLine) connected(false);
  } finally {
    refreshing = false;
  }
  const slower = Math.min(misses, 4); // gently: the outage may be ours
  refreshTimer = window.setTimeout(refresh, asked !== address ? 0 : least + (isOver() ? OVER_MS : (live?.refresh_ms ?? REFRESH_MS) * 2 ** slower) * (0.8 + 0.4 * Math.random()));
}

/** @param {Live} next */
function take(next) {
  const ahead = next.now - Date.now();
  const setting = Date.now() - performance.now();
  // Set meanwhile: what was seen before moves along. Where the other clock stops while a phone sleeps, the next new document mends that.
  clockOffset = confirmed ? Math.max(clockOffset - setting + clockSetting, ahead) : ahead;
  clockSetting = setting;
  const newer = !live || !confirmed || next.version > live.version
    || (next.version === live.version && next.counted_through >= live.counted_through);
  if (!newer) return;
  const first = !confirmed;
  [live, confirmed] = [next, true];
  keep.set(`gs:live:${address}`, { at: Date.now(), offset: clockOffset, live });
  news(first);
  changed();
}

// ------------------------------------------------------------------------------------------------ is anybody there?

/** The last question was not answered. */
export let lost = false;
/** It was, and is no more; until that has been said for long enough. */
export let back = false;
let backTimer = 0;

/** @param {boolean} there */
export function connected(there) {
  if (there) misses = 0;
  if (there === !lost) return;
  lost = !there;
  back = there;
  clearTimeout(backTimer);
  backTimer = 0;
  changed();
}

/** Somebody reads that the server is back: in a moment it is no news, and it lies on the name of the event. */
export function saidBack() {
  backTimer ||= window.setTimeout(goOn, NOTICE_MS);
}

/** They do, as they were told to. */
export function goOn() {
  if (!backTimer || !back) return;
  back = false;
  changed();
}

// ------------------------------------------------------------------------------------------------ what time is it?

export const serverNow = () => Date.now() + (clockOffset === -Infinity ? 0 : clockOffset);

/** Opens and closes by the server's clock, with no request. @param {Poll} poll */
export function phase(poll) {
  const now = serverNow();
  if (poll.closes_at && now >= poll.closes_at) return "closed";
  if (poll.opens_at && now < poll.opens_at) return "soon";
  if (poll.state === "open") return "open";
  return poll.closed_at ? "closed" : "soon"; // a new round starts closed and was never open
}
