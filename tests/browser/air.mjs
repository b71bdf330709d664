// On air and in other people's pages nobody can scroll, press or ask: what stands there has to be right, and inside, whatever was asked for.

import { launch } from "./browser.mjs";
import { enter } from "./enter.mjs";
import { assert, check, equal } from "./report.mjs";
import { kit, scenes } from "./scenes.mjs";
import { Theatre } from "./theatre.mjs";

export async function air() {
  const theatre = await new Theatre().up();
  const browser = await launch();
  const show = (/** @type {string} */ name, size = /** @type {import("./scenes.mjs").Size} */ ("projector"), /** @type {Partial<import("./scenes.mjs").Scene>} */ otherwise = {}) => {
    const scene = scenes.find((one) => one.name === name);
    if (!scene) throw new Error(`no scene ${name}`);
    return enter(browser, theatre, { ...scene, ...otherwise }, { size, colorScheme: "light" });
  };
  try {
    await check("overlay and embed say the address that people are to type, not the one they were opened on", async () => {
      for (const name of ["overlay-lower", "embed"]) {
        const page = await show(name, "laptop");
        assert(!page.url().startsWith("https://vote.example.org"), "opened on the address itself, it would prove nothing");
        const join = page.getByTestId("join");
        await join.filter({ hasText: "vote.example.org/482913", visible: true }).waitFor();
        equal(await join.evaluate((link) => /** @type {HTMLAnchorElement} */ (link).href), "https://vote.example.org/482913", `where ${name} leads`);
        await page.context().close();
      }
    });

    await check("an overlay that does not know where people vote says nothing, and says it as soon as it knows", async () => {
      const one = kit.live([kit.poll(["Yes", "No"], [3, 4])]);
      let isKnown = false;
      const page = await show("overlay-lower", "laptop", { api: ({ path }) => (path.endsWith("qr.svg") ? (isKnown ? { svg: kit.QR } : { status: 503, json: { code: "busy" } }) : path.endsWith("/stream") ? { hang: true } : { json: { ...one, version: (one.version += 1) } }) });
      assert(await page.getByTestId("join").isHidden(), "an address is made up");
      isKnown = true;
      await page.getByTestId("join").filter({ hasText: "vote.example.org/482913", visible: true }).waitFor();
      await page.context().close();
      const silent = await show("overlay-lower", "laptop", { path: `/overlay/${kit.CODE}?join=no` });
      assert(await silent.getByTestId("join").isHidden(), "it is there although nobody wants it");
      await silent.context().close();
    });
  } finally {
    await browser.close();
    await theatre.down();
  }
}
