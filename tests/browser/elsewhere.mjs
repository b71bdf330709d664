// The exported app under another name: `groundswell export static --origin` in a bucket, the server elsewhere, and browsers that keep the two
// apart. A site the server allows is an audience like any other; one it does not allow says so, and no vote comes from it.

import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { App } from "./app.mjs";
import { accessible, fitsInWidth, launch } from "./browser.mjs";
import { Bucket } from "./bucket.mjs";
import { Hall, hasPass, isKept, says, settled, TOKEN } from "./hall.mjs";
import { mine, phone } from "./hands.mjs";
import { assert, check as checkAlone, equal, eventually, need } from "./report.mjs";
import { Wire } from "./wire.mjs";

/** @typedef {import("playwright-core").Page} Page @typedef {import("playwright-core").BrowserContext} Context */

/** @param {string} binary @param {string} shots a directory, or "" for none */
export async function elsewhere(binary, shots) {
  const directory = mkdtempSync(join(tmpdir(), "groundswell-exported-"));
  const [site, other] = [await new Bucket().up(join(directory, "files")), await new Bucket().up(join(directory, "files"))];
  const app = new App(binary, { GROUNDSWELL_API_TOKEN: TOKEN, ALLOWED_ORIGINS: site.origin ?? "" });
  const gone = () => app.remove();
  process.on("exit", gone);
  const wire = await new Wire().up(() => app.join);
  /** @type {import("playwright-core").Browser|undefined} */
  let browser;
  try {
    await need("the app is exported for another origin, and says what the server there has to be told", async () => {
      const said = execFileSync(app.binary, ["export", "static", join(directory, "files"), "--origin", wire.home?.slice(0, -1) ?? ""], { encoding: "utf8", cwd: directory });
      assert(said.includes("ALLOWED_ORIGINS"), said);
    });
    await need("a server for another site starts", () => app.up());
    browser = await launch();
    const hall = new Hall(app, wire, browser, join(directory, "profiles"));
    await evening(hall, site, other, shots);
    await hall.leave();
  } finally {
    await browser?.close();
    wire.down();
    site.down();
    other.down();
    app.remove();
    rmSync(directory, { recursive: true, force: true, maxRetries: 3 });
    process.off("exit", gone);
  }
}

/** A page of that site. @param {Context} person @param {string} address @param {string[]} complaints what the policy of the page refused */
async function open(person, address, complaints) {
  const page = await person.newPage();
  page.setDefaultTimeout(15_000);
  page.on("console", (message) => { if (/Content Security Policy|Refused to/.test(message.text())) complaints.push(message.text()); });
  page.on("pageerror", (error) => complaints.push(String(error.stack ?? error)));
  await page.goto(address);
  return page;
}

