// The presenter's page: follows one event and puts it on stage. What the keys do is in controls.js, how it looks in stage.js.
// With #screen at its end it is the clean page for the projector: no buttons, and it does what the presenter's window does.

import { Latest } from "/assets/shared/live.js";
import { follow, presenters } from "/assets/shared/stream.js";
import { learn, t } from "/assets/shared/words.js";
import { refit } from "/assets/present/bars.js";
import { controls } from "/assets/present/controls.js";
import { en, others } from "/assets/present/en.js";
import { drawAge, drawClock, drawStage, eventOf, message } from "/assets/present/stage.js";

const event = eventOf(location.pathname);
const latest = new Latest();
const view = { lobby: false, timer: true, sorted: false };
let lostAt = 0;

document.documentElement.classList.toggle("screen", location.hash === "#screen");
await learn(en, others);

const redraw = () => { if (latest.live) drawStage(latest.live, view, latest.now()); };
const { refreshControls } = controls({ event, latest, view, redraw });

follow(presenters(event), {
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
    else message(t("no_connection"), t("trying"));
  },
  refused(error) {
    const signedOut = error.status === 401;
    message(t(signedOut ? "please_sign_in" : "not_here"), signedOut ? t("sign_in_why") : error.detail, t(signedOut ? "sign_in" : "all_events"), signedOut ? `/admin?then=${location.pathname}` : undefined);
  },
});

new ResizeObserver(refit).observe(/** @type {Element} */ (document.getElementById("poll"))); // what is fitted inside does not change its size
document.fonts?.ready.then(refit);

setInterval(() => {
  if (lostAt && latest.live) drawAge(lostAt);
  if (latest.live) drawClock(latest.live, view, latest.now());
}, 250);
