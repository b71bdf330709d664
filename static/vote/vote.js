// The audience app: join by code, vote by one tap, see the result.
// One file on purpose: a phone in a full stadium should have to ask for as little as possible.
// A vote is saved on this phone before it is sent, and resent with the same ballot id until the server has answered for it.

/**
 * @typedef {{id:string, text:string}} Choice
 * @typedef {{voters:number, status:"provisional"|"final", choices:{id:string, votes:number, percent:number}[]}} Results
 * @typedef {{id:string, kind:"single"|"multiple", question:string, state:"open"|"closed", round:number, opens_at:number|null,
 *   closes_at:number|null, closed_at:number|null, visibility:string, revealed:boolean,
 *   rules:{min:number, max:number, change:boolean}, choices:Choice[], results:Results|null}} Poll
 * @typedef {{event:{code:string, title:string, state:"live"|"ended", accent?:{light:string, dark:string}, logo?:string, rehearsal?:boolean}, now:number, version:number, counted_through:number,
 *   refresh_ms:number, current:string|null, polls:Poll[]}} Live
 * @typedef {{ballot:string|null, picks:string[], state:"none"|"saved"|"received"|"counted", accepted_at:number|null}} Sent
 * @typedef {Sent & {poll:string, round:number, revision:number, before:Sent|null, unsure:boolean}} Saved
 *   What this phone keeps for one poll and round. `before`: the last ballot the server has answered for.
 *   `unsure`: an earlier ballot was replaced before its answer came.
 */

const ANSWER_WITHIN_MS = 10_000; // then the outcome is unknown and the same ballot is sent again
const RETRY_FIRST_MS = 600;
const RETRY_LAST_MS = 20_000;
const KEPT_DOCUMENT_MS = 12 * 3600_000; // a reload without a network may show a document this old
const LONG_CHOICE = 44; // characters: then the numbers stand below
const NEAR_S = 10; // before the close
const NOTICE_MS = 5_000;

const WORDS_WITHIN_MS = 3_000; // then English has to do

/** @type {(id:string) => any} */
const $ = (id) => document.getElementById(id);

/** The code or the vanity name in the address. @type {string} */
let address = "";
/** @type {Live|null} */
let live = null;
let liveIsKept = false; // read from this phone, not yet from the server
let clockOffset = -Infinity; // server clock minus ours: the largest seen, because a cached document is older
let editing = false;

// ---------------------------------------------------------------------------------------------------- words

/** What this file says, in English; the page itself is English too. Another language is one more file, with both. @type {Record<string, string|Record<string, string>>} */
const en = {
  digits_first: "Type the 6 digits first.",
  digits_six: "A code has 6 digits. This one has {n}.",
  unknown_code: "We don't know the code {code}. Look at the screen again: it may have changed.",
  refused: "This vote was not accepted.",
  earlier: "Your earlier vote stands.",
  back: "Back online. You can go on.",
  offline: "No connection. You can still vote: it is saved here and sent later.",
  no_answer: "No answer yet. Trying again by itself.",
  soon: "Not open yet",
  open: "Open",
  closed: "Closed",
  your_vote: "Your vote: {step}",
  sending: "Saved. Sending … no need to refresh.",
  cleared: "Your vote is cleared.",
  not_voted: "You did not vote on this question.",
  no_votes: "No votes yet",
  voters: { one: "{n} voter", other: "{n} voters" },
  final: "final",
  provisional: "provisional",
  several: "several picks each, so the sum may pass 100%",
  after_vote: "You see the result once you have voted.",
  not_shown: "The presenter has not shown the result yet.",
  after_close: "The result is shown after voting closes.",
  will_show: "The presenter will show the result.",
  opens_in: "opens in {time}",
  left: "{time} left",
  at_most: "At most {n}. Take one away first.",
  more: { one: "Pick {n} more, then send.", other: "Pick {n} more, then send." },
  tap_one: "Tap one. Your tap is your vote.",
  press_enter: "Press Enter to send.",
  pick: "Pick {n}",
  pick_range: "Pick {min} to {n}",
  pick_any: "Pick as many as you like",
  pick_up_to: "Pick up to {n}",
  then_send: "{rule}, then send.",
  picked: { one: "{rule}. {n} picked.", other: "{rule}. {n} picked." },
};
const others = {
  de: () => import("/assets/vote/de.js"),
  fr: () => import("/assets/vote/fr.js"),
  es: () => import("/assets/vote/es.js"),
  ar: () => import("/assets/vote/ar.js"),
};
const locale = navigator.languages.find((one) => /^(en|de|fr|es|ar)\b/i.test(one)) ?? "en";
const language = locale.slice(0, 2).toLowerCase();
const number = new Intl.NumberFormat(locale);
const shares = new Intl.NumberFormat(locale, { style: "percent" });
const plural = new Intl.PluralRules(locale);
/** @type {Record<string, string|Record<string, string>>} */
let words = en;
let spoken = language === "en";

