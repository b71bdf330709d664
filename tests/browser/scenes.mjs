// Every screen in every state that matters, for looking at and for axe. A scene is an address, what the API says, and a few hands.

import { readFileSync } from "node:fs";

/** @typedef {import("./theatre.mjs").Api} Api */
/** @typedef {import("playwright-core").Page} Page */
/** @typedef {"phone"|"small"|"side"|"tablet"|"laptop"|"projector"|"cinema"|"zoomed"|"tiny"} Size */
/**
 * @typedef {{name:string, path:string, sizes:Size[], api:Api, keep?:Record<string, unknown>, lang?:string, zone?:string, hands?:(page:Page, theatre:import("./theatre.mjs").Theatre) => Promise<unknown>,
 *   ready?:string, after_ms?:number, full?:boolean}} Scene
 */

const CODE = "482913";
const EVENT = "8f3k2m9qx1c70";
const NOW = () => Date.now();

const SHORT = ["Cowboys", "Pirates", "Robots", "Detectives", "Astronauts", "Ghosts", "Penguins", "Wizards", "Gardeners", "Lighthouse keepers", "Bakers", "Cellists",
  "Smugglers", "Weavers", "Divers", "Juggling accountants", "Painters", "Cartographers", "Otters", "Nobody at all"];
const LONG = [
  "We keep the release date, cut the three features that nobody asked for in the last survey, and ship what is left with proper manuals",
  "We move the release by four weeks, keep every feature, and tell the customers this Friday before they read it somewhere else on the internet",
  "We ship the core on the planned date and deliver the remaining features one by one in the autumn, each with its own small announcement",
  "We ask the ten largest customers first, wait for their answers, and decide next week in a smaller group with the figures on the table",
  "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft",
  "👩‍🚀 We take everybody along 🚀 even if it takes longer 🐢",
];
const longs = (/** @type {number} */ n) => Array.from({ length: n }, (_, at) => (at < LONG.length ? LONG[at] : `${at + 1}. ${LONG[at % 4]}`).slice(0, 140));
const LONG_QUESTION = "What should we do about the release that was planned for the end of the month, given everything we heard this week from customers, from support and from the people who have to build it while the old one still runs?";
const ARABIC = ["رعاة البقر", "القراصنة", "الروبوتات", "المحققون في المدينة القديمة"];

/** @param {string[]} texts @param {number[]|null} votes @param {object} [more] */
function poll(texts, votes, more = {}) {
  const id = /** @type {any} */ (more).id ?? "8f3k2m9qx1c7v";
  const kind = /** @type {any} */ (more).kind ?? "single";
  const voters = /** @type {any} */ (more).voters ?? (votes ? votes.reduce((sum, one) => sum + one, 0) : 0);
  const choices = texts.map((text, at) => ({ id: `${id}-${at + 1}`, text }));
  const exact = (votes ?? []).map((one) => (voters ? (100 * one) / voters : 0));
  const percents = kind === "multiple" ? exact.map(Math.round) : largestRemainder(exact);
  return {
    id, kind, question: "Which ending?", state: "open", round: 1, opens_at: null, closes_at: null, closed_at: null, visibility: "live", revealed: true, position: 0, event: EVENT,
    rules: { min: 1, max: kind === "multiple" ? 3 : 1, change: true }, locked: Boolean(voters), choices,
    results: votes && { voters, status: "provisional", choices: choices.map((choice, at) => ({ id: choice.id, votes: votes[at] ?? 0, percent: percents[at] ?? 0 })) },
    books: { received: voters, counted: voters, superseded: 0, duplicate: 0, late: 0, status: "provisional" },
    ...more,
  };
}

/** @param {number[]} exact */
function largestRemainder(exact) {
  const floors = exact.map(Math.floor);
  let left = Math.round(exact.reduce((sum, one) => sum + one, 0)) - floors.reduce((sum, one) => sum + one, 0);
  // As the server does it: equals get the same.
  for (const part of [...new Set(exact)].sort((a, b) => (b % 1) - (a % 1))) {
    const equals = exact.flatMap((one, at) => (one === part ? [at] : []));
    if (left <= 0 || (equals.length > left && part % 1 < 0.5)) break;
    for (const at of equals) floors[at] += 1;
    left -= equals.length;
  }
  return floors;
}

/** @param {any[]} polls @param {object} [more] */
const live = (polls, more = {}) => ({
  event: { code: CODE, slug: null, title: "Friday all-hands", state: "live" }, now: NOW(), version: 1042, counted_through: NOW() - 200, refresh_ms: 1000,
  current: polls[0]?.id ?? null, join_url: "https://vote.example.org/482913", polls, ...more,
});

const falling = (/** @type {number} */ n, /** @type {number} */ top) => Array.from({ length: n }, (_, at) => Math.round((top * (1 + ((at * 7) % 5))) / (1 + (at % 9))));

/** As the server draws it for https://vote.example.org/482913: it can be scanned. */
const QR = readFileSync(new URL("qr.svg", import.meta.url), "utf8");

/** @param {() => any} document @returns {Api} */
const audience = (document) => ({ method, path }) => {
  if (path === `live/${CODE}`) return { json: document() };
  if (path.endsWith("qr.svg")) return { svg: QR };
  if (path.endsWith("/passes")) return { status: 201, json: { pass: "p", voter: "v", level: "open" } };
  if (path.endsWith("/ballots") && method === "POST") return { status: 202, json: { ballot: "b", accepted_at: NOW(), status: "counted" } };
  return undefined;
};

/** @type {any} what is on the big screen beside the poll */
let chosen;

/** @param {() => any} document @returns {Api} */
const stage = (document) => ({ method, path, body }) => {
  if (path === `events/${EVENT}/live`) return { json: document() };
  if (path === `events/${EVENT}/stream`) return { stream: document() };
  if (path.endsWith("qr.svg") || path.endsWith("remote.svg")) return { svg: QR };
  if (method === "PUT") return { json: {} };
  if (method === "PATCH" && path === `events/${EVENT}/view`) {
    // Who has heard of no choice yet says all of what it shows.
    const before = body.numbers && "size" in body ? { edition: 2000, joining: false, blank: false, sorted: false, earlier: true } : chosen;
    chosen = { ...before, ...body, edition: before.edition + 1 };
    return { json: { view: chosen } };
  }
  return undefined;
};

