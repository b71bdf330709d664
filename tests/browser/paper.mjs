// What the server draws by itself, in the states that matter: results without JavaScript, posters, pictures for the press, how the server
// is, and addresses that lead nowhere. A real server, furnished through its API; for looking at, for axe and for the keyboard.

import { deflateSync } from "node:zlib";
import { axeFinds, everythingByKeyboard, farthest, percentsOutOfOrder } from "./eyes.mjs";
import { App } from "./app.mjs";
import { SIZES } from "./browser.mjs";
import { assert, check, equal, eventually } from "./report.mjs";
import { kit } from "./scenes.mjs";

const TOKEN = "a token of the browser test, long enough";
/** The hardest colour to read in light. */
const YELLOW = "#ffd400";

const CAPITALS = ["МЫ ПЕРЕНОСИМ ГОДОВОЕ СОБРАНИЕ НА СЛЕДУЮЩИЙ ГОД ЖДЁМ ВСЕХ", "ΜΕΤΑΦΕΡΟΥΜΕ ΤΗΝ ΕΤΗΣΙΑ ΣΥΝΕΛΕΥΣΗ ΣΤΟ ΕΠΟΜΕΝΟ ΕΤΟΣ ΣΑΣ ΠΕΡΙΜΕΝΟΥΜΕ", "ÄÖÜ ÄÖÜÄÖÜÄÖÜÄÖÜÄÖÜÄÖÜÄÖÜÄÖÜÄÖÜÄÖÜÄÖÜÄÖÜ", "WWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWW", "жшщюыфмжшщюыфмжшщюыфмжшщюыфмжшщюыфмжшщюыфм", "ŁÓDŹ ŻÓŁĆ ŠKODA ČEŠTINA ŽIVOT ŐŰ ĞİŞ ØRSTED ÆBLE ŒUVRE"];

/** @typedef {{name:string, path:string, sizes:(keyof typeof SIZES)[], lang?:string, themes?:("light"|"dark")[]}} Sheet */

