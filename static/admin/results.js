// The result of a poll as a table, per round, and its books in words.

import { api } from "/assets/shared/api.js";
import { isScheduled, isUntouched } from "/assets/shared/live.js";
import { age, digits, howMany, hue, language, letter, percent, t } from "/assets/shared/words.js";
import { isNeverAsked } from "/assets/admin/asked.js";
import { fileName, savePicture } from "/assets/admin/picture.js";
import { clone, control, oops, setText, slot } from "/assets/admin/dom.js";

/** To a server, a batch that is on its way and one that is lost are the same: given out, and not counted. */
const ON_THE_WAY_MS = 60_000;
const LISTED_MOST = 20; // of batches that are missing; the API lists all

/**
 * @typedef {import("/assets/shared/live.js").Poll} Poll
 * @typedef {import("/assets/shared/live.js").Books} Books
 * @param {string} id @param {string} code of the event @param {HTMLDetailsElement} details @param {HTMLElement} place
 */
export function resultsBox(id, code, details, place) {
  const body = clone("results-body");
  place.append(body);
  const select = control(body, "pick-round");
  /** @type {Poll|undefined} */
  let poll;
  let round = 0; // 0: the newest
  /** The last round in which anybody voted, which the live document alone tells. @type {import("/assets/shared/live.js").Results["before"]} */
  let before;

  // As the audience may see it: what is not revealed is not in a picture.
  const picture = `/results/${code}/${id}.svg?lang=${language}`;
  slot(body, "svg").href = picture;
  control(body, "png").addEventListener("click", () => savePicture(picture, fileName(poll?.question ?? "", "png")).catch(() => oops({ detail: t("picture_failed") })));

  details.addEventListener("toggle", () => { if (details.open) ask(); });
  select.addEventListener("change", () => {
    round = Number(select.value) === poll?.round ? 0 : Number(select.value);
    ask();
  });

  async function ask() {
    try {
      const answer = await api("GET", `polls/${id}/results${round ? `?round=${round}` : ""}`);
      select.replaceChildren(...answer.rounds.map((/** @type {number} */ one) => new Option(String(one), String(one), false, one === answer.round)));
      slot(body, "rounds").hidden = answer.rounds.length < 2;
      slot(body, "pictures").hidden = answer.round !== Math.max(...answer.rounds); // pictures are of the newest
      slot(body, "csv").href = `/api/v1/polls/${id}/results.csv?round=${answer.round}`;
      slot(body, "xlsx").href = `/api/v1/polls/${id}/results.xlsx?round=${answer.round}&lang=${language}`;
      slot(body, "json").href = `/api/v1/polls/${id}/results?round=${answer.round}`;
      slot(body, "json").download = `poll-${id}-round-${answer.round}.json`;
      show(answer.results, answer.books, answer.choices);
    } catch (error) {
      oops(error);
    }
  }

  /** @param {import("/assets/shared/live.js").Results} results @param {Books} [books] @param {import("/assets/shared/live.js").Choice[]} [choices] of an earlier round */
  function show(results, books, choices = poll?.choices ?? []) {
    const voters = results?.voters ?? 0;
    // Zeros would look like an answer.
    const never = Boolean(poll && isNeverAsked(poll));
    const unasked = Boolean(poll && (isUntouched(poll) || isScheduled(poll) || never) && !round);
    slot(body, "asked").hidden = unasked;
    setText(slot(body, "summary"), unasked ? t(never ? "never_asked" : "not_asked") : voters && poll
      ? `${howMany(poll, voters)}, ${t(results.status === "final" ? "final" : "provisional")}.${poll.kind === "multiple" ? ` ${t("several", { all: percent(100) })}` : ""}`
      : t(results?.status === "final" ? "nobody" : "no_votes"));
    const rows = body.querySelector("tbody").rows;
    if (rows.length !== choices.length) body.querySelector("tbody").replaceChildren(...choices.map((_, at) => newRow(at)));
    const most = results?.status === "final" ? Math.max(0, ...results.choices.map(({ votes }) => votes)) : 0; // as on stage: not before all is counted
    const earlier = !round && before && before.round < (poll?.round ?? 0) ? before : undefined;
    slot(body, "before").hidden = !earlier;
    if (earlier) setText(slot(body, "before"), t("round_head", { n: earlier.round }));
    choices.forEach((choice, at) => {
      const one = results?.choices.find((other) => other.id === choice.id);
      setText(rows[at].querySelector(".text"), choice.text);
      setText(rows[at].cells[1], digits(one?.votes));
      setText(rows[at].cells[2].querySelector(".percent"), percent(one?.percent));
      rows[at].cells[2].querySelector(".star").hidden = !most || one?.votes !== most;
      rows[at].cells[3].hidden = !earlier;
      setText(rows[at].cells[3], earlier ? percent(earlier.choices.find((other) => other.id === choice.id)?.percent) : "");
      rows[at].style.setProperty("--share", String((one?.votes || 0) / (results?.voters || 1)));
    });
    if (!books) return;
    setText(slot(body, "equation"), t("equation", { received: books.received, counted: books.counted, superseded: books.superseded, duplicate: books.duplicate, late: books.late }));
    judge(books);
  }

  let later = 0;

  /** @param {Books} books */
  function judge(books) {
    clearTimeout(later);
    const [good, words] = verdict(books, overdue(books));
    setText(slot(body, "verdict"), words);
    slot(body, "verdict").className = good ? "good" : "bad";
    const of = whose(books);
    slot(body, "whose").hidden = !of.length;
    slot(body, "whose").replaceChildren(...of.map((text) => Object.assign(document.createElement("li"), { textContent: text })));
    // Where nothing changes any more, nothing else would ask again.
    if (books.missing?.length) later = window.setTimeout(() => judge(books), ON_THE_WAY_MS);
  }

  /** @type {Map<string, number>} */
  let missedSince = new Map();

  /** How many batches have been missing for longer than any way takes. @param {Books} books */
  function overdue({ missing = [] }) {
    const now = performance.now();
    const since = missing.map(({ instance, lane, first }) => /** @type {const} */ ([`${instance} ${lane} ${first}`, missedSince.get(`${instance} ${lane} ${first}`) ?? now]));
    missedSince = new Map(since);
    return missing.reduce((sum, { first, last }, at) => sum + (now - since[at][1] >= ON_THE_WAY_MS ? last - first + 1 : 0), 0); // in runs
  }

  return {
    /** @param {Poll} now the newest round, with its numbers */
    draw(now) {
      const other = poll && poll.round !== now.round;
      poll = now.results ? now : { ...now, results: poll?.results ?? null };
      before = now.results?.before ?? before;
      slot(body, "svg").download = fileName(now.question, "svg");
      if (!details.open) return;
      if (other) ask();
      else if (!round && now.results) show(now.results, now.books);
    },
  };
}