async function learn() {
  const other = await Promise.race([/** @type {any} */ (others)[language]?.(), new Promise((give) => setTimeout(give, WORDS_WITHIN_MS))]).catch(() => null);
  spoken = true;
  if (other) {
    words = { ...en, ...other.default };
    document.documentElement.lang = language;
    document.documentElement.dir = language === "ar" ? "rtl" : "ltr";
    for (const place of [document, $("choice").content]) {
      for (const element of place.querySelectorAll("[data-t]")) element.textContent = t(element.dataset.t);
    }
    $("steps").setAttribute("aria-label", t("where"));
  }
  draw();
}

/** @param {string} key @param {Record<string, string|number>} [values] `n` picks the plural @returns {string} */
function t(key, values = {}) {
  const text = words[key] ?? key;
  const form = typeof text === "string" ? text : text[plural.select(Number(values.n))] ?? text.other;
  return form.replace(/\{(\w+)\}/g, (_, name) => (typeof values[name] === "number" ? number.format(Number(values[name])) : String(values[name])));
}

// ---------------------------------------------------------------------------------------------------- join

function start() {
  address = readCode(decodeURIComponent(location.pathname.slice(1)));
  if (!address) return draw();
  const kept = keep.get(`gs:live:${address}`);
  if (kept && Date.now() - kept.at < KEPT_DOCUMENT_MS) [live, liveIsKept] = [kept.live, true];
  draw();
  refresh();
  if (live) deliver();
}

/** Forgives spaces and dashes between digits. @param {string} typed */
function readCode(typed) {
  const text = typed.trim().toLowerCase().replace(/[\u0660-\u0669\u06f0-\u06f9]/g, (digit) => String(digit.charCodeAt(0) & 15)); // Arabic digits
  return /^[\d\s-]+$/.test(text) ? text.replace(/\D/g, "") : text.replace(/\s+/g, "-");
}

$("join").addEventListener("submit", (/** @type {Event} */ event) => {
  event.preventDefault();
  const typed = readCode($("code").value);
  const digits = /^\d*$/.test(typed);
  if (!typed) return complain(t("digits_first"));
  if (digits && typed.length !== 6) return complain(t("digits_six", { n: typed.length }));
  complain("");
  history.pushState(null, "", `/${encodeURIComponent(typed)}`);
  live = null;
  start();
});

/** @param {string} text */
function complain(text) {
  $("join-error").textContent = text;
  $("code").toggleAttribute("aria-invalid", text !== "");
  if (text) $("code").focus();
}

// ------------------------------------------------------------------------------------------------ the document

let refreshTimer = 0;
let refreshing = false;
let misses = 0;

