// A phone in a hall where everything fails: the network, the server, the tab, the browser. Exactly one vote counts, and the screen says where it is.
// The server is the real one, killed with -9; between it and the phones is a wire that can be cut and counts what is asked.

import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { App } from "./app.mjs";
import { launch } from "./browser.mjs";
import { Hall, hasPass, isKept, says, settled, TOKEN } from "./hall.mjs";
import { mine, phone } from "./hands.mjs";
import { held } from "./held.mjs";
import { assert, check as checkAlone, equal, eventually, need } from "./report.mjs";
import { Cable, Wire } from "./wire.mjs";

const APP_FILE = /\/assets\/vote\/vote\.[0-9a-f]{12}\.js/g;

/** @param {string} binary */
export async function outbox(binary) {
  const app = new App(binary, { GROUNDSWELL_API_TOKEN: TOKEN });
  const gone = () => app.remove();
  process.on("exit", gone);
  const profiles = mkdtempSync(join(tmpdir(), "groundswell-profiles-"));
  const wire = await new Wire().up(() => app.join);
  /** @type {import("playwright-core").Browser|undefined} */
  let browser;
  try {
    await need("a server for the phones starts", () => app.up());
    browser = await launch();
    const hall = new Hall(app, wire, browser, profiles);
    await evening(hall);
    await hall.leave();
    await late(binary, browser, profiles);
  } finally {
    await browser?.close();
    wire.down();
    app.remove();
    rmSync(profiles, { recursive: true, force: true, maxRetries: 3 });
    process.off("exit", gone);
  }
}

