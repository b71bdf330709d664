// When voting opens and closes by itself, in the time of whoever sets it.

import { api } from "/assets/shared/api.js";
import { isScheduled } from "/assets/shared/live.js";
import { locale, t } from "/assets/shared/words.js";
import { onOpening, onSubmit, setText, slot, text, Wrong } from "/assets/admin/dom.js";

/** @typedef {import("/assets/shared/live.js").Poll} Poll */

/**
 * @param {string} id @param {HTMLDetailsElement} details @param {HTMLFormElement} form
 * @param {(change: () => Promise<unknown>, done?: string) => Promise<void>} act
 */
export function scheduleForm(id, details, form, act) {
  /** @type {Poll} */
  let poll;
  const fields = /** @type {any} */ (form.elements);
  const drawZone = () => setText(slot(form, "zone"), zone([fields.opens.value, fields.closes.value].map(moment).filter((at) => at !== null)));
  onOpening(details, () => {
    fields.opens.value = local(poll.opens_at);
    fields.closes.value = local(poll.closes_at);
    drawZone();
  });
  form.addEventListener("input", drawZone);
  onSubmit(form, async (given) => {
    const [opens_at, closes_at] = [moment(text(given, "opens")), moment(text(given, "closes"))];
    if (opens_at && closes_at && closes_at <= opens_at) throw new Wrong("closes", t("closes_first"));
    const had = poll.opens_at || poll.closes_at;
    // What waits for the clock would open at once without a time. Closed, it goes on as it was; who never was asked is asked anew.
    if (!opens_at && isScheduled(poll)) await (poll.results?.voters ? api("PUT", `polls/${id}/state`, { state: "closed" }) : api("POST", `polls/${id}/rounds`));
    await api("PATCH", `polls/${id}`, { opens_at, closes_at });
    // Published ahead: phones have the question, and open it by the clock.
    if (opens_at && poll.state !== "open") await api("PUT", `polls/${id}/state`, { state: "open" });
    details.open = false;
    details.querySelector("summary")?.focus();
    await act(async () => {}, t(opens_at || closes_at ? "schedule_saved" : had ? "schedule_gone" : "saved"));
  });
  return {
    /** @param {Poll} now */
    draw(now) { poll = now; },
  };
}

/** @param {string} typed in local time @returns {number|null} */
const moment = (typed) => (typed ? new Date(typed).getTime() : null);

/** As the field wants it. @param {number|null} ms */
function local(ms) {
  if (!ms) return "";
  const shifted = new Date(ms - new Date(ms).getTimezoneOffset() * 60_000);
  return shifted.toISOString().slice(0, 16);
}

/** "Europe/Berlin, GMT+1": as it will be at those times, which may be summer when now is winter. @param {number[]} times none: now */
function zone(times) {
  const { timeZone } = Intl.DateTimeFormat().resolvedOptions();
  const name = new Intl.DateTimeFormat(locale, { timeZoneName: "short" });
  const short = (times.length ? times : [Date.now()]).map((at) => name.formatToParts(at).find((part) => part.type === "timeZoneName")?.value);
  return [...new Set([timeZone, ...short])].filter(Boolean).join(", ");
}