/** @param {Books} books @param {number} lost batches that have been on their way for too long @returns {[boolean, string]} */
function verdict(books, lost) {
  const sum = books.counted + books.superseded + books.duplicate + books.late;
  const unreported = books.unreported?.length ?? 0;
  // What is on its way of other questions, or missing, is no doubt about this one.
  if (books.status === "final" && books.received === sum) return [true, t(books.received ? "books_balance" : "books_empty")];
  if (lost) return [false, t("batches_missing", { n: lost })];
  if (books.in_flight > 0) return [true, t("on_the_way", { n: books.in_flight })];
  if (unreported) return [true, t("unreported", { n: unreported })];
  if (books.received !== sum) return [false, t("books_differ", { n: Math.abs(books.received - sum) })];
  return [true, t(books.received ? "books_balance" : "books_empty")];
}

/** Which servers are waited for, and which batches: by the names that `groundswell forget` and the books of the API know. @param {Books} books @returns {string[]} */
function whose(books) {
  if (books.status === "final") return [];
  const silent = (books.unreported ?? []).map(({ instance, last_sign }) => t("server_silent", { instance, age: age(Date.now() - last_sign) }));
  const missing = (books.missing ?? []).slice(0, LISTED_MOST).map(({ instance, lane, first, last }) => t("batches_of", { batches: first === last ? `${first}` : `${first}–${last}`, lane, instance }));
  return [...silent, ...missing];
}

/** @param {number} at */
function newRow(at) {
  const row = document.createElement("tr");
  row.dataset.hue = hue(at);
  const head = document.createElement("th");
  head.scope = "row";
  const mark = Object.assign(document.createElement("span"), { className: "letter", textContent: letter(at) });
  const text = Object.assign(document.createElement("span"), { className: "text" });
  const fill = Object.assign(document.createElement("span"), { className: "fill" });
  head.append(mark, " ", text, fill);
  row.append(head);
  row.insertCell();
  const star = Object.assign(document.createElement("span"), { className: "star", textContent: "★", role: "img", ariaLabel: t("most_votes"), hidden: true });
  row.insertCell().append(star, " ", Object.assign(document.createElement("span"), { className: "percent" }));
  row.insertCell().className = "quiet";
  return row;
}
