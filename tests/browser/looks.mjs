// What must be true of every screen in every state: axe finds nothing, nothing is wider than its window, nothing that matters is out of sight.

import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { SIZES } from "./browser.mjs";
import { catalogueIsComplete, refusalsAreComplete } from "./catalogues.mjs";
import { enter } from "./enter.mjs";
import { axeFinds, everythingByKeyboard, farthest } from "./eyes.mjs";
import { assert, check, equal } from "./report.mjs";
import { scenes } from "./scenes.mjs";
import { Theatre } from "./theatre.mjs";

/** @param {import("playwright-core").Browser} browser */
export async function looks(browser) {
  const theatre = await new Theatre().up();
  const show = (/** @type {string} */ name, size = /** @type {const} */ ("phone"), colorScheme = /** @type {const} */ ("light")) => {
    const scene = scenes.find((one) => one.name === name);
    if (!scene) throw new Error(`no scene ${name}`);
    return enter(browser, theatre, scene, { size, colorScheme });
  };
  /** @type {string[]} */
  const wide = [];
  /** @type {string[]} */
  const [byKeyboard, moving] = [[], []];
  try {
    await check("axe finds nothing on any screen in any state, light and dark", async () => {
      const found = [];
      for (const scene of scenes) {
        const page = await enter(browser, theatre, scene, { size: scene.sizes[0], colorScheme: "light" });
        found.push(...(await axeFinds(page, "reduce")).map((one) => `${scene.name} ${one}`));
        if (await page.evaluate(() => document.getAnimations().some((one) => one.playState === "running"))) moving.push(scene.name);
        byKeyboard.push(...(await everythingByKeyboard(page)).map((one) => `${scene.name}: ${one}`));
        // The audience and who presents hold a phone; what they see first in some scenes is a projector.
        if (/^(vote|present)-/.test(scene.name) && scene.sizes[0] !== "phone") {
          await page.setViewportSize(SIZES.phone);
          found.push(...(await axeFinds(page, "reduce")).map((one) => `${scene.name} at ${SIZES.phone.width} px ${one}`));
        }
        for (const viewport of [{ width: 640, height: 400 }, { width: 320, height: 568 }]) {
          await page.setViewportSize(viewport);
          if (await page.evaluate(() => document.documentElement.scrollWidth > document.documentElement.clientWidth)) wide.push(`${scene.name} at ${viewport.width} px`);
        }
        await page.context().close();
      }
      assert(!found.length, found.join("\n"));
      return `${scenes.length} screens`;
    });

    await check("no screen is wider than a window of 320 px, nor of 640 px, which is a laptop at 200 % zoom", async () => equal(wide, [], "wider"));

    await check("every control of every screen is reached by Tab, in the order it stands in, and shows its focus", async () => equal(byKeyboard, [], "by keyboard"));

    await check("nothing moves by itself for whoever asked for less motion", async () => equal(moving, [], "moving"));

    await check("20 long choices stand on the projector without scrolling, large enough to read; 2 fill it", async () => {
      const small = await chart(await show("present-twenty-long", "projector"));
      assert(small.inside, "rows are cut off");
      assert(small.font >= 16, `names of ${small.font} px`);
      const laptop = await chart(await show("present-twenty-long", "laptop"));
      assert(laptop.inside, "rows are cut off on a laptop");
      const large = await chart(await show("present-two", "projector"));
      assert(large.inside && large.filled > 0.7, `2 choices fill ${large.filled} of their place`);
      return `names of ${Math.round(small.font)} and ${Math.round(large.font)} px`;
    });

    await check("with 20 choices on a phone, where the vote is can be seen without scrolling", async () => {
      const page = await show("vote-twenty-counted");
      for (const id of ["steps", "change"]) {
        const box = await page.locator(`#${id}`).boundingBox();
        assert(box && box.y >= 0 && box.y + box.height <= 740, `#${id} is at ${JSON.stringify(box)}`);
      }
      const covered = await page.evaluate(() => {
        scrollTo(0, document.documentElement.scrollHeight);
        const [last, dock] = [document.querySelector("#voters")?.getBoundingClientRect(), document.querySelector("#dock")?.getBoundingClientRect()];
        return Boolean(last && dock && last.bottom > dock.top);
      });
      assert(!covered, "the end of the page is under what stays at the thumb");
      await page.context().close();
    });

    await check("what the audience and who presents tap on a phone is at least 48 px high and wide, also where it is small; at the desk 44", async () => {
      const small = async (/** @type {import("playwright-core").Page} */ page, /** @type {number} */ least) => {
        const all = page.locator("button:visible, a.button:visible, summary:visible, label.choice:visible, input:not([type=radio], [type=checkbox]):visible");
        const boxes = await all.evaluateAll((found) => found.map((one) => ({ what: one.id || one.textContent?.trim(), box: one.getBoundingClientRect() })));
        return boxes.filter(({ box }) => box.width < least || box.height < least).map(({ what, box }) => `${what} ${box.width}x${box.height}`);
      };
      const audience = ["join", "ended", "question", "several", "million", "changing", "refused", "arabic", "german"].map((name) => `vote-${name}`);
      for (const name of [...audience, "present-two", "present-hidden-live", "present-timer"]) {
        const page = await show(name);
        equal(await small(page, 48), [], name);
        await page.setViewportSize(SIZES.small);
        equal(await small(page, 48), [], `${name}, on a small phone`);
        await page.context().close();
      }
      for (const name of ["admin-event", "admin-edit"]) {
        const page = await show(name);
        equal(await small(page, 44), [], name);
        await page.context().close();
      }
    });

    await check("a title or a question stands over what belongs to it, whatever its own direction", async () => {
      for (const [name, over, under] of [["admin-events", ".events b", ".events .details span:first-child"], ["admin-rehearsals", ".events b", ".events .details span:first-child"], ["present-arabic-question", "#question", "#bars .letter"]]) {
        const page = await show(name, "laptop");
        equal(await farthest(page, over, under), 0, `px between ${over} and ${under} in ${name}`);
        await page.context().close();
      }
    });

    await check("what a form says is below the field that is wrong, belongs to it, and is in sight on a phone", async () => {
      const page = await show("admin-new-event-wrong");
      const { field, error, said } = await page.evaluate(() => {
        const wrong = /** @type {HTMLElement} */ (document.querySelector("[name=choices]"));
        const words = /** @type {HTMLElement} */ (document.getElementById(wrong.getAttribute("aria-describedby") ?? ""));
        return { field: wrong.getBoundingClientRect().bottom, error: words?.getBoundingClientRect(), said: words?.textContent };
      });
      equal(said, "Write at least two choices, each on its own line.", "it says");
      assert(error.top >= field && error.top < field + 40 && error.bottom <= 740, `the field ends at ${field}, its words are at ${error.top} to ${error.bottom}`);
      await page.getByTestId("choices").fill("Cowboys\nPirates");
      await page.getByTestId("submit").click();
      await page.waitForFunction(() => !document.querySelector("[name=choices]")?.hasAttribute("aria-describedby"));
      await page.context().close();
    });

    await check("of open, close, reveal and next, the one that comes next stands out; a key that can do nothing brings the buttons", async () => {
      const stages = { "present-lobby": [], "present-lobby-first": ["next"], "present-draft": ["toggle"], "present-two": ["toggle"], "present-closed-hidden": ["reveal"], "present-final": [] };
      for (const [name, next] of Object.entries(stages)) {
        const page = await show(name, "laptop");
        equal(await page.locator("#controls .main").evaluateAll((all) => all.map((one) => one.getAttribute("data-do"))), next, name);
        await page.context().close();
      }
      const desk = await show("admin-event", "laptop");
      const lit = await desk.getByTestId("poll").evaluateAll((cards) => cards.map((card) => [...card.querySelectorAll(".buttons > .main[data-do]")].map((one) => one.textContent).join()));
      equal(lit, ["", "Close voting", "Open voting"], "at the desk");
      await desk.context().close();
      const page = await show("present-lobby", "laptop");
      await page.locator("body[data-idle]").waitFor();
      await page.keyboard.press("Space");
      await page.locator("body:not([data-idle])").waitFor();
      await page.context().close();
    });

    await check("an event at the desk says that its server is gone, and no longer once it is back", async () => {
      const page = await show("admin-lost", "laptop");
      await page.context().setOffline(false);
      await page.getByTestId("lost").filter({ hasNotText: /./ }).waitFor({ state: "attached" });
      await page.context().close();
    });

    await check("results that change do not move what is on a phone", async () => {
      const page = await show("vote-question");
      const places = () => page.locator("#choices .choice, #voters").evaluateAll((all) => all.map((one) => Math.round(one.getBoundingClientRect().top)));
      const before = await places();
      const document = /** @type {any} */ (await (await fetch(`${theatre.home}/api/v1/live/482913`)).json());
      document.version += 1;
      document.polls[0].results = { ...document.polls[0].results, voters: 1_234_567, choices: document.polls[0].choices.map((one, at) => ({ id: one.id, votes: 987_654 - at, percent: 80 })) };
      theatre.api = ({ path }) => (path === "live/482913" ? { json: document } : undefined);
      await page.locator(".votes", { hasText: "987,654" }).waitFor();
      equal(await places(), before, "where things are");
      await page.context().close();
    });

    await check("a page that comes from another place takes the event's logo from the server, as all it asks for", async () => {
      const SERVER = "https://api.example.org";
      const page = await show("vote-question");
      const document = /** @type {any} */ (await (await fetch(`${theatre.home}/api/v1/live/482913`)).json());
      document.event.logo = "/assets/logos/00112233445566778899aabbccddeeff.png";
      const html = readFileSync(fileURLToPath(new URL("../../static/vote/index.html", import.meta.url)), "utf8");
      await page.route("**/482913", (route) => (route.request().url().startsWith(SERVER)
        ? route.fulfill({ json: document, headers: { "access-control-allow-origin": "*" } })
        : route.fulfill({ contentType: "text/html", body: html.replace("<head>", `<head><meta name="api" content="${SERVER}">`) })));
      const logo = page.waitForRequest(`${SERVER}${document.event.logo}`);
      await page.reload();
      await logo;
      await page.context().close();
    });

    await check("the phone has the colours of the other screens", async () => {
      const raw = (/** @type {string} */ file) => [...readFileSync(fileURLToPath(new URL(`../../static/${file}`, import.meta.url)), "utf8").matchAll(/(--raw-[\w-]+): (#\w+)/g)].map(([, name, colour]) => `${name} ${colour}`);
      const shared = raw("shared/tokens.css");
      for (const one of raw("vote/vote.css")) assert(shared.includes(one), `${one} is not in shared/tokens.css`);
    });

    await check("the colours of choices stay apart for colour-blind eyes, in both themes, and their letters can be read", async () => {
      const apart = [];
      for (const colorScheme of /** @type {const} */ (["light", "dark"])) {
        const [stage, phone] = await Promise.all([await show("present-twenty", "projector", colorScheme), await show("vote-twenty", "phone", colorScheme)].map(async (page) => {
          const colours = await page.locator("#bars .letter, #choices .letter").evaluateAll((all) => all.slice(0, 8).map((one) => [getComputedStyle(one).backgroundColor, getComputedStyle(one).color]));
          await page.context().close();
          return colours;
        }));
        equal(phone, stage, `colours on the phone, ${colorScheme}`);
        apart.push(palette(stage.map((pair) => pair.map(read))));
      }
      return apart.map((one) => one.toFixed(1)).join(", ");
    });

    await check("every refusal of the server can be said in every language", refusalsAreComplete);
    for (const app of ["vote", "present", "admin", "overlay"]) await check(`every text of ${app} is there in every language`, () => catalogueIsComplete(app));
  } finally {
    await theatre.down();
  }
}

/** @param {import("playwright-core").Page} page */
async function chart(page) {
  const seen = await page.evaluate(() => {
    const list = /** @type {HTMLElement} */ (document.getElementById("bars"));
    const place = list.getBoundingClientRect();
    const boxes = [...list.querySelectorAll(".text, .track, .percent")].map((one) => one.getBoundingClientRect());
    return {
      inside: document.documentElement.scrollHeight <= innerHeight && boxes.every((box) => box.top >= place.top - 1 && box.bottom <= place.bottom + 1 && box.right <= place.right + 1 && box.height > 0),
      font: parseFloat(getComputedStyle(/** @type {Element} */ (list.querySelector(".text"))).fontSize),
      filled: (Math.max(...boxes.map((box) => box.bottom)) - Math.min(...boxes.map((box) => box.top))) / place.height,
    };
  });
  await page.context().close();
  return seen;
}

// ---------------------------------------------------------------------------- eyes

/** @param {string} colour rgb(1, 2, 3) @returns {number[]} linear light */
const read = (colour) => (colour.match(/[\d.]+/g) ?? []).slice(0, 3).map((part) => { const c = Number(part) / 255; return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4; });

/** Machado et al. 2009, severity 1. */
const EYES = {
  all: [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
  protan: [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
  deutan: [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
  tritan: [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
};

/** Distance that anybody sees at a glance, in hundredths of OKLab. Two of one lightness under red-green blindness come to 2. */
const APART = 7;
const READABLE = 4.5;

/** @param {number[][][]} pairs of ground and letter @returns {number} the least distance */
function palette(pairs) {
  let least = Infinity;
  for (const [ground, letter] of pairs) {
    const [a, b] = [light(ground), light(letter)].sort((one, other) => other - one);
    assert((a + 0.05) / (b + 0.05) >= READABLE, `a letter has a contrast of ${((a + 0.05) / (b + 0.05)).toFixed(2)}`);
  }
  for (const [eyes, matrix] of Object.entries(EYES)) {
    const seen = pairs.map(([ground]) => oklab(matrix.map((row) => Math.min(1, Math.max(0, row[0] * ground[0] + row[1] * ground[1] + row[2] * ground[2])))));
    for (let one = 0; one < seen.length; one += 1) for (let other = 0; other < one; other += 1) {
      const distance = 100 * Math.hypot(...seen[one].map((part, at) => part - seen[other][at]));
      assert(distance >= APART, `choices ${other + 1} and ${one + 1} are ${distance.toFixed(1)} apart for ${eyes} eyes`);
      least = Math.min(least, distance);
    }
  }
  return least;
}

/** @param {number[]} linear */
const light = ([r, g, b]) => 0.2126 * r + 0.7152 * g + 0.0722 * b;

/** @param {number[]} linear */
function oklab([r, g, b]) {
  const [l, m, s] = [0.4122214708 * r + 0.5363325363 * g + 0.0514459929 * b, 0.2119034982 * r + 0.6806995451 * g + 0.1073969566 * b, 0.0883024619 * r + 0.2817188376 * g + 0.6299787005 * b].map(Math.cbrt);
  return [0.2104542553 * l + 0.793617785 * m - 0.0040720468 * s, 1.9779984951 * l - 2.428592205 * m + 0.4505937099 * s, 0.0259040371 * l + 0.7827717662 * m - 0.8086757660 * s];
}
