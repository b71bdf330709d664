// When voting opens and closes by itself, in the time of whoever sets it, or of the place they name.

import { api } from "/assets/shared/api.js";
import { isScheduled } from "/assets/shared/live.js";
import { locale, moment, t } from "/assets/shared/words.js";
import { each, onOpening, onSubmit, setText, slot, Wrong } from "/assets/admin/dom.js";
import { here, momentOf, offsetName, wallOf, zones } from "/assets/admin/zone.js";

/** @typedef {import("/assets/shared/live.js").Poll} Poll */

const CHOSEN = "gs:zone"; // last, in this tab: who plans an evening elsewhere sets more than one question

/**
 * @param {string} id @param {HTMLDetailsElement} details @param {HTMLFormElement} form
 * @param {(change: () => Promise<unknown>, done?: string) => Promise<void>} act
 */
export function scheduleForm(id, details, form, act) {
  /** @type {Poll} */
  let poll;
  const fields = /** @type {any} */ (form.elements);
  /** What stands there as it was set is left as exact as it was: to the second, and the second of two hours in autumn. @param {string} typed @param {number|null} was */
  const read = (typed, was) => (!typed ? null : was && wallOf(was, fields.zone.value) === typed ? was : momentOf(typed, fields.zone.value));
  const times = () => [read(fields.opens.value, poll.opens_at), read(fields.closes.value, poll.closes_at)];
  const drawZone = () => {
    const at = times().filter((one) => one !== null).filter(Number.isFinite);
    setText(slot(form, "zone"), inWords(fields.zone.value, at));
    setText(slot(form, "here"), fields.zone.value !== here() && at.length ? t("time_here", { time: meanwhile(fields.zone.value, at) }) : "");
  };
  onOpening(details, () => {
    if (!fields.zone.length) fields.zone.append(...zones().map((zone) => new Option(zone)));
    fields.zone.value = chosen();
    fields.opens.value = poll.opens_at ? wallOf(poll.opens_at, chosen()) : "";
    fields.closes.value = poll.closes_at ? wallOf(poll.closes_at, chosen()) : "";
    drawZone();
  });
  form.addEventListener("input", drawZone);
  fields.zone.addEventListener("change", () => keep(fields.zone.value));
  onSubmit(form, async () => {
    const [opens_at, closes_at] = times();
    // It would open at once, and take the stage from what is asked there: a mistyped year is no wish to do that.
    each(() => ahead("opens", opens_at, poll.opens_at), () => ahead("closes", closes_at));
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

/** @param {string} field @param {number|null} at as it is typed @param {number|null} [was] what nobody touched may be over */
function ahead(field, at, was) {
  if (at && at !== was && at <= Date.now()) throw new Wrong(field, t(`${field}_over`));
}

/** As a card says it: in the time of this browser. Its name stands there where another was chosen, so that nobody takes it for that one. @param {number} ms */
export const momentHere = (ms) => (chosen() === here() ? moment(ms) : `${moment(ms)} ${offsetName(ms, here(), locale)}`);

/** @returns {string} */
function chosen() {
  try {
    const zone = sessionStorage.getItem(CHOSEN) ?? "";
    return zone && zones().includes(zone) ? zone : here();
  } catch {
    return here();
  }
}

/** @param {string} zone */
function keep(zone) {
  try {
    sessionStorage.setItem(CHOSEN, zone);
  } catch { /* then the next form begins here again */ }
}

/** "Europe/Berlin, GMT+1": as it will be at those times, which may be summer when now is winter. @param {string} zone @param {number[]} times none: now */
const inWords = (zone, times) => [...new Set([zone, ...(times.length ? times : [Date.now()]).map((at) => offsetName(at, zone, locale))])].filter(Boolean).join(", ");

/** What those times are in this browser's zone; with their days where these are not the ones that stand in the form. @param {string} zone @param {number[]} times */
function meanwhile(zone, times) {
  const [first, last] = [Math.min(...times), Math.max(...times)];
  const days = new Set([first, last].flatMap((at) => [wallOf(at, zone), wallOf(at, here())]).map((wall) => wall.slice(0, 10)));
  return new Intl.DateTimeFormat(locale, { timeStyle: "short", ...(days.size > 1 && { dateStyle: "medium" }) }).formatRange(first, last);
}
