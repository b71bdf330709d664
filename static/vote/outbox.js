// The outbox: a vote is saved on this phone before it is sent, and sent with the same ballot id until the server has answered for it.
// What became of it is read from the live document; only where that leaves a doubt is the server asked.

import { keep, setDraft } from "/assets/vote/keep.js";
import { live, refresh } from "/assets/vote/live.js";
import { ask, isRefusal, Later } from "/assets/vote/server.js";
import { changed, uuid } from "/assets/vote/small.js";

/**
 * @typedef {import("/assets/vote/live.js").Poll} Poll
 * @typedef {import("/assets/vote/server.js").Answer} Answer
 * @typedef {{ballot:string|null, revision:number, picks:string[], state:"none"|"saved"|"received"|"counted", accepted_at:number|null}} Sent
 * @typedef {Sent & {poll:string, round:number, before:Sent|null, unsure:boolean, doubt?:boolean, refusal?:{code:string, detail?:string}|null}} Saved
 *   What this phone keeps for one poll and round. `before`: the last ballot the server has answered for.
 *   `unsure`: an earlier ballot was replaced before its answer came. `doubt`: it was received, but may have come too late.
 *   `refusal`: the last ballot was not accepted, and nobody has read that yet.
 */

const RETRY_FIRST_MS = 600;
const RETRY_LAST_MS = 20_000;
const CLOSE_GRACE_MS = 2_000; // as the server: what was accepted later than this after the close is not counted
const LEASE_MS = 30_000; // longer than any answer takes: then the tab that was sending is gone
const SETTLES_MS = 60; // for two tabs that begin in the same moment

const ballotKeys = () => keep.keys(`gs:ballot:${live?.event.code}:`);

/** @param {Poll} poll */
export const ballotKey = (poll) => `gs:ballot:${live?.event.code}:${poll.id}:${poll.round}`;

/** @param {Poll} poll @returns {Saved|null} */
export const mineOf = (poll) => keep.get(ballotKey(poll));

/** Saves first, then sends. @param {Poll} poll @param {string[]} picks */
export function cast(poll, picks) {
  const key = ballotKey(poll);
  /** @type {Saved|null} */
  const old = keep.get(key);
  const answered = old && (old.state === "received" || old.state === "counted");
  keep.set(key, {
    poll: poll.id, round: poll.round, ballot: uuid(), revision: (old?.revision ?? 0) + 1, picks, state: "saved", accepted_at: null,
    before: answered ? sent(old) : old?.before ?? null, unsure: old?.state === "saved",
  });
  setDraft(key, null);
  changed();
  deliver();
}

/** @param {Sent} ballot @returns {Sent} */
const sent = ({ ballot, revision, picks, state, accepted_at }) => ({ ballot, revision, picks, state, accepted_at });

/** @param {(mine:Saved) => unknown} which */
const those = (which) => ballotKeys().filter((key) => {
  const mine = keep.get(key); // a person may empty the storage at any moment
  return mine && which(mine);
});

/** What is not with the server yet. */
export const waiting = () => those((mine) => mine.state === "saved");

/** Is there a vote of which more is to be heard? */
export const isExpecting = () => those((mine) => mine.state === "saved" || mine.state === "received").length > 0;

// ------------------------------------------------------------------------------------------------ sending

let delivering = false;
let failures = 0;
let deliverTimer = 0;

/** The server has not taken it at the first attempt. */
export const isRetrying = () => failures > 0;

/** When the server wants to be asked again; kept, so that a reload does not make anybody impatient. */
const restKey = () => `gs:rest:${live?.event.code}`;

