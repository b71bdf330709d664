// The words of the page. What the code says stands here in English; index.html is English too. Another language is one more file, with both.

import { $ } from "/assets/vote/small.js";

const WORDS_WITHIN_MS = 3_000; // then English has to do

/** @type {Record<string, string|Record<string, string>>} */
const en = {
  digits_first: "Type the 6 digits first.",
  digits_six: "A code has 6 digits. This one has {n}.",
  unknown_code: "We don't know the code {code}. Look at the screen again.",
  refused: "This vote was not accepted.",
  code_late: "This vote arrived after voting had closed. It was not counted.",
  earlier: "Your earlier vote stands.",
  back: "You are back online, carry on.",
  is_offline: "You are offline.",
  no_answer: "No answer from the server.",
  will_be_sent: "Your vote is saved and will be sent.",
  can_vote: "You can still vote: it is saved here and sent later.",
  trying: "This page goes on by itself once there is a connection.",
  held: "Held in this page",
  soon: "Not open yet",
  open: "Open",
  closed: "Closed",
  round: "round {n}",
  your_vote: "Your vote: {step}",
  sending: "Saved. Sending … no need to refresh.",
  cleared: "Your vote is cleared.",
  not_voted: "You did not vote on this question.",
  unsent: "Not sent yet.",
  was_counted: "Your vote in round {n} was counted.",
  again: "You can vote again in round {n}.",
  too_late: "Closed before you sent this.",
  no_votes: "No votes yet",
  nobody: "No votes",
  votes: { one: "{n} vote", other: "{n} votes" },
  voters: { one: "{n} voter", other: "{n} voters" },
  final: "final",
  provisional: "provisional",
  several: "several picks each, so the sum may pass {all}",
  after_vote: "You see the result once you have voted.",
  not_shown: "The presenter has not shown the result yet.",
  after_close: "The result is shown after voting closes.",
  will_show: "The presenter will show the result.",
  opens_in: "opens in {time}",
  left: "{time} left",
  at_most: "At most {n}. Take one away first.",
  more: "Pick {n} more, then send.",
  tap_one: "Tap one. Your tap is your vote.",
  press_enter: "Press Enter to send.",
  pick: "Pick {n}",
  pick_range: "Pick {min} to {n}",
  pick_any: "Pick as many as you like",
  pick_up_to: "Pick up to {n}",
  then_send: "{rule}, then send.",
  picked: "{rule}. {n} picked.",
};
const others = {
  de: () => import("/assets/vote/de.js"),
  fr: () => import("/assets/vote/fr.js"),
  es: () => import("/assets/vote/es.js"),
  ar: () => import("/assets/vote/ar.js"),
};
const locale = navigator.languages.find((one) => /^(en|de|fr|es|ar)\b/i.test(one)) ?? "en";
const language = locale.slice(0, 2).toLowerCase();
export const number = new Intl.NumberFormat(locale);
/** The parts of a clock but the first: 05. */
export const two = new Intl.NumberFormat(locale, { minimumIntegerDigits: 2 });
export const shares = new Intl.NumberFormat(locale, { style: "percent" });
const plural = new Intl.PluralRules(locale);
/** @type {Record<string, string|Record<string, string>>} */
let words = en;
/** Nothing is drawn before: a page that changes its language under the eyes is worse than one that comes a moment later. */
export let spoken = language === "en";

export async function learn() {
  const other = await Promise.race([/** @type {any} */ (others)[language]?.(), new Promise((give) => setTimeout(give, WORDS_WITHIN_MS))]).catch(() => null);
  spoken = true;
  if (!other) return;
  words = { ...en, ...other.default };
  document.documentElement.lang = language;
  document.documentElement.dir = language === "ar" ? "rtl" : "ltr";
  for (const place of [document, $("choice").content]) {
    for (const element of place.querySelectorAll("[data-t]")) element.textContent = t(element.dataset.t);
  }
  $("steps").setAttribute("aria-label", t("where"));
}

/** @param {string} key @param {Record<string, string|number>} [values] `n` picks the plural @returns {string} */
export function t(key, values = {}) {
  const text = words[key] ?? key;
  const form = typeof text === "string" ? text : text[plural.select(Number(values.n))] ?? text.other;
  return form.replace(/\{(\w+)\}/g, (_, name) => (typeof values[name] === "number" ? number.format(Number(values[name])) : String(values[name])));
}

/** Why the server refused, in the reader's language; the server itself says it in English. @param {{code:string, detail?:string}} why */
export const reason = ({ code, detail }) => (words[`code_${code}`] ? t(`code_${code}`) : (language === "en" && detail) || t("refused"));
