// What lies in the palm of a hand: a phone upright and on its side, between two rounds, without a network, once it is decided. It says what is true
// there, keeps the vote in sight, repeats nothing, and does not talk too much.

import { launch, SIZES } from "./browser.mjs";
import { enterNamed } from "./enter.mjs";
import { mine, phone } from "./hands.mjs";
import { assert, check, equal } from "./report.mjs";
import { kit } from "./scenes.mjs";
import { Theatre } from "./theatre.mjs";

/** @typedef {import("playwright-core").Page} Page @typedef {import("./theatre.mjs").Api} Api */

const LANGUAGES = ["en", "de", "fr", "es", "ar"];
const OFFLINE = "You are offline. This page goes on by itself once there is a connection.";
const ended = { event: { ...kit.live([]).event, state: "ended" } };

export async function palm() {
  const theatre = await new Theatre().up();
  const browser = await launch();
  const show = (/** @type {string} */ name, /** @type {Partial<import("./scenes.mjs").Scene>} */ otherwise = {}, size = /** @type {import("./scenes.mjs").Size} */ ("phone")) => enterNamed(browser, theatre, name, size, { hands: undefined, after_ms: 0, ...otherwise });
  try {
    await check("who hears the phone is told once how far a vote has got, not at each step; and of the next vote again", async () => {
      const poll = kit.poll(kit.SHORT.slice(0, 3), [4, 5, 1], { visibility: "after_vote", revealed: false });
      const page = await show("vote-question", { api: (call) => (call.method === "POST" && call.path.endsWith("/ballots") ? { status: 202, json: { ballot: call.body.ballot, accepted_at: kit.NOW() + 300, status: "received" } } : kit.audience(() => kit.live([poll], { refresh_ms: 100, counted_through: kit.NOW() }))(call)) });
      await page.evaluate(() => {
        const heard = /** @type {{text:string, at:number}[]} */ ([]);
        Object.assign(window, { heard });
        for (const place of document.querySelectorAll("#say, #news")) new MutationObserver(() => { if (place.textContent) heard.push({ text: place.textContent, at: performance.now() }); }).observe(place, { childList: true, characterData: true, subtree: true });
      });
      const heard = () => /** @type {Promise<{text:string, at:number}[]>} */ (page.evaluate(() => /** @type {any} */ (window).heard));
      await phone.vote(page, "Pirates");
      await phone.reached(page, "counted");
      await page.locator("#news", { hasText: "Counted" }).waitFor({ state: "attached" });
      await page.getByTestId("change").tap();
      await phone.vote(page, "Robots");
      await phone.reached(page, "counted");
      await page.waitForFunction(() => /** @type {any} */ (window).heard.length > 1);
      await page.waitForTimeout(500);
      const all = await heard();
      equal(all.map(({ text }) => text), ["Your vote: Counted. Open: Which ending? Results: Pirates 50%", "Your vote: Counted"], "heard");
      assert(all[1].at - all[0].at >= 4_900, `${all[1].at - all[0].at} ms after each other`);
      await page.context().close();
    });
  } finally {
    await browser.close();
    await theatre.down();
  }
}