async function refresh() {
  clearTimeout(refreshTimer);
  if (!address || refreshing || document.hidden) return;
  refreshing = true;
  let least = 0;
  try {
    const answer = await ask(`/api/v1/live/${encodeURIComponent(address)}`);
    if (answer.status === 200 && answer.body?.event) take(answer.body);
    else if (answer.status === 404 && answer.body?.code) return turnAway();
    else throw new Later(answer.retryAfterMs);
    connected(true);
  } catch (error) {
    if (!(error instanceof Later)) throw error;
    misses += 1;
    least = error.afterMs;
    if (misses > 1 || !navigator.onLine) connected(false);
  } finally {
    refreshing = false;
  }
  const wait = live?.refresh_ms ?? 2000;
  const slower = Math.min(misses, 4); // gently: the outage may be ours
  refreshTimer = window.setTimeout(refresh, least + wait * 2 ** slower * (0.8 + 0.4 * Math.random()));
}

/** @param {Live} next */
function take(next) {
  clockOffset = Math.max(clockOffset, next.now - Date.now());
  const newer = !live || liveIsKept || next.version > live.version
    || (next.version === live.version && next.counted_through >= live.counted_through);
  if (!newer) return;
  const first = !live || liveIsKept;
  [live, liveIsKept] = [next, false];
  keep.set(`gs:live:${address}`, { at: Date.now(), live });
  markCounted();
  draw();
  if (first) deliver(); // joined: fetch the pass now, so that the tap is one request
}

function turnAway() {
  const code = grouped(address);
  [live, address] = [null, ""];
  draw();
  $("code").value = code;
  complain(t("unknown_code", { code: `\u2068${code}\u2069` })); // the marks keep it whole in a text from right to left
}

const serverNow = () => Date.now() + (clockOffset === -Infinity ? 0 : clockOffset);

/** @param {Poll} poll */
function phase(poll) {
  const now = serverNow();
  if (poll.closes_at && now >= poll.closes_at) return "closed";
  if (poll.opens_at && now < poll.opens_at) return "soon";
  if (poll.state === "open") return "open";
  return poll.closed_at ? "closed" : "soon"; // a new round starts closed and was never open
}

// ------------------------------------------------------------------------------------------------ the vote

const ballotKeys = () => keep.keys(`gs:ballot:${live?.event.code}:`);

/** @param {Poll} poll */
const ballotKey = (poll) => `gs:ballot:${live?.event.code}:${poll.id}:${poll.round}`;

/** Saves first, then sends. @param {Poll} poll @param {string[]} picks */
function cast(poll, picks) {
  const key = ballotKey(poll);
  /** @type {Saved|null} */
  const old = keep.get(key);
  const answered = old && (old.state === "received" || old.state === "counted");
  keep.set(key, {
    poll: poll.id, round: poll.round, ballot: uuid(), revision: (old?.revision ?? 0) + 1, picks, state: "saved", accepted_at: null,
    before: answered ? sent(old) : old?.before ?? null, unsure: old?.state === "saved",
  });
  sessionStorage.removeItem(`gs:draft:${key}`);
  editing = false;
  told = "";
  hideRefusal();
  draw();
  deliver();
}

/** @param {Sent} ballot @returns {Sent} */
const sent = ({ ballot, picks, state, accepted_at }) => ({ ballot, picks, state, accepted_at });

const waiting = () => ballotKeys().filter((key) => keep.get(key)?.state === "saved");

let delivering = false;
let failures = 0;
let deliverTimer = 0;

/** Fetches the pass if there is none, then empties the outbox. Safe to call at any time. */
async function deliver() {
  clearTimeout(deliverTimer);
  if (delivering || !live || (live.event.state === "ended" && !waiting().length)) return;
  delivering = true;
  try {
    await alone(empty);
    failures = 0;
  } catch (error) {
    if (!(error instanceof Later)) throw error;
    failures += 1;
    const most = Math.min(RETRY_LAST_MS, RETRY_FIRST_MS * 2 ** failures);
    deliverTimer = window.setTimeout(deliver, error.afterMs + Math.random() * most); // full jitter
  } finally {
    delivering = false;
    draw();
  }
  if (failures === 0 && waiting().length) deliver(); // tapped while the last answer was on its way
}