/** Fetches the pass if there is none, then empties the outbox. Safe to call at any time. */
export async function deliver() {
  clearTimeout(deliverTimer);
  if (delivering || !live || (live.event.state === "ended" && !isExpecting())) return;
  const rest = (keep.get(restKey()) ?? 0) - Date.now();
  if (rest > 0 && rest < RETRY_LAST_MS * 5) { // more is a clock that was set back
    failures ||= 1;
    deliverTimer = window.setTimeout(deliver, rest);
    return changed();
  }
  delivering = true;
  try {
    await alone(empty);
    failures = 0;
    keep.drop(restKey());
  } catch (error) {
    if (!(error instanceof Later)) throw error;
    failures += 1;
    const wait = error.afterMs + Math.random() * Math.min(RETRY_LAST_MS, RETRY_FIRST_MS * 2 ** failures); // full jitter
    if (error.afterMs) keep.set(restKey(), Date.now() + wait);
    deliverTimer = window.setTimeout(deliver, wait);
  } finally {
    delivering = false;
    changed();
  }
  if (failures === 0 && waiting().length) deliver(); // tapped while the last answer was on its way
}

/** The network is there again, for everybody in this hall in the same moment. */
export const deliverSoon = () => { setTimeout(deliver, Math.random() * RETRY_FIRST_MS); };

const tab = uuid();

/** One tab at a time. Two would do no harm, as the same ballot counts once, but ask for everything twice. @param {() => Promise<void>} work */
async function alone(work) {
  const name = `gs:sending:${live?.event.code}`;
  const patience = new AbortController();
  setTimeout(() => patience.abort(), LEASE_MS); // means nothing once it has begun
  let began = false;
  try {
    if (navigator.locks) {
      return await navigator.locks.request(name, { signal: patience.signal }, () => {
        began = true;
        return work();
      });
    }
  } catch (error) {
    // Else locks are forbidden here, as where nothing may be kept; or the tab that has it was put to sleep while it was sending.
    if (began) throw error;
  }
  // Plain http has no locks: a laptop in a meeting room.
  const lease = () => keep.get(name);
  const left = (lease()?.until ?? 0) - Date.now();
  if (left > 0 && left <= LEASE_MS && lease().tab !== tab) throw new Later();
  keep.set(name, { tab, until: Date.now() + LEASE_MS });
  await new Promise((done) => setTimeout(done, SETTLES_MS));
  if (lease()?.tab !== tab) throw new Later();
  try {
    await work();
  } finally {
    keep.drop(name);
  }
}

async function empty() {
  await pass();
  let renewed = false;
  for (let key = waiting()[0]; key; key = waiting()[0]) {
    /** @type {Saved} */
    let mine = keep.get(key);
    // Another tab voted in the same moment and was first.
    if (mine.before && mine.revision <= mine.before.revision) keep.set(key, mine = { ...mine, revision: mine.before.revision + 1 });
    const { ballot, revision, picks, round } = mine;
    const answer = await ask(`/api/v1/polls/${mine.poll}/ballots`, await pass(), { ballot, revision, picks, round });
    if (answer.status < 300 && answer.body?.ballot === ballot) accepted(key, mine, answer.body);
    else if (needsNewPass(answer) && !renewed) {
      keep.drop(`gs:pass:${live?.event.code}`);
      renewed = true;
    } else if (isRefusal(answer)) await refused(key, mine, answer.body);
    else throw new Later(answer.retryAfterMs);
    changed();
  }
  for (const key of those((mine) => mine.doubt)) await inDoubt(key);
}

async function pass() {
  const key = `gs:pass:${live?.event.code}`;
  const kept = keep.get(key);
  if (kept) return kept.pass;
  const answer = await ask(`/api/v1/live/${live?.event.code}/passes`, "", {});
  if (answer.status !== 201 || !answer.body?.pass) throw new Later(answer.retryAfterMs);
  keep.set(key, answer.body);
  return answer.body.pass;
}

// A new pass is a new voter, so only when the server does not take the old one for this event at all
// (403: the code now belongs to another event than the one that gave the pass).
/** @param {Answer} answer */
const needsNewPass = ({ status, body }) => Boolean(body?.code) && (status === 401 || body.code === "pass_other_event");

// ------------------------------------------------------------------------------------------------ what became of it

