// A person walks into a scene: the page in a context of its own, at a size, in a theme, ready to be looked at.

import { SIZES } from "./browser.mjs";
import { scenes } from "./scenes.mjs";

const WAIT_MS = 30_000; // for what is there in one, unless others compile beside us

/**
 * @param {import("playwright-core").Browser} browser @param {import("./theatre.mjs").Theatre} theatre
 * @param {import("./scenes.mjs").Scene} scene @param {{size:keyof typeof SIZES, colorScheme:"light"|"dark"}} look
 */
export async function enter(browser, theatre, scene, { size, colorScheme }) {
  theatre.api = scene.api;
  const context = await browser.newContext({ viewport: SIZES[size], colorScheme, locale: scene.lang ?? "en-GB", timezoneId: scene.zone, hasTouch: size === "phone", deviceScaleFactor: 1, serviceWorkers: "block" });
  await context.addInitScript((kept) => {
    for (const [key, value] of Object.entries(kept)) if (!localStorage.getItem(key)) localStorage.setItem(key, JSON.stringify(value));
  }, scene.keep ?? {});
  const page = await context.newPage();
  page.setDefaultTimeout(WAIT_MS);
  await page.goto(theatre.home + scene.path);
  if (scene.ready) await page.locator(scene.ready).first().waitFor({ state: "attached" });
  if (scene.hands) await scene.hands(page, theatre);
  await page.evaluate(() => document.fonts.ready);
  await page.waitForTimeout(scene.after_ms ?? 350); // what moves has arrived
  return page;
}

/**
 * Enters a scene by its name.
 * @param {import("playwright-core").Browser} browser @param {import("./theatre.mjs").Theatre} theatre @param {string} name
 * @param {import("./scenes.mjs").Size} size @param {Partial<import("./scenes.mjs").Scene>} otherwise what is not as the scene has it
 * @param {"light"|"dark"} colorScheme
 */
export function enterNamed(browser, theatre, name, size, otherwise, colorScheme = "light") {
  const scene = scenes.find((one) => one.name === name);
  if (!scene) throw new Error(`no scene ${name}`);
  return enter(browser, theatre, { ...scene, ...otherwise }, { size, colorScheme });
}
