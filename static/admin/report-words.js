// A report of a rehearsal in the reader's words. Its own sentences are English; what they say follows from its figures.

import { digits, lasted, locale, percent, t } from "/assets/shared/words.js";

/**
 * @typedef {"kept"|"broken"|"unchecked"} Verdict
 * @typedef {"fits"|"waits"|"too_many"|"unproven"} Fits
 * @typedef {{count:number, p50:number, p90:number, p99:number, p999:number, max:number}} Percentiles milliseconds
 * @typedef {{
 *   groundswell:string, at:number, url:string, stopped_early:boolean, verdict:Verdict, warnings:string[],
 *   plan:{voters:number, over_s:number, shape:string, connections:number, viewers:number, change:number, repeat:number, seed:number},
 *   answers:{accepted:number, people:number, attempts:number, sheds:number, unknown:number, connect_failures:number, contradicted:number, from_tap:Percentiles, on_the_wire:Percentiles, last_accepted_s:number, per_second:number},
 *   counting:{last_counted_s:number, finished:boolean},
 *   freshness:{viewers:number, from_accepted:Percentiles},
 *   cpu:{cores:number, storm:Record<string, number>, storm_s?:number, generator_busy:number},
 *   limit:{what:string}, fit:{word:Fits, took_per_second:number, needed_per_second:number, people_within_patience:number|null},
 *   check:Record<"answered"|"lost"|"wrong"|"unexpected"|"phantom"|"doubled"|"books"|"recovered", number> & {examples:string[]},
 *   books:{received:number, counted:number, superseded:number, duplicate:number, late:number},
 *   timeline:{s:number, tapped:number, accepted:number, counted:number}[],
 * }} Report
 */

/** Beside its word, never alone. */
const SIGNS = { fits: "✓", waits: "✓", too_many: "!", stopped: "■", unchecked: "?", broken: "✕" };
/** @typedef {keyof typeof SIGNS} Glance */

/** The verdict in one word: a broken promise comes before everything else. @param {Verdict} verdict @param {Fits} fit @returns {Glance} */
export const glanceOf = (verdict, fit) => (verdict === "kept" ? (fit === "unproven" ? "stopped" : fit) : verdict);

/** @param {HTMLElement} place @param {Glance} word */
export function glance(place, word) {
  const sign = Object.assign(document.createElement("span"), { className: "sign", textContent: SIGNS[word] });
  sign.ariaHidden = "true";
  place.dataset.glance = word;
  place.replaceChildren(sign, t(`glance_${word}`));
}

/** Flags and addresses look as they are typed; a flag is never broken. @param {HTMLElement} place @param {string} words */
export const asTyped = (place, words) => place.replaceChildren(...words.split(/(--[a-z][a-z-]*|https?:\/\/[\w.:[\]-]*[\w\]])/).map((part, at) => (
  at % 2 ? Object.assign(document.createElement("code"), { textContent: part, dir: "ltr", className: part.startsWith("--") ? "flag" : "" }) : part)));

/** @param {number} people @param {number} over_ms */
export const headline = (people, over_ms) => t("headline", { people, over: lasted(over_ms) });

/** Behind the word, in a list. @param {Verdict} verdict @param {number} lost @param {string} counted */
export const shortly = (verdict, lost, counted) => (verdict === "kept" ? t("short_kept", { counted }) : verdict === "broken" && lost ? t("short_lost", { lost }) : "");

/** What it comes to, in a sentence or two. @param {Report} report */
export function sentence({ verdict, fit, plan, answers, counting, check }) {
  const values = {
    people: plan.voters, over: lasted(plan.over_s * 1000), counted: lasted(counting.last_counted_s * 1000), half: lasted(answers.from_tap.p50), last: lasted(answers.from_tap.max),
    answered: answers.people, missing: plan.voters - answers.people, lost: check.lost,
  };
  if (verdict === "broken") return t(check.lost ? "said_lost" : "said_broken", values);
  if (verdict === "unchecked") return t(!answers.accepted ? "said_nothing" : counting.finished ? "said_unread" : "said_uncounted", values);
  if (fit.word === "unproven") return t("said_stopped", values);
  if (fit.word === "too_many") return t(values.missing ? "said_unanswered" : "said_slow", values);
  return t(fit.word === "fits" ? "said_fits" : "said_waits", values);
}

/** What was taken, and what this audience needs. @param {Report} report */
export function pace({ verdict, stopped_early, fit, limit }) {
  if (verdict !== "kept" || stopped_early) return "";
  const values = { needed: Math.ceil(fit.needed_per_second), took: Math.floor(fit.took_per_second), within: fit.people_within_patience ?? 0 };
  return [t(limit.what === "taps" ? "pace_least" : "pace", values), values.within ? t("pace_within", values) : ""].filter(Boolean).join(" ");
}

const OWN_PART_FROM = 0.2; // of the processor time: then a machine of its own is worth it

const INVITES = new Set(["taps", "generator"]); // to try more

/** Nothing where a promise was broken or nothing is known: that is no time to speak of more. @param {Report} report */
export function limited({ verdict, limit, answers, cpu, plan }) {
  if (verdict !== "kept" && INVITES.has(limit.what)) return "";
  const attempts = Math.max(1, answers.attempts);
  const all = Object.values(cpu.storm).reduce((sum, one) => sum + one, 0) || 1;
  const shares = Object.entries(cpu.storm).sort(([, one], [, other]) => other - one).map(([name, spent]) => `${name} ${share(spent / all)}`);
  const values = {
    errors: share((answers.unknown + answers.connect_failures) / attempts), sheds: share(answers.sheds / attempts), p99: lasted(answers.from_tap.p99), half: lasted(answers.on_the_wire.p50),
    cores: cpu.cores, busy: share(Math.min(1, all / (cpu.cores * Math.max(0.001, cpu.storm_s || answers.last_accepted_s)))), thread: share(Math.min(1, cpu.generator_busy)),
    connections: plan.connections, rate: Math.floor(answers.per_second), who: new Intl.ListFormat(locale).format(shares),
  };
  const more = limit.what === "processor" && (cpu.storm.rehearsal ?? 0) / all >= OWN_PART_FROM ? t("limit_own") : "";
  return [t(`limit_${limit.what}`, values), more].filter(Boolean).join(" ");
}

/** What the checker says, and each thing that is not as it should be. @param {Report} report @returns {[string, string[]]} */
export function checked({ verdict, check, answers }) {
  const wrong = { ...check, contradicted: answers.contradicted };
  const findings = /** @type {const} */ (["lost", "wrong", "unexpected", "phantom", "doubled", "books", "contradicted"]).filter((word) => wrong[word]).map((word) => t(`check_${word}`, { number: wrong[word] }));
  const told = verdict === "kept" ? t("check_kept", { people: check.answered }) : verdict === "broken" ? t("check_broken") : t("check_unchecked");
  return [[told, verdict === "kept" && check.recovered ? t("check_recovered", { number: check.recovered }) : ""].filter(Boolean).join(" "), [...findings, ...(verdict === "kept" ? [] : check.examples)]];
}

/** @param {number} part */
const share = (part) => percent(part > 0 && part < 0.01 ? 1 : Math.round(part * 100));

/** The picture of the votes in words. @param {Report} report */
export const raceInWords = ({ plan, answers, counting }) => t("race_words", {
  people: digits(plan.voters), over: lasted(plan.over_s * 1000), accepted: lasted(answers.last_accepted_s * 1000), counted: lasted(counting.last_counted_s * 1000),
});