/** One tab at a time, where the browser can tell. @param {() => Promise<void>} work */
const alone = (work) => navigator.locks ? navigator.locks.request(`gs:send:${live?.event.code}`, work) : work();

async function empty() {
  await pass();
  let renewed = false;
  for (let key = waiting()[0]; key; key = waiting()[0]) {
    /** @type {Saved} */
    const mine = keep.get(key);
    const { ballot, revision, picks, round } = mine;
    const answer = await ask(`/api/v1/polls/${mine.poll}/ballots`, await pass(), { ballot, revision, picks, round });
    if (answer.status < 300 && answer.body?.ballot === ballot) accepted(key, mine, answer.body);
    else if (needsNewPass(answer) && !renewed) {
      keep.drop(`gs:pass:${live?.event.code}`);
      renewed = true;
    } else if (isFinal(answer)) await refused(key, mine, answer.body);
    else throw new Later(answer.retryAfterMs);
    draw();
  }
}

// A new pass is a new voter, so only when the server does not take the old one for this event at all
// (403: the code now belongs to another event than the one that gave the pass).
/** @param {Answer} answer */
const needsNewPass = ({ status, body }) => Boolean(body?.code) && (status === 401 || body.code === "pass_other_event");

// Only a problem document is the product speaking: a hotel network's login page is not.
/** @param {Answer} answer */
const isFinal = ({ status, body }) => status >= 400 && status < 500 && status !== 429 && Boolean(body?.code);

/** @param {string} key @param {Saved} mine @param {{accepted_at:number, status:"received"|"counted"}} body */
function accepted(key, mine, body) {
  /** @type {Sent} */
  const done = { ballot: mine.ballot, picks: mine.picks, state: body.status, accepted_at: body.accepted_at };
  /** @type {Saved} */
  const kept = keep.get(key);
  if (kept.ballot === mine.ballot) keep.set(key, { ...kept, ...done, before: null, unsure: false });
  else keep.set(key, { ...kept, before: done, unsure: false });
  markCounted();
}

/** Not accepted, will not be counted: go back to what was. @param {string} key @param {Saved} mine @param {{code:string, detail?:string}} why */
async function refused(key, mine, why) {
  /** @type {Sent} */
  let back = mine.before ?? { ballot: null, picks: [], state: "none", accepted_at: null };
  if (mine.unsure) {
    const answer = await ask(`/api/v1/polls/${mine.poll}/ballots/mine`, await pass());
    if (answer.status === 200) back = { ...answer.body, state: answer.body.status, accepted_at: null };
    else if (!isFinal(answer)) throw new Later(answer.retryAfterMs);
  }
  const kept = keep.get(key);
  if (kept.ballot === mine.ballot) keep.set(key, { ...kept, ...sent(back), before: null, unsure: false });
  const said = words[`code_${why.code}`] ?? (language === "en" && why.detail);
  showRefusal(`${said || t("refused")}${back.picks.length ? ` ${t("earlier")}` : ""}`);
  refresh();
}

