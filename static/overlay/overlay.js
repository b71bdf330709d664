// A result over a picture or inside another page. It shows what the audience may see, follows by itself and has no buttons;
// over a picture, H holds the numbers and releases them.
// Nothing of it may run out of its panel, whatever was asked for.
//   ?layout=lower|full|versus  poll=<id>  colors=0b8a9a,d04a02  ink=ffffff  ground=10191fcc  scale=1.2  safe=5  numbers=percent|count  theme=dark|light  font=Georgia  join=no  lang=de  hold

import { server } from "/assets/shared/api.js";
import { keyOf } from "/assets/shared/keys.js";
import { Latest } from "/assets/shared/live.js";
import { dressFor } from "/assets/shared/look.js";
import { follow } from "/assets/shared/stream.js";
import { digits, howMany, hue, learn, letter, percent, spoken, t } from "/assets/shared/words.js";
import { en, others } from "/assets/overlay/en.js";

const CROWDED = 8; // choices
const LONG_QUESTION = 90; // characters
const LONG_NAME = 45;
const SHRINK = 0.94;
const SMALLEST = 0.55; // of its size: then a name is too small to read
const SCALE = [0.4, 4];
const STEPS = 6; // of halving the scale: a percent or two at the end
const BAR_LEAST = 0.12; // of its row: a bar must be long enough to be compared
const NAME_ROOM_EM = 0.1; // what is measured and what is painted may differ by so much
const LOOK_AGAIN_MS = 30_000; // for an event that is not there
const FONTS_LONGEST = 200; // characters
const SAFE_MOST = 20; // percent of the frame, on each side

/** @type {(id:string) => any} */
const $ = (id) => document.getElementById(id);
const [, place, code = ""] = location.pathname.split("/");
const embedded = place === "embed";
const wishes = new URLSearchParams(location.search);
const latest = new Latest();
let scale = 1; // as it was asked for; what does not fit gets less
let layout = "lower";
let held = wishes.has("hold");

const root = document.documentElement;
root.classList.add(embedded ? "embedded" : "over");
await learn(en, others);
dress();

watch();

function watch() {
  const stop = follow({ stream: `live/${encodeURIComponent(code)}/stream`, document: `live/${encodeURIComponent(code)}` }, {
    document(live) {
      $("gone").hidden = true;
      if (latest.take(live) && !(held && drawn)) draw(live);
    },
    lost() {}, // the last result stays: a picture on air must not talk about its connection
    refused() {
      // On air it is only said to whoever listens, and not over a result that stands.
      const isAlone = $("frame").hidden;
      $("gone").hidden = !embedded && !isAlone;
      $("idle").hidden = true;
      if (isAlone) document.title = $("gone").textContent;
      // A scene may be set up before its event has this name.
      stop();
      setTimeout(watch, LOOK_AGAIN_MS * (0.8 + 0.4 * Math.random()));
    },
  });
}

addEventListener("keydown", (pressed) => {
  // Somebody who reads the page around an embed and strikes a key by chance would have a result that stands still, and no sign of it.
  if (embedded || keyOf(pressed) !== "h" || pressed.ctrlKey || pressed.metaKey || pressed.altKey) return;
  held = !held;
  if (!held && latest.live) draw(latest.live);
});

/** What was asked for in the address. A value that cannot be right is left out. */
function dress() {
  const wanted = wishes.get("layout") ?? "";
  layout = ["lower", "full", "versus"].includes(wanted) ? wanted : embedded ? "full" : "lower";
  $("frame").dataset.numbers = wishes.get("numbers") ?? "both";
  const set = (/** @type {string} */ name, /** @type {string|null} */ value) => { if (value !== null) root.style.setProperty(name, value); };
  scale = Number(bounded("scale", SCALE[0], SCALE[1]) ?? 1);
  set("--safe", bounded("safe", 0, SAFE_MOST) ?? (embedded ? "0" : null));
  const [ink, ground] = [colour(wishes.get("ink")), colour(wishes.get("ground"))];
  set("--ink", ink);
  set("--ground", ground);
  root.toggleAttribute("data-own", Boolean(ink || ground));
  set("--font", fonts(wishes.get("font")));
  const wish = wishes.get("theme") ?? "";
  const theme = ["dark", "light"].includes(wish) ? wish : themeFor(ink, ground);
  if (theme) root.dataset.theme = theme;
}

/** In which what was not asked for can be read with what was. A ground that is hardly there says nothing. @param {string|null} ink @param {string|null} ground */
function themeFor(ink, ground) {
  if (ground && opacity(ground) >= 0.5) return isLight(ground) ? "light" : "dark";
  return ink && (isLight(ink) ? "dark" : "light");
}

/** @param {string} own #rgb to #rrggbbaa */
function opacity(own) {
  const alpha = own.length === 5 ? own[4].repeat(2) : own.slice(7);
  return alpha ? parseInt(alpha, 16) / 255 : 1;
}

