// How long a poll takes from an empty account: every key and click counted, and reckoned as a person's time.

import { assert, check } from "./report.mjs";

const WITHIN_S = 30;
const CLICKS_MOST = 3;
/** Card, Moran and Newell's keystroke-level model: seconds for a key of an average typist, for pointing and clicking, for a hand that changes place, for a thought. */
const KEY_S = 0.28, CLICK_S = 1.1 + 0.2, HAND_S = 0.4, THOUGHT_S = 1.35;

/** @param {import("playwright-core").Page} page signed in, with no events */
export async function stopwatch(page) {
  await check(`from an empty account to an open poll in under ${WITHIN_S} s of typing and clicking`, async () => {
    await page.evaluate(() => {
      const counted = { keys: 0, clicks: 0, hands: 0, last: "" };
      const count = (/** @type {"keys"|"clicks"} */ what) => {
        counted[what] += 1;
        if (counted.last && counted.last !== what) counted.hands += 1;
        counted.last = what;
      };
      addEventListener("keydown", (event) => event.isTrusted && count("keys"), true);
      addEventListener("pointerdown", (event) => event.isTrusted && count("clicks"), true);
      /** @type {any} */ (window).counted = counted;
    });
    await page.getByTestId("first-event").click();
    await page.getByTestId("question").waitFor();
    await page.waitForFunction(() => document.activeElement?.getAttribute("name") === "question"); // without a click
    await page.keyboard.type("Which ending?");
    await page.keyboard.press("Tab");
    await page.keyboard.type("Cowboys\nPirates\nRobots");
    await page.getByTestId("submit").click();
    await page.getByTestId("toggle").click();
    await page.locator('[data-testid="life"] [data-step="open"][aria-current]').waitFor();
    const { keys, clicks, hands } = await page.evaluate(() => /** @type {any} */ (window).counted);
    assert(keys > 30 && clicks > 1, `only ${keys} keys and ${clicks} clicks were counted`);
    // A thought before each click and each field.
    const seconds = keys * KEY_S + clicks * CLICK_S + hands * HAND_S + (clicks + 2) * THOUGHT_S;
    assert(clicks <= CLICKS_MOST, `${clicks} clicks`);
    assert(seconds < WITHIN_S, `${seconds.toFixed(1)} s: ${keys} keys, ${clicks} clicks`);
    const id = new URL(page.url()).pathname.split("/")[3];
    await page.request.delete(new URL(`/api/v1/events/${id}`, page.url()).href, { headers: { origin: new URL(page.url()).origin } });
    await page.goto(new URL("/admin", page.url()).href);
    await page.getByTestId("first-event").waitFor();
    return `${keys} keys, ${clicks} clicks: ${seconds.toFixed(1)} s`;
  });
}
