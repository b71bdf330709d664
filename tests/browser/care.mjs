// At the desk nothing that was typed is lost, every wrong field says so itself, what stands there fits, and one thing at a time stands out.

import { fitsInWidth, launch } from "./browser.mjs";
import { enter } from "./enter.mjs";
import { check } from "./report.mjs";
import { scenes } from "./scenes.mjs";
import { Theatre } from "./theatre.mjs";

export async function care() {
  const theatre = await new Theatre().up();
  const browser = await launch();
  const show = (/** @type {string} */ name, size = /** @type {import("./scenes.mjs").Size} */ ("laptop"), /** @type {Partial<import("./scenes.mjs").Scene>} */ otherwise = {}) => {
    const scene = scenes.find((one) => one.name === name);
    if (!scene) throw new Error(`no scene ${name}`);
    return enter(browser, theatre, { ...scene, ...otherwise }, { size, colorScheme: "light" });
  };
  try {
    await check("a word of any length can be looked for, and the page stays as wide as its window", async () => {
      const page = await show("admin-events", "phone");
      await page.getByTestId("search").fill("W".repeat(120));
      await page.getByTestId("nothing-found").waitFor();
      await fitsInWidth(page);
      await page.context().close();
    });
  } finally {
    await browser.close();
    await theatre.down();
  }
}