/** @param {string} key @param {Saved} mine @param {{accepted_at:number, status:"received"|"counted"}} body */
function accepted(key, mine, body) {
  /** @type {Sent} */
  const done = { ...sent(mine), state: body.status, accepted_at: body.accepted_at };
  /** @type {Saved} */
  const kept = keep.get(key) ?? mine;
  if (kept.ballot === mine.ballot) keep.set(key, { ...kept, ...done, before: null, unsure: false });
  else keep.set(key, { ...kept, before: done, unsure: false });
  settle();
}

/** Not accepted, will not be counted: go back to what was. @param {string} key @param {Saved} mine @param {{code:string, detail?:string}} why */
async function refused(key, mine, why) {
  let stands = mine.before;
  if (mine.unsure) stands = await counted(mine) ?? stands;
  /** @type {Saved} */
  const kept = keep.get(key) ?? mine;
  if (kept.ballot !== mine.ballot) return;
  goBack(key, kept, stands, { code: why.code, detail: why.detail });
  refresh();
}

/** @param {string} key @param {Saved} mine @param {Sent|null} stands @param {{code:string, detail?:string}} refusal */
function goBack(key, mine, stands, refusal) {
  // What was refused never counts, so its revision is free: a quiz takes none but the first. Not so where a ballot may still be on its way.
  const revision = mine.unsure ? mine.revision : stands?.revision ?? 0;
  /** @type {Sent} */
  const nothing = { ballot: null, revision, picks: [], state: "none", accepted_at: null };
  keep.set(key, { ...mine, ...nothing, ...stands, revision, before: null, unsure: false, doubt: false, refusal });
}

/** The ballot of this voter that counts, as the server knows it. @param {Saved} mine @returns {Promise<Sent|null>} */
async function counted(mine) {
  const answer = await ask(`/api/v1/polls/${mine.poll}/ballots/mine?round=${mine.round}`, await pass());
  if (answer.status === 200 && answer.body?.ballot) {
    const { ballot, revision, picks, status } = answer.body;
    return { ballot, revision, picks, state: status, accepted_at: null };
  }
  if (answer.status === 404 && isRefusal(answer)) return null;
  throw new Later(answer.retryAfterMs);
}

/** "Counted" without asking anybody: the document says up to when everything is counted. */
export function settle() {
  for (const key of those((mine) => mine.state === "received" && !mine.doubt)) {
    /** @type {Saved} */
    const mine = keep.get(key);
    const at = mine.accepted_at ?? 0;
    const poll = live?.polls.find((one) => one.id === mine.poll);
    // When a round before this one ended is not in the document any more.
    const late = poll && (poll.round > mine.round || (poll.state === "closed" && poll.closed_at && at > poll.closed_at + CLOSE_GRACE_MS));
    const through = live && live.counted_through >= at;
    if (through && !late) keep.set(key, { ...mine, state: "counted" });
    else if (through || poll?.results?.status === "final") {
      keep.set(key, { ...mine, doubt: true });
      deliverSoon();
    }
  }
}

/** @param {string} key */
async function inDoubt(key) {
  /** @type {Saved} */
  const mine = keep.get(key);
  const stands = await counted(mine);
  /** @type {Saved} */
  const kept = keep.get(key) ?? mine;
  if (kept.ballot !== mine.ballot) return; // changed meanwhile
  if (stands?.ballot === mine.ballot) keep.set(key, { ...mine, state: "counted", doubt: false });
  else goBack(key, mine, stands, { code: "late" });
  changed();
}

/** A refusal that nobody has read yet, and of which question. @returns {{key:string, mine:Saved, why:{code:string, detail?:string}}|null} */
export function unread() {
  const [key] = those((mine) => mine.refusal);
  const mine = key && keep.get(key);
  return mine && { key, mine, why: mine.refusal };
}

/** @param {string} key */
export function read(key) {
  keep.set(key, { ...keep.get(key), refusal: null });
  changed();
}

/** Another tab voted, or was answered. @param {StorageEvent} event */
export const isOfBallots = (event) => event.key === null || event.key.startsWith("gs:ballot:");
