// How texts, numbers, codes and letters are written, everywhere the same and in the reader's language. Never NaN.

/** @typedef {string | Partial<Record<Intl.LDMLPluralRule, string>> & {other:string}} Text one wording, or one for each form of plural (by `n`) */
/** @typedef {Record<string, Text>} Words */

export const LANGUAGES = /** @type {const} */ (["en", "de", "fr", "es", "ar"]);
const asked = new URLSearchParams(location.search).get("lang"); // for a screen that stands in another country than its computer
const wished = [...(asked ? [asked] : []), ...(navigator.languages ?? [navigator.language ?? "en"])];
/** The reader's own tag, such as de-CH: for numbers and dates. */
export const locale = wished.find((one) => LANGUAGES.some((known) => known === one.slice(0, 2).toLowerCase())) ?? "en";
export const language = locale.slice(0, 2).toLowerCase();

const number = new Intl.NumberFormat(locale);
const shares = new Intl.NumberFormat(locale, { style: "percent" });
const plural = new Intl.PluralRules(locale);
const days = new Intl.DateTimeFormat(locale, { dateStyle: "medium" });
const moments = new Intl.DateTimeFormat(locale, { dateStyle: "medium", timeStyle: "short" });

/** @type {Words} */
let words = {};

/**
 * Learns the texts of a page and says them: `en` are those its code uses, what stands in the page itself is English already.
 * @param {Words} en @param {Record<string, () => Promise<{default: Words}>>} others
 */
export async function learn(en, others) {
  words = en;
  const other = await others[language]?.().catch(() => null); // English is better than nothing
  if (!other) return;
  words = { ...en, ...other.default };
  document.documentElement.lang = language;
  document.documentElement.dir = language === "ar" ? "rtl" : "ltr";
  say(document);
}

/** @param {ParentNode} inside */
function say(inside) {
  for (const element of inside.querySelectorAll("[data-t]")) element.textContent = t(element.getAttribute("data-t") ?? "");
  for (const [mark, attribute] of [["data-t-label", "aria-label"], ["data-t-title", "title"], ["data-t-alt", "alt"], ["data-t-hint", "placeholder"]]) {
    for (const element of inside.querySelectorAll(`[${mark}]`)) element.setAttribute(attribute, t(element.getAttribute(mark) ?? ""));
  }
  for (const template of inside.querySelectorAll("template")) say(template.content);
}

/** @param {string} key @param {Record<string, string|number>} [values] `n` picks the plural; numbers are written as the reader writes them */
export function t(key, values = {}) {
  const text = words[key] ?? key;
  const form = typeof text === "string" ? text : text[plural.select(Number(values.n ?? 0))] ?? text.other;
  return form.replace(/\{(\w+)\}/g, (_, name) => { const value = values[name]; return typeof value === "number" ? digits(value) : value ?? ""; });
}

/** @param {number|undefined|null} n */
export const digits = (n) => number.format(Number.isFinite(n) ? Number(n) : 0);

/** @param {number|undefined|null} n whole percent */
export const percent = (n) => shares.format((Number.isFinite(n) ? Number(n) : 0) / 100);

/** @param {number} ms */
export const day = (ms) => days.format(ms);

/** @param {number} ms */
export const moment = (ms) => moments.format(ms);

/** 482913 as 482 913. @param {string} code */
export const grouped = (code) => (/^\d{6}$/.test(code) ? `${code.slice(0, 3)}\u00a0${code.slice(3)}` : code);

/** The mark of a choice beside its colour: A to Z, then AA. @param {number} at from 0 @returns {string} */
export const letter = (at) => (at < 26 ? "" : letter(Math.floor(at / 26) - 1)) + String.fromCharCode(65 + (at % 26));

/** Eight colours, then from the start. @param {number} at from 0 */
export const hue = (at) => String((at % 8) + 1);

const lasting = Object.fromEntries(["millisecond", "second", "minute"].map((unit) => [unit, new Intl.NumberFormat(locale, { style: "unit", unit, unitDisplay: "narrow", maximumSignificantDigits: 3 })]));

/** How long something took, in the unit people think in. @param {number} ms */
export function lasted(ms) {
  const [n, unit] = ms < 1000 ? [ms < 10 ? ms : Math.round(ms), "millisecond"] : ms < 120_000 ? [ms / 1000, "second"] : [Math.round(ms / 60_000), "minute"];
  const parts = lasting[unit].formatToParts(Number(n)).filter(({ type }) => type !== "literal");
  const text = (/** @type {boolean} */ isUnit) => parts.filter(({ type }) => (type === "unit") === isUnit).map(({ value }) => value).join("");
  return `${text(false)}\u00a0${text(true)}`; // the short form of some languages leaves the space out
}

/** @param {number} ms */
export function age(ms) {
  const seconds = Math.max(0, Math.round(ms / 1000));
  const [n, unit] = seconds < 60 ? [seconds, "second"] : seconds < 3600 ? [Math.floor(seconds / 60), "minute"] : [Math.floor(seconds / 3600), "hour"];
  return new Intl.NumberFormat(locale, { style: "unit", unit: String(unit), unitDisplay: "short" }).format(Number(n));
}

/** 75 s as 1:15, two days as 48:00:00. @param {number} seconds */
export function clock(seconds) {
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60];
  return [...(hours ? [digits(hours), two.format(minutes)] : [digits(minutes)]), two.format(seconds % 60)].join(":");
}
const two = new Intl.NumberFormat(locale, { minimumIntegerDigits: 2 });

/**
 * Votes where each person has one, else people. "Yet" only where more may come.
 * @param {import("/assets/shared/live.js").Poll} poll @param {number} n
 */
export const howMany = ({ kind, results }, n = results?.voters ?? 0) => (n ? t(kind === "multiple" ? "voters" : "votes", { n }) : t(results?.status === "final" ? "nobody" : "no_votes"));

/** The join link without what nobody types. @param {string} url */
export const spoken = (url) => url.replace(/^https?:\/\//, "").replace(/\/$/, "");
