// On air and in other people's pages nobody can scroll, press or ask: what stands there has to be right, and inside, whatever was asked for.

import { launch } from "./browser.mjs";
import { enterNamed } from "./enter.mjs";
import { axeFinds } from "./eyes.mjs";
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

    await check("whoever leads has a star once the result is final, of a tie all, and nothing moves for it", async () => {
      const { SHORT } = kit;
      for (const [path, wanted] of [["overlay", [412, 345, 200]], ["embed", [412, 412, 200]], ["overlay?layout=full&numbers=count", [1, 2, 2]], ["overlay?layout=versus", [7, 3]]]) {
        const votes = /** @type {number[]} */ (wanted);
        const [place, query = ""] = String(path).split("?");
        const of = (/** @type {any} */ more) => kit.poll(SHORT.slice(0, votes.length), votes, more);
        const open = of({ state: "closed", closed_at: Date.now() - 60_000 });
        const final = { ...open, results: { ...open.results, status: "final" } };
        let poll = open;
        const page = await show("overlay-lower", "projector", { path: `/${place}/${kit.CODE}?${query}`, api: ({ path: asked }) => (asked.endsWith("qr.svg") ? { svg: kit.QR } : asked.endsWith("/stream") ? { hang: true } : { json: kit.live([poll]) }) });
        const stars = () => page.evaluate(() => [...document.querySelectorAll("#rows li")].map((row) => [...row.querySelectorAll(".percent, .votes")].some((one) => { const star = getComputedStyle(one, "::before"); return one.checkVisibility() && star.content.includes("★") && star.visibility === "visible"; })));
        const places = () => page.locator("#rows :is(.text, .percent, .votes)").evaluateAll((all) => all.map((one) => { const box = one.getBoundingClientRect(); return [box.left, box.top, box.width].map(Math.round); }));
        equal(await stars(), votes.map(() => false), `${path}, not final`);
        const before = await places();
        poll = final;
        await page.reload();
        await page.locator("#voters", { hasText: "final" }).waitFor();
        await page.waitForTimeout(800); // bars have arrived
        equal(await stars(), votes.map((n) => n === Math.max(...votes)), `${path}, final`);
        equal(await places(), before, `${path}: where things are`);
        await page.context().close();
      }
    });

    await check("a ground or an ink that is asked for alone leaves everything readable, on air and in a page, in either theme of the visitor", async () => {
      for (const place of ["overlay", "embed"]) {
        const page = await show("overlay-lower", "laptop");
        for (const query of ["ground=ffffff", "ground=fff", "ground=10191f", "ground=10191fcc", "ground=0a6b75", "ground=ffd400", "ink=ffffff", "ink=000000", "ink=8b1e3f"]) {
          await page.goto(`${theatre.home}/${place}/${kit.CODE}?${query}`);
          await page.getByTestId("join").waitFor();
          equal(await axeFinds(page, "reduce"), [], `${place}?${query}`);
        }
        for (const theme of ["dark", "light"]) {
          await page.goto(`${theatre.home}/${place}/${kit.CODE}?ground=ffffff&theme=${theme}`);
          await page.getByTestId("join").waitFor();
          equal(await page.evaluate(() => document.documentElement.dataset.theme), theme, "what was asked for wins");
        }
        await page.context().close();
      }
    });

    await check("in a page, a result that is not shown yet leaves a list of choices that fills the room", async () => {
      const page = await show("embed-hidden", "laptop");
      const filled = [];
      for (const [width, height, least] of [[320, 180, 13], [640, 360, 20], [1280, 720, 40]]) {
        await page.setViewportSize({ width, height });
        await page.waitForTimeout(300);
        const { part, size, out } = await page.evaluate(() => {
          const boxes = [...document.querySelectorAll("#rows .letter, #rows .text")].map((one) => one.getBoundingClientRect());
          const [top, bottom] = [Math.min(...boxes.map((one) => one.top)), Math.max(...boxes.map((one) => one.bottom))];
          return { part: (bottom - top) / innerHeight, size: parseFloat(getComputedStyle(/** @type {Element} */ (document.querySelector(".text"))).fontSize), out: boxes.filter((one) => one.bottom > innerHeight || one.right > innerWidth).length };
        });
        assert(part > 0.45 && size >= least && !out, `${width}x${height}: ${part.toFixed(2)} of the height in letters of ${size} px, ${out} outside`);
        assert(await page.getByText("The result is shown later.").isVisible(), "it is not said");
        filled.push(`${part.toFixed(2)} at ${size.toFixed(0)} px`);
      }
      await page.context().close();
      return filled.join(", ");
    });

    await check("a second round is named on air, in five languages; the first is not", async () => {
      for (const [lang, said] of [["en", "round 2 · 7 votes"], ["de", "Runde 2 · 7 Stimmen"], ["fr", "tour 2 · 7 votes"], ["es", "ronda 2 · 7 votos"], ["ar", "الجولة 2 · 7 أصوات"]]) {
        const page = await show("overlay-lower", "projector", { lang, api: ({ path }) => (path.endsWith("qr.svg") ? { svg: kit.QR } : path.endsWith("/stream") ? { hang: true } : { json: kit.live([kit.poll(["Yes", "No"], [3, 4], { round: 2 })]) }) });
        equal(await page.getByTestId("voters").innerText(), said, lang);
        await page.context().close();
      }
      const page = await show("overlay-lower");
      equal(await page.getByTestId("voters").innerText(), "999 votes", "of the first");
      await page.context().close();
    });

    await check("an overlay of an event that is not there shows nothing, and has a title, a heading and a main part in the reader's language", async () => {
      for (const name of ["overlay-gone", "embed-gone"]) {
        const page = await show(name, "laptop", { lang: "de" });
        equal(await axeFinds(page), [], name);
        equal(await page.title(), "Diese Veranstaltung ist nicht hier.", name);
        const heading = await page.getByRole("heading", { level: 1 }).boundingBox();
        assert(name === "embed-gone" || (heading?.width ?? 0) <= 1, "on air it is seen");
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