/** @param {string} name @param {number} least @param {number} most */
function bounded(name, least, most) {
  const value = Number.parseFloat(wishes.get(name) ?? "");
  return Number.isFinite(value) ? String(Math.min(most, Math.max(least, value))) : null;
}

/** @param {string|null|undefined} text hexadecimal, 3 to 8 digits */
function colour(text) {
  return text && /^#?([\da-f]{3,4}|[\da-f]{6}|[\da-f]{8})$/i.test(text) ? `#${text.replace("#", "")}` : null;
}

/** Families this machine has, the first wish first; behind them what is shown anyway. @param {string|null} text */
function fonts(text) {
  const families = (text ?? "").slice(0, FONTS_LONGEST).split(",").map((one) => one.trim()).filter((one) => /^[\p{L}\p{N}][\p{L}\p{N} ._-]*$/u.test(one));
  return families.length ? [...families.map((one) => `"${one}"`), getComputedStyle(root).getPropertyValue("--font")].join(", ") : null;
}

let drawn = "";

/** @param {import("/assets/shared/live.js").Live} live */
function draw(live) {
  dressFor(live.event);
  const wanted = wishes.get("poll") ?? live.current ?? drawn.split(":")[0];
  const poll = live.polls.find((one) => one.id === wanted);
  $("gone").hidden = true;
  $("frame").hidden = !poll;
  $("idle").hidden = Boolean(poll);
  if (!poll) return setText($("idle"), live.event.title);
  const key = `${poll.id}:${poll.round}:${poll.choices.map((choice) => choice.id)}`;
  if (drawn !== key) $("rows").replaceChildren(...poll.choices.map((_, at) => newRow(at)));
  drawn = key;
  // What is meant for phones that have voted is not for everybody.
  const waits = poll.visibility === "after_vote" && poll.state === "open" && !poll.revealed;
  const results = waits ? null : poll.results;
  const counts = new Map(results?.choices.map((one) => [one.id, one]));
  document.title = poll.question;
  setText($("question"), poll.question);
  // One against the other takes two: more stand as bars.
  $("frame").dataset.layout = layout === "versus" && poll.choices.length !== 2 ? "lower" : layout;
  $("frame").classList.toggle("is-long", poll.question.length > LONG_QUESTION);
  $("frame").classList.toggle("is-hidden", !results);
  const most = Math.max(0, ...[...counts.values()].map((one) => one.votes));
  $("frame").classList.toggle("is-decided", results?.status === "final" && most > 0);
  $("frame").toggleAttribute("data-crowded", poll.choices.length > CROWDED);
  $("frame").toggleAttribute("data-long", poll.choices.some((choice) => choice.text.length > LONG_NAME));
  $("rows").style.setProperty("--choices", String(poll.choices.length));
  if ($("frame").dataset.layout === "lower") $("rows").style.setProperty("--names", String(longest(poll.choices)));
  $("rows").style.setProperty("--digits", String(digits(most).length));
  poll.choices.forEach((choice, at) => {
    const row = $("rows").children[at];
    const { votes = 0, percent: share = 0 } = counts.get(choice.id) ?? {};
    row.classList.toggle("is-leading", most > 0 && votes === most);
    setText(row.querySelector(".text"), choice.text);
    setText(row.querySelector(".percent"), results ? percent(share) : "");
    setText(row.querySelector(".votes"), results ? digits(votes) : "");
    const part = votes / (results?.voters || 1); // finer than whole percents
    row.style.setProperty("--share", String(votes ? part : -0.01));
    row.style.setProperty("--weight", String(results?.voters ? Math.max(1, part * 100) : 1));
  });
  const said = results ? [howMany(poll), ...(results.voters && poll.state === "closed" ? [t(results.status)] : [])] : [t("not_shown")];
  setText($("voters"), [...(poll.round > 1 ? [t("round", { n: poll.round })] : []), ...said].join(" · "));
  isOver = poll.state === "closed";
  invite();
  drawJoin(live.event.code);
  fit();
}

const pen = document.createElement("canvas").getContext("2d");

/** How wide the longest name is on one line, in em of its size. @param {{text:string}[]} choices */
function longest(choices) {
  const size = 100; // px
  if (!pen) return 99;
  pen.font = `600 ${size}px ${getComputedStyle(root).getPropertyValue("--font")}`;
  return Math.max(0, ...choices.map(({ text }) => pen.measureText(text).width)) / size + NAME_ROOM_EM;
}

let isOver = false; // what is shown, which may be held

/** Nobody is sent to a vote that is over. */
function invite() {
  $("join").hidden = isOver || !$("join").hasAttribute("href");
}

let home = ""; // where people vote
let asking = false;
const ASK_AGAIN_MS = 3_000;
let askAgainAt = 0; // performance.now()