/** What a phone keeps of a vote. @param {any} one @param {number[]} picks @param {"saved"|"received"|"counted"} state */
const voted = (one, picks, state) => ({
  [`gs:ballot:${CODE}:${one.id}:${one.round}`]: { poll: one.id, round: one.round, ballot: "b", revision: 1, picks: picks.map((at) => one.choices[at].id), state, accepted_at: NOW() - 60_000, before: null, unsure: false },
  [`gs:pass:${CODE}`]: { pass: "p", voter: "v", level: "open" },
});

/** With a round before it. @param {any} one @param {number[]} votes of that one */
const shift = (one, votes) => ({ ...one, results: { ...one.results, before: { round: one.round - 1, voters: votes.reduce((sum, n) => sum + n, 0), choices: poll(one.choices.map((/** @type {any} */ choice) => choice.text), votes, { id: one.id }).results?.choices } } });

/** After a discussion. */
const secondRound = () => shift(final(poll(SHORT.slice(0, 4), [120, 610, 190, 42], { round: 2 })), [412, 345, 200, 3]);

/** @type {Scene[]} */
const phones = [];
/** @param {string} name @param {any[]} polls @param {Partial<Scene> & {more?:object}} [about] */
function phone(name, polls, { more = {}, ...about } = {}) {
  phones.push({ name: `vote-${name}`, path: `/${CODE}`, sizes: ["phone"], api: audience(() => live(polls, { ...more, now: NOW(), counted_through: NOW() - 200 })), ready: "main > section:not([hidden]):not(#screen-loading)", ...about });
}
const closed = { state: "closed", closed_at: NOW() - 60_000 };
const final = (/** @type {any} */ one) => ({ ...one, ...closed, results: { ...one.results, status: "final" } });

phones.push({ name: "vote-join", path: "/", sizes: ["phone", "small", "laptop"], api: () => undefined, ready: "#screen-join" });
phones.push({ name: "vote-wrong-code", path: "/111111", sizes: ["phone"], api: () => undefined, ready: "#join-error:not(:empty)" });
phones.push({ name: "vote-no-answer", path: `/${CODE}`, sizes: ["phone"], api: () => ({ hang: true }), ready: "#screen-loading", after_ms: 4000 });
phone("waiting", [], { sizes: ["phone", "laptop"] });
phone("ended", [], { more: { event: { code: CODE, slug: null, title: "Friday all-hands", state: "ended" } } });
phone("soon", [], { api: audience(() => live([poll(SHORT.slice(0, 3), [0, 0, 0], { opens_at: NOW() + 90_000 })])) }); // from when it is looked at
phone("one-vote", [poll(["Yes", "No"], [1, 0])]);
phone("two", [poll(["Yes", "No"], [0, 0])], { sizes: ["phone", "small", "tablet"] });
phone("question", [poll(SHORT.slice(0, 4), [0, 0, 0, 0])], { sizes: ["phone", "small", "laptop"] });
phone("six-long", [poll(longs(6), [12, 30, 7, 0, 3, 9])], { sizes: ["phone", "small"], full: true });
phone("twenty", [poll(SHORT, falling(20, 50))], { full: true });
{
  const twenty = poll(SHORT, falling(20, 50));
  phone("twenty-counted", [twenty], { keep: voted(twenty, [14], "counted") });
  const four = poll(SHORT.slice(0, 4), [412_000, 345_678, 200_321, 42_001]);
  phone("million", [four], { keep: voted(four, [1], "counted"), sizes: ["phone", "small", "laptop"] });
  const saved = poll(SHORT.slice(0, 4), [40, 30, 20, 10]);
  phone("saved", [saved], { keep: voted(saved, [1], "saved"), api: ({ path }) => (path === `live/${CODE}` ? { json: live([saved]) } : { hang: true }), after_ms: 1500 });
  phone("received", [saved], { keep: { ...voted(saved, [1], "received"), [`gs:ballot:${CODE}:${saved.id}:1`]: { ...Object.values(voted(saved, [1], "received"))[0], accepted_at: NOW() + 600_000 } } });
  phone("changing", [saved], { keep: voted(saved, [1], "counted"), hands: (page) => page.getByTestId("change").click() });
  phone("closed", [final(saved)], { keep: voted(saved, [1], "counted") });
  phone("closed-not-voted", [final(saved)]);
  const hidden = { ...poll(SHORT.slice(0, 4), null, { visibility: "hidden", revealed: false }), results: null };
  phone("hidden-counted", [hidden], { keep: voted(hidden, [0], "counted") });
  phone("offline", [saved], { keep: voted(saved, [1], "counted"), hands: async (page) => { await page.context().setOffline(true); await page.getByTestId("connection").waitFor(); } });
  const many = poll(SHORT.slice(0, 6), null, { kind: "multiple", visibility: "after_close", results: null });
  phone("several", [many], { sizes: ["phone", "small"], hands: async (page) => { for (const at of [0, 2]) await page.locator("#choices input").nth(at).click({ force: true }); } });
  const manyDone = poll(SHORT.slice(0, 6), [70, 20, 61, 5, 0, 44], { kind: "multiple", voters: 90 });
  phone("several-closed", [final(manyDone)], { keep: voted(manyDone, [0, 2], "counted") });
  phone("countdown", [poll(SHORT.slice(0, 3), [3, 4, 5], { closes_at: NOW() + 600_000 })]);
  const arabic = poll(ARABIC, [40, 30, 20, 10], { question: "أي نهاية تفضل؟" });
  phone("arabic", [arabic], { lang: "ar", keep: voted(arabic, [1], "counted"), sizes: ["phone", "small"] });
  phone("arabic-several", [poll(ARABIC, null, { question: "أي نهاية تفضل؟", kind: "multiple", visibility: "after_close", results: null })], { lang: "ar", hands: (page) => page.locator("#choices input").nth(1).click({ force: true }) });
  phones.push({ name: "vote-arabic-join", path: "/", sizes: ["phone"], api: () => undefined, ready: "#screen-join", lang: "ar" });
  phone("long-question", [poll(["👍 Yes", "👎 No", "🤷 Hard to say 🌊🌊🌊"], [0, 0, 0], { question: LONG_QUESTION })], { sizes: ["phone", "small"] });
  phone("after-vote", [poll(SHORT.slice(0, 3), [3, 4, 5], { visibility: "after_vote", revealed: false })]);
  phone("near", [], { api: audience(() => live([poll(SHORT.slice(0, 3), [3, 4, 5], { closes_at: NOW() + 9_000 })])) });
  phone("back", [saved], { keep: voted(saved, [1], "counted"), hands: async (page) => {
    await page.context().setOffline(true);
    await page.getByTestId("connection").waitFor();
    await page.context().setOffline(false);
    await page.getByTestId("connection").filter({ hasText: "back online" }).waitFor();
  } });
  phone("refused", [saved], { api: ({ path }) => (path.endsWith("/ballots") ? { status: 409, json: { code: "poll_closed", detail: "Voting is closed." } } : path.endsWith("/passes") ? { status: 201, json: { pass: "p", voter: "v", level: "open" } } : path === `live/${CODE}` ? { json: live([saved]) } : undefined),
    hands: async (page) => { await page.locator("#choices .choice").first().click(); await page.getByTestId("refusal").waitFor(); } });
  const again = poll(SHORT.slice(0, 4), [0, 0, 0, 0], { round: 2 });
  phone("second-round", [again], { keep: voted(saved, [1], "counted"), sizes: ["phone", "small"] });
  // After a discussion: where the round before stood, and what came of it.
  phone("shift", [final(shift(poll(SHORT.slice(0, 4), [150, 90, 38, 2], { round: 2 }), [84, 140, 56, 0]))], { sizes: ["phone", "small"] });
  phone("shift-open", [shift(poll(SHORT.slice(0, 4), [0, 0, 0, 0], { round: 2 }), [84, 140, 56, 0])]);
  phone("shift-arabic", [shift(poll(ARABIC, [40, 30, 20, 10], { question: "أي نهاية تفضل؟", round: 2 }), [10, 50, 20, 20])], { lang: "ar" });
  phone("tie", [final(poll(SHORT.slice(0, 4), [200, 200, 42, 0]))]);
  phone("winner-long", [final(poll(longs(4), [1_061_234, 1_100_000, 8, 34]))], { sizes: ["phone", "small"] });
  const prepared = poll(SHORT.slice(0, 4), null, { round: 2, state: "closed", results: null });
  phone("between-rounds", [prepared], { keep: voted({ ...prepared, round: 1 }, [1], "counted"), sizes: ["phone", "small", "side"] });
  phone("no-title", [poll(["Yes", "No"], [1, 0])], { more: { event: { code: CODE, slug: null, title: "Which ending?", state: "live" } } });
  phone("offline-closed", [final(saved)], { keep: voted(saved, [1], "counted"), hands: async (page) => { await page.context().setOffline(true); await page.getByTestId("connection").waitFor(); } });
  phone("side", [saved], { keep: voted(saved, [1], "counted"), sizes: ["side"] });
  phone("side-twenty", [twenty], { keep: voted(twenty, [14], "counted"), sizes: ["side"] });
  phone("german", [saved], { lang: "de", keep: voted(saved, [1], "counted"), sizes: ["phone", "small"] });
}