/** "Counted" without asking anybody: the document says up to when everything is counted. */
function markCounted() {
  for (const key of ballotKeys()) {
    const kept = keep.get(key);
    if (kept?.state === "received" && live && live.counted_through >= (kept.accepted_at ?? 0)) keep.set(key, { ...kept, state: "counted" });
  }
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

// ------------------------------------------------------------------------------------------------ the network

/** The outcome is unknown or the server is full: the same again, later. */
class Later extends Error {
  constructor(afterMs = 0) {
    super("later");
    this.afterMs = afterMs;
  }
}

/**
 * @typedef {{status:number, body:any, retryAfterMs:number}} Answer
 * @param {string} url @param {string} [token] @param {object} [body] @returns {Promise<Answer>}
 */
async function ask(url, token, body) {
  const stop = new AbortController();
  const timer = setTimeout(() => stop.abort(), ANSWER_WITHIN_MS);
  /** @type {Record<string, string>} */
  const headers = {};
  if (token) headers.authorization = `Bearer ${token}`;
  if (body) headers["content-type"] = "application/json";
  try {
    const answer = await fetch(url, { method: body ? "POST" : "GET", headers, body: body && JSON.stringify(body), signal: stop.signal, credentials: "omit",
      // Ask each time (a 304 is small): with stale-while-revalidate the browser would answer from its own cache while it is offline.
      cache: "no-cache" });
    const isJson = /json/.test(answer.headers.get("content-type") ?? "");
    return { status: answer.status, body: isJson ? await answer.json() : null, retryAfterMs: 1000 * (Number(answer.headers.get("retry-after")) || 0) };
  } catch {
    throw new Later();
  } finally {
    clearTimeout(timer);
  }
}

let wasLost = false;
let connectionTimer = 0;

/** @param {boolean} there */
function connected(there) {
  if (there) misses = 0;
  if (there === !wasLost) return;
  wasLost = !there;
  clearTimeout(connectionTimer);
  const box = $("connection");
  box.hidden = false;
  box.textContent = t(there ? "back" : live ? "offline" : "no_answer");
  if (there) connectionTimer = window.setTimeout(() => { box.hidden = true; }, NOTICE_MS);
}

function wake() {
  refresh();
  deliver();
}

addEventListener("online", wake);
addEventListener("pageshow", (event) => { if (event.persisted) wake(); });
addEventListener("offline", () => connected(false));
addEventListener("popstate", () => location.reload());
addEventListener("storage", (event) => { if (event.key?.startsWith("gs:ballot:")) draw(); }); // another tab voted
document.addEventListener("visibilitychange", () => { if (!document.hidden) wake(); });

// ------------------------------------------------------------------------------------------------ on the screen

function draw() {
  if (!spoken) return;
  const poll = live?.polls.find((one) => one.id === live?.current);
  $("title").textContent = document.title = live?.event.title || "Groundswell";
  if (live) drawLook(live.event);
  if (!live) return show(address ? "loading" : "join");
  if (live.event.state === "ended") return show("ended");
  if (!poll) return show("waiting");
  show("poll");
  drawPoll(poll);
}

/** The event's own colour and logo, and the mark that it is only a rehearsal. @param {Live["event"]} event */
function drawLook({ accent, logo, rehearsal }) {
  for (const theme of /** @type {const} */ (["light", "dark"])) document.documentElement.style.setProperty(`--accent-${theme}`, accent?.[theme] ?? "");
  if (logo && $("logo").getAttribute("src") !== logo) $("logo").src = logo;
  $("logo").hidden = !logo;
  document.querySelector(".mark")?.toggleAttribute("hidden", Boolean(logo));
  $("rehearsal").hidden = !rehearsal;
}

/** @param {string} name */
function show(name) {
  for (const section of document.querySelectorAll("main > section")) {
    /** @type {HTMLElement} */ (section).hidden = section.id !== `screen-${name}`;
  }
  $("dock").hidden = name !== "poll";
  if (name === "join" && document.activeElement === document.body) $("code").focus();
}

let drawn = { poll: "", voting: false, step: "" };

/** Changes only what changed: a half-made ballot stays as it is. @param {Poll} poll */
function drawPoll(poll) {
  const key = ballotKey(poll);
  /** @type {Saved|null} */
  const mine = keep.get(key);
  const now = phase(poll);
  const voted = Boolean(mine?.picks.length);
  const focused = document.activeElement;
  if (drawn.poll !== key) {
    editing = false;
    told = "";
    $("choices").replaceChildren();
  }
  if (now !== "open") editing = false;
  const voting = now === "open" && (!voted || editing);
  const rows = drawChoices(poll);
  if (drawn.poll !== key || drawn.voting !== voting || !voting) {
    const ticked = voting ? draft(key) ?? mine?.picks ?? [] : mine?.picks ?? [];
    for (const [id, row] of rows) row.input.checked = ticked.includes(id);
  }
  $("ballot").dataset.kind = poll.kind;
  setText("question", poll.question);
  setText("poll-state", t(now));
  $("poll-state").dataset.phase = now;
  setText("hint", voting ? told || howMany(poll) : "");
  $("choices-set").disabled = !voting;
  for (const [id, row] of rows) row.label.classList.toggle("is-mine", !voting && voted && Boolean(mine?.picks.includes(id)));
  drawActions(poll, now, mine, voting);
  if (focused?.closest("[hidden], fieldset:disabled")) $("voters").focus({ preventScroll: true }); // the next Tab is "Change my vote"
  drawReceipt(now, mine, drawn.poll === key);
  drawResults(poll, rows, voted || now === "closed");
  drawClock();
  drawn = { poll: key, voting, step: mine?.state ?? "none" };
}

/** @typedef {{label:HTMLElement, input:HTMLInputElement}} Row */

/** @param {Poll} poll @returns {Map<string, Row>} */
function drawChoices(poll) {
  const list = $("choices");
  const there = new Map(Array.from(list.children, (/** @type {HTMLElement} */ label) => [label.dataset.choice, label]));
  const rows = new Map();
  poll.choices.forEach((choice, at) => {
    const label = there.get(choice.id) ?? newRow(poll, choice);
    there.delete(choice.id);
    if (list.children[at] !== label) list.insertBefore(label, list.children[at] ?? null);
    label.dataset.hue = String((at % 8) + 1);
    label.querySelector(".letter").textContent = letter(at);
    label.querySelector(".text").textContent = choice.text;
    label.classList.toggle("is-long", choice.text.length > LONG_CHOICE);
    rows.set(choice.id, { label, input: label.querySelector("input") });
  });
  for (const gone of there.values()) gone.remove();
  return rows;
}

/** @param {Poll} poll @param {Choice} choice */
function newRow(poll, choice) {
  const label = $("choice").content.firstElementChild.cloneNode(true);
  const input = label.querySelector("input");
  input.type = poll.kind === "multiple" ? "checkbox" : "radio";
  input.name = "pick";
  input.value = choice.id;
  label.dataset.choice = choice.id;
  return label;
}

/** @param {Poll} poll @param {string} now @param {Saved|null} mine @param {boolean} voting */
function drawActions(poll, now, mine, voting) {
  const voted = Boolean(mine?.picks.length);
  const mayChange = now === "open" && voted && poll.rules.change && !editing;
  $("send").hidden = !(voting && (poll.kind === "multiple" || $("ballot").dataset.arrows));
  $("change").hidden = $("clear").hidden = !mayChange;
  $("keep").hidden = !editing;
  // Without a vote and without a button there is nothing to show at the thumb.
  $("dock").hidden = $("send").hidden && $("keep").hidden && !mine && !(now === "closed");
}

/** @param {string} now @param {Saved|null} mine @param {boolean} samePoll */
function drawReceipt(now, mine, samePoll) {
  const step = mine?.state ?? "none";
  const order = ["saved", "received", "counted"];
  $("receipt").hidden = step === "none" && now !== "closed";
  $("steps").hidden = step === "none";
  for (const item of $("steps").children) {
    const at = order.indexOf(item.dataset.step) - order.indexOf(step);
    item.classList.toggle("is-done", at <= 0);
    if (at === 0) item.setAttribute("aria-current", "step");
    else item.removeAttribute("aria-current");
  }
  const cleared = step !== "none" && !mine?.picks.length;
  setText("receipt-note",
    step === "saved" && failures ? t("sending") : cleared ? t("cleared") : now === "closed" && step === "none" ? t("not_voted") : "");
  if (samePoll && drawn.step !== step && step !== "none") setText("say", cleared ? t("cleared") : t("your_vote", { step: part($("steps"), `[data-step="${step}"]`).textContent ?? "" }));
}

/** @param {Poll} poll @param {Map<string, Row>} rows @param {boolean} mayShow */
function drawResults(poll, rows, mayShow) {
  const results = poll.visibility === "after_vote" && !poll.revealed && !mayShow ? null : poll.results;
  const counts = new Map(results?.choices.map((one) => [one.id, one]));
  for (const [id, { label }] of rows) {
    const votes = counts.get(id)?.votes || 0;
    const percent = counts.get(id)?.percent || 0;
    part(label, ".percent").textContent = results ? shares.format(percent / 100) : "";
    part(label, ".votes").textContent = results ? number.format(votes) : "";
    label.style.setProperty("--share", String(results ? Math.min(percent, 100) / 100 : 0));
  }
  const closed = phase(poll) === "closed";
  setText("voters", results
    ? (results.voters ? [t("voters", { n: results.voters }), t(results.status), ...(poll.kind === "multiple" ? [t("several")] : [])].join(" · ") : t("no_votes"))
    : t(poll.visibility === "after_vote" ? "after_vote" : closed ? "not_shown" : poll.visibility === "after_close" ? "after_close" : "will_show"));
}

let clockTimer = 0;

/** Opens and closes by the server's clock, with no request. */
function drawClock() {
  clearTimeout(clockTimer);
  const poll = live?.polls.find((one) => one.id === live?.current);
  const now = poll && phase(poll);
  const until = now === "soon" ? poll?.opens_at : now === "open" ? poll?.closes_at : null;
  if (!until) {
    $("clock").removeAttribute("data-near");
    return setText("clock", "");
  }
  const left = Math.max(0, Math.ceil((until - serverNow()) / 1000));
  setText("clock", t(now === "soon" ? "opens_in" : "left", { time: `${Math.floor(left / 60)}:${String(left % 60).padStart(2, "0")}` }));
  $("clock").toggleAttribute("data-near", now === "open" && left <= NEAR_S);
  clockTimer = window.setTimeout(() => (until <= serverNow() ? draw() : drawClock()), 250);
}

// ------------------------------------------------------------------------------------------------ hands on the screen

const currentPoll = () => live?.polls.find((one) => one.id === live?.current);
const picked = () => Array.from($("choices").querySelectorAll("input:checked"), (/** @type {HTMLInputElement} */ input) => input.value);

// Arrow keys move between radios and must not vote; a tap, a click, Space or Enter does.
let byArrow = false;
$("ballot").addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => { byArrow = event.key.startsWith("Arrow"); });
$("ballot").addEventListener("keyup", () => { byArrow = false; });