/** @param {Hall} hall */
async function evening(hall) {
  const { app, wire } = hall;
  /** Each begins with a server and a whole wire, whatever became of the one before. @param {string} name @param {() => Promise<string|void>} body */
  const check = async (name, body) => {
    if (app.down) await app.up();
    wire.mend();
    await hall.leave();
    await checkAlone(name, body);
  };

  await check("the audience app is at most 4 requests and 15 KB, in German too, and a reload asks for none of them again", async () => {
    const { code } = await hall.question();
    const told = [];
    for (const locale of ["en-GB", "de-DE"]) {
      const person = await hall.person({ locale });
      const from = wire.asked.length;
      const page = await hall.join(person, code);
      await isKept(page);
      await hasPass(page, code);
      const first = wire.files(from);
      const bytes = first.reduce((sum, one) => sum + one.bytes, 0);
      assert(first.length <= 4 && bytes <= 15_000, `${locale}: ${bytes} bytes in ${first.map((one) => one.path)}`);
      told.push(`${locale} ${first.length} requests, ${bytes} bytes`);
      const reloaded = wire.asked.length;
      await page.reload();
      await page.getByTestId("choice").first().waitFor();
      await settled(wire, code, reloaded);
      equal(wire.files(reloaded).map((one) => one.path), [], `asked for after a reload, ${locale}`);
      equal(wire.count(/passes/, reloaded), 0, "passes");
    }
    return told.join("; ");
  });

  await check("with the server killed a reload shows the question, the own vote and what is going on; a vote is saved, and counted when it is back", async () => {
    const { code, poll } = await hall.question();
    const { code: second, poll: other } = await hall.question();
    const person = await hall.person();
    const page = await hall.join(person, code);
    await isKept(page);
    await phone.vote(page, "Pirates");
    await phone.reached(page, "counted");
    const undecided = await hall.join(person, second);
    await app.kill();
    await page.reload();
    await says(page, "question", "Which ending?");
    equal(await mine(page), ["Pirates"], "the own vote");
    await phone.reached(page, "counted");
    await says(page, "connection", "No answer from the server. You can still vote: it is saved here and sent later.");
    await undecided.reload();
    await undecided.getByTestId("choice").first().waitFor();
    await phone.vote(undecided, "Robots");
    await phone.reached(undecided, "saved");
    await says(undecided, "receipt", "Saved on this phone");
    await says(undecided, "receipt-note", "Saved. Sending … no need to refresh.");
    await says(undecided, "connection", "No answer from the server. Your vote is saved and will be sent.");
    await app.up();
    await says(page, "connection", "You are back online, carry on.");
    await phone.reached(undecided, "counted");
    await hall.onlyOne(poll, 1);
    await hall.onlyOne(other, 2);
  });

  await check("offline, voted, tab killed, browser ended and started again without a server: the vote is still there; online, exactly one is counted", async () => {
    const { code, poll } = await hall.question();
    let person = await hall.enduring("one");
    let page = await hall.join(person, code);
    await isKept(page);
    await person.setOffline(true);
    await says(page, "connection", "You are offline. You can still vote: it is saved here and sent later.");
    await phone.vote(page, "Robots");
    await phone.reached(page, "saved");
    await says(page, "connection", "You are offline. Your vote is saved and will be sent.");
    const crashed = page.waitForEvent("crash");
    (await person.newCDPSession(page)).send("Page.crash").catch(() => {});
    await crashed;
    await person.close();
    equal(await hall.tally(poll), { voters: 0, votes: [0, 0, 0], received: 0, known: 0 }, "before");
    wire.isCut = true;
    person = await hall.enduring("one");
    page = await hall.join(person, code);
    equal(await mine(page), ["Robots"], "after the restart");
    await phone.reached(page, "saved");
    await says(page, "connection", "Your vote is saved and will be sent.");
    wire.isCut = false;
    await says(page, "connection", "You are back online, carry on."); // for a moment only
    await phone.reached(page, "counted");
    await hall.onlyOne(poll, 2);
    await page.goto(`${wire.home}status`);
    await page.goBack();
    await phone.reached(page, "counted");
    await hall.onlyOne(poll, 2);
  });

  for (const locks of [true, false]) {
    await check(`two tabs are one voter, and one of them sends${locks ? "" : ", also where a browser has no locks"}`, async () => {
      const { code, poll } = await hall.question();
      const person = await hall.person();
      if (!locks) await person.addInitScript(() => Object.defineProperty(Navigator.prototype, "locks", { value: undefined }));
      const [left, right] = [await hall.join(person, code), await hall.join(person, code)];
      await hasPass(left, code);
      equal(wire.count(new RegExp(`/live/${code}/passes`)), 1, "passes");
      wire.isCut = true;
      await phone.vote(left, "Cowboys");
      await phone.reached(right, "saved");
      await says(left, "receipt-note", "Saved. Sending");
      wire.isCut = false;
      const from = wire.asked.length;
      for (const tab of [left, right]) {
        await phone.reached(tab, "counted");
        equal(await mine(tab), ["Cowboys"], "in both tabs");
      }
      await settled(wire, code);
      const sent = wire.asked.slice(from).filter((one) => one.path.endsWith("/ballots"));
      assert(sent.every((one, at) => at === 0 || sent[at - 1].until <= one.at), "both send at once");
      // The second may have read what is kept a moment before it saw what the first had written; the ballot is the same one.
      assert(sent.length <= 2, `${sent.length} ballots sent`);
      await hall.onlyOne(poll, 0);
      await Promise.all([left, right].map((tab, at) => tab.evaluate((which) => {
        /** @type {HTMLElement} */ (document.getElementById("change")).click();
        /** @type {HTMLElement} */ (document.querySelectorAll("#choices input")[which]).click();
      }, at + 1)));
      await eventually("both tabs and the tally agree", async () => {
        const [a, b, { voters, votes, received, known }] = [await mine(left), await mine(right), await hall.tally(poll)];
        const counts = ["Cowboys", "Pirates", "Robots"][votes.indexOf(1)];
        return voters === 1 && received === known && a[0] === counts && b[0] === counts && await phone.step(left) === "counted" && await phone.step(right) === "counted";
      });
    });
  }

  await check("a tab that fell asleep while it was sending keeps no other from sending for long", async () => {
    const { code, poll } = await hall.question();
    const person = await hall.person();
    const asleep = await person.newPage();
    await asleep.goto(`${wire.home}status`);
    await person.clock.install();
    const page = await hall.join(person, code);
    await eventually("the page has its pass", () => page.evaluate((key) => localStorage.getItem(key), `gs:pass:${code}`));
    // Granted once the page has let go of it, and never given back.
    await asleep.evaluate((name) => new Promise((held) => { navigator.locks.request(name, () => new Promise(() => held(undefined))); }), `gs:sending:${code}`);
    const from = wire.asked.length;
    const ballots = () => wire.count(/\/ballots$/, from);
    await phone.vote(page, "Pirates");
    await phone.reached(page, "saved");
    await settled(wire, code);
    equal(ballots(), 0, "ballots while the other may still be sending");
    await page.clock.fastForward(30_000); // longer than any answer takes
    await phone.reached(page, "counted");
    await hall.onlyOne(poll, 1);
    await page.getByTestId("change").tap();
    await phone.vote(page, "Robots");
    await phone.reached(page, "saved");
    await page.clock.fastForward(30_000);
    await phone.reached(page, "counted");
    await eventually("the change is in the tally", async () => (await hall.tally(poll)).votes[2] === 1);
    await hall.onlyOne(poll, 2);
    equal(ballots(), 2, "ballots");
  });

  await check("two taps in one moment are one ballot, however the network stutters", async () => {
    const { code, poll } = await hall.question();
    const person = await hall.person();
    const page = await hall.join(person, code);
    // The first answer is lost: the server has the ballot, and the phone does not know.
    wire.loses = /\/ballots$/;
    await page.evaluate(() => { for (const input of document.querySelectorAll("#choices input")) /** @type {HTMLElement} */ (input).click(); });
    await phone.reached(page, "counted");
    await hall.onlyOne(poll, 0);
  });

  await held(hall, check);

  await check("a server that is full is not asked before it wants to be, not even after a reload, and the phone says that nothing is to be done", async () => {
    const { code, poll } = await hall.question();
    const person = await hall.person();
    const page = await hall.join(person, code);
    await isKept(page);
    let refusals = 0;
    wire.instead = (method, path) => (method === "POST" && path.endsWith("/ballots") && refusals++ < 1
      ? { status: 503, headers: { "retry-after": "3" }, body: { code: "busy", status: 503, title: "Service Unavailable", detail: "Full." } } : undefined);
    const from = wire.asked.length;
    await phone.vote(page, "Pirates");
    await says(page, "receipt-note", "Saved. Sending … no need to refresh.");
    await page.reload();
    await says(page, "receipt-note", "Saved. Sending … no need to refresh.");
    await page.evaluate(() => document.dispatchEvent(new Event("visibilitychange")));
    await phone.reached(page, "counted");
    wire.instead = () => undefined;
    const [first, next, ...more] = wire.asked.slice(from).filter((one) => one.path.endsWith("/ballots"));
    assert(next.at - first.at >= 3_000 && !more.length, `asked again after ${Math.round(next.at - first.at)} ms, and ${more.length} times more`);
    await hall.onlyOne(poll, 1);
    return `again after ${Math.round(next.at - first.at)} ms`;
  });

  await check("a vote that did not arrive whole, as on a bad line, is not refused: it stays saved and is sent again", async () => {
    const { code, poll } = await hall.question();
    const person = await hall.person();
    const page = await hall.join(person, code);
    const broken = [[408, "body_slow"], [400, "body_slow"], [422, "body_broken"], [400, "request_invalid"]];
    wire.instead = (method, path) => {
      const [status, what] = (method === "POST" && path.endsWith("/ballots") && broken.shift()) || [];
      return status ? { status: Number(status), body: { code: what, status, title: "Not whole", detail: "It did not arrive whole." } } : undefined;
    };
    await phone.vote(page, "Robots");
    await says(page, "receipt-note", "Saved. Sending … no need to refresh.");
    await phone.reached(page, "counted");
    equal(broken.length, 0, "answers that were not asked for");
    equal(await page.getByTestId("refusal").isVisible(), false, "a refusal");
    await hall.onlyOne(poll, 2);
  });

  await check("a vote that arrives after the close is refused, said so, and still said after a reload; the earlier one stands", async () => {
    const { code, poll } = await hall.question();
    const person = await hall.person();
    const page = await hall.join(person, code);
    await phone.vote(page, "Cowboys");
    await phone.reached(page, "counted");
    wire.isCut = true;
    await page.getByTestId("change").tap();
    await phone.vote(page, "Robots");
    await says(page, "connection", "Your vote is saved and will be sent.");
    await hall.office("PUT", `polls/${poll}/state`, { state: "closed" });
    wire.isCut = false;
    await says(page, "refusal", /closed.* Your earlier vote stands\./);
    await page.reload();
    await says(page, "refusal", "Your earlier vote stands.");
    equal(await mine(page), ["Cowboys"], "what counts");
    await page.getByTestId("refusal").getByRole("button").tap();
    await page.getByTestId("refusal").waitFor({ state: "hidden" });
    await hall.onlyOne(poll, 0);
  });

  await check("a vote that was received too late, by a process that had not heard of the close, is told so", async () => {
    const { code, poll } = await hall.question();
    const person = await hall.person();
    const page = await hall.join(person, code);
    await isKept(page);
    // Such a process answers 202; the ballot is set aside when it is counted, so this voter has none.
    wire.instead = (method, path, body) => (method === "POST" && path.endsWith("/ballots")
      ? { status: 202, body: { ballot: JSON.parse(body).ballot, accepted_at: Date.now() + 5_000, status: "received" } } : undefined);
    await phone.vote(page, "Pirates");
    await phone.reached(page, "received");
    wire.instead = () => undefined;
    await hall.office("PUT", `polls/${poll}/state`, { state: "closed" });
    await says(page, "refusal", "This vote arrived after voting had closed. It was not counted.");
    await says(page, "receipt-note", "You did not vote on this question.");
    equal(await phone.step(page), null, "the step");
    await page.getByTestId("refusal").getByRole("button").tap();
    const from = wire.asked.length;
    await page.reload();
    await settled(wire, code, from);
    assert(await page.getByTestId("refusal").isHidden(), "it is told twice");
    equal((await hall.tally(poll)).voters, 0, "voters");
  });

  await check("such a vote is told so as well when the next round has begun meanwhile, and the one in that stands", async () => {
    const { code, poll } = await hall.question();
    const person = await hall.person();
    const page = await hall.join(person, code);
    await isKept(page);
    wire.instead = (method, path, body) => (method === "POST" && path.endsWith("/ballots") && JSON.parse(body).round === 1
      ? { status: 202, body: { ballot: JSON.parse(body).ballot, accepted_at: Date.now() + 3_000, status: "received" } } : undefined);
    await phone.vote(page, "Pirates");
    await phone.reached(page, "received");
    await hall.office("POST", `polls/${poll}/rounds`, {});
    await hall.office("PUT", `polls/${poll}/state`, { state: "open" });
    await page.getByTestId("choice").filter({ hasText: "Robots" }).waitFor();
    await phone.vote(page, "Robots");
    await phone.reached(page, "counted");
    await says(page, "refusal", "This vote arrived after voting had closed. It was not counted.");
    wire.instead = () => undefined;
    equal(await mine(page), ["Robots"], "the vote of the new round");
    equal((await hall.tally(poll)).voters, 1, "voters");
  });

  await check("a browser that may keep nothing still votes, once, and says what it cannot do", async () => {
    const { code, poll } = await hall.question();
    const person = await hall.enduring("private", { profile: { default_content_setting_values: { cookies: 2 } } });
    const page = await hall.join(person, code);
    assert(await page.evaluate(() => { try { return !localStorage; } catch { return true; } }), "it keeps things after all");
    await says(page, "forgetful", "This browser keeps nothing");
    await phone.vote(page, "Robots");
    await phone.reached(page, "counted");
    await says(page, "receipt", "Held in this page");
    await hall.onlyOne(poll, 2);
  });

  await check("nobody is asked while nobody looks, and seldom when the event is over", async () => {
    const { code, id } = await hall.question();
    const { code: meanwhile } = await hall.question();
    const person = await hall.person();
    const [page, other] = [await hall.join(person, code), await hall.join(person, meanwhile)];
    const hide = (/** @type {boolean} */ hidden) => page.evaluate((is) => {
      Object.defineProperty(document, "hidden", { value: is, configurable: true });
      document.dispatchEvent(new Event("visibilitychange"));
    }, hidden);
    const asks = new RegExp(`/live/${code}`);
    await hide(true);
    await settled(wire, meanwhile); // what was under way has been answered
    let from = wire.asked.length;
    await settled(wire, meanwhile);
    equal(wire.count(asks, from), 0, "asked while hidden");
    await hide(false);
    await settled(wire, code);
    await hall.office("PATCH", `events/${id}`, { state: "ended" });
    await page.getByTestId("screen-ended").waitFor();
    from = wire.asked.length;
    await settled(wire, meanwhile, from);
    equal(wire.count(asks, from), 0, "asked after the end");
    await other.close();
  });

  await check("a question opens by the server's clock with no request, on a phone whose own clock is an hour wrong", async () => {
    const { code, poll } = await hall.question();
    const opensAt = Date.now() + 6_000;
    await hall.office("PATCH", `polls/${poll}`, { opens_at: opensAt });
    const person = await hall.person();
    await person.addInitScript(() => { const now = Date.now; Date.now = () => now() + 3_600_000; });
    const page = await hall.join(person, code);
    await says(page, "poll-state", "Not open yet");
    await says(page, "clock", /opens in 0:0\d/);
    wire.isCut = true;
    const answered = () => wire.asked.filter((one) => one.status).length;
    const before = answered();
    await says(page, "poll-state", /^Open$/);
    const late = Date.now() - opensAt;
    equal(answered(), before, "answers since the wire was cut");
    assert(late >= -50 && late < 2_000, `it opened ${late} ms after its time`);
    await phone.vote(page, "Cowboys");
    await phone.reached(page, "saved");
    wire.isCut = false;
    await phone.reached(page, "counted");
    return `${late} ms after its time`;
  });

  await check("a phone whose clock is set while the page is open counts down by the server's clock again, and goes on asking", async () => {
    const { code, poll } = await hall.question();
    const closesAt = Date.now() + 600_000;
    await hall.office("PATCH", `polls/${poll}`, { closes_at: closesAt });
    const person = await hall.person();
    await person.addInitScript(() => { const now = Date.now; Date.now = () => now() + (/** @type {any} */ (globalThis).wrongBy ?? 0); });
    const page = await hall.join(person, code);
    const off = async () => {
      const [, minutes, seconds] = (await page.getByTestId("clock").innerText()).match(/(\d+):(\d\d)/) ?? [];
      return Math.abs((closesAt - Date.now()) / 1000 - 60 * Number(minutes) - Number(seconds));
    };
    let refusals = 0;
    wire.instead = (_, path) => (path === `/api/v1/live/${code}` && refusals++ < 1
      ? { status: 503, headers: { "retry-after": "1" }, body: { code: "busy", status: 503, title: "Service Unavailable", detail: "Full." } } : undefined);
    // Right, three minutes ahead, three behind (as when it is told to wait), right.
    for (const wrong of [0, 180_000, -180_000, 0]) {
      if (wrong < 0) refusals = 0;
      await eventually("the server asks the page to wait", () => refusals > 0);
      await page.evaluate((ms) => { /** @type {any} */ (globalThis).wrongBy = ms; }, wrong);
      const from = wire.asked.length;
      await settled(wire, code, from);
      await eventually(`the clock is right again, ${wrong} ms off`, async () => await off() < 3);
    }
    await phone.vote(page, "Cowboys");
    await phone.reached(page, "counted");
    await hall.onlyOne(poll, 0);
  });

  await check("the worker leaves every other page of the product alone", async () => {
    const { code } = await hall.question();
    const person = await hall.person();
    const page = await hall.join(person, code);
    await isKept(page);
    await page.goto(`${wire.home}overlay/${code}`);
    await page.locator("#rows li").first().waitFor();
    for (const [path, text] of [["admin", "Almost there"], ["status", ""], [`results/${code}`, "Which ending?"], ["present/x", "Please sign in"]]) {
      const answer = await page.goto(wire.home + path);
      assert(answer && !answer.fromServiceWorker(), `${path} comes from the worker`);
      if (text) await page.getByText(text).first().waitFor();
      assert(!await page.locator("#screen-poll").count(), `${path} is the audience's page`);
    }
    wire.isCut = true;
    for (const path of ["admin", "status", `overlay/${code}`, "api/v1/session"]) {
      // By nobody, or by what the browser itself keeps for a minute.
      assert(await page.goto(wire.home + path).then((answer) => !answer?.fromServiceWorker(), () => true), `${path} comes from the worker`);
    }
    // In a tab of its own: this one is still busy showing that nobody answered.
    const again = await person.newPage();
    assert(await again.goto(wire.home + code).then((answer) => answer?.fromServiceWorker()), "the audience's page does not");
    wire.isCut = false;
    const names = await again.evaluate(async () => {
      const all = await Promise.all((await caches.keys()).map(async (name) => (await (await caches.open(name)).keys()).map((one) => new URL(one.url).pathname)));
      return all.flat();
    });
    assert(names.length === 2 && names.includes("/"), `kept: ${names}`);
  });

  await check("after an upgrade the new page comes, the new worker keeps it with its files, and what the old one kept is gone", async () => {
    const { code } = await hall.question();
    const person = await hall.person();
    let version = "";
    const renamed = "/assets/vote/vote.0123456789ab.js";
    // Its files are never stale here, so that nothing waits for a minute to pass.
    wire.changes = (path, body, headers) => {
      if (path.startsWith("/api/") || path.startsWith("/assets/")) return body;
      headers.date = new Date(Date.now() - 120_000).toUTCString();
      headers["cache-control"] = "no-cache";
      delete headers.etag;
      return version ? body.replace(APP_FILE, version) : body;
    };
    const page = await hall.join(person, code);
    await isKept(page);
    const [old] = await page.evaluate(() => caches.keys());
    const script = old.replace("gs:", "");
    const bytes = await (await fetch(new URL(script, app.join))).text();
    version = renamed;
    wire.instead = (_, path) => (path === renamed ? { status: 200, headers: { "content-type": "text/javascript", "cache-control": "public, max-age=31536000, immutable" }, body: bytes }
      : path === script ? { status: 404, body: { code: "not_found" } } : undefined);
    await page.reload();
    await page.locator(`script[src="${renamed}"]`).waitFor({ state: "attached" });
    await page.getByTestId("choice").first().waitFor();
    await page.evaluate(async () => { await (await navigator.serviceWorker.getRegistration())?.update(); });
    await eventually("one cache, the new one", async () => JSON.stringify(await page.evaluate(() => caches.keys())) === JSON.stringify([`gs:${renamed}`]));
    wire.isCut = true;
    await page.reload();
    await page.locator(`script[src="${renamed}"]`).waitFor({ state: "attached" });
    await says(page, "question", "Which ending?");
    wire.isCut = false;
    wire.instead = () => undefined;
    wire.changes = null;
  });
}