/** A server of its own, with what is to be seen on it. @param {string} binary @returns {Promise<{app:App, sheets:Sheet[]}>} */
export async function furnish(binary) {
  const app = new App(binary, { GROUNDSWELL_API_TOKEN: TOKEN });
  await app.up();
  const call = async (/** @type {string} */ method, /** @type {string} */ path, /** @type {any} */ body, headers = {}) => {
    const bytes = body instanceof Uint8Array;
    const answer = await fetch(new URL(`/api/v1/${path}`, app.join), { method, body: bytes ? /** @type {any} */ (body) : JSON.stringify(body), headers: { authorization: `Bearer ${TOKEN}`, "content-type": bytes ? "image/png" : "application/json", ...headers } });
    assert(answer.ok, `${method} ${path}: ${answer.status}`);
    return answer.json();
  };
  /** Votes spread over the choices, most on the first. @param {string} code @param {any} poll @param {number} voters */
  async function vote(code, poll, voters) {
    for (let voter = 0; voter < voters; voter += 1) {
      const { pass } = await call("POST", `live/${code}/passes`, {}, { authorization: "" });
      const pick = poll.choices[Math.floor(poll.choices.length * (voter / voters) ** 2)].id;
      await call("POST", `polls/${poll.id}/ballots`, { ballot: crypto.randomUUID(), revision: 1, picks: [pick] }, { authorization: `Bearer ${pass}` });
    }
  }
  /** @param {object} about @param {object[]} polls @param {{accent?:string, logo?:boolean}} [look] */
  async function event(about, polls, look = {}) {
    const { id, code } = await call("POST", "events", about);
    if (look.accent) await call("PATCH", `events/${id}`, { accent: look.accent });
    if (look.logo) await call("PUT", `events/${id}/logo`, wordmark());
    const made = [];
    for (const one of polls) {
      const { closed = false, voters = 0, ...rest } = /** @type {any} */ (one);
      const poll = await call("POST", `events/${id}/polls`, { kind: "single", ...rest });
      await call("PUT", `polls/${poll.id}/state`, { state: "open" });
      await vote(code, poll, voters);
      if (closed) await call("PUT", `polls/${poll.id}/state`, { state: "closed" });
      made.push(poll.id);
    }
    return { id, code, polls: made };
  }
  const { SHORT, ARABIC, longs } = kit;
  const plain = await event({ title: "Friday all-hands" }, [
    { question: "Which ending?", choices: SHORT.slice(0, 4), voters: 24, closed: true },
    { question: "Which snacks?", choices: SHORT.slice(4, 10), kind: "multiple", max: 3, voters: 9 },
    { question: "Who should host the next one?", choices: SHORT.slice(10, 13), visibility: "hidden" },
    { question: "أي نهاية تفضل؟", choices: ARABIC },
  ]);
  const own = await event({ title: "أمسية الفيلم" }, [{ question: "أي نهاية تفضل؟", choices: ARABIC, voters: 12 }], { accent: YELLOW, logo: true });
  const dry = await event({ title: "A dry run for the annual general meeting of the friends of long titles and their families", rehearsal: true }, [
    { question: "What should we do about the release that was planned for the end of the month, given everything we heard this week?", choices: longs(6), voters: 14 },
  ]);
  const twenty = await event({ title: "Class 7b" }, [{ question: "Pick one of twenty", choices: SHORT, voters: 40, closed: true }]);
  const empty = await event({ title: "Not begun" }, []);
  const nobody = await event({ title: "Nobody came" }, [{ question: "Which ending?", choices: SHORT.slice(0, 3), closed: true }]);
  // The widest letters there are, and votes that take their room beside them.
  const capitals = await event({ title: "ЖДЁМ ВСЕХ НА ГОДОВОМ СОБРАНИИ ШКОЛЫ ЮНЫХ ЩЁГОЛЕЙ И ЖИВОПИСЦЕВ" }, [
    { question: "WWWW MÄÖÜ ÄÖÜÄÖÜÄÖÜÄÖÜ ЖЩШЮЫФМЖЩШЮЫФМ ΜΕΤΑΦΕΡΟΥΜΕ", choices: CAPITALS, voters: 12 },
  ]);
  const rounds = await event({ title: "A run-off" }, [{ question: "Which ending, now that we have talked about it?", choices: SHORT.slice(8, 12), voters: 9, closed: true }]);
  await call("POST", `polls/${rounds.polls[0]}/rounds`, {});
  await call("PUT", `polls/${rounds.polls[0]}/state`, { state: "open" });
  await vote(rounds.code, await call("GET", `polls/${rounds.polls[0]}`), 5);
  const over = await event({ title: "It is over", slug: "it-is-over" }, [{ question: "Which ending?", choices: SHORT.slice(0, 3), voters: 2, closed: true }]);
  const late = await call("POST", `events/${over.id}/polls`, { kind: "single", question: "Which snacks?", choices: SHORT.slice(4, 8) });
  await call("PATCH", `polls/${late.id}`, { opens_at: 4_000_000_000_000 });
  await call("PUT", `polls/${late.id}/state`, { state: "open" });
  await call("PATCH", `events/${over.id}`, { state: "ended" });
  for (const { code, polls } of [plain, own, dry, twenty, capitals, rounds, over]) {
    await eventually("votes are counted", async () => (await (await fetch(new URL(`/results/${code}`, app.join))).text()).includes('value="') || !polls.length);
  }
  const picture = (/** @type {{code:string, polls:string[]}} */ { code, polls }, at = 0) => `/results/${code}/${polls[at]}.svg`;
  return { app, sheets: [
    { name: "results", path: `/results/${plain.code}`, sizes: ["phone", "small", "laptop"] },
    { name: "results-own-look", path: `/results/${own.code}?lang=ar`, sizes: ["phone", "laptop"], lang: "ar" },
    { name: "results-rehearsal", path: `/results/${dry.code}?lang=de`, sizes: ["phone", "laptop"] },
    { name: "results-twenty", path: `/results/${twenty.code}`, sizes: ["laptop"] },
    { name: "results-arabic", path: `/results/${plain.code}?lang=ar`, sizes: ["phone"], lang: "ar" },
    { name: "results-nobody", path: `/results/${nobody.code}`, sizes: ["phone"] },
    { name: "results-empty", path: `/results/${empty.code}`, sizes: ["phone"] },
    { name: "results-second-round", path: `/results/${rounds.code}`, sizes: ["small", "laptop"] },
    { name: "results-second-round-arabic", path: `/results/${rounds.code}?lang=ar`, sizes: ["small"], lang: "ar" },
    { name: "results-capitals", path: `/results/${capitals.code}`, sizes: ["small"] },
    { name: "results-over", path: `/results/${over.code}?lang=es`, sizes: ["phone"] },
    { name: "poster-over", path: `/poster/${over.code}`, sizes: ["laptop", "phone"] },
    { name: "poster", path: `/poster/${plain.code}`, sizes: ["laptop", "phone"] },
    { name: "poster-own-look", path: `/poster/${own.code}?lang=ar`, sizes: ["laptop", "phone"] },
    { name: "poster-rehearsal", path: `/poster/${dry.code}?lang=fr`, sizes: ["laptop", "phone"] },
    { name: "status", path: "/status", sizes: ["laptop", "phone"] },
    { name: "nowhere", path: "/no/such/page", sizes: ["laptop", "phone"] },
    { name: "nowhere-arabic", path: "/results/000000", sizes: ["phone"], lang: "ar" },
    { name: "picture", path: picture(plain), sizes: ["laptop"], themes: ["light"] },
    { name: "picture-capitals", path: picture(capitals), sizes: ["laptop"], themes: ["light"] },
    { name: "picture-second-round", path: picture(rounds), sizes: ["laptop"], themes: ["light"] },
    { name: "picture-second-round-arabic", path: `${picture(rounds)}?lang=ar`, sizes: ["laptop"], themes: ["light"] },
    { name: "picture-own-look", path: `${picture(own)}?lang=ar`, sizes: ["laptop"], themes: ["light"] },
    { name: "picture-rehearsal", path: picture(dry), sizes: ["laptop"], themes: ["light"] },
    { name: "picture-twenty", path: `${picture(twenty)}?lang=fr`, sizes: ["laptop"], themes: ["light"] },
    { name: "picture-nobody", path: picture(nobody), sizes: ["laptop"], themes: ["light"] },
    { name: "picture-hidden", path: picture(plain, 2), sizes: ["laptop"], themes: ["light"] },
  ] };
}

