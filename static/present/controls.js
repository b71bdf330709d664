// What the presenter can do, by button and by key. No single key destroys anything.

import { api, wordsOfRefusals } from "/assets/shared/api.js";
import { keyOf } from "/assets/shared/keys.js";
import { isUntouched, phonesGoOn } from "/assets/shared/live.js";
import { t } from "/assets/shared/words.js";
import { refit } from "/assets/present/bars.js";
import { SIZES } from "/assets/present/fit.js";
import { onStage, phase } from "/assets/present/stage.js";
import { NUMBERS, sharedView } from "/assets/present/view.js";

const IDLE_MS = 3_000;
const ERROR_MS = 8_000;

/** Of this browser: who speaks to it, or whose hand strays, may want none. */
const SINGLE_KEYS = "gs:present:keys";

/** @type {(id:string) => any} */
const $ = (id) => document.getElementById(id);

/** @type {Record<string, string>} */
const KEYS = {
  ArrowRight: "next", PageDown: "next", ArrowLeft: "previous", PageUp: "previous", " ": "toggle", Enter: "reveal", r: "reveal",
  j: "join", t: "timer", s: "sort", "+": "larger", "=": "larger", "-": "smaller", "−": "smaller", "%": "numbers", f: "fullscreen", b: "blank", w: "window", "?": "help",
  "٪": "numbers", "؟": "help", ".": "blank", // Arabic; and clickers
};

/**
 * @param {{event:string, latest:import("/assets/shared/live.js").Latest, redraw:() => void}} stage
 */
