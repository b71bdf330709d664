// What moves, and what must not: numbers and bars for those who like to watch, the voice and the age for those who cannot, a picture that is
// held. And what is the same in every corner: which keys there are, how numbers are written, that no text ever becomes a page.

import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { launch } from "./browser.mjs";
import { enterNamed } from "./enter.mjs";
import { assert, check, equal, eventually } from "./report.mjs";
import { kit } from "./scenes.mjs";
import { Theatre } from "./theatre.mjs";

/** @typedef {import("playwright-core").Page} Page */

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const LANGUAGES = ["en-GB", "de", "fr", "es", "ar"];

/** A server whose result can be moved. @param {any[]} polls @param {any} [more] */
function moving(polls, more = {}) {
  const now = { polls, version: 1 };
  const document = () => kit.live(now.polls, { version: now.version, ...more });
  return {
    /** @type {import("./theatre.mjs").Api} */
    api: ({ method, path, body }) => {
      if (path.endsWith("qr.svg")) return { svg: kit.QR };
      if (path.endsWith("/stream")) return { stream: document() };
      if (method === "PATCH" && path.endsWith("/view")) return { json: { view: { edition: 1, joining: false, blank: false, sorted: false, earlier: true, ...body } } };
      return { json: document() };
    },
    /** To what a page follows, and waits until it has taken it. @param {Page} page @param {any[]} to */
    async move(page, ...to) {
      now.polls = to;
      now.version += 1;
      const taken = page.waitForRequest((request) => request.url().endsWith("/stream")); // it is asked for after the document
      await page.evaluate(() => dispatchEvent(new Event("online")));
      await taken;
    },
  };
}