/**
 * Two servers on one database, of which one is cut off from it while the poll is closed at the other. Needs Postgres and a broker.
 * @param {string} binary @param {import("playwright-core").Browser} browser @param {string} profiles
 */
async function late(binary, browser, profiles) {
  const { GROUNDSWELL_TEST_SERVICES: services, GROUNDSWELL_TEST_SERVICES_DIR: directory, GROUNDSWELL_TEST_DATABASE_URL: url, GROUNDSWELL_TEST_AMQP_URL: broker } = process.env;
  if (!services || !directory || !url || !broker) return console.log("not run: a vote that really is late, as there is no Postgres and no broker");
  const name = `gs_browser_${process.pid}`;
  /** @param {string} statement */
  const sql = (statement) => execFileSync(services, ["psql", directory, "-d", "postgres", "-Atqc", statement]);
  sql(`create database ${name}`);
  const database = new URL(url);
  database.pathname = name;
  const cable = await new Cable().up(database.hostname, Number(database.port));
  const settings = { AMQP_URL: broker, AMQP_PREFIX: name, GROUNDSWELL_API_TOKEN: TOKEN, SPILL_FREE_BYTES_MIN: "0" };
  const office = new App(binary, { ...settings, DATABASE_URL: database.href });
  database.port = String(cable.port);
  const remote = new App(binary, { ...settings, DATABASE_URL: database.href }, ["web"]);
  const wire = await new Wire().up(() => remote.join);
  const hall = new Hall(office, wire, browser, profiles);
  try {
    await checkAlone("a vote that a server cut off from the database accepted after the close is in the books as late, and the phone says so", async () => {
      await office.up();
      await remote.up();
      const { code, poll } = await hall.question();
      const person = await hall.person();
      const page = await hall.join(person, code);
      await hasPass(page, code);
      cable.hold();
      const { closed_at: closed } = await hall.office("PUT", `polls/${poll}/state`, { state: "closed" });
      assert(closed > 0, "it does not say when it closed");
      await eventually("what is accepted now is too late", () => Date.now() > closed + 2_200);
      await phone.vote(page, "Pirates");
      await phone.reached(page, "received");
      await eventually("it is in the books as late", async () => (await hall.office("GET", `polls/${poll}/books`)).late === 1);
      cable.mend();
      await says(page, "refusal", "This vote arrived after voting had closed. It was not counted.");
      equal(await phone.step(page), null, "the step");
      const { voters, received, known } = await hall.tally(poll);
      equal({ voters, received, known }, { voters: 0, received: 1, known: 1 }, "the tally");
      return `accepted ${Date.now() - closed} ms after the close at most`;
    });
    await hall.leave();
  } finally {
    wire.down();
    cable.down();
    office.remove();
    remote.remove();
    sql(`drop database if exists ${name} with (force)`);
  }
}