export function controls({ event, latest, redraw }) {
  /** The poll asked for but not yet in a document. @type {string|null} */
  let asked = null;
  let busy = Promise.resolve();

  /** One at a time and in order: the second of two quick presses still sees what the first did not change yet, and asks for the same. @param {() => Promise<unknown>|undefined} ask */
  function change(ask) {
    busy = busy.then(ask).then(() => complain(""), (error) => { asked = null; complain(error.detail ?? String(error)); });
  }

  const poll = () => (latest.live ? onStage(latest.live) : null);
  /** Off stage, where nobody sees that votes still come. */
  const stillOpen = () => (latest.live?.polls ?? []).filter((one) => one !== poll() && phase(one, latest.now()) === "open");
  let fittedTo = "";
  /** The question whose bars are looked at here while the big screen hides them. @type {string|null} */
  let peeked = null;
  const view = sharedView(event, showView, (error) => complain(error.status ? error.detail : t("view_unsent")));

  /** @param {number} by */
  function step(by) {
    const live = latest.live;
    if (!live) return;
    const at = live.polls.findIndex((one) => one.id === (asked ?? live.current));
    const next = live.polls[at < 0 && by < 0 ? -1 : at + by];
    if (!next) return stir();
    asked = next.id;
    if (view.now().joining) view.choose({ joining: false });
    change(() => api("PUT", `events/${event}/current`, { poll: next.id }));
  }

  /** On the screen, and on the buttons: what is on, and what goes no further. @param {import("/assets/present/view.js").View} shown */
  function showView({ blank, joining, sorted, earlier, numbers, size }) {
    const fitted = `${size} ${numbers}`;
    const fits = fitted === fittedTo;
    fittedTo = fitted;
    $("blank").hidden = !blank;
    document.documentElement.style.setProperty("--scale", String(SIZES[size]));
    document.body.dataset.numbers = numbers;
    button("blank").setAttribute("aria-pressed", String(blank));
    button("join").setAttribute("aria-pressed", String(joining));
    button("sort").setAttribute("aria-pressed", String(sorted));
    button("earlier").setAttribute("aria-pressed", String(earlier));
    button("smaller").disabled = size === 0;
    button("larger").disabled = size === SIZES.length - 1;
    label("numbers", t(`numbers_${numbers}`));
    redraw();
    if (!fits) refit(); // not for the order: rows on their way to their place cannot be measured
  }

  /** @param {number} by */
  const resize = (by) => view.choose({ size: Math.max(0, Math.min(SIZES.length - 1, view.now().size + by)) });

  /** @type {Record<string, () => void>} */
  const actions = {
    next: () => step(1),
    previous: () => step(-1),
    toggle() {
      const one = poll();
      if (!one) return stir(); // the buttons say what a key can do here
      // Waiting for the clock: opened by hand, it waits no longer.
      if (phase(one, latest.now()) === "opens_soon") return change(() => api("PATCH", `polls/${one.id}`, { opens_at: null }));
      change(() => api("PUT", `polls/${one.id}/state`, { state: phase(one, latest.now()) === "open" ? "closed" : "open" }));
    },
    reveal() {
      const one = poll();
      if (!one || button("reveal").disabled) return stir();
      change(() => api("PUT", `polls/${one.id}/visibility`, { revealed: !one.revealed }));
    },
    close_other() {
      const other = stillOpen()[0];
      if (other) change(() => api("PUT", `polls/${other.id}/state`, { state: "closed" }));
    },
    join: () => (button("join").disabled ? stir() : view.choose({ joining: !view.now().joining })),
    sort: () => view.choose({ sorted: !view.now().sorted }),
    earlier: () => view.choose({ earlier: !view.now().earlier }),
    timer() { poll()?.state === "open" ? $("timer").showModal() : stir(); },
    larger: () => resize(1),
    smaller: () => resize(-1),
    numbers: () => view.choose({ numbers: NUMBERS[(NUMBERS.indexOf(view.now().numbers) + 1) % NUMBERS.length] }),
    fullscreen() { document.fullscreenElement ? document.exitFullscreen() : document.documentElement.requestFullscreen?.().catch(() => complain(t("no_fullscreen"))); },
    window() { if (!open(`${location.pathname}${location.search}#screen`, `gs-screen-${event}`, "popup,width=1280,height=720")) complain(t("no_window")); },
    blank: () => view.choose({ blank: !view.now().blank }),
    peek() {
      peeked = peeked ? null : poll()?.id ?? null;
      refreshControls();
      redraw();
    },
    revive: () => change(() => api("PATCH", `events/${event}`, { state: "live" })),
    view() {
      $("view").hidden = !$("view").hidden;
      button("view").setAttribute("aria-expanded", String(!$("view").hidden));
    },
    help() { $("keys").showModal(); },
  };

  document.addEventListener("keydown", (pressed) => {
    if (pressed.ctrlKey || pressed.metaKey || pressed.altKey || pressed.repeat || document.querySelector("dialog[open]")) return;
    if (pressed.key === "Escape" && !$("blank").hidden) actions.blank();
    const onButton = /** @type {Element} */ (pressed.target).closest("button, a");
    if (onButton && (pressed.key === " " || pressed.key === "Enter")) return; // the button's own press
    const key = keyOf(pressed);
    const action = KEYS[key];
    if (!action || (key.trim().length === 1 && action !== "help" && !$("keys-on").checked)) return;
    pressed.preventDefault();
    actions[action]();
  });

  $("controls").addEventListener("click", (/** @type {PointerEvent} */ clicked) => {
    const button = /** @type {HTMLElement|null} */ (/** @type {Element} */ (clicked.target).closest("[data-do]"));
    if (!button) return;
    if (clicked.detail > 0) button.blur(); // clicked by hand: Space must go on meaning open or close
    actions[button.dataset.do ?? ""]();
  });

  $("keys-on").checked = localStorage.getItem(SINGLE_KEYS) !== "off";
  $("keys-on").addEventListener("change", () => localStorage.setItem(SINGLE_KEYS, $("keys-on").checked ? "on" : "off"));

  $("blank").addEventListener("click", actions.blank); // it lies over the button, and a finger has no B

  for (const length of $("lengths").children) {
    const seconds = Number(length.value);
    length.textContent = seconds < 60 ? t("seconds", { n: seconds }) : t("minutes", { n: seconds / 60 });
  }
  $("timer").addEventListener("close", () => {
    const [one, picked] = [poll(), $("timer").returnValue];
    $("timer").returnValue = "";
    if (!one || !picked) return;
    change(() => api("PATCH", `polls/${one.id}`, { closes_at: picked === "stop" ? null : Math.round(latest.now()) + 1000 * Number(picked) }));
  });

  void wordsOfRefusals();
  showView(view.now());
  const stir = fadeWhenIdle();
  refreshControls();

  function refreshControls() {
    if (latest.live && asked === latest.live.current) asked = null;
    view.hear(latest.live?.view);
    const one = poll();
    const polls = latest.live?.polls ?? [];
    const at = polls.findIndex((other) => other === one);
    const next = polls[at + 1];
    const open = Boolean(one && phase(one, latest.now()) === "open");
    button("previous").disabled = at <= 0;
    button("next").disabled = !next;
    button("toggle").disabled = !one || latest.live?.event.state === "ended";
    // Asked of nobody yet, and meant to stay hidden while people vote: a key too many must not change that.
    button("reveal").disabled = !one || (isUntouched(one) && !one.revealed && one.visibility !== "live");
    button("timer").disabled = !open;
    button("join").disabled = latest.live?.event.state === "ended";
    button("revive").hidden = latest.live?.event.state !== "ended";
    if (one?.id !== peeked || one.revealed) peeked = null;
    button("earlier").hidden = !one?.results?.before;
    button("peek").disabled = !one || one.revealed;
    button("peek").setAttribute("aria-pressed", String(Boolean(peeked)));
    $("timer-stop").hidden = !one?.closes_at;
    // Open, close, reveal, next: what comes next stands out.
    const lit = !one ? "next" : open || !one.closed_at ? "toggle" : one.revealed ? "next" : "reveal";
    for (const name of ["toggle", "reveal", "next"]) button(name).classList.toggle("main", name === lit && !button(name).disabled);
    label("toggle", t(open ? "close_voting" : one?.closed_at ? "open_again" : "open_voting"));
    const screenAlone = Boolean(one && phonesGoOn(one));
    setText($("controls").querySelector("[data-do='reveal'] .what"), t(one?.revealed ? "hide" : "reveal"));
    button("reveal").title = t(screenAlone ? "reveal_here" : "reveal_key");
    $("controls").querySelector("[data-do='reveal'] small").hidden = !screenAlone;
    const upcoming = next ? t("upcoming", { question: `\u2068${next.question}\u2069` }) : t(one ? "last" : "no_questions");
    const other = stillOpen()[0];
    button("close_other").hidden = !other;
    $("controls").toggleAttribute("data-other", Boolean(other));
    $("controls").toggleAttribute("data-over", latest.live?.event.state === "ended");
    if (other) label("close_other", t("still_open", { n: polls.indexOf(other) + 1 }));
    setText($("upcoming"), upcoming);
    $("upcoming").toggleAttribute("data-last", Boolean(one && !next));
    $("controls").toggleAttribute("data-empty", !polls.length);
  }

  return { refreshControls, view: () => ({ ...view.now(), peek: Boolean(peeked) }) };
}

