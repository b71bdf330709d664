// The audience app: join by code, vote by one tap, see the result. This file puts the parts together; build.rs joins all it imports into one,
// because a phone in a full stadium should have to ask for as little as possible.

import { drawLook, ownTitle } from "/assets/vote/look.js";
import { askForCode, readCode, turnAway } from "/assets/vote/join.js";
import { address, connected, currentPoll, follow, goOn, join, leave, live, phase, refresh } from "/assets/vote/live.js";
import { announce } from "/assets/vote/news.js";
import { deliver, deliverSoon, isExpecting, isOfBallots, settle } from "/assets/vote/outbox.js";
import { drawQuestion } from "/assets/vote/question.js";
import { drawNotices, drawReceipt } from "/assets/vote/receipt.js";
import { drawClock, drawResults } from "/assets/vote/results.js";
import { $, changed, setText } from "/assets/vote/small.js";
import { learn, spoken } from "/assets/vote/words.js";

follow({
  over: () => live?.event.state === "ended" && !isExpecting(),
  unknown: (code) => {
    leave();
    draw();
    turnAway(code);
  },
  news: (first) => {
    settle();
    if (!first) return;
    deliver(); // joined: fetch the pass now, so that the tap is one request
    stay();
  },
});

askForCode((code) => {
  history.pushState(null, "", `/${encodeURIComponent(code)}`);
  start();
});

function start() {
  const code = readCode(decodeURIComponent(location.pathname.slice(1)));
  if (!code) return draw();
  join(code);
  draw();
  refresh();
  if (live) deliver();
}

/** The page for the next time, should nobody answer then; see sw.js. */
async function stay() {
  try {
    // `all`: a reload within the minute that sw.js may be kept asks for nothing.
    await navigator.serviceWorker?.register("/sw.js", { updateViaCache: "all" });
  } catch { /* plain http has none, nor has a browser that may keep nothing */ }
}

function wake() {
  changed(); // another tab may have voted while this one was away
  refresh();
  deliver();
}

addEventListener("changed", draw);
addEventListener("online", () => {
  changed();
  refresh();
  deliverSoon();
});
addEventListener("offline", () => { if (address) connected(false); });
addEventListener("pageshow", (event) => { if (event.persisted) wake(); });
addEventListener("pointerup", goOn);
addEventListener("popstate", () => location.reload());
addEventListener("storage", (event) => { if (isOfBallots(event)) draw(); });
document.addEventListener("visibilitychange", () => { if (!document.hidden) wake(); });

// ------------------------------------------------------------------------------------------------ on the screen

function draw() {
  if (!spoken) return;
  const poll = currentPoll();
  document.title = live?.event.title || "Groundswell";
  setText("title", live ? ownTitle(live) : "Groundswell");
  drawNotices();
  if (live) drawLook(live.event);
  if (!live) {
    announce("");
    return show(address ? "loading" : "join");
  }
  const screen = live.event.state === "ended" ? "ended" : poll ? "poll" : "waiting";
  show(screen);
  if (!poll || screen === "ended") return announce($(`screen-${screen}`).innerText);
  const focused = document.activeElement;
  const ballot = drawQuestion(poll);
  const now = phase(poll);
  const isClosed = now === "closed";
  drawReceipt(isClosed, ballot);
  if (focused?.closest("[hidden], fieldset:disabled")) $("voters").focus({ preventScroll: true }); // the next Tab is "Change my vote"
  const leading = drawResults(poll, ballot.rows, Boolean(ballot.mine?.picks.length));
  drawClock();
  const asked = `${$("poll-state").textContent}: ${poll.question} ${now === "soon" ? ballot.told : ""}`.trim();
  // Live numbers are no news, else nothing else would be heard.
  announce(leading ? `${asked} ${$("sheet").textContent}: ${leading}` : asked, isClosed ? undefined : asked + (leading === null));
}

/** @param {string} name */
function show(name) {
  for (const section of document.querySelectorAll("main > section")) {
    /** @type {HTMLElement} */ (section).hidden = section.id !== `screen-${name}`;
  }
  if (name !== "poll") $("dock").hidden = true;
  if (name === "join" && document.activeElement === document.body) $("code").focus();
}

start();
learn().then(draw);
