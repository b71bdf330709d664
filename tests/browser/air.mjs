// On air and in other people's pages nobody can scroll, press or ask: what stands there has to be right, and inside, whatever was asked for.

import { launch } from "./browser.mjs";
import { enterNamed } from "./enter.mjs";
import { assert, check, equal } from "./report.mjs";
import { kit, scenes } from "./scenes.mjs";
import { Theatre } from "./theatre.mjs";

export async function air() {
  const theatre = await new Theatre().up();
  const browser = await launch();
  const show = (/** @type {string} */ name, size = /** @type {import("./scenes.mjs").Size} */ ("projector"), /** @type {Partial<import("./scenes.mjs").Scene>} */ otherwise = {}) => enterNamed(browser, theatre, name, size, otherwise);
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
    await check("whatever scale is asked for, all of an overlay is inside its panel, nothing lies over anything else, and no word is broken for it", async () => {
      const { SHORT, longs } = kit;
      const polls = {
        two: kit.poll(["Home", "Guests"], [412_345, 345_678]), four: kit.poll(SHORT.slice(0, 4), [412, 345, 200, 42]), long: kit.poll(longs(4), [61, 8, 34, 15], { question: `${SHORT.join(", ")}?` }),
        twenty: kit.poll(SHORT, kit.falling(20, 80)), million: kit.poll(SHORT.slice(0, 6), [1_412_345, 345_678, 200_321, 42_001, 0, 7]),
      };
      const measured = [];
      for (const [name, poll] of Object.entries(polls)) {
        const page = await show("overlay-lower", "projector", { api: ({ path }) => (path.endsWith("qr.svg") ? { svg: kit.QR } : path.endsWith("/stream") ? { stream: kit.live([poll]) } : { json: kit.live([poll]) }) });
        for (const layout of ["lower", "full", "versus"]) {
          for (const scale of name === "four" ? [0.4, 1, 1.6, 4] : [1, 4]) {
            await page.goto(`${theatre.home}/overlay/${kit.CODE}?layout=${layout}&scale=${scale}`);
            await page.getByTestId("join").waitFor();
            const { wrong, broken, size } = await inside(page);
            equal(wrong, [], `${name} as ${layout}, ${scale} times`);
            // Texts that are longer than a line can be broken at the usual size; being larger is no reason.
            if (scale > 1 && name !== "long") equal(broken, [], `${name} as ${layout}, ${scale} times: broken words`);
            if (name === "four" && layout === "lower") measured.push(size);
          }
        }
        await page.context().close();
      }
      assert(measured.every((size, at) => !at || size >= measured[at - 1]) && measured[2] > 1.5 * measured[1], `letters of ${measured.join(", ")} px: a scale that fits is taken as it is`);
      return `four choices in letters of ${measured.map(Math.round).join(", ")} px`;
    });

    await check("one against the other takes two choices; more stand as bars. Each side has its words, however few votes", async () => {
      for (const [choices, votes, wanted] of /** @type {[string[], number[], string][]} */ ([[["Home", "Guests from far away"], [99_000, 3], "versus"], [["A", "B", "C"], [1, 2, 3], "lower"], [kit.SHORT.slice(0, 9), kit.falling(9, 80), "lower"]])) {
        const poll = kit.poll(choices, votes);
        const page = await show("overlay-versus", "projector", { api: ({ path }) => (path.endsWith("qr.svg") ? { svg: kit.QR } : path.endsWith("/stream") ? { stream: kit.live([poll]) } : { json: kit.live([poll]) }) });
        equal(await page.getByTestId("frame").getAttribute("data-layout"), wanted, `${choices.length} choices`);
        const { wrong, broken } = await inside(page);
        equal([wrong, broken], [[], []], `${choices.length} choices: out of place, and broken`);
        equal(await page.locator(".track").first().isVisible(), wanted === "lower", "bars");
        await page.context().close();
      }
    });
  } finally {
    await browser.close();
    await theatre.down();
  }
}

/** Texts that are out of the panel or over one another, words on more than one line, and the size of names. @param {import("playwright-core").Page} page */
const inside = (page) => page.evaluate(() => {
  const panel = /** @type {HTMLElement} */ (document.querySelector(".panel")).getBoundingClientRect();
  const texts = [...document.querySelectorAll("#question, .letter, .text, .percent, .votes, #voters, #join")].filter((one) => one.checkVisibility() && one.textContent).map((one) => {
    const range = document.createRange();
    range.selectNodeContents(one);
    return { name: `${one.id || one.className} ${one.textContent}`.slice(0, 40), box: range.getBoundingClientRect(), one };
  });
  const out = texts.filter(({ box }) => box.left < panel.left - 1 || box.right > panel.right + 1 || box.top < panel.top - 1 || box.bottom > panel.bottom + 1 || panel.bottom > innerHeight || panel.right > innerWidth).map(({ name }) => `out: ${name}`);
  // Of two lines, the spaces above and below their letters may meet.
  const over = texts.flatMap(({ name, box }, at) => texts.slice(at + 1).filter((other) => box.left < other.box.right - 1 && other.box.left < box.right - 1 && box.top < other.box.bottom - 0.25 * Math.min(box.height, other.box.height) && other.box.top < box.bottom - 0.25 * Math.min(box.height, other.box.height)).map((other) => `${name} / ${other.name}`));
  const broken = texts.filter(({ one }) => one.matches("#question, .text")).flatMap(({ one }) => {
    const text = /** @type {Text} */ (one.firstChild);
    return [...(text.textContent ?? "").matchAll(/\S+/gu)].filter(({ 0: word, index }) => {
      const range = document.createRange();
      range.setStart(text, index);
      range.setEnd(text, index + word.length);
      return new Set([...range.getClientRects()].map((box) => Math.round(box.top))).size > 1;
    }).map(([word]) => word);
  });
  return { wrong: [...out, ...over], broken, size: parseFloat(getComputedStyle(/** @type {Element} */ (document.querySelector(".text"))).fontSize) };
});
