// What all screens of an event show beside the poll: how to join, blank, order, numbers, text size. A window does at once what it is told and tells
// the other windows of its browser, with the server or without it; the server tells everybody else: the phone that is the remote, the projector
// two halls on. The poll itself needs none of this: every window follows the server.

import { api } from "/assets/shared/api.js";
import { SIZES } from "/assets/present/fit.js";

/** @typedef {{edition:number, joining:boolean, blank:boolean, sorted:boolean, numbers:string, size:number}} View */

export const NUMBERS = ["both", "percent", "count"];

/** Of this browser, for events where nobody has chosen anything yet. */
const KEPT = { size: "gs:present:size", numbers: "gs:present:numbers" };
const SIZE_USUAL = SIZES.indexOf(1);

function kept() {
  const [numbers, size] = [localStorage.getItem(KEPT.numbers) ?? "", Number(localStorage.getItem(KEPT.size) ?? SIZE_USUAL)];
  return { numbers: NUMBERS.includes(numbers) ? numbers : NUMBERS[0], size: size in SIZES ? size : SIZE_USUAL };
}

/**
 * @param {string} event
 * @param {(view: View) => void} show
 * @param {(error: any) => void} failed the other screens do not know yet; they are told as soon as the server can be asked again
 */
export function sharedView(event, show, failed) {
  /** @type {View} */
  let view = { edition: 0, joining: false, blank: false, sorted: false, ...kept() };
  /** Chosen here, and not yet with the server. @type {Partial<View>} */
  let unsent = {};
  let isSending = false;
  const channel = typeof BroadcastChannel === "undefined" ? undefined : new BroadcastChannel(`gs:present:${event}`);

  /** @param {View} next */
  function take(next) {
    view = next;
    localStorage.setItem(KEPT.size, String(view.size));
    localStorage.setItem(KEPT.numbers, view.numbers);
    show(view);
  }

  async function send() {
    if (isSending) return;
    isSending = true;
    while (Object.keys(unsent).length) {
      const now = unsent;
      unsent = {};
      try {
        const answer = await api("PATCH", `events/${event}/view`, now);
        view = { ...answer.view, ...unsent };
      } catch (/** @type {any} */ error) {
        // Refused for good is not said again; it stays as it is here.
        if (!(error.status >= 400 && error.status < 500)) unsent = { ...now, ...unsent };
        failed(error);
        break;
      }
    }
    isSending = false;
  }

  channel?.addEventListener("message", ({ data }) => {
    if (data === "hello") channel.postMessage(view);
    else if (data.edition >= view.edition) take(data);
  });
  channel?.postMessage("hello");

  return {
    now: () => view,
    /** @param {Partial<View>} what */
    choose(what) {
      Object.assign(unsent, what);
      take({ ...view, ...what });
      channel?.postMessage(view);
      void send();
    },
    /** What the server says of it. Older than what was chosen here meanwhile, it is no news. @param {View|undefined} said */
    hear(said) {
      if (said && !isSending && said.edition > view.edition) take({ ...said, ...unsent });
      void send();
    },
  };
}
