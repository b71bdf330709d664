// Draws the newest document on the big screen. Changes text in place, keeps the last good result, knows no keys.

import { dressFor } from "/assets/shared/look.js";
import { drawBars, earlierOf } from "/assets/present/bars.js";
import { fall, rise } from "/assets/present/rising.js";
import { phonesGoOn } from "/assets/shared/live.js";
import { clock, grouped, howMany, percent, spoken, t } from "/assets/shared/words.js";

const SPEAK_EVERY_MS = 5_000;
const SPOKEN_MOST = 6; // choices, the first of them; the table has all
const LONG_QUESTION = 70; // characters
const VERY_LONG_QUESTION = 160;
const CROWDED = 8; // choices: then the question makes room for them
const CROWDED_TEXT = 400; // characters in all choices
const NEAR_S = 10; // before the close

/** @typedef {import("/assets/present/view.js").View & {peek:boolean}} View `peek`: the bars are seen here, and nowhere else */
/** @typedef {import("/assets/shared/live.js").Live} Live */
/** @typedef {import("/assets/shared/live.js").Poll} Poll */

/** @type {(id:string) => any} */
const $ = (id) => document.getElementById(id);

/** @param {Live} live */
export const onStage = (live) => live.polls.find((poll) => poll.id === live.current) ?? null;

/** @param {Live} live @param {View} view @param {number} now */
export function drawStage(live, view, now) {
  const poll = onStage(live);
  document.title = t("on_stage", { title: live.event.title });
  setText("title", poll && names(poll, live.event.title) ? "" : live.event.title); // it stands below
  dressFor(live.event);
  drawJoin(live);
  const over = live.event.state === "ended";
  document.body.toggleAttribute("data-over", over); // nobody is invited to it
  if (!poll && over) {
    // The clean screen is for the room alone: where to make it live again is for whoever presents.
    if (document.documentElement.classList.contains("screen")) return message(t("over"), t("over_thanks"));
    return message(t("over"), t("over_text"), t("to_event"), `/admin/events/${encodeURIComponent(eventOf(location.pathname))}`);
  }
  show(!poll || (view.joining && !over) ? "lobby" : "poll");
  drawState(live, poll, now);
  const asked = poll ? `${poll.id} ${poll.round}` : "";
  if ($("voters").dataset.of !== asked) fall($("voters"), ""); // the votes of another question do not fall to those of this one
  $("voters").dataset.of = asked;
  rise($("voters"), poll?.results?.voters ?? 0, (n) => (poll ? howMany(poll, n) : ""));
  drawClock(live, now);
  if (!poll) return speak(t("join_screen"));
  setText("question", poll.question);
  $("question").dir = "auto";
  const crowded = poll.choices.length > CROWDED || poll.choices.reduce((sum, choice) => sum + choice.text.length, 0) > CROWDED_TEXT;
  $("question").classList.toggle("is-long", crowded || poll.question.length > LONG_QUESTION);
  $("question").classList.toggle("is-very-long", poll.question.length > VERY_LONG_QUESTION);
  drawBars(poll, view);
  $("bars").classList.toggle("is-held", isHeld(poll, stepOf(live, poll, now)) && !view.peek);
  $("held").hidden = !$("bars").classList.contains("is-held");
  drawEarlier(poll, view);
  speak(spokenResult(view.peek ? { ...poll, revealed: true } : poll, stepOf(live, poll, now)));
}

/** What the marks in the bars are. @param {Poll} poll @param {View} view */
function drawEarlier(poll, view) {
  const before = earlierOf(poll, view);
  $("earlier").hidden = !before;
  if (before) setText("earlier-round", `${t("round", { n: before.round })}: ${howMany(poll, before.voters)}`);
}

/** @param {Live} live @param {Poll|null} poll @param {number} now */
function drawState(live, poll, now) {
  const step = stepOf(live, poll, now);
  setText("poll-state", t(step));
  $("poll-state").dataset.phase = step === "closed" && poll?.results?.status === "final" ? "final" : step;
  setText("note", poll ? note(poll, step) : "");
  $("held-below").hidden = !poll || !isHeld(poll, step);
}

/** @param {Live} live @param {Poll|null} poll @param {number} now */
const stepOf = (live, poll, now) => (live.event.state === "ended" ? "ended" : poll ? phase(poll, now) : "waiting");

/** There is a result, and this screen does not show it. @param {Poll} poll @param {string} step */
const isHeld = (poll, step) => !poll.revealed && (step === "open" || step === "closed" || (step === "ended" && Boolean(poll.closed_at)));

/** @param {Poll} poll @param {string} step */
function note(poll, step) {
  const parts = [];
  const { voters = 0, status = "provisional", choices = [] } = poll.results ?? {};
  if (poll.round > 1) parts.push(t("round", { n: poll.round }));
  if (voters && poll.state === "closed") parts.push(t(status));
  const most = Math.max(0, ...choices.map((one) => one.votes));
  if (voters && poll.revealed && poll.state === "closed" && choices.filter((one) => one.votes === most).length > 1) parts.push(t("tie"));
  const where = whereShown(poll, step);
  if (where) parts.push(t(where));
  if (voters && poll.revealed && poll.kind === "multiple") parts.push(t("several", { all: percent(100) }));
  return parts.join(" · ");
}

