// When voting opens and closes by itself, in the time of whoever sets it.

import { api } from "/assets/shared/api.js";
import { locale, t } from "/assets/shared/words.js";
import { onSubmit, slot, text, Wrong } from "/assets/admin/dom.js";

/** @typedef {import("/assets/shared/live.js").Poll} Poll */

/**
 * @param {string} id @param {HTMLDetailsElement} details @param {HTMLFormElement} form
 * @param {(change: () => Promise<unknown>, done?: string) => Promise<void>} act
 */
export function scheduleForm(id, details, form, act) {
  /** @type {Poll} */
  let poll;
  slot(form, "zone").textContent = zone();
  details.addEventListener("toggle", () => {
    if (!details.open) return;
    const fields = /** @type {any} */ (form.elements);
    fields.opens.value = local(poll.opens_at);
    fields.closes.value = local(poll.closes_at);
  });
  onSubmit(form, async (fields) => {
    const [opens_at, closes_at] = [moment(text(fields, "opens")), moment(text(fields, "closes"))];
    if (opens_at && closes_at && closes_at <= opens_at) throw new Wrong("closes", t("closes_first"));
    await api("PATCH", `polls/${id}`, { opens_at, closes_at });
    // Published ahead: phones have the question, and open it by the clock.
    if (opens_at && poll.state !== "open") await api("PUT", `polls/${id}/state`, { state: "open" });
    details.open = false;
    details.querySelector("summary")?.focus();
    await act(async () => {}, t("schedule_saved"));
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

/** "Europe/Berlin, GMT+1" */
function zone() {
  const { timeZone } = Intl.DateTimeFormat().resolvedOptions();
  const short = new Intl.DateTimeFormat(locale, { timeZoneName: "short" }).formatToParts().find((part) => part.type === "timeZoneName")?.value;
  return [...new Set([timeZone, short])].filter(Boolean).join(", ");
}