const LOGO = `data:image/svg+xml,${encodeURIComponent('<svg xmlns="http://www.w3.org/2000/svg" width="240" height="80"><rect width="240" height="80" rx="12" fill="#8b1e3f"/><circle cx="44" cy="40" r="24" fill="#ffd400"/><path d="M88 26h120v10H88zM88 46h80v10H88z" fill="#fff"/></svg>')}`;
/** As domain/look.rs makes of #8b1e3f. */
const wine = { code: CODE, slug: null, title: "Friday all-hands", state: "live", accent: { light: "#8b1e3f", dark: "#de6b87" }, logo: LOGO };
const dryRun = { code: CODE, slug: null, title: "Dry run for Friday", state: "live", rehearsal: true };
{
  const four = poll(SHORT.slice(0, 6), null, { kind: "multiple", visibility: "after_close", results: null });
  phone("own-look", [four], { more: { event: wine }, sizes: ["phone", "tablet"] });
  phone("own-look-waiting", [], { more: { event: wine } });
  phone("rehearsal", [four], { more: { event: dryRun }, sizes: ["phone", "small"] });
}

/** @type {Scene[]} */
const stages = [];
/** @param {string} name @param {any[]} polls @param {Partial<Scene> & {more?:object}} [about] */
function big(name, polls, { more = {}, ...about } = {}) {
  stages.push({ name: `present-${name}`, path: `/present/${EVENT}`, sizes: ["projector"], api: stage(() => live(polls, { ...more, now: NOW() })), ready: polls.length ? "#bars .row" : "#lobby:not([hidden])", after_ms: 1100, ...about });
}
big("lobby", [], { sizes: ["projector", "laptop", "phone", "cinema"] });
big("lobby-first", [poll(["Yes", "No"], [0, 0], { state: "draft" })], { more: { current: null }, sizes: ["projector", "phone"], ready: "#lobby:not([hidden])" });
big("two", [poll(["Yes, ship it", "No, wait"], [731, 473])], { sizes: ["projector", "laptop", "cinema", "phone"] });
big("three", [poll(SHORT.slice(0, 3), [17, 83, 0])]);
big("six", [poll(SHORT.slice(0, 6), [612, 88, 340, 15, 0, 149])], { sizes: ["projector", "laptop", "tablet"] });
big("six-long", [poll(longs(6), [61, 8, 34, 15, 0, 14], { question: "What should we do about the release that was planned for the end of the month, given everything we heard this week?" })], { sizes: ["projector", "laptop", "phone"] });
big("twelve", [poll(SHORT.slice(0, 12), falling(12, 80))]);
big("twenty", [poll(SHORT, falling(20, 80))], { sizes: ["projector", "laptop"] });
big("twenty-long", [poll(longs(20), falling(20, 80))], { sizes: ["projector", "laptop", "cinema"] });
big("none", [poll(SHORT.slice(0, 4), [0, 0, 0, 0])]);
big("million", [poll(SHORT.slice(0, 4), [412_000, 345_678, 200_321, 42_001])], { sizes: ["projector", "cinema"] });
big("hidden", [poll(SHORT.slice(0, 4), [412, 345, 200, 42], { revealed: false, visibility: "after_close" })]);
big("hidden-live", [poll(SHORT.slice(0, 4), [412, 345, 200, 42], { revealed: false })], { sizes: ["laptop", "phone"] });
big("draft", [poll(SHORT.slice(0, 4), [0, 0, 0, 0], { state: "draft", revealed: false, results: { voters: 0, status: "provisional", choices: [] } })]);
big("closed-hidden", [{ ...poll(SHORT.slice(0, 4), [412, 345, 200, 42], { revealed: false }), ...closed }]);
big("final", [final(poll(SHORT.slice(0, 4), [412, 345, 200, 42]))], { sizes: ["projector", "laptop"] });
big("tie", [final(poll(SHORT.slice(0, 3), [200, 200, 42]))]);
big("second-round", [secondRound()], { sizes: ["projector", "laptop", "phone"] });
big("second-round-view", [secondRound()], { lang: "ar", sizes: ["laptop"], hands: (page) => page.getByTestId("view").click() });
big("several", [final(poll(SHORT.slice(0, 5), [70, 20, 61, 5, 0], { kind: "multiple", voters: 90, question: "Which snacks?" }))]);
big("countdown", [poll(SHORT.slice(0, 3), [17, 83, 0], { closes_at: NOW() + 600_000 })]);
big("arabic", [poll(ARABIC, [40, 30, 20, 10], { question: "أي نهاية تفضل؟" })], { lang: "ar", sizes: ["projector", "laptop"] });
big("join", [poll(SHORT.slice(0, 3), [17, 83, 0])], { hands: (page) => page.keyboard.press("j"), sizes: ["projector", "laptop", "cinema"] });
big("keys", [poll(SHORT.slice(0, 3), [17, 83, 0])], { hands: (page) => page.keyboard.press("?"), sizes: ["laptop"] });
big("view", [poll(SHORT.slice(0, 4), [412, 345, 200, 42])], { hands: (page) => page.getByTestId("view").click(), sizes: ["laptop", "tablet", "projector"] });
big("view-german", [poll(SHORT.slice(0, 4), [412, 345, 200, 42])], { lang: "de", hands: (page) => page.getByTestId("view").click(), sizes: ["laptop"] });
big("blank", [poll(SHORT.slice(0, 3), [17, 83, 0])], { hands: (page) => page.keyboard.press("b"), sizes: ["laptop", "phone"] });
big("no-answer", [], { api: () => ({ hang: true }), ready: "#message:not([hidden])", sizes: ["projector"] });
big("lost", [poll(SHORT.slice(0, 3), [17, 83, 0])], { hands: async (page) => { await page.context().setOffline(true); await page.getByTestId("lost").waitFor(); } });
big("lost-error", [poll(SHORT.slice(0, 3), [17, 83, 0])], { sizes: ["projector", "laptop", "tablet", "phone"], hands: async (page) => {
  await page.context().setOffline(true);
  await page.getByTestId("lost").waitFor();
  await page.keyboard.press("Space");
  await page.getByTestId("error").waitFor();
} });
big("near", [], { api: stage(() => live([poll(SHORT.slice(0, 3), [17, 83, 0], { closes_at: NOW() + 9_000 })])), ready: "#bars .row" });
big("long-question", [poll(["Yes", "No"], [731, 473], { question: LONG_QUESTION })], { sizes: ["projector", "laptop"] });
big("mixed", [poll(["👍 Yes", "القراصنة", "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft", "No"], [3, 1, 2, 0])], { sizes: ["projector", "tablet"] });
{
  const [word, endless] = ["Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft", "Ach".repeat(46)];
  big("long-word", [poll(["👍 Yes", word, "No"], [3, 2, 0], { question: `${word}?` })], { sizes: ["projector", "laptop", "phone"] });
  big("long-words", [poll([...SHORT.slice(0, 7), word], falling(8, 80), { question: `Is this the right name for the ${word.slice(0, 50)}?` })], { sizes: ["projector", "laptop"] });
  big("endless-word", [poll(["Yes", endless, "No"], [3, 2, 0], { question: endless })], { sizes: ["projector", "laptop"] });
}
big("arabic-question", [poll(ARABIC, [40, 30, 20, 10], { question: "أي نهاية تفضل؟" })]);
big("arabic-twelve", [final(poll(Array.from({ length: 12 }, (_, at) => `${ARABIC[at % 4]} ${at + 1}`), falling(12, 80), { question: "أي نهاية تفضل؟" }))], { lang: "ar" });
big("timer", [poll(SHORT.slice(0, 3), [17, 83, 0])], { hands: (page) => page.keyboard.press("t"), sizes: ["laptop", "phone"] });
big("clean", [poll(SHORT.slice(0, 4), [412_000, 345_678, 200_321, 42_001])], { path: `/present/${EVENT}#screen`, sizes: ["projector", "cinema"] });
big("large-text", [poll(SHORT.slice(0, 4), [412, 345, 200, 42])], { hands: async (page) => { for (let more = 0; more < 4; more += 1) await page.keyboard.press("+"); } });
big("one-vote", [poll(["Yes", "No"], [1, 0])]);
big("ended", [], { more: { event: { code: CODE, slug: null, title: "Friday all-hands", state: "ended" } }, ready: "#message:not([hidden])" });
big("ended-on-stage", [final(poll(SHORT.slice(0, 4), [412, 345, 200, 42]))], { more: { event: { code: CODE, slug: null, title: "Friday all-hands", state: "ended" } }, sizes: ["laptop", "phone"] });
for (const lang of ["en-GB", "de", "ar"]) big(`still-open-${lang.slice(0, 2)}`, [poll(SHORT.slice(0, 4), [412, 345, 200, 42]), poll(["Yes", "No"], [3, 4], { id: "8f3k2m9qx1c7w" })], { lang, sizes: ["laptop", "tablet", "phone"] });
big("ended-hidden", [final(poll(SHORT.slice(0, 4), [412, 345, 200, 42], { revealed: false }))], { more: { event: { code: CODE, slug: null, title: "Friday all-hands", state: "ended" } }, sizes: ["laptop", "projector"] });
big("long-names", [poll(["Monday 7 December in the morning", "Still thinking about it", "Never", "Friday"], [5, 3, 1, 1])], { sizes: ["projector", "laptop"] });
big("long-title", [poll(SHORT.slice(0, 4), [412, 345, 200, 42])], { more: { event: { code: CODE, slug: null, title: "Jahreshauptversammlung", state: "live" } }, sizes: ["zoomed", "phone", "small", "laptop"] });
big("long-title-word", [poll(SHORT.slice(0, 4), [412, 345, 200, 42])], { more: { event: { code: CODE, slug: null, title: "Donaudampfschifffahrtselektrizitätenhauptbetriebswerk", state: "live" } }, sizes: ["zoomed", "small"] });
big("zoomed", [poll(SHORT.slice(0, 4), [412, 345, 200, 42])], { lang: "de", sizes: ["zoomed", "tiny"] });
big("peek", [poll(SHORT.slice(0, 4), [412, 345, 200, 42], { revealed: false })], { sizes: ["phone"], hands: async (page) => {
  await page.getByTestId("view").click();
  await page.getByTestId("view-peek").click();
} });
big("ended-clean", [], { path: `/present/${EVENT}#screen`, more: { event: { code: CODE, slug: null, title: "Friday all-hands", state: "ended" } }, ready: "#message:not([hidden])", sizes: ["projector"] });
big("own-look", [poll(SHORT.slice(0, 4), [412, 345, 200, 42])], { more: { event: wine }, sizes: ["projector", "phone"] });
big("own-look-lobby", [], { more: { event: wine } });
big("rehearsal", [poll(SHORT.slice(0, 4), [412, 345, 200, 42])], { more: { event: dryRun }, sizes: ["projector", "phone"] });
stages.push({ name: "present-signed-out", path: `/present/${EVENT}`, sizes: ["laptop"], api: () => ({ status: 401, json: { code: "not_signed_in", detail: "Sign in first." } }), ready: "#message-link:not([hidden])" });

