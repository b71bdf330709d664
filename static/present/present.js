// The presenter's page: follows one event and puts it on stage. What the keys do is in controls.js, how it looks in stage.js.

import { Latest } from "/assets/shared/live.js";
import { follow } from "/assets/shared/stream.js";
import { controls } from "/assets/present/controls.js";
import { drawAge, drawClock, drawStage, message } from "/assets/present/stage.js";

const event = decodeURIComponent(location.pathname.split("/")[2] ?? "");
const latest = new Latest();
const view = { lobby: false, timer: true };
let lostAt = 0;

const redraw = () => { if (latest.live) drawStage(latest.live, view, latest.now()); };
const { refreshControls } = controls({ event, latest, view, redraw });

follow(event, {
  document(live) {
    lostAt = 0;
    drawAge(0);
    if (!latest.take(live)) return;
    redraw();
    refreshControls();
  },
  lost() {
    lostAt ||= Date.now();
    if (latest.live) drawAge(lostAt);
    else message("No connection yet", "Trying again by itself.");
  },
  refused(error) {
    const signedOut = error.status === 401;
    message(signedOut ? "Please sign in" : "This event is not here", signedOut ? "The presenter's screen is for signed-in people. Sign in, then open it from the event's page." : error.detail, signedOut ? "Sign in" : "All events");
  },
});

setInterval(() => {
  if (lostAt && latest.live) drawAge(lostAt);
  if (latest.live) drawClock(latest.live, view, latest.now());
}, 500);
