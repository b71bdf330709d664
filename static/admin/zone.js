// Wall clocks elsewhere: what a clock shows in a time zone at a moment, and which moment it is when that clock shows something. By what the
// browser knows of zones and their summers, and nothing else; nothing here is kept or drawn.

const DAY_MS = 86_400_000;
const FIELD = /^(\d{4,6})-(\d\d)-(\d\d)T(\d\d):(\d\d)/;

/** Where this browser is. */
export const here = () => Intl.DateTimeFormat().resolvedOptions().timeZone;

/** All that can be chosen: this browser's own, UTC, then the world. @returns {string[]} */
export const zones = () => [...new Set([here(), "UTC", ...(Intl.supportedValuesOf?.("timeZone") ?? [])])];

/**
 * The moment at which a clock in the zone shows this. A time that is left out in spring is as much later as the clock was put forward; of one that
 * comes twice in autumn it is the first: "compatible", as calendars and Temporal have it.
 * @param {string} wall as a field of date and time has it: 2027-03-28T02:30 @param {string} zone @returns {number} ms since 1970
 */
export function momentOf(wall, zone) {
  const [year, month, day, hour, minute] = (FIELD.exec(wall) ?? []).slice(1).map(Number);
  const shown = utc(year, month, day, hour, minute); // as if it were in UTC
  // Clocks are not put twice within two days: one of these is in force, or both are, or what is between them was left out.
  const [before, after] = [shown - DAY_MS, shown + DAY_MS].map((at) => shown - offset(zone, at));
  const right = [before, after].filter((at) => at + offset(zone, at) === shown);
  return right.length ? Math.min(...right) : before;
}

/** What a clock in the zone shows, as a field of date and time wants it. @param {number} ms since 1970 @param {string} zone */
export const wallOf = (ms, zone) => new Date(ms + offset(zone, ms)).toISOString().slice(0, 16);

/** How people call the zone's offset on that day: CET, GMT-4. @param {number} ms since 1970 @param {string} zone @param {string} locale the reader's */
export const offsetName = (ms, zone, locale) => new Intl.DateTimeFormat(locale, { timeZone: zone, timeZoneName: "short" }).formatToParts(ms).find(({ type }) => type === "timeZoneName")?.value ?? "";

/** @type {Map<string, Intl.DateTimeFormat>} by zone: to make one takes longer than to ask it a hundred times */
const clocks = new Map();

/** How far its clocks are ahead of UTC. @param {string} zone @param {number} ms since 1970 @returns {number} ms */
function offset(zone, ms) {
  if (!Number.isFinite(ms)) return NaN;
  let clock = clocks.get(zone);
  if (!clock) {
    const numeric = "numeric";
    clock = new Intl.DateTimeFormat("en-u-ca-gregory-nu-latn", { timeZone: zone, hourCycle: "h23", year: numeric, month: numeric, day: numeric, hour: numeric, minute: numeric, second: numeric });
    clocks.set(zone, clock);
  }
  const part = Object.fromEntries(clock.formatToParts(ms).map(({ type, value }) => [type, Number(value)]));
  return utc(part.year, part.month, part.day, part.hour, part.minute, part.second) - Math.floor(ms / 1000) * 1000;
}

/** Also of a year below 100, which passes by while a year is typed and is no short form of another. @param {number} year @param {number} month from 1 */
function utc(year, month, day = 1, hour = 0, minute = 0, second = 0) {
  return new Date(Date.UTC(2000, 0, 1, hour, minute, second)).setUTCFullYear(year, month - 1, day);
}
