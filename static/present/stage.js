// Draws the newest document on the big screen. Changes text in place, keeps the last good result, knows no keys.

import { drawBars } from "/assets/present/bars.js";
import { age, count, digits, grouped, spoken } from "/assets/shared/words.js";

const SPEAK_EVERY_MS = 5_000;
const LONG_QUESTION = 70; // characters

/** @typedef {{lobby:boolean, timer:boolean}} View */
/** @typedef {import("/assets/shared/live.js").Live} Live */
/** @typedef {import("/assets/shared/live.js").Poll} Poll */

/** @type {(id:string) => any} */
const $ = (id) => document.getElementById(id);

/** @param {Live} live */
export const onStage = (live) => live.polls.find((poll) => poll.id === live.current) ?? null;

/** @param {Live} live @param {View} view @param {number} now */
export function drawStage(live, view, now) {
  const poll = onStage(live);
  document.title = `${live.event.title}: on stage`;
  setText("title", live.event.title);
  drawJoin(live);
  show(!poll || view.lobby ? "lobby" : "poll");
  setText("poll-state", poll ? phaseWords(poll, now) : live.event.state === "ended" ? "Ended" : "Waiting");
  $("poll-state").dataset.phase = poll?.state ?? "draft";
  setText("voters", poll ? voters(poll) : "");
  setText("note", poll ? note(poll) : "");
  drawClock(live, view, now);
  if (!poll) return speak("Join screen.");
  setText("question", poll.question);
  $("question").classList.toggle("is-long", poll.question.length > LONG_QUESTION);
  drawBars(poll);
  speak(spokenResult(poll));
}

/** @param {Poll} poll */
function voters(poll) {
  return poll.results?.voters ? count(poll.results.voters, "vote") : "No votes yet";
}

/** @param {Poll} poll */
function note(poll) {
  const parts = [];
  if (poll.round > 1) parts.push(`round ${poll.round}`);
  if (poll.results?.voters && poll.state === "closed") parts.push(poll.results.status === "final" ? "final" : "provisional, still counting");
  if (poll.revealed && poll.kind === "multiple") parts.push("several picks each: shares of voters may pass 100% together");
  return parts.join(" · ");
}

/** @param {Poll} poll @param {number} now */
function phaseWords(poll, now) {
  if (poll.state === "open") return poll.opens_at && now < poll.opens_at ? "Opens soon" : poll.closes_at && now >= poll.closes_at ? "Closed" : "Open";
  return poll.state === "draft" || !poll.closed_at ? "Not open yet" : "Closed";
}

/** @param {Live} live */
function drawJoin(live) {
  const host = spoken(live.join_url ?? location.origin).replace(new RegExp(`/${live.event.code}$`), "");
  for (const place of document.querySelectorAll(".join-host")) place.textContent = host;
  for (const place of document.querySelectorAll(".join-code")) place.textContent = grouped(live.event.code);
  const qr = `/api/v1/live/${live.event.code}/qr.svg`;
  for (const image of document.querySelectorAll("img.join-qr")) if (image.getAttribute("src") !== qr) image.setAttribute("src", qr);
}

/** @param {Live} live @param {View} view @param {number} now */
export function drawClock(live, view, now) {
  const poll = onStage(live);
  const until = poll?.opens_at && now < poll.opens_at ? poll.opens_at : poll?.state === "open" ? poll.closes_at : null;
  const left = Math.max(0, Math.ceil(((until ?? 0) - now) / 1000));
  setText("clock", view.timer && until ? `${Math.floor(left / 60)}:${String(left % 60).padStart(2, "0")}` : "");
}

/** @param {number} lostAt 0: there */
export function drawAge(lostAt) {
  $("lost").hidden = !lostAt;
  if (lostAt) setText("lost", `No connection. Result from ${age(Date.now() - lostAt)} ago.`);
}

/** Instead of a stage. @param {string} title @param {string} text @param {string} [link] */
export function message(title, text, link) {
  setText("message-title", title);
  setText("message-text", text);
  $("message-link").hidden = !link;
  if (link) setText("message-link", link);
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

/** @param {Poll} poll */
function spokenResult(poll) {
  const shown = poll.revealed ? (poll.results?.choices ?? []).map((one) => {
    const text = poll.choices.find((choice) => choice.id === one.id)?.text ?? "";
    return `${text} ${digits(one.percent)}%`;
  }).join(", ") : "bars hidden";
  return `${poll.question}: ${poll.state}. ${voters(poll)}. ${shown}.`;
}

/** @param {string} id @param {string} text */
function setText(id, text) {
  if ($(id).textContent !== text) $(id).textContent = text;
}