$("choices").addEventListener("click", (/** @type {Event} */ event) => {
  const input = /** @type {HTMLInputElement} */ (event.target);
  const poll = currentPoll();
  if (!poll || input.tagName !== "INPUT") return;
  if (poll.kind === "multiple") return tick(poll, input, event);
  if (byArrow) {
    $("ballot").dataset.arrows = "yes";
    return draw();
  }
  send(poll, [input.value]);
});

/** @param {Poll} poll @param {HTMLInputElement} input @param {Event} event */
function tick(poll, input, event) {
  if (input.checked && picked().length > poll.rules.max) {
    event.preventDefault();
    return tell(t("at_most", { n: poll.rules.max }));
  }
  const key = ballotKey(poll);
  try { sessionStorage.setItem(`gs:draft:${key}`, JSON.stringify(picked())); } catch { /* then it lives in the page only */ }
  tell("");
}

$("ballot").addEventListener("submit", (/** @type {Event} */ event) => {
  event.preventDefault();
  const poll = currentPoll();
  if (poll) send(poll, picked());
});

/** @param {Poll} poll @param {string[]} picks */
function send(poll, picks) {
  const { min, max } = poll.rules;
  if (phase(poll) !== "open") return draw();
  if (picks.length < Math.max(1, min)) return tell(t("more", { n: Math.max(1, min) - picks.length }));
  if (picks.length > max) return tell(t("at_most", { n: max }));
  const mine = keep.get(ballotKey(poll));
  const same = mine?.picks.length && [...mine.picks].sort().join() === [...picks].sort().join();
  delete $("ballot").dataset.arrows;
  if (same) return stopEditing();
  cast(poll, picks);
}