/** @param {string} event its code */
async function drawJoin(event) {
  if (wishes.get("join") === "no" || asking || performance.now() < askAgainAt) return;
  if (!home) {
    asking = true;
    home = await findHome();
    asking = false;
    askAgainAt = performance.now() + ASK_AGAIN_MS;
    if (!home) return; // on air, no address is better than a wrong one; a later document asks again
  }
  const link = `${home}/${event}`;
  if ($("join").getAttribute("href") === link) return;
  $("join").href = link;
  setText($("host"), spoken(link));
  invite();
  fit();
}

/** As stage and poster say it: this page may have been opened under another name. The QR code has the join link in words. */
async function findHome() {
  try {
    const answer = await fetch(`${server}/api/v1/live/${encodeURIComponent(code)}/qr.svg`);
    if (!answer.ok) return "";
    const link = new DOMParser().parseFromString(await answer.text(), "image/svg+xml").querySelector("title")?.textContent;
    return link?.replace(/\/[^/]*$/, "") ?? ""; // one that a cache kept from before has no words
  } catch {
    return "";
  }
}

addEventListener("resize", fit);
// One against the other, a side that grows leaves less room to the other's name.
$("rows").addEventListener("transitionend", (/** @type {TransitionEvent} */ event) => { if (event.propertyName === "flex-grow") fit(); });

/**
 * As large as it was asked for, or as large as fits: first with words in one piece, then in pieces, then with smaller names. One against the
 * other has little room for names, so there they get smaller before they are broken. On air nothing can be scrolled to: there all of it gets
 * smaller in the end.
 */
function fit() {
  const frame = $("frame");
  frame.removeAttribute("data-full");
  const least = Math.min(scale, 1);
  if (largest(least, scale, 1, true)) return;
  if (frame.dataset.layout === "versus" && smallerNames(least, true)) return;
  if (largest(least, scale, 1, false) || smallerNames(least, false)) return;
  if (!embedded && largest(SCALE[0], least, SMALLEST, false)) return;
  tryOut(embedded ? least : SCALE[0], SMALLEST, false);
  frame.toggleAttribute("data-full", true);
}

/** Takes the largest scale in which all is seen. @param {number} low @param {number} high @param {number} size of names @param {boolean} whole @returns {boolean} is there one? */
function largest(low, high, size, whole) {
  if (tryOut(high, size, whole)) return true;
  if (low >= high || !tryOut(low, size, whole)) return false;
  for (let step = 0; step < STEPS; step += 1) {
    const middle = (low + high) / 2;
    if (tryOut(middle, size, whole)) low = middle;
    else high = middle;
  }
  return tryOut(low, size, whole);
}

/** Takes the largest size of names in which all is seen. @param {number} scale @param {boolean} whole @returns {boolean} is there one? */
function smallerNames(scale, whole) {
  for (let size = SHRINK; size >= SMALLEST; size *= SHRINK) if (tryOut(scale, size, whole)) return true;
  return false;
}

/** @param {number} scale @param {number} size of names @param {boolean} whole words in one piece @returns {boolean} is all of it seen? */
function tryOut(scale, size, whole) {
  const [frame, list] = [$("frame"), $("rows")];
  root.style.setProperty("--scale", String(scale));
  list.style.setProperty("--fit", String(size));
  // Larger than usual is never worth a broken word, in whatever stands there.
  frame.dataset.whole = whole ? (scale > 1 ? "all" : "names") : "none";
  const isWide = (/** @type {Element} */ one) => one.scrollWidth <= one.clientWidth + 1;
  const isIn = (/** @type {Element} */ one) => isWide(one) && one.scrollHeight <= one.clientHeight + 1;
  const rows = [...list.children];
  if (!isIn(list) || !isIn(list.parentElement) || !isWide($("foot")) || !rows.every(isWide)) return false;
  if (scale <= 1 && !whole) return true; // what is small already is shown as it can be
  const hasBar = (/** @type {Element} */ row) => { const track = /** @type {HTMLElement} */ (row.querySelector(".track")); return !track.offsetParent || track.clientWidth >= BAR_LEAST * row.clientWidth; };
  return rows.every(hasBar) && (!whole || (isWide($("question")) && rows.every((row) => isWide(/** @type {Element} */ (row.querySelector(".text"))))));
}

/** @param {number} at */
function newRow(at) {
  const row = $("row").content.firstElementChild.cloneNode(true);
  const own = colour((wishes.get("colors") ?? "").split(",")[at]);
  row.dataset.hue = hue(at);
  if (own) {
    row.style.setProperty("--hue", own);
    row.style.setProperty("--on-hue", isLight(own) ? "#0a161c" : "#ffffff");
  }
  row.querySelector(".letter").textContent = letter(at);
  return row;
}

/** Which letter can be read on it? @param {string} own #rgb to #rrggbbaa */
function isLight(own) {
  const hex = own.length < 7 ? own.slice(1, 4).replace(/./g, "$&$&") : own.slice(1, 7);
  const [r, g, b] = [0, 2, 4].map((at) => (parseInt(hex.slice(at, at + 2), 16) / 255) ** 2.2);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.18; // there black and white are equally far
}

/** @param {Element} element @param {string} text */
function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