/** @param {import("playwright-core").Browser} browser @param {App} app @param {Sheet} sheet @param {{size:keyof typeof SIZES, colorScheme:"light"|"dark", framed?:boolean}} look `framed`: a drawing in a page, since a drawing by itself cannot be photographed */
export async function turnTo(browser, app, sheet, { size, colorScheme, framed = false }) {
  const context = await browser.newContext({ viewport: SIZES[size], colorScheme, locale: sheet.lang ?? "en-GB", deviceScaleFactor: 1 });
  const page = await context.newPage();
  const address = new URL(sheet.path, app.join).href;
  if (framed && address.includes(".svg")) {
    await page.setContent(`<style>body { margin: 0 }</style><img src="${address}">`);
    await page.locator("img").evaluate((image) => /** @type {HTMLImageElement} */ (image).decode());
    return page;
  }
  await page.goto(address);
  await page.evaluate(() => document.fonts?.ready);
  return page;
}

/** @param {import("playwright-core").Browser} browser @param {string} binary */
export async function paper(browser, binary) {
  const { app, sheets } = await furnish(binary);
  try {
    await check("what the server draws is for everybody: axe, 320 px, 200 % zoom, keyboard, both themes, an event in yellow", async () => {
      const found = [];
      for (const sheet of sheets.filter((one) => !one.path.includes(".svg"))) {
        const page = await turnTo(browser, app, sheet, { size: "laptop", colorScheme: "light" });
        /** @type {string[]} */
        const refused = [];
        page.on("console", (message) => { if (/Content Security Policy/.test(message.text())) refused.push(message.text()); });
        await page.reload();
        found.push(...(await axeFinds(page)).map((one) => `${sheet.name} ${one}`));
        found.push(...(await everythingByKeyboard(page)).map((one) => `${sheet.name}: ${one}`), ...refused.map((one) => `${sheet.name}: ${one}`));
        for (const viewport of [{ width: 640, height: 400 }, { width: 320, height: 568 }]) {
          await page.setViewportSize(viewport);
          if (await page.evaluate(() => document.documentElement.scrollWidth > document.documentElement.clientWidth)) found.push(`${sheet.name} is wider than ${viewport.width} px`);
        }
        await page.context().close();
      }
      assert(!found.length, found.join("\n"));
    });

    await check("an event's own colour is on its results and its poster, and darker in light so that it can be read", async () => {
      for (const name of ["results-own-look", "poster-own-look"]) {
        const page = await turnTo(browser, app, /** @type {Sheet} */ (sheets.find((one) => one.name === name)), { size: "phone", colorScheme: "light" });
        const action = () => page.evaluate(() => getComputedStyle(document.documentElement).getPropertyValue("--action").trim());
        assert(!["#0a6b75", YELLOW].includes(await action()), `${name} in light: ${await action()}`);
        await page.emulateMedia({ colorScheme: "dark" });
        equal(await action(), YELLOW, `${name} in dark`);
        assert(await page.locator("img.logo").evaluate((image) => /** @type {HTMLImageElement} */ (image).naturalWidth) === 240, `${name} has no logo`);
        await page.context().close();
      }
    });

    await check("a question stands over what is said of it, whatever its own direction", async () => {
      const page = await turnTo(browser, app, /** @type {Sheet} */ (sheets.find((one) => one.name === "results")), { size: "phone", colorScheme: "light" });
      equal(await farthest(page, "h2", "h2 + .quiet"), 0, "px between a question and its details");
      await page.context().close();
    });

    await check("in Arabic a percent sign stands behind its number, and the note on several picks has one", async () => {
      const page = await turnTo(browser, app, /** @type {Sheet} */ (sheets.find((one) => one.name === "results-arabic")), { size: "phone", colorScheme: "light" });
      await page.locator("p.quiet", { hasText: /100\u200e%\u200e\.$/ }).first().waitFor();
      equal(await percentsOutOfOrder(page), [], "on the results page");
      await page.context().close();
    });

    await check("what is final and nobody voted on has no votes, on the page and in the picture; what is open has none yet", async () => {
      const text = async (/** @type {string} */ name) => (await fetch(new URL(/** @type {Sheet} */ (sheets.find((one) => one.name === name)).path, app.join))).text();
      await eventually("the page says so", async () => (await text("results-nobody")).includes("No votes · Closed"));
      assert((await text("picture-nobody")).includes(">No votes<"), "the picture does not");
      assert((await text("results-arabic")).includes("لا أصوات بعد"), "an open question is not waited for");
    });

    await check("every row has the letter and the hue of the screens, in both themes, and our mark stands beside our name where there is no logo", async () => {
      for (const colorScheme of /** @type {const} */ (["light", "dark"])) {
        const page = await turnTo(browser, app, /** @type {Sheet} */ (sheets.find((one) => one.name === "results-twenty")), { size: "laptop", colorScheme });
        const [letters, colours] = await page.locator("tbody .letter").evaluateAll((all) => [all.map((one) => one.textContent), all.map((one) => getComputedStyle(one).backgroundColor)]);
        equal(letters?.join(""), "ABCDEFGHIJKLMNOPQRST", "letters");
        equal([new Set(colours).size, colours?.[8]], [8, colours?.[0]], "hues, which begin again");
        assert(await page.locator(".brand img").evaluate((mark) => /** @type {HTMLImageElement} */ (mark).naturalWidth > 0), "our mark is not there");
        await page.emulateMedia({ colorScheme, forcedColors: "active" });
        equal(await page.locator("progress").first().evaluate((one) => getComputedStyle(one).borderTopWidth), "1px", "a bar that can be seen without colours");
        await page.context().close();
      }
    });

    await check("a picture for the press keeps every word inside, in either direction, with the logo in it", async () => {
      for (const sheet of sheets.filter((one) => one.name.startsWith("picture"))) {
        const page = await turnTo(browser, app, sheet, { size: "laptop", colorScheme: "light" });
        const outside = await page.evaluate(() => {
          const edge = document.documentElement.getBoundingClientRect();
          const texts = [...document.querySelectorAll("text")].map((one) => ({ text: one.textContent, box: one.getBoundingClientRect() }));
          const beyond = texts.filter(({ box }) => box.left < edge.left + 50 || box.right > edge.right - 50 || box.bottom > edge.bottom);
          const over = texts.flatMap((one, at) => texts.slice(at + 1).filter((other) => one.box.left < other.box.right - 1 && other.box.left < one.box.right - 1 && one.box.top < other.box.bottom - 8 && other.box.top < one.box.bottom - 8).map((other) => `${one.text} / ${other.text}`));
          return [...beyond.map(({ text }) => `outside: ${text}`), ...over.map((pair) => `over each other: ${pair}`)];
        });
        equal(outside, [], sheet.name);
        equal(await page.locator("image").count(), sheet.name === "picture-own-look" ? 1 : 0, `${sheet.name}: logos`);
        await page.context().close();
      }
    });
  } finally {
    await app.kill();
    app.remove();
  }
}