/** @param {string} what @returns {HTMLButtonElement} */
const button = (what) => /** @type {any} */ (document.querySelector(`[data-do="${what}"]`));

/** @param {string} what @param {string} text */
const label = (what, text) => setText(button(what), text);

/** @param {Element} element @param {string} text */
function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

let errorTimer = 0;

/** Between the buttons and the way to join, which is as wide as the host's name and the language make it. */
function placeError() {
  const [error, join] = [$("error"), /** @type {Element} */ (document.querySelector(".join"))].map((one) => one.getBoundingClientRect());
  const room = document.dir === "rtl" ? error.right - join.right : join.left - error.left;
  $("error").style.setProperty("--beside-join", `${Math.max(200, room - 16)}px`);
  $("error").style.setProperty("--controls", `${$("controls").offsetHeight}px`);
}
addEventListener("resize", placeError);

/** @param {string} text */
export function complain(text, stays = false) {
  clearTimeout(errorTimer);
  $("error").hidden = !text;
  $("error").textContent = text;
  placeError();
  if (text && !stays) errorTimer = window.setTimeout(() => complain(""), ERROR_MS);
}

/** A clean screen for the room: controls and pointer go while nobody moves. */
function fadeWhenIdle() {
  let timer = 0;
  const stir = () => {
    delete document.body.dataset.idle;
    clearTimeout(timer);
    timer = window.setTimeout(() => { document.body.dataset.idle = "yes"; }, IDLE_MS);
  };
  for (const kind of ["pointermove", "pointerdown", "focusin"]) document.addEventListener(kind, stir);
  document.addEventListener("keydown", (pressed) => { if (pressed.key === "Tab") stir(); });
  stir();
  return stir;
}