export async function moved() {
  const theatre = await new Theatre().up();
  const browser = await launch();
  const show = (/** @type {string} */ name, /** @type {Partial<import("./scenes.mjs").Scene>} */ otherwise = {}, size = /** @type {import("./scenes.mjs").Size} */ ("laptop")) => enterNamed(browser, theatre, name, size, { after_ms: 0, ...otherwise });
  /** A page whose clock stands still until it is told to go on. @param {Page} page @param {string} ready */
  const stopClock = async (page, ready) => {
    await page.clock.install();
    await page.reload();
    await page.locator(ready).first().waitFor();
    await page.clock.pauseAt(await page.evaluate(() => Date.now() + 6_000)); // whatever begins with the page is over
  };
  try {
    await check("a thousand votes count up and their bars glide, for a second at most; with less motion asked for nothing moves, at sorting neither", async () => {
      for (const reducedMotion of /** @type {const} */ (["no-preference", "reduce"])) {
        const server = moving([kit.poll(["Yes", "No"], [0, 0])]);
        const page = await show("present-two", { api: server.api });
        await page.emulateMedia({ reducedMotion });
        await page.evaluate(() => {
          const seen = { numbers: /** @type {number[]} */ ([]), glides: 0 };
          Object.assign(window, { seen });
          for (const place of document.querySelectorAll("#voters, #bars .votes")) new MutationObserver(() => seen.numbers.push(Number(place.textContent?.replace(/\D/g, "")))).observe(place, { childList: true, characterData: true, subtree: true });
          document.addEventListener("transitionrun", ({ target }) => { if (/** @type {Element} */ (target).matches(".fill")) seen.glides += 1; });
        });
        await server.move(page, kit.poll(["Yes", "No"], [100, 900]));
        await page.getByTestId("voters").filter({ hasText: /^1,000 votes$/ }).waitFor();
        await page.locator("#bars .votes").filter({ hasText: /^900$/ }).waitFor();
        await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))); // a transition begins with a frame
        const { numbers, glides } = /** @type {{numbers:number[], glides:number}} */ (await page.evaluate(() => /** @type {any} */ (window).seen));
        const between = numbers.filter((n) => ![0, 100, 900, 1000].includes(n));
        const longest = await page.locator(".fill").first().evaluate((fill) => Math.max(...getComputedStyle(fill).transitionDuration.split(",").map(Number.parseFloat)));
        // In the page and at once: half a second later it is over.
        const sorted = await page.evaluate(() => {
          document.body.dispatchEvent(new KeyboardEvent("keydown", { key: "s", code: "KeyS", bubbles: true, cancelable: true }));
          const rows = /** @type {HTMLElement[]} */ ([...document.querySelectorAll("#bars .row")]);
          return { order: rows.map((row) => row.style.order), going: rows.filter((row) => row.getAnimations().some((one) => one.playState === "running")).length };
        });
        equal(sorted.order, ["1", "0"], "the order after S");
        if (reducedMotion === "reduce") {
          equal([between, glides, longest, sorted.going], [[], 0, 0, 0], "numbers between, bars that glide, seconds they take, rows on their way");
        } else {
          assert(between.length && between.every((n) => n > 0 && n < 1000), `numbers between: ${between.join(", ") || "none"}`);
          assert(glides >= 2 && longest > 0 && longest <= 1, `${glides} bars glide, for ${longest} s`);
          equal(sorted.going, 2, "rows on their way");
        }
        await page.context().close();
      }
    });

    await check("at the reveal percents count up from nothing, and no bar, name or number takes another place, though the winner has all", async () => {
      for (const [texts, votes] of /** @type {[string[], number[]][]} */ ([[["Yes", "No"], [640, 0]], [["Yes", "No", "Perhaps", "Never"], [640, 0, 0, 0]]])) {
        const held = kit.final(kit.poll(texts, votes, { revealed: false }));
        const server = moving([held]);
        const page = await show("present-two", { api: server.api });
        const places = () => page.locator("#bars :is(.letter, .text, .track)").evaluateAll((parts) => parts.map((part) => Object.values(part.getBoundingClientRect().toJSON()).map(Math.round).join()));
        const before = await places();
        await page.evaluate(() => {
          const seen = /** @type {string[]} */ ([]);
          Object.assign(window, { seen });
          const place = /** @type {Element} */ (document.querySelector("#bars .percent"));
          new MutationObserver(() => seen.push(place.textContent ?? "")).observe(place, { childList: true, characterData: true, subtree: true });
        });
        await server.move(page, { ...held, revealed: true });
        await page.waitForFunction(() => /** @type {any} */ (window).seen.at(-1) === "100%");
        const seen = /** @type {string[]} */ (await page.evaluate(() => /** @type {any} */ (window).seen));
        assert(seen.length > 2 && Number.parseInt(seen[0], 10) < 60, `percents seen: ${seen.join(", ")}`);
        equal(await places(), before, `where ${texts.length} rows stand`);
        await page.context().close();
      }
    });

    await check("who hears the big screen is told at most every 5 s, however often the result moves, and then the newest", async () => {
      const [LEAST_MS, MOVES_MS, MOVES] = [5_000, 500, 24];
      const asked = (/** @type {number} */ votes) => kit.poll(["Yes", "No"], [votes, 0]);
      const server = moving([asked(1)]);
      const page = await show("present-two", { api: server.api });
      await stopClock(page, "#bars .row");
      equal(await page.locator("#say").getAttribute("aria-live"), "polite", "how it is said");
      await page.evaluate(() => {
        const heard = /** @type {{text:string|null, at:number, newest:string|null}[]} */ ([]);
        Object.assign(window, { heard });
        const [say, voters] = ["say", "voters"].map((id) => /** @type {HTMLElement} */ (document.getElementById(id)));
        new MutationObserver(() => heard.push({ text: say.textContent, at: Date.now(), newest: voters.textContent })).observe(say, { childList: true, characterData: true, subtree: true });
      });
      for (let votes = 2; votes < 2 + MOVES; votes += 1) {
        await server.move(page, asked(votes));
        await page.clock.runFor(MOVES_MS);
      }
      await page.clock.runFor(LEAST_MS);
      const heard = /** @type {{text:string, at:number, newest:string}[]} */ (await page.evaluate(() => /** @type {any} */ (window).heard));
      for (const { text, newest } of heard) assert(text.includes(` ${newest}.`), `“${text}” is said while the screen has ${newest}`);
      const gaps = heard.slice(1).map(({ at }, before) => at - heard[before].at);
      // Nor is it put off as long as something moves.
      assert(heard.length === 4 && gaps.every((gap) => gap >= LEAST_MS && gap <= LEAST_MS + MOVES_MS), `said ${heard.length} times, ${gaps.join(", ")} ms after each other`);
      equal(heard.at(-1)?.newest, `${MOVES + 1} votes`, "said at last");
      await page.context().close();
    });

    await check("without a connection the big screen says in words how old its result is, and that grows, in five languages", async () => {
      for (const lang of LANGUAGES) {
        const server = moving([kit.poll(["Yes", "No"], [731, 473])]);
        const page = await show("present-two", { lang, api: server.api });
        await stopClock(page, "#bars .row");
        await server.move(page, kit.poll(["Yes", "No"], [731, 474])); // from now on nothing is heard
        const lost = page.getByTestId("lost");
        assert(await lost.isHidden(), "an age is said while all is well");
        theatre.api = () => ({ hang: true });
        theatre.hangUp();
        await lost.waitFor();
        for (const [more_ms, n, unit] of /** @type {const} */ ([[7_000, 7, "second"], [5_000, 12, "second"], [168_000, 3, "minute"]])) {
          await page.clock.fastForward(more_ms);
          const wanted = await page.evaluate(([lang, n, unit]) => new Intl.NumberFormat(String(lang), { style: "unit", unit: String(unit), unitDisplay: "long" }).format(Number(n)), [lang, n, unit]);
          const said = (await lost.textContent()) ?? "";
          assert(bare(said).includes(bare(wanted)), `${lang}: “${said}” has no “${wanted}”`);
        }
        assert(await page.getByTestId("voters").filter({ hasText: /./ }).isVisible(), "the last result is gone");
        theatre.api = server.api;
        await server.move(page, kit.poll(["Yes", "No"], [732, 473]));
        assert(await lost.isHidden(), "an age is said of what is new");
        await page.context().close();
      }
    });

    await check("the list behind ? has every key there is, and each of them does what it is there for", async () => {
      const table = readFileSync(`${ROOT}static/present/controls.js`, "utf8").match(/const KEYS = (\{[\s\S]*?\n\});/)?.[1];
      const keys = /** @type {Record<string, string>} */ ((await import(`data:text/javascript,${encodeURIComponent(`export default ${table}`)}`)).default);
      /** As they stand on the list; letters stand there as on the key. @type {Record<string, string>} */
      const printed = { ArrowRight: "→", ArrowLeft: "←", PageDown: "Page Down", PageUp: "Page Up", " ": "Space", "-": "−" };
      /** On no list: the same key of another keyboard, or without Shift, and a clicker's. @type {Record<string, string>} */
      const aliases = { "=": "+", "−": "-", "٪": "%", "؟": "?", ".": "b" };
      for (const [alias, key] of Object.entries(aliases)) assert(keys[alias] && keys[alias] === keys[key], `${alias} does not do what ${key} does`);
      const named = Object.keys(keys).filter((key) => !(key in aliases)).map((key) => [printed[key] ?? (key.length === 1 ? key.toUpperCase() : key), key]);

      const polls = ["a", "b", "c"].map((id) => kit.poll(["Yes", "No"], [3, 4], { id }));
      const view = { edition: 1, joining: false, blank: false, sorted: false, numbers: "both", size: 2 };
      const server = moving(polls, { current: "b", view: { ...view } });
      const asked = /** @type {string[]} */ ([]);
      const page = await show("present-keys", { hands: undefined, api: (call) => {
        if (call.method !== "GET") asked.push(`${call.path} ${JSON.stringify(call.body)}`);
        return call.method === "PATCH" ? { json: { view: Object.assign(view, call.body, { edition: view.edition + 1 }) } } : server.api(call);
      } });
      const list = await page.locator("#keys dl > div").evaluateAll((all) => all.map((one) => ({ keys: [...one.querySelectorAll("kbd")].map((key) => key.textContent), what: one.querySelector("dd")?.textContent })));
      assert(list.every(({ keys, what }) => keys.length && what), "a line of the list has no key, or no words");
      equal(list.flatMap(({ keys }) => keys).sort(), named.map(([name]) => name).sort(), "keys on the list");

      await page.evaluate(() => {
        const done = /** @type {string[]} */ ([]);
        Object.assign(window, { done, open: (/** @type {string} */ url) => done.push(`window ${url}`) });
        document.documentElement.requestFullscreen = async () => { done.push("full screen"); };
      });
      /** What each is for, as the server is asked for it or as it opens. @type {Record<string, RegExp>} */
      const does = {
        next: /current {"poll":"c"}/, previous: /current {"poll":"a"}/, toggle: /polls\/b\/state {"state":"closed"}/, reveal: /polls\/b\/visibility {"revealed":false}/, join: /view {"joining":/, timer: /dialog timer/, sort: /view {"sorted":/,
        larger: /view {"size":3}/, smaller: /view {"size":1}/, numbers: /view {"numbers":/, fullscreen: /full screen/, blank: /view {"blank":/, window: /window .*#screen/, help: /dialog keys/,
      };
      /** @param {string} key */
      const press = async (key) => {
        asked.length = 0;
        await page.evaluate((key) => document.body.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true })), key);
        const open = () => page.evaluate(() => /** @type {any} */ (window).done.pop() ?? (document.querySelector("dialog[open]") && `dialog ${document.querySelector("dialog[open]")?.id}`));
        const done = await eventually(`the key ${key} does something`, async () => asked[0] ?? open(), 3_000);
        await page.evaluate(() => /** @type {HTMLDialogElement|null} */ (document.querySelector("dialog[open]"))?.close());
        return done;
      };
      /** So that the next one finds what this one found. @type {Record<string, string>} */
      const back = { next: "ArrowLeft", previous: "ArrowRight", larger: "-", smaller: "+" };
      for (const [key, action] of Object.entries(keys)) {
        const done = await press(key);
        assert(does[action]?.test(done), `the key ${key}, for ${action}, does: ${done}`);
        if (back[action]) await press(back[action]);
      }
      await page.context().close();
    });

    await check("each template of a new question has a question and at least two choices that differ, in five languages", async () => {
      for (const lang of LANGUAGES) {
        const page = await show("admin-new-event", { lang });
        const names = await page.locator('[data-testid^="template-"]').evaluateAll((all) => all.map((one) => one.getAttribute("data-testid")?.slice("template-".length) ?? ""));
        equal(names, ["yes_no", "agreement", "which", "ice"], "the templates");
        const questions = new Set();
        for (const name of names) {
          for (const field of ["question", "choices"]) await page.getByTestId(field).fill("");
          await page.getByTestId(`template-${name}`).click();
          const question = await page.getByTestId("question").inputValue();
          const choices = (await page.getByTestId("choices").inputValue()).split("\n").filter((one) => one.trim());
          assert(question.length > name.length && !question.includes("_"), `${lang}, ${name}: the question is “${question}”`);
          assert(choices.length >= 2 && new Set(choices).size === choices.length, `${lang}, ${name}: the choices are ${JSON.stringify(choices)}`);
          questions.add(question);
        }
        equal(questions.size, names.length, "questions that differ");
        await page.context().close();
      }
    });

    await check("1,234,567 votes are written as the reader's language writes them: on phone, big screen, overlay and desk", async () => {
      const VOTES = 1_234_567;
      const poll = kit.poll(["Yes", "No"], [VOTES, 0]);
      /** @type {[string, import("./scenes.mjs").Size, import("./theatre.mjs").Api, string[]][]} where they stand, and of those the last is the number alone */
      const screens = [
        ["vote-question", "phone", kit.audience(() => kit.live([poll])), ["#voters", ".choice:first-of-type .votes"]],
        ["present-two", "laptop", kit.stage(() => kit.live([poll])), ["#voters", "#twin caption", "#twin tbody td", "#bars .votes"]],
        ["overlay-lower", "laptop", moving([poll]).api, ["#voters", "#rows .votes"]],
        ["admin-event", "laptop", kit.office([poll]), ["[data-testid=poll-voters]", "[data-fill=results-body] [data-fill=summary]", "[data-fill=results-body] [data-fill=equation]", "[data-fill=results-body] tbody td"]],
      ];
      const ways = new Set();
      for (const lang of [...LANGUAGES, "ar-EG"]) { // whose digits are others
        for (const [name, size, api, places] of screens) {
          const page = await show(name, { lang, api, hands: undefined }, size);
          if (name === "admin-event") await page.getByTestId("results").locator("summary").click();
          const wanted = await page.evaluate(([lang, votes]) => new Intl.NumberFormat(String(lang)).format(Number(votes)), [lang, VOTES]);
          ways.add(wanted);
          for (const place of places) await page.locator(place).first().filter({ hasText: /\p{Nd}/u }).waitFor({ state: "attached" });
          const texts = await page.evaluate((places) => places.map((place) => document.querySelector(place)?.textContent ?? ""), places);
          texts.forEach((text, at) => assert(text.includes(wanted), `${name}, ${lang}: ${places[at]} has “${text}” and not ${wanted}`));
          equal(texts.at(-1), wanted, `${name}, ${lang}: the number alone`);
          await page.context().close();
        }
      }
      assert(ways.size >= 4, `${[...ways].join(", ")}: all write it alike, and it proves little`);
      return [...ways].join(", ");
    });

    await check("when a question opens and closes is written at the desk as the reader's language writes it, and in their time", async () => {
      const zone = "Asia/Tokyo"; // where it is tomorrow already
      const [opens_at, closes_at] = [25, 27].map((day) => Date.UTC(new Date().getUTCFullYear() + 2, 1, day, 22, 30));
      const ways = new Set();
      for (const lang of LANGUAGES) {
        const page = await show("admin-event", { lang, zone, api: kit.office([kit.poll(["Yes", "No"], [0, 0], { opens_at, closes_at })]) });
        const about = await page.locator("[data-testid=poll] [data-fill=about]").first().textContent() ?? "";
        for (const at of [opens_at, closes_at]) {
          const parts = await page.evaluate(([lang, zone, at]) => new Intl.DateTimeFormat(String(lang), { dateStyle: "medium", timeStyle: "short", timeZone: String(zone) }).formatToParts(Number(at)), [lang, zone, at]);
          // In the order of the language, with anything between them but more numbers.
          const wanted = parts.filter(({ type }) => ["year", "month", "day", "hour", "minute"].includes(type)).map(({ value }) => value);
          assert(wanted.length === 5 && new RegExp(wanted.map((one) => one.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")).join("\\P{Nd}{0,9}?"), "u").test(about), `${lang}: “${about}” has no ${wanted.join(" ")}`);
          if (at === opens_at) ways.add(parts.map(({ value }) => value).join(""));
        }
        await page.context().close();
      }
      return [...ways].join("; ");
    });

    await check("no text is ever put into a page as HTML or run as a program, and no page carries a style or a program in its elements", async () => {
      const files = (/** @type {string} */ folder, /** @type {string} */ ending) => /** @type {string[]} */ (readdirSync(ROOT + folder, { recursive: true })).filter((file) => file.endsWith(ending)).map((file) => `${folder}/${file}`);
      const [programs, pages] = [files("static", ".js"), [...files("static", ".html"), ...files("templates", ".html")]];
      assert(programs.length > 50 && pages.length > 8, `found only ${programs.length} programs and ${pages.length} pages`);
      const found = (/** @type {string[]} */ names, /** @type {RegExp} */ pattern) => names.flatMap((name) => readFileSync(ROOT + name, "utf8").split("\n").flatMap((line, at) => (pattern.test(line) ? [`${name}:${at + 1}: ${line.match(pattern)?.[0].trim()}`] : [])));
      equal(found(programs, /\b(innerHTML|outerHTML|insertAdjacentHTML|setHTMLUnsafe|createContextualFragment)\b|\bdocument\s*\.\s*write|\beval\b|\bnew Function\b/), [], "in programs");
      equal(found(pages, /(^|[\s"'])on[a-z]+\s*=/i), [], "programs in elements");
      // The report of a rehearsal is opened from a disk, with nothing beside it; the others are served under a policy that refuses this.
      equal(found(pages.filter((name) => name !== "templates/rehearsal.html"), /(^|[\s"'])style\s*=/i), [], "styles in elements");
      return `${programs.length} programs, ${pages.length} pages`;
    });

    const first = kit.poll(["Home", "Guests"], [3, 4]);
    const second = kit.poll(["Yes", "No"], [7, 1], { id: "8f3k2m9qx1c7w", question: "Shall we do it?" });

    await check("whatever is asked of an overlay in its address arrives where it belongs", async () => {
      const page = await show("overlay-lower", { api: moving([first, second]).api }, "projector");
      const overlay = async (/** @type {string} */ query) => {
        await page.goto(`${theatre.home}/overlay/${kit.CODE}?${query}`);
        await page.locator("#rows li").first().waitFor();
        // The way to join is what comes last, and asks for its address first; where it is not wanted, nobody asks.
        if (query !== "join=no") await page.getByTestId("join").waitFor();
        return arrived(page);
      };
      const plain = await overlay("");
      /** @type {[string, keyof typeof plain, any][]} */
      const wishes = [
        ["layout=full", "layout", "full"], ["layout=versus", "layout", "versus"], [`poll=${second.id}`, "question", second.question],
        ["colors=8b1e3f,ffd400", "bars", ["rgb(139, 30, 63)", "rgb(255, 212, 0)"]], ["colors=8b1e3f,ffd400", "letters", ["rgb(255, 255, 255)", "rgb(10, 22, 28)"]],
        ["ink=112233", "ink", "rgb(17, 34, 51)"], ["ground=445566cc", "ground", "rgba(68, 85, 102, 0.8)"], ["scale=0.5", "rem", plain.rem / 2], ["safe=12", "margins", [12, 12, 12]],
        ["numbers=percent", "numbers", "percent"], ["numbers=count", "numbers", "votes"], ["theme=light", "theme", "light"], ["font=Source+Serif,Georgia", "fonts", ["Source Serif", "Georgia"]], ["join=no", "joins", false], ["lang=de", "voters", "7 Stimmen"],
      ];
      for (const [query, what, wanted] of wishes) {
        assert(JSON.stringify(plain[what]) !== JSON.stringify(wanted), `${what} is ${JSON.stringify(wanted)} unasked, so ${query} proves nothing`);
        equal((await overlay(query))[what], wanted, query);
      }
      assert((await overlay("theme=light")).ground !== plain.ground, "the light theme looks as the dark one");
      const { theme, ground } = await overlay("theme=dark");
      equal([theme, ground], ["dark", plain.ground], "the dark theme, which is the usual one");
      // One that comes later is not forgotten here.
      const known = new Set([...wishes.map(([query]) => query.split("=")[0]), "hold"]);
      const read = [...readFileSync(`${ROOT}static/overlay/overlay.js`, "utf8").matchAll(/\b(?:wishes\.(?:get|has)|bounded)\("(\w+)"/g)].map(([, name]) => name);
      assert(read.length > 10, "what the overlay reads is not found");
      equal([...new Set(read)].filter((name) => !known.has(name)), [], "read, and looked at by nobody");
      await page.context().close();
    });

    await check("?hold and the key H keep what an overlay shows until H lets it go, and then it is the newest", async () => {
      const votes = (/** @type {number} */ n) => kit.poll(["Home", "Guests"], [n, 4]);
      for (const query of ["?hold", ""]) {
        const server = moving([votes(3)]);
        const page = await show("overlay-lower", { path: `/overlay/${kit.CODE}${query}`, api: server.api });
        const shows = () => page.locator("#rows .votes").first().innerText();
        equal(await shows(), "3", "at first");
        if (!query) {
          await server.move(page, votes(5));
          equal(await shows(), "5", "not held");
          await page.keyboard.press("h");
        }
        const held = await shows();
        for (const n of [10, 20]) {
          await server.move(page, votes(n));
          equal(await shows(), held, `held by ${query || "H"}`);
        }
        await page.keyboard.press("h");
        equal(await shows(), "20", "let go");
        await server.move(page, votes(21));
        equal(await shows(), "21", "and it follows again");
        await page.context().close();
      }
      // Inside a page a key struck by chance holds nothing: nobody there would know why the result stands still.
      const server = moving([votes(3)]);
      const page = await show("embed", { api: server.api });
      await page.keyboard.press("h");
      await server.move(page, votes(5));
      await page.locator("#rows .votes").first().filter({ hasText: "5" }).waitFor();
      await page.context().close();
    });
  } finally {
    await browser.close();
    await theatre.down();
  }
}

/** Without marks of direction, and with one kind of space. @param {string} text */
const bare = (text) => text.replace(/[\u200e\u200f\u061c\u2066-\u2069]/g, "").replace(/\s/g, " ");

/** What became of an overlay's wishes. @param {Page} page */
const arrived = (page) => page.evaluate(() => {
  const one = (/** @type {string} */ selector) => /** @type {HTMLElement} */ (document.querySelector(selector));
  const style = (/** @type {Element} */ element) => getComputedStyle(element);
  const all = (/** @type {string} */ selector, /** @type {"color"|"backgroundColor"} */ what) => [...document.querySelectorAll(selector)].map((element) => style(element)[what]);
  const box = one("#frame").getBoundingClientRect();
  return {
    layout: one("#frame").dataset.layout, question: one("#question").textContent, voters: one("#voters").textContent, theme: document.documentElement.dataset.theme, joins: one("#join").checkVisibility(),
    bars: all("#rows .fill", "backgroundColor"), letters: all("#rows .letter", "color"), ink: style(one("#question")).color, ground: style(one(".panel")).backgroundColor,
    fonts: style(one("#question")).fontFamily.split(",").map((family) => family.trim().replaceAll('"', "")).slice(0, 2), rem: Number.parseFloat(style(document.documentElement).fontSize),
    margins: [box.left / innerWidth, 1 - box.right / innerWidth, box.top / innerHeight].map((part) => Math.round(part * 100)),
    numbers: ["percent", "votes"].filter((what) => one(`#rows .${what}`).checkVisibility()).join(" and "),
  };
});