/** A PNG of 240 by 80, drawn by hand: a wine-red ground and a yellow disc. */
function wordmark() {
  const [width, height] = [240, 80];
  const lines = Buffer.alloc(height * (1 + 3 * width));
  for (let y = 0; y < height; y += 1) for (let x = 0; x < width; x += 1) {
    const disc = (x - 44) ** 2 + (y - 40) ** 2 < 24 ** 2;
    const bar = x > 88 && x < 200 && (Math.abs(y - 32) < 5 || Math.abs(y - 52) < 5);
    lines.set(disc ? [0xff, 0xd4, 0] : bar ? [0xff, 0xff, 0xff] : [0x8b, 0x1e, 0x3f], y * (1 + 3 * width) + 1 + 3 * x);
  }
  const head = Buffer.alloc(13);
  head.writeUInt32BE(width, 0);
  head.writeUInt32BE(height, 4);
  head.set([8, 2, 0, 0, 0], 8);
  return new Uint8Array(Buffer.concat([Buffer.from("\x89PNG\r\n\x1a\n", "latin1"), chunk("IHDR", head), chunk("IDAT", deflateSync(lines)), chunk("IEND", Buffer.alloc(0))]));
}

/** @param {string} name @param {Buffer} data */
function chunk(name, data) {
  const body = Buffer.concat([Buffer.from(name, "latin1"), data]);
  const framed = Buffer.alloc(body.length + 8);
  framed.writeUInt32BE(data.length, 0);
  body.copy(framed, 4);
  let sum = 0xffffffff;
  for (const byte of body) {
    sum ^= byte;
    for (let bit = 0; bit < 8; bit += 1) sum = sum & 1 ? (sum >>> 1) ^ 0xedb88320 : sum >>> 1;
  }
  framed.writeUInt32BE((sum ^ 0xffffffff) >>> 0, body.length + 4);
  return framed;
}