/**
 * Where the result is that this screen does not show, so that nobody is told to wait for what is in their hand already.
 * @param {Poll} poll @param {string} step @returns {string} a text, or none: the bars are there, or there is no result yet
 */
function whereShown(poll, step) {
  if (poll.revealed || (step !== "open" && step !== "closed")) return "";
  if (step === "closed") return phonesGoOn(poll) ? "on_phones" : "later";
  return { live: "on_phones", after_vote: "on_phones_voted", after_close: "at_close" }[poll.visibility] ?? "later";
}

/** @param {Poll} poll @param {number} now */
export function phase(poll, now) {
  if (poll.state === "open") return poll.opens_at && now < poll.opens_at ? "opens_soon" : poll.closes_at && now >= poll.closes_at ? "closed" : "open";
  return poll.state === "draft" || !poll.closed_at ? "not_open" : "closed";
}

const CUT_LEAST = 100; // characters of a question that became a title, before "…": as in the server's pages

/** Is this title the question, or its beginning? @param {Poll} poll @param {string} title */
function names({ question }, title) {
  const cut = title.replace(/…$/, "");
  return question === title || ([...cut].length >= CUT_LEAST && question.startsWith(cut));
}

/** @param {Live} live */
function drawJoin(live) {
  const named = live.event.slug;
  // Where it takes two lines it breaks before the name, and not inside it.
  const host = named ? spoken(live.join_url).replace("/", "/\u200b").replaceAll("-", "\u2011") : spoken(live.join_url ?? location.origin).replace(/\/[^/]*$/, "");
  for (const [place, alone] of Object.entries({ "join-how": "with_code", "lobby-how": "and_type" })) setText(place, t(named ? "or_with_code" : alone));
  for (const place of document.querySelectorAll(".join-host")) if (place.textContent !== host) place.textContent = host;
  for (const place of document.querySelectorAll(".join-code")) if (place.textContent !== grouped(live.event.code)) place.textContent = grouped(live.event.code);
  const qr = `/api/v1/live/${live.event.code}/qr.svg`;
  for (const image of document.querySelectorAll("img.join-qr")) if (image.getAttribute("src") !== qr) image.setAttribute("src", qr);
}

/** @param {Live} live @param {number} now */
export function drawClock(live, now) {
  const poll = onStage(live);
  const soon = Boolean(poll?.opens_at && now < poll.opens_at);
  const until = live.event.state === "ended" ? null : soon ? poll?.opens_at : poll?.state === "open" ? poll.closes_at : null;
  const left = Math.max(0, Math.ceil(((until ?? 0) - now) / 1000));
  setText("clock", until ? clock(left) : "");
  $("clock").toggleAttribute("data-near", Boolean(until && !soon && left <= NEAR_S));
  if (poll && until && !left) drawState(live, poll, now);
}

/** @param {number} lostAt 0: there */
export function drawAge(lostAt) {
  const isNew = $("lost").hidden && lostAt;
  $("lost").hidden = !lostAt;
  if (lostAt) setText("lost", t("lost", { age: inWords(Date.now() - lostAt) }));
  if (isNew) speak($("lost").textContent); // once: a voice does not count seconds
}

/** @param {number} ms */
function inWords(ms) {
  const seconds = Math.max(0, Math.round(ms / 1000));
  return seconds < 60 ? t("seconds", { n: seconds }) : seconds < 3600 ? t("minutes", { n: Math.floor(seconds / 60) }) : t("hours", { n: Math.floor(seconds / 3600) });
}

/** @param {string} path */
export const eventOf = (path) => decodeURIComponent(path.split("/")[2] ?? "");

/** Instead of a stage. @param {string} title @param {string} text @param {string} [link] @param {string} [to] */
export function message(title, text, link, to = "/admin") {
  document.title = `Groundswell: ${title}`;
  setText("message-title", title);
  setText("message-text", text);
  $("message-link").hidden = !link;
  if (link) setText("message-link", link);
  $("message-link").href = to;
  show("message");
}

/** @param {string} name */
function show(name) {
  for (const id of ["message", "lobby", "poll"]) $(id).hidden = id !== name;
  document.body.dataset.shows = name;
}

// ---------------------------------------------------------------------------- the polite voice, at most every 5 s

let spokenAt = 0;
let speakTimer = 0;

/** @param {string} text */
function speak(text) {
  clearTimeout(speakTimer);
  const wait = Math.max(0, spokenAt + SPEAK_EVERY_MS - Date.now());
  speakTimer = window.setTimeout(() => {
    if ($("say").textContent !== text) [$("say").textContent, spokenAt] = [text, Date.now()];
  }, wait);
}

/** @param {Poll} poll @param {string} step */
function spokenResult(poll, step) {
  const shown = poll.revealed ? [...poll.results?.choices ?? []].sort((a, b) => (poll.choices.length > SPOKEN_MOST ? b.votes - a.votes : 0)).slice(0, SPOKEN_MOST).map((one) => {
    const text = poll.choices.find((choice) => choice.id === one.id)?.text ?? "";
    return `${text} ${percent(one.percent)}`;
  }).join(", ") : t("bars_hidden");
  return `${poll.question} ${t(step)}. ${howMany(poll)}. ${shown}.`;
}

/** @param {string} id @param {string} text */
function setText(id, text) {
  if ($(id).textContent !== text) $(id).textContent = text;
}