/** @param {Hall} hall @param {Bucket} site @param {Bucket} other @param {string} shots */
async function evening(hall, site, other, shots) {
  const { app, wire } = hall;
  const complaints = /** @type {string[]} */ ([]);
  /** @param {string} name @param {() => Promise<string|void>} body */
  const check = async (name, body) => {
    if (app.down) await app.up();
    wire.mend();
    site.isCut = false;
    await hall.leave();
    await checkAlone(name, body);
  };
  /**
   * Somebody has the question before them, the way to the server is cut, and they vote all the same.
   * @param {(person: Context, code: string, page: Page) => Promise<void>} cut @param {string} choice @param {string} told what the page says then
   */
  const votesWithoutServer = async (cut, choice, told) => {
    const { code, poll } = await hall.question();
    const person = await hall.person();
    const page = await open(person, `${site.origin}/${code}`, complaints);
    await page.getByTestId("choice").first().waitFor();
    await cut(person, code, page);
    await phone.vote(page, choice);
    await phone.reached(page, "saved");
    await says(page, "connection", told);
    return { code, poll, person, page };
  };
  const photograph = async (/** @type {Page} */ page, /** @type {string} */ name) => { if (shots) await page.screenshot({ path: join(shots, `elsewhere-${name}.png`) }); };

  await check("from a bucket under another name one joins, votes and is counted; the server answers calls alone, and a reload asks nobody for files", async () => {
    const { code, poll } = await hall.question();
    const person = await hall.person();
    const [from, asked] = [site.asked.length, wire.asked.length];
    const page = await open(person, `${site.origin}/${code}`, complaints);
    await phone.vote(page, "Pirates");
    await phone.reached(page, "counted");
    await isKept(page);
    await hasPass(page, code);
    await hall.onlyOne(poll, 1);
    await photograph(page, "counted");
    equal(wire.files(asked).map((one) => one.path), [], "asked of the server but calls");
    const files = site.asked.slice(from);
    assert(files.every((one) => one.status === 200), `not in the bucket: ${files.filter((one) => one.status !== 200).map((one) => one.path)}`);
    const [reloaded, calls] = [site.asked.length, wire.asked.length];
    await page.reload();
    await phone.reached(page, "counted");
    equal(await mine(page), ["Pirates"], "the own vote");
    await settled(wire, code, calls);
    equal(site.asked.slice(reloaded).map((one) => one.path), [], "asked for after a reload");
    equal(wire.count(/passes/, calls), 0, "passes");
    // A word from the other side: the result that all see moves here, too.
    const second = await open(await hall.person(), `${site.origin}/${code}`, complaints);
    await phone.vote(second, "Robots");
    await phone.reached(second, "counted");
    await page.waitForFunction(() => Array.from(document.querySelectorAll(".percent")).map((one) => one.textContent).join() === "0%,50%,50%");
    return `${files.length} files, ${files.reduce((sum, one) => sum + one.bytes, 0)} bytes`;
  });

  await check("the code can be typed there, and pages in other languages come with their words", async () => {
    const { code, poll } = await hall.question();
    const page = await open(await hall.person({ locale: "de-DE" }), `${site.origin}/`, complaints);
    await phone.join(page, code);
    await page.getByTestId("choice").first().waitFor();
    equal(new URL(page.url()).pathname, `/${code}`, "the address");
    equal(await page.evaluate(() => document.documentElement.lang), "de", "the language");
    await phone.vote(page, "Cowboys");
    await phone.reached(page, "counted");
    await hall.onlyOne(poll, 0);
  });

  await check("offline there, a reload shows the page and the question; the vote is saved, and counted once when the network is back", async () => {
    const { poll, person, page } = await votesWithoutServer(async (someone, code, question) => {
      await isKept(question);
      await hasPass(question, code);
      site.isCut = wire.isCut = true;
      await someone.setOffline(true);
      await question.reload();
      await says(question, "question", "Which ending?");
    }, "Robots", "You are offline. Your vote is saved and will be sent.");
    await page.reload();
    await phone.reached(page, "saved");
    site.isCut = wire.isCut = false;
    await person.setOffline(false);
    await phone.reached(page, "counted");
    await hall.onlyOne(poll, 2);
  });

  await check("with the server gone the bucket still shows the page; the vote is saved, and counted when the server is back", async () => {
    const { code, poll, page } = await votesWithoutServer(() => app.kill(), "Cowboys", "No answer from the server. Your vote is saved and will be sent.");
    // Somebody who comes only now: nothing can be known of the event, and it is nobody's setting that is wrong.
    let from = wire.asked.length; // before the page is opened: its script may look while it still loads
    const late = await open(await hall.person(), `${site.origin}/${code}`, complaints);
    await says(late, "connection", "No answer from the server. This page goes on by itself once there is a connection.");
    await eventually("its script has looked why", () => wire.count(/qr\.svg/, from) > 0);
    equal(await late.getByTestId("not-allowed").count(), 0, "a wrong reason");
    // The same before an edge whose servers are away: what it says by itself, a page of another site may not read.
    wire.instead = () => ({ status: 503, headers: { "retry-after": "1" }, body: { code: "busy", status: 503, title: "Service Unavailable", detail: "The servers cannot be reached." } });
    from = wire.asked.length;
    const later = await open(await hall.person(), `${site.origin}/${code}`, complaints);
    await says(later, "connection", "No answer from the server. This page goes on by itself once there is a connection.");
    await eventually("its script has looked why", () => wire.count(/qr\.svg/, from) > 0);
    await later.getByTestId("connection").waitFor();
    equal(await later.getByTestId("not-allowed").count(), 0, "a wrong reason");
    wire.mend();
    await app.up();
    await phone.reached(page, "counted");
    for (const one of [late, later]) await one.getByTestId("choice").first().waitFor();
    await hall.onlyOne(poll, 0);
  });

  await check("the live result in another page and over a picture moves, though its server has another name", async () => {
    const { code } = await hall.question();
    const person = await hall.person({ viewport: { width: 800, height: 450 }, isMobile: false });
    for (const screen of ["embed", "overlay"]) {
      const { code: fresh } = screen === "embed" ? { code } : await hall.question();
      const page = await open(person, `${site.origin}/${screen}/${fresh}`, complaints);
      await page.locator("#rows li").first().waitFor();
      const voter = await open(await hall.person(), `${site.origin}/${fresh}`, complaints);
      await phone.vote(voter, "Pirates");
      await page.waitForFunction(() => document.querySelectorAll("#rows .percent")[1]?.textContent === "100%");
      assert(wire.count(new RegExp(`/live/${fresh}/stream`)) >= 1, "it does not stream");
      await photograph(page, screen);
    }
  });

  await check("a site the server does not know says what is wrong and whom to tell, in the reader's language, and no vote comes from it", async () => {
    const { code, poll } = await hall.question();
    const words = { "en-GB": "takes no votes from there. Nothing has been counted.", "ar-EG": "لم يُحسب أي شيء" };
    for (const [locale, text] of Object.entries(words)) {
      const page = await open(await hall.person({ locale }), `${other.origin}/${code}`, complaints);
      await says(page, "not-allowed", text);
      await says(page, "not-allowed", "ALLOWED_ORIGINS");
      await says(page, "not-allowed", String(other.origin));
      assert(await page.getByTestId("connection").isHidden(), "it says that nobody answers");
      assert(await page.locator("#loading-note").isHidden(), "it says that the question is on its way");
      equal(await page.getByTestId("choice").count(), 0, "choices");
      await fitsInWidth(page);
      await accessible(page, "the page of an unknown site");
      await photograph(page, `unknown-${locale}`);
      // Whatever a page there tries: the browser asks first, or sends what the server does not take.
      await page.evaluate(async ([server, id]) => {
        const ballot = JSON.stringify({ ballot: "00000000-0000-4000-8000-000000000001", revision: 1, picks: [`${id}.1`] });
        for (const mode of /** @type {RequestMode[]} */ (["cors", "no-cors"])) {
          for (const headers of [{ "content-type": "application/json" }, { "content-type": "text/plain" }]) {
            await fetch(`${server}api/v1/polls/${id}/ballots`, { method: "POST", mode, headers, body: ballot }).catch(() => {});
          }
        }
      }, [wire.home ?? "", poll]);
    }
    equal(await hall.tally(poll), { voters: 0, votes: [0, 0, 0], received: 0, known: 0 }, "the tally");
  });

  await check("once the server is told of the site, the page that was turned away goes on by itself", async () => {
    const { code, poll } = await hall.question();
    const page = await open(await hall.person(), `${other.origin}/${code}`, complaints);
    await page.getByTestId("not-allowed").waitFor();
    await app.kill("SIGTERM");
    app.settings.ALLOWED_ORIGINS = `${site.origin},${other.origin}`;
    await app.up();
    await page.getByTestId("choice").first().waitFor();
    equal(await page.getByTestId("not-allowed").count(), 0, "still turned away");
    await phone.vote(page, "Robots");
    await phone.reached(page, "counted");
    await hall.onlyOne(poll, 2);
  });

  await check("none of these pages broke its own policy, nor a script", async () => { equal([...new Set(complaints)], [], "complaints"); });
}