// ---------------------------------------------------------------------------- the back office

/** @param {any[]} polls @param {any[]} [events] @returns {Api} */
const office = (polls, events = []) => ({ path, method, query }) => {
  if (path === "session") return { json: { user: { id: "u", email: "ada@example.org", role: "owner" } } };
  if (path === "setup") return { json: { needed: false } };
  if (path === "events" && method === "GET") return { json: query?.has("rehearsal") ? { events: [] } : found(events, query?.get("search") ?? "") };
  if (path === `events/${EVENT}`) return { json: { id: EVENT, code: CODE, slug: null, title: "Friday all-hands", state: "live", current: polls[0]?.id ?? null, created_at: NOW(), updated_at: NOW(), polls } };
  if (path.endsWith("/results")) return { json: { poll: polls[0].id, round: 1, rounds: [1], question: polls[0].question, choices: polls[0].choices, results: polls[0].results, books: { ...polls[0].books, in_flight: 0, missing: [], unreported: [] } } };
  return stage(() => live(polls, { now: NOW() }))({ path, method, body: null });
};
/** As the server finds them, near enough. @param {any[]} events @param {string} search */
function found(events, search) {
  const has = (/** @type {string} */ text) => text.toLowerCase().includes(search.toLowerCase());
  const hits = events.flatMap((event) => (has(`${event.title} ${event.code}`) ? [event] : (event.asks ?? []).filter(has).slice(0, 1).map((/** @type {string} */ question) => ({ ...event, question }))));
  return hits.length > 6 ? { events: hits.slice(0, 6), next: hits[5].id } : { events: hits };
}
/** @type {Scene[]} */
const desks = [];
/** @param {string} name @param {string} path @param {Api} api @param {Partial<Scene>} [about] */
const desk = (name, path, api, about = {}) => desks.push({ name: `admin-${name}`, path, api, sizes: ["laptop", "phone"], ready: "#page > :not(h1.quiet)", full: true, ...about });
const nobody = (/** @type {boolean} */ needed) => (/** @type {{path:string}} */ { path }) => (path === "setup" ? { json: { needed } } : { status: 401, json: { code: "not_signed_in", detail: "Sign in first." } });
const first = final(poll(SHORT.slice(0, 4), [412, 345, 200, 42]));
const second = poll(longs(6), [12, 30, 7, 0, 3, 9], { id: "8f3k2m9qx1c7w", kind: "multiple", question: "What should we do about the release?", position: 1 });
const third = poll(["Yes", "No"], [0, 0], { id: "8f3k2m9qx1c7x", question: "Shall we do it?", state: "draft", position: 2, closes_at: NOW() + 86_400_000, results: { voters: 0, status: "provisional", choices: [] } });
const open = (/** @type {string} */ testid) => (/** @type {Page} */ page) => page.getByTestId(testid).first().locator("summary").click();
const many = Array.from({ length: 8 }, (_, at) => ({ id: `e${at}`, code: String(482913 + at), slug: null, title: ["Friday all-hands", "Board meeting", "Town hall spring", "أمسية الفيلم", "Retrospective of a very long project with a very long name that goes on", "Quiz night", "Class 7b", "The final"][at], state: at > 5 ? "ended" : "live", polls: at, open: [1, 3, 4].includes(at) ? 1 : 0, asks: at === 2 ? ["Which film shall we see together?"] : [], created_at: NOW() - at * 86_400_000, updated_at: NOW() }));
desk("setup", "/admin#setup=x", nobody(true), { ready: "[data-testid=setup-form]" });
desk("sign-in", "/admin", nobody(false), { ready: "[data-testid=sign-in-form]" });
desk("no-account", "/admin", nobody(true), { sizes: ["laptop"], ready: ".narrow" });
desk("no-events", "/admin", office([]), { ready: ".how" });
desk("events", "/admin", office([], many), { ready: ".events li" });
desk("found", "/admin?search=fi", office([], many), { ready: ".events li" });
desk("found-nothing", "/admin", office([], many), { hands: async (page) => { await page.getByTestId("search").fill("xyz"); await page.getByTestId("nothing-found").waitFor(); } });
desk("new-event", "/admin/new", office([]), { ready: "[data-testid=event-form]" });
desk("new-event-several", "/admin/new", office([]), { ready: "[data-testid=event-form]", hands: async (page) => { await page.getByTestId("template-which").click(); await page.getByTestId("kind-multiple").check(); } });
desk("new-event-filled", "/admin/new", office([]), { ready: "[data-testid=event-form]", hands: (page) => page.getByTestId("template-ice").click() });
desk("event-empty", `/admin/events/${EVENT}`, office([]), { ready: ".join", hands: open("add-poll") });
desk("event", `/admin/events/${EVENT}`, office([first, second, third]), { ready: "[data-testid=poll]" });
{
  const [live, waits, shown] = [{ revealed: false }, { revealed: false, visibility: "after_close", id: "8f3k2m9qx1c7w" }, { id: "8f3k2m9qx1c7x" }].map((how) => poll(SHORT.slice(0, 4), [412, 345, 200, 42], how));
  desk("hidden", `/admin/events/${EVENT}`, office([live, waits, shown]), { ready: "[data-testid=poll]" });
  desk("hidden-german", `/admin/events/${EVENT}`, office([live]), { lang: "de", ready: "[data-testid=poll]" });
}
{
  const over = SHORT.slice(0, 7).map((text, at) => ({ ...final(poll(SHORT.slice(0, 4), falling(4, 40 + 900 * at), { id: `8f3k2m9qx1c8${at}`, question: at === 3 ? LONG_QUESTION : `Which ending for the ${text.toLowerCase()}?`, position: at })) }));
  const onStage = { ...over[4], question: "Which one is on stage, and over?" };
  const many = [...over.slice(0, 4), onStage, ...over.slice(5), { ...second, position: 7 }, { ...third, position: 8 }];
  desk("event-many", `/admin/events/${EVENT}`, (call) => (call.path === `events/${EVENT}` ? { json: { .../** @type {any} */ (office(many)(call)).json, current: onStage.id } } : call.method === "PATCH" ? { json: {} } : office(many)(call)), { ready: "[data-testid=poll]" });
  desk("event-many-arabic", `/admin/events/${EVENT}`, office(many), { lang: "ar", ready: "[data-testid=poll]" });
}
const drafts = SHORT.slice(0, 5).map((text, at) => poll(SHORT.slice(0, 4), [0, 0, 0, 0], { id: `8f3k2m9qx1c9${at}`, question: `Which ending for the ${text.toLowerCase()}?`, state: "draft", position: at, results: { voters: 0, status: "provisional", choices: [] } }));
const onStageNow = (/** @type {any[]} */ polls, /** @type {string|null} */ current) => (/** @type {any} */ call) => (call.path === `events/${EVENT}` ? { json: { .../** @type {any} */ (office(polls)(call)).json, current } } : office(polls)(call));
desk("event-drafts", `/admin/events/${EVENT}`, onStageNow(drafts, null), { ready: "[data-testid=poll]" });
desk("results-draft", `/admin/events/${EVENT}`, office([third]), { ready: "[data-testid=poll]", hands: open("results") });
desk("results", `/admin/events/${EVENT}`, office([first]), { ready: "[data-testid=poll]", hands: open("results") });
desk("results-rounds", `/admin/events/${EVENT}`, office([secondRound()]), { ready: "[data-testid=poll]", hands: open("results") });
desk("results-never", `/admin/events/${EVENT}`, office([{ ...first, opens_at: NOW() + 600_000, results: { voters: 0, status: "final", choices: [] } }]), { ready: "[data-testid=poll]", hands: open("results") });
desk("edit", `/admin/events/${EVENT}`, office([third, second]), { ready: "[data-testid=poll]", hands: open("edit") });
desk("schedule", `/admin/events/${EVENT}`, office([third]), { ready: "[data-testid=poll]", hands: open("schedule") });
for (const [name, lang] of [["schedule-elsewhere", "en-GB"], ["schedule-elsewhere-arabic", "ar"]]) desk(name, `/admin/events/${EVENT}`, office([third]), { lang, zone: "Europe/Berlin", ready: "[data-testid=poll]", hands: async (page) => {
  await open("schedule")(page);
  await page.getByTestId("zone").selectOption("America/New_York");
  for (const [field, at] of [["opens", "2099-03-07T20:00"], ["closes", "2099-03-08T20:00"]]) await page.getByTestId(field).fill(at); // a night of 23 hours between them
} });
desk("edit-again", `/admin/events/${EVENT}`, office([second]), { ready: "[data-testid=poll]", hands: async (page) => {
  await open("edit")(page);
  await page.getByTestId("edit-question").fill("What shall we do about the release?");
  await page.reload();
  await page.getByTestId("begun").waitFor();
} });
desk("settings", `/admin/events/${EVENT}`, (call) => (call.path === `events/${EVENT}` ? { json: { .../** @type {any} */ (office([first])(call)).json, slug: "grand-final", accent: "#8b1e3f", logo: LOGO } } : office([first])(call)), { ready: "[data-testid=poll]", hands: open("event-settings") });
desk("event-ended", `/admin/events/${EVENT}`, (call) => (call.path === `events/${EVENT}` ? { json: { .../** @type {any} */ (office([first, third])(call)).json, state: "ended" } } : office([first, third])(call)), { ready: "[data-testid=poll]" });
desk("event-blank", `/admin/events/${EVENT}`, (call) => (call.path === `events/${EVENT}/stream` ? { stream: live([first], { view: { edition: 1, joining: false, blank: true, sorted: false, numbers: "both", size: 1 } }) } : office([first])(call)), { ready: "[data-testid=is-blank]:not([hidden])" });
for (const [name, lang] of [["streams"], ["streams-arabic", "ar"], ["streams-german", "de"]]) desk(name, `/admin/events/${EVENT}`, office([first]), { lang, ready: "[data-testid=poll]", hands: open("streams") });
desk("toast", `/admin/events/${EVENT}`, (call) => (call.method === "PATCH" ? { json: {} } : office([third])(call)), { sizes: ["laptop", "phone"], full: false, ready: "[data-testid=poll]", hands: async (page) => {
  await page.getByTestId("reword").click();
  await page.getByTestId("in-place").fill("Shall we?");
  await page.keyboard.press("Enter");
  await page.getByTestId("toast").waitFor();
} });
desk("move", `/admin/events/${EVENT}`, office([third, second]), { sizes: ["laptop", "phone"], ready: "[data-testid=poll]", hands: async (page) => {
  await open("edit")(page);
  await page.getByTestId("edit-choices").locator('[data-do="move-choice"]').nth(1).click();
} });
desk("more", `/admin/events/${EVENT}`, office([third]), { ready: "[data-testid=poll]", hands: async (page) => {
  await page.locator("summary", { hasText: "More" }).click();
  if (!await page.getByTestId("show-remote").isVisible()) await open("ways")(page);
  await page.getByTestId("show-remote").click();
} });
desk("account", "/admin/account", office([]), { ready: "form" });
desk("in-place", `/admin/events/${EVENT}`, office([first]), { sizes: ["laptop"], ready: "[data-testid=poll]", hands: (page) => page.getByTestId("reword").click() });
desk("confirm", `/admin/events/${EVENT}`, office([first]), { ready: "[data-testid=poll]", full: false, hands: async (page) => { await open("event-settings")(page); await page.getByTestId("end-event").click(); } });
desk("rehearsal", `/admin/events/${EVENT}`, (call) => (call.path === `events/${EVENT}` ? { json: { .../** @type {any} */ (office([first])(call)).json, title: "Dry run for Friday", rehearsal: true } } : office([first])(call)), { ready: "[data-testid=poll]" });
desk("refusal", "/admin", (call) => (call.method === "POST" ? { status: 401, json: { code: "credentials_wrong", detail: "That is not right." } } : nobody(false)(call)), { ready: "[data-testid=sign-in-form]", hands: async (page) => {
  await page.getByTestId("email").fill("ada@example.org");
  await page.getByTestId("password").fill("not the right one");
  await page.getByTestId("submit").click();
  await page.getByTestId("form-error").filter({ hasText: /./ }).waitFor();
} });
desk("arabic-new", "/admin/new", office([]), { lang: "ar", ready: "[data-testid=event-form]" });
desk("new-event-wrong", "/admin/new", office([]), { ready: "[data-testid=event-form]", hands: async (page) => {
  await page.getByTestId("question").fill("Which ending?");
  await page.getByTestId("submit").click();
  await page.getByTestId("form-error").filter({ hasText: /./ }).waitFor();
} });
desk("lost", `/admin/events/${EVENT}`, office([first]), { ready: "[data-testid=poll]", full: false, hands: async (page) => {
  await page.context().setOffline(true);
  await page.getByTestId("lost").filter({ hasText: "No connection" }).waitFor();
} });
desk("gone", "/admin/events/nothing", ({ path }) => (path === "session" ? { json: { user: { id: "u", email: "ada@example.org", role: "owner" } } } : undefined), { sizes: ["laptop"], ready: ".narrow" });
desk("nowhere", "/admin/nonsense", office([], many), { ready: ".narrow" });
desk("arabic", `/admin/events/${EVENT}`, office([poll(ARABIC, [40, 30, 20, 10], { question: "أي نهاية تفضل؟" }), third]), { lang: "ar", ready: "[data-testid=poll]" });
desk("german", "/admin/new", office([]), { lang: "de", sizes: ["laptop"], ready: "[data-testid=event-form]" });