function stopEditing() {
  const poll = currentPoll();
  if (poll) sessionStorage.removeItem(`gs:draft:${ballotKey(poll)}`);
  editing = false;
  draw();
}

$("change").addEventListener("click", () => {
  editing = true;
  draw();
  ($("choices").querySelector("input:checked") ?? $("choices").querySelector("input")).focus({ preventScroll: true });
});
$("keep").addEventListener("click", stopEditing);
$("clear").addEventListener("click", () => {
  const poll = currentPoll();
  if (poll) cast(poll, []);
});

let told = ""; // stays until the next tap

/** @param {string} text */
function tell(text) {
  told = text;
  draw();
  setText("say", $("hint").textContent);
}

/** @param {Poll} poll */
function howMany(poll) {
  const { min, max } = poll.rules;
  const ticked = picked().length;
  if (poll.kind === "single") return t($("ballot").dataset.arrows ? "press_enter" : "tap_one");
  const rule = min === max ? t("pick", { n: max }) : min > 1 ? t("pick_range", { min, n: max }) : max >= poll.choices.length ? t("pick_any") : t("pick_up_to", { n: max });
  return ticked ? t("picked", { rule, n: ticked }) : t("then_send", { rule });
}

/** @param {string} detail */
function showRefusal(detail) {
  $("refusal").hidden = false;
  $("refusal").firstElementChild.textContent = detail;
}
const hideRefusal = () => { $("refusal").hidden = true; };
$("refusal").lastElementChild.addEventListener("click", hideRefusal);

