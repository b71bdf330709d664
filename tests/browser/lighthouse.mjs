// What Lighthouse says of every page, on a slow phone with a slow network.
//   node lighthouse.mjs --binary target/release/groundswell [--only PART-OF-A-NAME] [--runs 3] [--reports DIR]
// Not part of the tests: it takes a quarter of a minute a page, and its figures mean something on a quiet machine with a release build only.
// Of several runs the median performance counts, and the worst of everything else.

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { chromium } from "playwright-core";
import lighthouse from "lighthouse";
import { App } from "./app.mjs";
import { ARGS, findBrowser } from "./browser.mjs";
import { assert, check, close } from "./report.mjs";

const PERFORMANCE_LEAST = 0.95; // of pages that the audience opens
const { values: { binary = "target/release/groundswell", only = "", reports = "", runs = "1" } } = parseArgs({ options: { binary: { type: "string" }, only: { type: "string" }, reports: { type: "string" }, runs: { type: "string" } } });
const ACCOUNT = { email: "ada@example.org", password: "correct horse battery" };

const app = new App(binary);
const profile = mkdtempSync(join(tmpdir(), "groundswell-lighthouse-"));
process.on("exit", () => {
  app.remove();
  rmSync(profile, { recursive: true, force: true });
});
await app.up();
const port = await freePort();
// Lighthouse opens its own tab: a persistent context is the one it finds itself in, with the cookie of who signed in there.
const context = await chromium.launchPersistentContext(profile, { executablePath: findBrowser(), args: [...ARGS, `--remote-debugging-port=${port}`], chromiumSandbox: false });
try {
  await judge("sign in", "/admin", false);
  const { id, code, voted } = await prepare();
  for (const [name, path] of [
    ["join", "/"], ["a question", `/${code}`], ["a question, voted", `/${voted}`], ["results without JavaScript", `/results/${code}`], ["poster", `/poster/${code}`], ["embed", `/embed/${code}`], ["overlay", `/overlay/${code}`],
  ]) await judge(name, path, true);
  for (const [name, path] of [
    ["status", "/status"], ["events", "/admin"], ["new event", "/admin/new"], ["account", "/admin/account"], ["rehearsals", "/admin/rehearsals"], ["an event", `/admin/events/${id}`], ["presenter", `/present/${id}`],
  ]) await judge(name, path, false);
} finally {
  await context.close();
}
process.exitCode = close();

/** @param {string} name @param {string} path @param {boolean} isAudience whether an audience opens it */
async function judge(name, path, isAudience) {
  if (!name.includes(only)) return;
  await check(`${name}: ${isAudience ? `performance >= ${PERFORMANCE_LEAST}, ` : ""}accessibility and best practices 1`, async () => {
    /** @type {{performance:number, why:string}[]} */
    const seen = [];
    for (let run = 0; run < Number(runs); run += 1) {
      const ran = await lighthouse(new URL(path, app.join).href, { port, output: "html", logLevel: "error", disableStorageReset: true, onlyCategories: ["performance", "accessibility", "best-practices"] });
      assert(ran, "Lighthouse says nothing");
      const { categories, audits, finalDisplayedUrl, runtimeError } = ran.lhr;
      if (reports) {
        mkdirSync(reports, { recursive: true });
        writeFileSync(join(reports, `${name.replaceAll(" ", "-")}-${run + 1}.html`), String(ran.report));
      }
      assert(!runtimeError, `${runtimeError?.message}`);
      assert(new URL(finalDisplayedUrl).pathname === path, `it looked at ${finalDisplayedUrl}`);
      const score = (/** @type {string} */ of) => categories[of].score ?? 0;
      const why = (/** @type {string} */ of) => categories[of].auditRefs.filter(({ id, weight }) => weight > 0 && (audits[id].score ?? 1) < 1).map(({ id }) => `${id} ${audits[id].displayValue ?? audits[id].score}`).join(", ");
      for (const of of ["accessibility", "best-practices"]) assert(score(of) === 1, `${of} ${score(of)}: ${why(of)}`);
      seen.push({ performance: score("performance"), why: why("performance") });
    }
    const { performance, why } = seen.sort((one, other) => one.performance - other.performance)[Math.floor((seen.length - 1) / 2)];
    if (isAudience) assert(performance >= PERFORMANCE_LEAST, `performance ${performance}: ${why}`);
    return `performance ${seen.map((one) => one.performance).join(", ")}`;
  });
}

/** An account, and two events with an open poll: one of them this browser voted in. */
async function prepare() {
  const page = context.pages()[0] ?? await context.newPage();
  await page.goto(app.admin);
  await page.getByTestId("email").fill(ACCOUNT.email);
  await page.getByTestId("password").fill(ACCOUNT.password);
  await page.getByTestId("submit").click();
  await page.getByTestId("first-event").waitFor();
  const origin = new URL(app.join).origin;
  const ask = async (/** @type {"post"|"put"} */ method, /** @type {string} */ path, /** @type {object} */ data) => (await page.request[method](`${origin}/api/v1/${path}`, { data, headers: { origin } })).json();
  const opened = async (/** @type {string} */ title) => {
    const event = await ask("post", "events", { title });
    const poll = await ask("post", `events/${event.id}/polls`, { kind: "single", question: "Which ending?", choices: ["Cowboys", "Pirates", "Robots"] });
    await ask("put", `polls/${poll.id}/state`, { state: "open" });
    return event;
  };
  const [event, voted] = [await opened("Friday all-hands"), await opened("Monday all-hands")];
  await page.goto(`${origin}/${voted.code}`);
  await page.getByTestId("choice").first().click();
  await page.locator("#steps [data-step=counted].is-done").waitFor();
  await page.goto("about:blank");
  return { ...event, voted: voted.code };
}

/** @returns {Promise<number>} */
function freePort() {
  return new Promise((give) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port: free } = /** @type {import("node:net").AddressInfo} */ (server.address());
      server.close(() => give(free));
    });
  });
}