// ---------------------------------------------------------------------------- rehearsals

const written = JSON.parse(readFileSync(new URL("../http/report.json", import.meta.url), "utf8"));
/** As written, for so many times as many people, and with other ends. @param {number} times @param {any} [more] */
function report(times, { answers = {}, counting = {}, check = {}, fit = {}, limit = {}, cpu = {}, from_tap = {}, ...more } = {}) {
  const grow = (/** @type {any} */ part) => Object.fromEntries(Object.entries(part).map(([key, value]) => [key, typeof value === "number" ? Math.round(value * times) : value]));
  const slow = (/** @type {any} */ counting).last_counted_s / written.counting.last_counted_s || 1;
  return {
    ...written, at: NOW() - 3_600_000, plan: { ...written.plan, voters: written.plan.voters * times, viewers: 1000 }, books: grow(written.books),
    answers: { ...written.answers, accepted: written.answers.accepted * times, people: written.answers.people * times, per_second: 32_400, ...answers, from_tap: { ...written.answers.from_tap, ...from_tap } },
    freshness: { ...written.freshness, viewers: 1000 }, counting: { ...written.counting, ...counting }, check: { ...written.check, answered: written.check.answered * times, voters: written.check.voters * times, ...check },
    fit: { ...written.fit, took_per_second: 32_400, needed_per_second: 16_667, ...fit }, limit: { ...written.limit, ...limit }, cpu: { ...written.cpu, ...cpu },
    timeline: written.timeline.map((/** @type {any} */ point) => ({ s: point.s * slow, tapped: Math.round(point.tapped * times), accepted: Math.round(point.accepted * times), counted: Math.round(point.counted * times) })), ...more,
  };
}
/** @param {any} one @param {string} [id] */
const line = (one, id = "r1") => ({ id, event: EVENT, title: "Dry run", at: one.at, kept_at: one.at, groundswell: one.groundswell, verdict: one.verdict, fit: one.fit.word, voters: one.plan.voters, over_ms: one.plan.over_s * 1000, counted_ms: one.counting.last_counted_s * 1000, lost: one.check.lost });
const REPORTS = {
  fits: report(100 / 3, { counting: { last_counted_s: 4.1 }, answers: { last_accepted_s: 3.9 } }),
  waits: report(1000 / 3, { from_tap: { p50: 1_890, p90: 3_400, p99: 4_120, p999: 4_380, max: 4_600 }, counting: { last_counted_s: 6.4 }, answers: { last_accepted_s: 5.6 }, fit: { word: "waits", people_within_patience: 1_210_000 },
    limit: { what: "processor" }, cpu: { storm: { rehearsal: 3.1, server: 5.2, postgres: 1.9 } } }),
  too_many: report(1000 / 3, { from_tap: { p50: 8_000, p90: 15_000, p99: 16_500, p999: 16_900, max: 17_000 }, counting: { last_counted_s: 17.4 }, answers: { last_accepted_s: 17 }, fit: { word: "too_many", people_within_patience: 354_000 }, limit: { what: "waiting" } }),
  stopped: report(100 / 3, { stopped_early: true, fit: { word: "unproven" }, answers: { people: 43_120 } }),
  unchecked: report(100 / 3, { verdict: "unchecked", clean: false, counting: { finished: false }, warnings: ["Counting made no progress for 60 s: what is not counted yet cannot be told from what is lost."] }),
  broken: report(100 / 3, { verdict: "broken", clean: false, check: { lost: 3, wrong: 1, examples: ["lost: voter 0190f3c4-7b1e-7c2a-9d3e-4f5a6b7c8d9e"] }, fit: { word: "too_many" } }),
};
/** @param {Record<string, any>} reports @param {any[]} [left] @returns {Api} */
const archive = (reports, left = []) => (call) => {
  if (call.path === "rehearsals") return { json: { rehearsals: Object.entries(reports).map(([id, one]) => line(one, id)) } };
  if (call.path.startsWith("rehearsals/") && reports[call.path.slice(11)]) return { json: reports[call.path.slice(11)] };
  return call.path === "events" ? { json: { events: left } } : office([])(call);
};
desk("rehearsals", "/admin/rehearsals", archive(REPORTS, many.slice(0, 1)), { ready: "[data-testid=rehearsal-link]" });
desk("rehearsals-none", "/admin/rehearsals", archive({}), { ready: ".how" });
for (const name of Object.keys(REPORTS)) desk(`rehearsal-${name}`, `/admin/rehearsals/${name}`, archive(REPORTS), { ready: ".plot .accepted", ...(name === "fits" ? { hands: (page) => page.locator("summary", { hasText: "table" }).click() } : {}) });
desk("rehearsal-arabic", "/admin/rehearsals/waits", archive(REPORTS), { lang: "ar", ready: ".plot .accepted" });
desk("rehearsals-german", "/admin/rehearsals", archive(REPORTS), { lang: "de", ready: "[data-testid=rehearsal-link]" });