// ------------------------------------------------------------------------------------------------ small things

/** localStorage, or this page's memory where it is forbidden. */
const memory = new Map();
const keep = {
  /** @param {string} key */
  get(key) {
    try {
      const text = localStorage.getItem(key);
      if (text) return JSON.parse(text);
    } catch { /* fall through */ }
    return memory.get(key) ?? null;
  },
  /** @param {string} key @param {unknown} value */
  set(key, value) {
    memory.set(key, value);
    try { localStorage.setItem(key, JSON.stringify(value)); } catch { /* memory has it */ }
  },
  /** @param {string} key */
  drop(key) {
    memory.delete(key);
    try { localStorage.removeItem(key); } catch { /* it was never there */ }
  },
  /** @param {string} prefix */
  keys(prefix) {
    let all = [...memory.keys()];
    try { all = all.concat(Object.keys(localStorage)); } catch { /* memory only */ }
    return [...new Set(all)].filter((key) => key.startsWith(prefix));
  },
};

/** @param {string} key @returns {string[]|null} */
function draft(key) {
  try { return JSON.parse(sessionStorage.getItem(`gs:draft:${key}`) ?? "null"); } catch { return null; }
}

/** @param {Element} inside @param {string} where */
const part = (inside, where) => /** @type {Element} */ (inside.querySelector(where));

/** @param {string} id @param {string} text */
function setText(id, text) {
  if ($(id).textContent !== text) $(id).textContent = text;
}

/** A to Z, then AA. @param {number} at @returns {string} */
const letter = (at) => (at < 26 ? "" : letter(Math.floor(at / 26) - 1)) + String.fromCharCode(65 + (at % 26));

/** @param {string} code */
const grouped = (code) => (/^\d{6}$/.test(code) ? `${code.slice(0, 3)} ${code.slice(3)}` : code);

/** By hand: crypto.randomUUID is missing on plain http, where a laptop in a meeting room serves. */
function uuid() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 15) | 64;
  bytes[8] = (bytes[8] & 63) | 128;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}

start();
learn();
