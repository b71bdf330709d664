// The presenter's page: follows one event and puts it on stage. What the keys do is in controls.js, how it looks in stage.js.
// With #screen at its end it is the clean page for the projector: no buttons, and it does what the presenter's window does.

import { Latest } from "/assets/shared/live.js";
import { follow, presenters } from "/assets/shared/stream.js";
import { learn, t } from "/assets/shared/words.js";
import { refit } from "/assets/present/bars.js";
import { complain, controls } from "/assets/present/controls.js";
import { en, others } from "/assets/present/en.js";
import { drawAge, drawClock, drawStage, eventOf, message } from "/assets/present/stage.js";

const event = eventOf(location.pathname);
const latest = new Latest();
const SIGNED_OUT_MS = 10_000; // between two looks whether that is over
let lostAt = 0;
let heardAt = Date.now(); // of the server, a beat included
let isTold = false; // that somebody has to sign in

document.documentElement.classList.toggle("screen", location.hash === "#screen");
await learn(en, others);

const redraw = () => { if (latest.live) drawStage(latest.live, view(), latest.now()); };
const { refreshControls, view } = controls({ event, latest, redraw });

watch();

function watch() {
  const stop = follow(presenters(event), {
    heard() { heardAt = Date.now(); },
    document(live) {
      lostAt = 0;
      drawAge(0);
      if (isTold) complain("");
      isTold = false;
      if (!latest.take(live)) return;
      refreshControls();
      redraw();
    },
    lost() {
      lostAt ||= heardAt;
      if (latest.live) drawAge(lostAt);
      else message(t("no_connection"), t("trying"));
    },
    refused(error) {
      const signedOut = error.status === 401;
      if (signedOut && latest.live) {
        // In the midst of a show the room keeps what it sees. Who signs in again in another tab of this browser goes on here.
        lostAt ||= heardAt;
        drawAge(lostAt);
        if (!isTold && !document.documentElement.classList.contains("screen")) complain(t("please_sign_in"), true);
        isTold = true;
        stop();
        setTimeout(watch, SIGNED_OUT_MS);
        return;
      }
      message(t(signedOut ? "please_sign_in" : "not_here"), signedOut ? t("sign_in_why") : error.detail, t(signedOut ? "sign_in" : "all_events"), signedOut ? `/admin?then=${location.pathname}` : undefined);
    },
  });
}

new ResizeObserver(refit).observe(/** @type {Element} */ (document.getElementById("poll"))); // what is fitted inside does not change its size
document.fonts?.ready.then(refit);

setInterval(() => {
  if (lostAt && latest.live) drawAge(lostAt);
  if (latest.live) drawClock(latest.live, latest.now());
}, 250);
