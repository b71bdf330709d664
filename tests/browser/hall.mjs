// A hall for a story of its own: a server, people with phones, and what the books say afterwards. What people see is said in words of the page.

import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { enduring } from "./browser.mjs";
import { assert, equal, eventually } from "./report.mjs";

/** How the hall's owner asks: the server is started with it. */
export const TOKEN = "the hall's owner asks with a token of 40 ch";

/** @typedef {import("playwright-core").Page} Page @typedef {import("playwright-core").BrowserContext} Context */

export class Hall {
  /** @type {Context[]} */
  people = [];

  /** @param {import("./app.mjs").App} app @param {import("./wire.mjs").Wire} wire @param {import("playwright-core").Browser} browser @param {string} profiles */
  constructor(app, wire, browser, profiles) {
    this.app = app;
    this.wire = wire;
    this.browser = browser;
    this.profiles = profiles;
  }

  /** @param {string} method @param {string} path @param {object} [body] @returns {Promise<any>} */
  async office(method, path, body) {
    const answer = await fetch(new URL(`/api/v1/${path}`, this.app.join), { method, headers: { authorization: `Bearer ${TOKEN}`, "content-type": "application/json" }, body: body && JSON.stringify(body) });
    assert(answer.ok, `${method} ${path}: ${answer.status}`);
    return answer.status === 204 ? null : answer.json();
  }

  /** An event with an open question. @param {object} [more] @returns {Promise<{id:string, code:string, poll:string}>} */
  async question(more = {}) {
    const { id, code } = await this.office("POST", "events", { title: "In the hall" });
    const { id: poll } = await this.office("POST", `events/${id}/polls`, { kind: "single", question: "Which ending?", choices: ["Cowboys", "Pirates", "Robots"], ...more });
    await this.office("PUT", `polls/${poll}/state`, { state: "open" });
    return { id, code, poll };
  }

  /** @param {string} poll */
  async tally(poll) {
    const { results, books } = await this.office("GET", `polls/${poll}/results`);
    return { voters: results.voters, votes: results.choices.map((/** @type {any} */ one) => one.votes), received: books.received, known: books.counted + books.superseded + books.duplicate + books.late };
  }

  /** Exactly one vote counts, for this choice, whatever was sent twice on the way; and the books balance. @param {string} poll @param {number} choice */
  async onlyOne(poll, choice) {
    await eventually("the vote is in the tally", async () => (await this.tally(poll)).voters === 1);
    const { voters, votes, received, known } = await this.tally(poll);
    equal({ voters, votes, open: received - known }, { voters: 1, votes: [0, 1, 2].map((at) => Number(at === choice)), open: 0 }, "the tally");
  }

  /** @param {import("playwright-core").BrowserContextOptions} [about] */
  async person(about = {}) {
    const person = await this.browser.newContext({ viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true, locale: "en-GB", ...about });
    this.people.push(person);
    return person;
  }

  /** Everybody goes home. */
  async leave() {
    await Promise.all(this.people.splice(0).map((person) => person.close().catch(() => {})));
  }

  /** @param {Context} context @param {string} code */
  async join(context, code) {
    const page = await context.newPage();
    page.setDefaultTimeout(15_000);
    await page.goto(this.wire.home + code);
    await page.getByTestId("choice").first().waitFor();
    return page;
  }

  /** A browser that can be ended and started again with what it has kept. @param {string} name @param {object} [preferences] */
  async enduring(name, preferences) {
    const directory = join(this.profiles, name);
    if (preferences) {
      mkdirSync(join(directory, "Default"), { recursive: true });
      writeFileSync(join(directory, "Default", "Preferences"), JSON.stringify(preferences));
    }
    const person = await enduring(directory, { viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true, locale: "en-GB" });
    this.people.push(person);
    return person;
  }
}

/** @param {Page} page @param {string} testid @param {string|RegExp} text */
export const says = (page, testid, text) => page.getByTestId(testid).filter({ hasText: text, visible: true }).waitFor();

/** The page is kept: with its files, by the worker of its own version. @param {Page} page */
export const isKept = (page) => eventually("the page is kept", () => page.evaluate(async () => {
  const worker = (await navigator.serviceWorker.getRegistration())?.active;
  return worker?.state === "activated" && Boolean(await caches.match("/", { ignoreVary: true }));
}));

/** The phone is a voter: its pass is kept. A reload before that rightly asks for another. @param {Page} page @param {string} code */
export const hasPass = (page, code) => eventually("the pass is kept", () => page.evaluate((key) => localStorage.getItem(key) !== null, `gs:pass:${code}`));

/** Two more documents were fetched: whatever else the page wanted to ask, it has. @param {import("./wire.mjs").Wire} wire @param {string} code @param {number} [since] */
export const settled = (wire, code, since = wire.asked.length) => eventually("the page asks on", () => wire.count(new RegExp(`/live/${code}$`), since) >= 3);