// ---------------------------------------------------------------------------- on other people's pages and pictures

/** @type {Scene[]} */
const frames = [];
/** @param {string} name @param {string} path @param {any[]} polls @param {Partial<Scene> & {more?:object}} [about] */
const frame = (name, path, polls, { more = {}, ...about } = {}) => frames.push({ name, path, sizes: ["projector"], api: ({ path: asked }) => (asked.endsWith("/stream") ? { stream: live(polls, more) } : asked.endsWith("qr.svg") ? { svg: QR } : asked === `live/${CODE}` ? { json: live(polls, more) } : undefined), ready: "#rows li", after_ms: 1000, ...about });
frame("overlay-lower", `/overlay/${CODE}`, [poll(SHORT.slice(0, 4), [412, 345, 200, 42])]);
frame("overlay-versus", `/overlay/${CODE}?layout=versus&colors=8b1e3f,1d3b8b`, [poll(["Home", "Guests"], [412_345, 345_678])]);
frame("overlay-full", `/overlay/${CODE}?layout=full&safe=8`, [poll(SHORT.slice(0, 6), [612, 88, 340, 15, 0, 149])]);
frame("overlay-twenty", `/overlay/${CODE}?layout=full`, [poll(SHORT, falling(20, 80))]);
frame("overlay-rehearsal", `/overlay/${CODE}`, [poll(SHORT.slice(0, 4), [412, 345, 200, 42])], { more: { event: dryRun } });
frame("embed", `/embed/${CODE}`, [poll(SHORT.slice(0, 4), [412, 345, 200, 42])], { sizes: ["laptop", "phone"] });
frame("embed-own-look", `/embed/${CODE}`, [final(poll(SHORT.slice(0, 2), [731, 473]))], { more: { event: wine }, sizes: ["laptop", "phone"] });
frame("embed-six-long", `/embed/${CODE}`, [poll(longs(6), [61, 8, 34, 15, 0, 14], { question: LONG_QUESTION })], { sizes: ["laptop", "phone"] });
frame("embed-twenty", `/embed/${CODE}`, [poll(SHORT, falling(20, 80))], { sizes: ["laptop"] });
frame("embed-none", `/embed/${CODE}`, [poll(SHORT.slice(0, 3), [0, 0, 0])], { sizes: ["laptop"] });
frame("embed-rehearsal", `/embed/${CODE}`, [poll(SHORT.slice(0, 4), [412, 345, 200, 42])], { more: { event: dryRun }, sizes: ["laptop"] });
frame("embed-gone", "/embed/111111", [], { sizes: ["laptop"], api: () => undefined, ready: "#gone:not([hidden])" });
frame("overlay-gone", "/overlay/111111", [], { sizes: ["laptop"], api: () => undefined, ready: "#gone:not([hidden])" });
frame("overlay-decided", `/overlay/${CODE}`, [final(poll(SHORT.slice(0, 4), [412, 345, 200, 42], { round: 2 }))]);
frame("overlay-tie", `/overlay/${CODE}?layout=full`, [final(poll(SHORT.slice(0, 4), [412, 412, 200, 42]))]);
frame("overlay-versus-decided", `/overlay/${CODE}?layout=versus`, [final(poll(["Home", "Guests"], [412_345, 345_678]))]);
frame("overlay-ground", `/overlay/${CODE}?ground=ffffff`, [poll(SHORT.slice(0, 4), [412, 345, 200, 42])]);
frame("embed-ground", `/embed/${CODE}?ground=ffffff`, [poll(SHORT.slice(0, 4), [412, 345, 200, 42])], { sizes: ["laptop"] });
frame("embed-ink", `/embed/${CODE}?ink=ffe680`, [poll(SHORT.slice(0, 4), [412, 345, 200, 42])], { sizes: ["laptop"] });
frame("embed-final", `/embed/${CODE}`, [final(poll(SHORT.slice(0, 4), [412, 345, 200, 42]))], { sizes: ["laptop", "phone"] });
frame("overlay-six-long", `/overlay/${CODE}`, [poll(longs(6), [61, 8, 34, 15, 0, 14])]);
frame("overlay-light", `/overlay/${CODE}?theme=light&numbers=percent`, [poll(["Yes", "No"], [731_000, 269_000])], { sizes: ["projector", "cinema"] });
frame("embed-hidden", `/embed/${CODE}`, [{ ...poll(SHORT.slice(0, 4), null, { visibility: "hidden", revealed: false }), results: null }], { sizes: ["laptop", "phone"] });
frame("embed-hidden-crowded", `/embed/${CODE}`, [{ ...poll(SHORT, null, { visibility: "hidden", revealed: false }), results: null }], { sizes: ["laptop", "phone"] });
frame("embed-arabic", `/embed/${CODE}`, [poll(ARABIC, [40, 30, 20, 10], { question: "أي نهاية تفضل؟" })], { lang: "ar", sizes: ["laptop"] });

export const scenes = [...phones, ...stages, ...desks, ...frames];
export const kit = { drafts, secondRound, onStageNow, CODE, EVENT, NOW, SHORT, LONG, longs, ARABIC, poll, live, falling, audience, stage, shift, office, voted, final, closed, QR };
