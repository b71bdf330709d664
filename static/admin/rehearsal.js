// One rehearsal: the verdict, what it rests on, and how the votes came in.

import { api } from "/assets/shared/api.js";
import { digits, lasted, locale, moment, percent, t } from "/assets/shared/words.js";
import { clone, setText, slot } from "/assets/admin/dom.js";
import { race, raceTable } from "/assets/admin/race.js";
import { asTyped, checked, glance, glanceOf, headline, limited, pace, sentence } from "/assets/admin/report-words.js";

/** @typedef {import("/assets/admin/report-words.js").Report} Report */
/** @typedef {import("/assets/admin/report-words.js").Percentiles} Percentiles */

/** @param {string} id */
export async function rehearsalPage(id) {
  /** @type {Report} */
  const report = await api("GET", `rehearsals/${encodeURIComponent(id)}`);
  const element = clone("rehearsal-page");
  const word = glanceOf(report.verdict, report.fit.word);
  setText(slot(element, "title"), headline(report.plan.voters, report.plan.over_s * 1000));
  slot(element, "verdict").dataset.glance = word;
  glance(slot(element, "glance"), word);
  setText(slot(element, "sentence"), sentence(report));
  setText(slot(element, "pace"), pace(report));
  const limit = limited(report);
  asTyped(slot(element, "limit"), limit);
  slot(element, "limits").hidden = !limit;
  pairs(slot(element, "figures"), [
    [t("figure_counted"), report.counting.finished ? lasted(report.counting.last_counted_s * 1000) : "–"],
    [t("figure_p99", { part: percent(99) }), report.answers.accepted ? lasted(report.answers.from_tap.p99) : "–"],
    [t("figure_rate"), digits(Math.floor(report.answers.per_second))],
    [t("figure_lost"), report.verdict === "unchecked" ? "?" : digits(report.check.lost)],
  ]);
  drawCheck(element, report);
  drawWaits(element, report);
  pairs(slot(element, "facts"), facts(report));
  raceTable(slot(element, "race-table").tBodies[0], report);
  const stop = race(slot(element, "race"), report);
  slot(element, "json").href = `/api/v1/rehearsals/${id}`;
  slot(element, "json").download = `rehearsal-${new Date(report.at).toISOString().slice(0, 10)}-${report.plan.voters}.json`;
  return { element, leave: stop };
}

/** @param {any} element @param {Report} report */
function drawCheck(element, report) {
  const [told, findings] = checked(report);
  setText(slot(element, "check"), told);
  slot(element, "check").className = report.verdict === "kept" ? "good" : "bad";
  list(slot(element, "findings"), findings);
  slot(element, "findings").hidden = findings.length === 0;
  const { received, counted, superseded, duplicate, late } = report.books;
  setText(slot(element, "equation"), report.verdict === "unchecked" ? "" : t("equation", { received, counted, superseded, duplicate, late }));
  list(slot(element, "remark-list"), report.warnings);
  slot(element, "remarks").hidden = report.warnings.length === 0;
}

/** @param {any} element @param {Report} report */
function drawWaits(element, { answers, freshness }) {
  const shares = new Intl.NumberFormat(locale, { style: "percent", maximumFractionDigits: 1 });
  const all = /** @type {[string, Percentiles][]} */ ([["wait_tap", answers.from_tap], ["wait_wire", answers.on_the_wire], ["wait_screen", freshness.from_accepted]]);
  const columns = all.filter(([, times]) => times.count);
  const head = (/** @type {string} */ scope, /** @type {string} */ textContent) => Object.assign(document.createElement("th"), { scope, textContent });
  slot(element, "waits").tHead.rows[0].append(...columns.map(([key]) => head("col", t(key))));
  for (const [name, of] of /** @type {[string, (times:Percentiles) => number][]} */ ([
    [shares.format(0.5), ({ p50 }) => p50], [shares.format(0.9), ({ p90 }) => p90], [shares.format(0.99), ({ p99 }) => p99], [shares.format(0.999), ({ p999 }) => p999], [t("slowest"), ({ max }) => max]])) {
    const row = slot(element, "waits").tBodies[0].insertRow();
    row.append(head("row", name));
    for (const [, times] of columns) row.insertCell().textContent = lasted(of(times));
  }
}

/** @param {Report} report @returns {[string, string][]} */
const facts = ({ at, groundswell, url, plan, answers, counting, freshness }) => [
  [t("fact_when"), moment(at)],
  [t("fact_version"), groundswell],
  [t("fact_server"), url],
  [t("fact_taps"), t(`shape_${plan.shape}`, { over: lasted(plan.over_s * 1000) })],
  [t("fact_accepted"), lasted(answers.last_accepted_s * 1000)],
  [t("fact_counted"), counting.finished ? lasted(counting.last_counted_s * 1000) : "–"],
  [t("fact_change"), percent(plan.change)],
  [t("fact_repeat"), percent(plan.repeat)],
  [t("fact_viewers"), digits(freshness.viewers)],
  [t("fact_connections"), digits(plan.connections)],
  [t("fact_seed"), String(plan.seed)],
];

/** @param {HTMLElement} place @param {[string, string][]} pairs */
function pairs(place, pairs) {
  place.replaceChildren(...pairs.map(([name, value]) => {
    const pair = document.createElement("div");
    pair.append(Object.assign(document.createElement("dt"), { textContent: name }), Object.assign(document.createElement("dd"), { textContent: value, dir: "auto" }));
    return pair;
  }));
}

/** @param {HTMLElement} place @param {string[]} texts */
const list = (place, texts) => place.replaceChildren(...texts.map((textContent) => Object.assign(document.createElement("li"), { textContent })));
