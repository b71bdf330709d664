// A vote that is held on its way, and what is not a vote yet: neither gets lost with the tab, by the Back button or a reload; and how long a phone waits.

import { hasPass, isKept, says, settled } from "./hall.mjs";
import { mine, phone } from "./hands.mjs";
import { assert, equal, eventually } from "./report.mjs";

/** @typedef {import("playwright-core").Page} Page @typedef {import("./hall.mjs").Hall} Hall */

const BALLOTS = /\/ballots$/;
/** As in static/vote/outbox.js: what is waited for at most after the first failure, twice as long after each further one, and never longer than the last. */
const FIRST_MS = 1_200, LAST_MS = 20_000;
const NEARLY_ONE = 1 - 2 ** -53; // the most that Math.random() gives

/** @param {Hall} hall @param {(name:string, body:() => Promise<string|void>) => Promise<void>} check */
export async function held(hall, check) {
  const { wire } = hall;

  for (const how of /** @type {const} */ (["crashes", "is closed"])) {
    await check(`the tab ${how} while the vote is on its way and nobody has answered: it was saved before it was sent, is sent when the page is opened again, and counts once`, async () => {
      const { code, poll } = await hall.question();
      const person = await hall.person();
      const page = await hall.join(person, code);
      await hasPass(page, code);
      wire.holds = BALLOTS;
      const from = wire.asked.length;
      await phone.vote(page, "Pirates");
      await eventually("the vote is on its way", () => wire.count(BALLOTS, from, "POST") === 1);
      await phone.reached(page, "saved");
      if (how === "crashes") {
        const crashed = page.waitForEvent("crash");
        (await person.newCDPSession(page)).send("Page.crash").catch(() => {});
        await crashed;
      } else await page.close();
      const again = await hall.join(person, code);
      equal(await mine(again), ["Pirates"], "when it is opened again");
      await eventually("it is sent again", () => wire.count(BALLOTS, from, "POST") > 1);
      await phone.reached(again, "saved");
      equal((await hall.tally(poll)).received, 0, "received while all of them are held");
      wire.letGo();
      await phone.reached(again, "counted");
      await hall.onlyOne(poll, 1);
    });
  }

  for (const how of /** @type {const} */ (["offline", "held on its way"])) {
    await check(`Back and Forward while the vote is saved, ${how}: it is still there, and one is counted`, async () => {
      const { code, poll } = await hall.question();
      const person = await hall.person();
      await isKept(await hall.join(person, code));
      // As by typing the code: Back is then the page that asks for it, without a page being loaded in between.
      const page = await person.newPage();
      await page.goto(wire.home);
      await phone.join(page, code);
      await page.getByTestId("choice").first().waitFor();
      await hasPass(page, code);
      if (how === "offline") await person.setOffline(true);
      else wire.holds = BALLOTS;
      const from = wire.asked.length;
      await phone.vote(page, "Robots");
      await phone.reached(page, "saved");
      if (wire.holds) await eventually("the vote is on its way", () => wire.count(BALLOTS, from, "POST") > 0);
      await page.goBack();
      await page.getByTestId("screen-join").waitFor();
      await page.goForward();
      await phone.reached(page, "saved");
      equal(await mine(page), ["Robots"], "after Back and Forward");
      equal((await hall.tally(poll)).received, 0, "received so far");
      if (how === "offline") await person.setOffline(false);
      else wire.letGo();
      await phone.reached(page, "counted");
      await hall.onlyOne(poll, 2);
    });
  }

  await check("ticks that are not sent outlive new numbers, a reload and no network, are sent by nobody but their owner, and then once", async () => {
    const { code, poll } = await hall.question({ kind: "multiple", max: 3 });
    const page = await hall.join(await hall.person(), code);
    await isKept(page);
    await hasPass(page, code);
    const ticks = () => page.locator('[data-testid="choice"]:has(input:checked) .text').allInnerTexts();
    const from = wire.asked.length;
    for (const choice of ["Cowboys", "Robots"]) await phone.tick(page, choice);
    const other = await hall.join(await hall.person(), code);
    await phone.tick(other, "Pirates");
    await other.getByTestId("send").tap();
    await says(page, "voters", "1 voter ·");
    equal(await ticks(), ["Cowboys", "Robots"], "once the numbers have changed");
    await other.close();
    await page.reload();
    await says(page, "receipt-note", /^Not sent yet\.$/);
    equal(await ticks(), ["Cowboys", "Robots"], "after a reload");
    await settled(wire, code);
    await page.context().setOffline(true);
    await says(page, "connection", "You are offline. You can still vote: it is saved here and sent later.");
    equal(await ticks(), ["Cowboys", "Robots"], "offline");
    await page.reload();
    await says(page, "receipt-note", /^Not sent yet\.$/);
    equal(await ticks(), ["Cowboys", "Robots"], "after a reload without a network");
    await says(page, "connection", "You are offline.");
    await page.context().setOffline(false);
    await says(page, "connection", "You are back online, carry on.");
    await settled(wire, code);
    equal(wire.count(BALLOTS, from, "POST"), 1, "ballots sent, of both phones");
    equal((await hall.tally(poll)).votes, [0, 1, 0], "votes before it is sent");
    await page.getByTestId("send").tap();
    await phone.reached(page, "counted");
    await eventually("it is in the tally", async () => JSON.stringify((await hall.tally(poll)).votes) === "[1,1,1]");
    equal((await hall.tally(poll)).voters, 2, "voters");
  });

  for (const rest_s of [0, 3]) {
    await check(`after a 503 ${rest_s ? `with Retry-After ${rest_s}` : "without Retry-After"} a phone waits at random between nothing${rest_s ? " more" : ""} and twice as long each time, up to ${LAST_MS / 1000} s`, async () => {
      for (const random of [0, NEARLY_ONE]) {
        const { code } = await hall.question();
        const person = await hall.person();
        await person.clock.install();
        const page = await hall.join(person, code);
        await hasPass(page, code);
        await page.evaluate((always) => { Math.random = () => always; }, random);
        await page.clock.pauseAt(await page.evaluate(() => Date.now() + 5_000));
        wire.instead = (method, path) => (method === "POST" && BALLOTS.test(path)
          ? { status: 503, headers: rest_s ? { "retry-after": String(rest_s) } : {}, body: { code: "busy", status: 503, title: "Service Unavailable", detail: "Full." } } : undefined);
        const from = wire.asked.length;
        /** Once who sends has let go of it, all that was to be sent has been, and was answered. */
        const sent = async () => {
          await page.evaluate((name) => navigator.locks.request(name, () => {}), `gs:sending:${code}`);
          return wire.count(BALLOTS, from, "POST");
        };
        await phone.vote(page, "Pirates");
        await says(page, "receipt-note", "Saved. Sending … no need to refresh.");
        equal(await sent(), 1, "sent at once");
        for (let failures = 1; failures < 8; failures += 1) {
          const wait = rest_s * 1000 + Math.ceil(random * Math.min(LAST_MS, FIRST_MS * 2 ** (failures - 1)));
          if (wait > 2) {
            await page.clock.runFor(wait - 2);
            equal(await sent(), failures, `sent ${wait - 2} ms after failure ${failures}, random ${random}`);
          }
          await page.clock.runFor(4);
          await eventually(`it is sent ${wait} ms after failure ${failures}, random ${random}`, async () => await sent() > failures);
          equal(await sent(), failures + 1, `sent soon after failure ${failures}, random ${random}`);
        }
        await person.close();
        wire.instead = () => undefined;
      }
    });
  }
}
