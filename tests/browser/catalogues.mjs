// Every text of the screens in every language: nothing missing, nothing left over, the same places for the same values.

import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { assert } from "./report.mjs";

const STATIC = fileURLToPath(new URL("../../static/", import.meta.url));
const LANGUAGES = ["de", "fr", "es", "ar"];
const FORMS = { de: ["one", "other"], fr: ["one", "other"], es: ["one", "other"], ar: ["one", "two", "few", "many", "other"] };

/** @param {string} app a folder of static/ @returns {Promise<string>} how many texts */
export async function catalogueIsComplete(app) {
  const pages = readdirSync(STATIC + app).filter((file) => file.endsWith(".html")).map((file) => readFileSync(`${STATIC}${app}/${file}`, "utf8"));
  const inPages = pages.flatMap((page) => [...page.matchAll(/data-t(?:-\w+)?="(\w+)"/g)].map(([, key]) => key));
  const inCode = await english(app);
  const wanted = new Set([...inPages, ...Object.keys(inCode)]);
  const own = readdirSync(STATIC + app).filter((file) => file.endsWith(".js")).map((file) => readFileSync(`${STATIC}${app}/${file}`, "utf8")).join("\n");
  // What is said of votes and people is put together in one place for all that take it from there.
  const used = /\bhowMany\b.*"\/assets\/shared\/words\.js"/.test(own) ? own + readFileSync(`${STATIC}shared/words.js`, "utf8") : own;
  // As a word in quotes, or as t(`see_${…}`) puts it together.
  const composed = [...used.matchAll(/t\(`([^`]+)`/g)].map(([, text]) => new RegExp(`^${text.replace(/\$\{[^}]+\}/g, "\\w+")}$`));
  for (const key of Object.keys(inCode)) assert(used.includes(`"${key}"`) || composed.some((pattern) => pattern.test(key)), `${app}: “${key}” is said nowhere`);
  for (const language of LANGUAGES) {
    const words = (await import(`${STATIC}${app}/${language}.js`)).default;
    const missing = [...wanted].filter((key) => !words[key]);
    const extra = Object.keys(words).filter((key) => !wanted.has(key) && !key.startsWith("code_"));
    assert(!missing.length && !extra.length, `${app}/${language}.js: missing ${missing.join(", ") || "nothing"}; left over ${extra.join(", ") || "nothing"}`);
    for (const [key, text] of Object.entries(words)) {
      const forms = typeof text === "string" ? [text] : Object.values(text);
      const places = new Set(typeof inCode[key] === "string" ? holes(inCode[key]) : inCode[key] ? holes(inCode[key].other) : []);
      for (const form of forms) assert(holes(form).every((hole) => places.has(hole)), `${app}/${language}.js: ${key} has a place that English has not: ${form}`);
      const whole = typeof text === "string" ? text : text.other;
      assert([...places].every((hole) => holes(whole).includes(hole)), `${app}/${language}.js: ${key} leaves out ${[...places]}: ${whole}`);
      if (typeof text !== "string") assert(text.other && Object.keys(text).every((form) => [...FORMS[/** @type {keyof typeof FORMS} */ (language)], "zero"].includes(form)), `${app}/${language}.js: forms of ${key}`);
    }
  }
  return `${wanted.size} texts`;
}

/** What the code says, read from where it stands. @param {string} app @returns {Promise<Record<string, any>>} */
async function english(app) {
  const file = app === "vote" ? "words.js" : "en.js";
  const source = readFileSync(`${STATIC}${app}/${file}`, "utf8");
  const table = source.match(/const en = (\{[\s\S]*?\n\});/)?.[1];
  assert(table, `${app}/${file} has no table of English texts`);
  return (await import(`data:text/javascript,${encodeURIComponent(`export default ${table}`)}`)).default;
}

/** @param {string} text */
const holes = (text) => [...text.matchAll(/\{(\w+)\}/g)].map(([, name]) => name);

/** Codes of answers that people in the back office never read: those of ballots, and of programs that speak out of turn. */
const NOT_FOR_PEOPLE = /^(ballot_|batch_|body_|picks_|pass_|token_|revision_|voter_|round_invalid|round_over|change_not_allowed|no_ballot|json_invalid|query_invalid|not_json|not_picture|kind_unknown|state_invalid|visibility_unknown|method_not_allowed|request_invalid|header_|report_(?:version|invalid|large)|not_rehearsal)/;

/** Every code the server can say to people has words in every language, and no words are for a code it never says. @returns {Promise<string>} */
export async function refusalsAreComplete() {
  const sources = fileURLToPath(new URL("../../src/", import.meta.url));
  const files = readdirSync(sources, { recursive: true, encoding: "utf8" }).filter((file) => file.endsWith(".rs") && !file.startsWith("rehearsal"));
  const text = files.map((file) => readFileSync(sources + file, "utf8")).join("\n");
  const said = new Set([...text.matchAll(/(?:(?:reason|invalid|conflict|not_found)\(\s*|answer_to\([^"{]*)"([a-z_]+)",/g)].map(([, code]) => code));
  for (const [, ...codes] of text.matchAll(/bounded_text!\(\w+, \w+, "([a-z_]+)", "[^"]*", "([a-z_]+)"/g)) for (const code of codes) said.add(code);
  assert(said.size > 50, `only ${said.size} codes found`);
  const wanted = [...said, "no_answer", "unexpected"].filter((code) => !NOT_FOR_PEOPLE.test(code));
  for (const language of LANGUAGES) {
    const words = (await import(`${STATIC}shared/refusals.${language}.js`)).default;
    const missing = wanted.filter((code) => !words[code]);
    const extra = Object.keys(words).filter((code) => !wanted.includes(code));
    assert(!missing.length && !extra.length, `refusals.${language}.js: missing ${missing.join(", ") || "nothing"}; left over ${extra.join(", ") || "nothing"}`);
  }
  return `${wanted.length} refusals`;
}
