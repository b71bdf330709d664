// The result of a poll as a table, per round, and its books in words.

import { api } from "/assets/shared/api.js";
import { count, digits, hue, letter } from "/assets/shared/words.js";
import { clone, control, oops, setText, slot } from "/assets/admin/dom.js";

/**
 * @typedef {import("/assets/shared/live.js").Poll} Poll
 * @typedef {import("/assets/shared/live.js").Books} Books
 * @param {string} id @param {HTMLDetailsElement} details @param {HTMLElement} place
 */
export function resultsBox(id, details, place) {
  const body = clone("results-body");
  place.append(body);
  const select = control(body, "pick-round");
  /** @type {Poll|undefined} */
  let poll;
  let round = 0; // 0: the newest

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
      slot(body, "csv").href = `/api/v1/polls/${id}/results.csv?round=${answer.round}`;
      show(answer.results, answer.books, answer.choices);
    } catch (error) {
      oops(error);
    }
  }

  /** @param {import("/assets/shared/live.js").Results} results @param {Books} [books] @param {import("/assets/shared/live.js").Choice[]} [choices] of an earlier round */
  function show(results, books, choices = poll?.choices ?? []) {
    const voters = results?.voters ?? 0;
    setText(slot(body, "summary"), voters
      ? `${count(voters, "voter")}, ${results.status === "final" ? "final: everything is counted" : "provisional: still counting or open"}.${poll?.kind === "multiple" ? " Several picks each, so percents may pass 100 together." : ""}`
      : "No votes yet.");
    const rows = body.querySelector("tbody").rows;
        if (rows.length !== choices.length) body.querySelector("tbody").replaceChildren(...choices.map((_, at) => newRow(at)));
    choices.forEach((choice, at) => {
      const one = results?.choices.find((other) => other.id === choice.id);
      setText(rows[at].querySelector(".text"), choice.text);
      setText(rows[at].cells[1], digits(one?.votes));
      setText(rows[at].cells[2], `${digits(one?.percent)}%`);
      rows[at].style.setProperty("--share", String(Math.min(100, one?.percent || 0) / 100));
    });
    if (!books) return;
    setText(slot(body, "equation"), `${digits(books.received)} received = ${digits(books.counted)} counted + ${digits(books.superseded)} superseded + ${digits(books.duplicate)} duplicate + ${digits(books.late)} late`);
    const [good, words] = verdict(books);
    setText(slot(body, "verdict"), words);
    slot(body, "verdict").className = good ? "good" : "bad";
  }

  return {
    /** @param {Poll} now the newest round, with its numbers */
    draw(now) {
      const other = poll && poll.round !== now.round;
      poll = now.results ? now : { ...now, results: poll?.results ?? null };
      if (!details.open) return;
      if (other) ask();
      else if (!round && now.results) show(now.results, now.books);
    },
  };
}

/** @param {Books} books @returns {[boolean, string]} */
function verdict(books) {
  const sum = books.counted + books.superseded + books.duplicate + books.late;
  const missing = books.missing?.length ?? 0;
  const unreported = books.unreported?.length ?? 0;
  if (missing) return [false, `${count(missing, "batch", "batches")} of votes did not arrive. The server's log names them: keep its data directories, the votes may still be there.`];
  if (books.in_flight > 0) return [true, `${count(books.in_flight, "vote")} still on the way. Nothing is lost: the books balance when they arrive.`];
  if (unreported) return [true, `Waiting to hear from ${count(unreported, "server")}. What they hold is counted when they come back.`];
  if (books.received !== sum) return [false, `The two sides differ by ${digits(Math.abs(books.received - sum))}. Run “groundswell recount” and look at the server's log.`];
  return [true, books.received ? "The books balance: nothing is on the way and nothing was lost." : "Nothing received yet."];
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
  row.insertCell();
  return row;
}
