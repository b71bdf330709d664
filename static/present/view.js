// What all screens of an event show beside the poll: how to join, blank, order, numbers, text size. A window does at once what it is told and tells
// the other windows of its browser, with the server or without it; the server tells everybody else: the phone that is the remote, the projector
// two halls on. The poll itself needs none of this: every window follows the server.

import { api } from "/assets/shared/api.js";
import { SIZES } from "/assets/present/fit.js";

/** @typedef {{edition:number, joining:boolean, blank:boolean, sorted:boolean, earlier:boolean, numbers:string, size:number}} View */

export const NUMBERS = ["both", "percent", "count"];

/** Of this browser, for events where nobody has chosen anything yet. */
const KEPT = { size: "gs:present:size", numbers: "gs:present:numbers" };
const SIZE_USUAL = SIZES.indexOf(1);

function kept() {
  const [numbers, size] = [localStorage.getItem(KEPT.numbers) ?? "", Number(localStorage.getItem(KEPT.size) ?? SIZE_USUAL)];
  return { numbers: NUMBERS.includes(numbers) ? numbers : NUMBERS[0], size: size in SIZES ? size : SIZE_USUAL };
}

const AGAIN_MS = [1_000, 3_000]; // after a failure, at random between these
const SETTLES_MS = 500; // another window of this browser is choosing: what the server says of it comes in pieces
const LATER = [401, 408, 429]; // not refused for good: somebody signs in again in another tab, or there is time

/**
 * @param {string} event
 * @param {(view: View) => void} show
 * @param {(error: any) => void} failed the other screens do not know yet; they are told as soon as the server can be asked again
 */
export function sharedView(event, show, failed) {
  /** @type {View} */
  let view = { edition: 0, joining: false, blank: false, sorted: false, earlier: true, ...kept() };
  /** Chosen here, and not yet with the server. @type {Partial<View>} */
  let unsent = {};
  /** The newest that the server said. @type {View|undefined} */
  let said;
  let isSending = false;
  let quietFrom = 0;
  let again = 0;
  const channel = typeof BroadcastChannel === "undefined" ? undefined : new BroadcastChannel(`gs:present:${event}`);

  /** @param {View} next */
  function take(next) {
    view = next;
    localStorage.setItem(KEPT.size, String(view.size));
    localStorage.setItem(KEPT.numbers, view.numbers);
    show(view);
  }

  /** What the server said meanwhile, unless something newer is known. What was chosen here stands. */
  function catchUp() {
    const wait = quietFrom - Date.now();
    if (wait > 0) setTimeout(catchUp, wait);
    else if (said && !isSending && said.edition > view.edition) take({ ...said, ...unsent });
  }

  async function send() {
    if (isSending) return;
    clearTimeout(again);
    isSending = true;
    while (Object.keys(unsent).length) {
      const now = unsent;
      unsent = {};
      try {
        const answer = await api("PATCH", `events/${event}/view`, now);
        take({ ...answer.view, ...unsent });
      } catch (/** @type {any} */ error) {
        if (!(error.status >= 400 && error.status < 500) || LATER.includes(error.status)) {
          unsent = { ...now, ...unsent };
          again = window.setTimeout(send, AGAIN_MS[0] + Math.random() * (AGAIN_MS[1] - AGAIN_MS[0]));
        }
        failed(error);
        break;
      }
    }
    isSending = false;
    catchUp();
  }

  channel?.addEventListener("message", ({ data }) => {
    if (data === "hello") return channel.postMessage(view);
    quietFrom = Date.now() + SETTLES_MS;
    if (data.edition >= view.edition) take(data);
  });
  channel?.postMessage("hello");

  return {
    now: () => view,
    /** @param {Partial<View>} what */
    choose(what) {
      // Where nobody has chosen anything yet, what this browser shows is what all show from now on.
      Object.assign(unsent, view.edition ? what : { size: view.size, numbers: view.numbers, ...what });
      take({ ...view, ...what });
      channel?.postMessage(view);
      void send();
    },
    /** @param {View|undefined} told by the server */
    hear(told) {
      if (told && told.edition > (said?.edition ?? -1)) said = told;
      catchUp();
    },
  };
}
