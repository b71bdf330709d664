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
    await check("without a network nobody is told that they can vote where they cannot: closed, not open yet, between questions, voted for good, ended", async () => {
      const poll = kit.poll(["Yes", "No"], [3, 4]);
      const fixed = { ...poll, rules: { ...poll.rules, change: false } };
      /** @type {[string, any[], object, Record<string, unknown>, string][]} */
      const states = [
        ["open", [poll], {}, {}, "You are offline. You can still vote: it is saved here and sent later."],
        ["voted for good", [fixed], {}, kit.voted(fixed, [0], "counted"), OFFLINE],
        ["closed", [{ ...poll, ...kit.closed }], {}, {}, OFFLINE],
        ["final", [kit.final(poll)], {}, {}, OFFLINE],
        ["scheduled", [{ ...poll, opens_at: kit.NOW() + 600_000 }], {}, {}, OFFLINE],
        ["none there", [], {}, {}, OFFLINE],
        ["ended", [poll], ended, {}, OFFLINE],
      ];
      for (const [what, polls, more, keep, words] of states) {
        const page = await show("vote-question", { api: kit.audience(() => kit.live(polls, more)), keep });
        await page.context().setOffline(true);
        await page.getByTestId("connection").waitFor();
        equal(await page.getByTestId("connection").textContent(), words, what);
        await page.context().close();
      }
      const page = await show("vote-question", { api: kit.audience(() => kit.live([kit.final(poll)])) });
      theatre.api = () => ({ hang: true });
      await page.getByTestId("connection").waitFor();
      equal(await page.getByTestId("connection").textContent(), "No answer from the server. This page goes on by itself once there is a connection.", "without an answer");
      await page.context().close();
    });

    await check("who is back online sees the name of the event again after 2 s, or as soon as they go on", async () => {
      for (const tap of [true, false]) {
        const page = await show("vote-closed");
        await page.context().setOffline(true);
        await page.getByTestId("connection").waitFor();
        await page.clock.install();
        await page.clock.pauseAt(await page.evaluate(() => Date.now() + 1_000));
        await page.context().setOffline(false);
        for (let waited = 0; waited < 20 && !await page.getByTestId("connection").getByText("You are back online").isVisible(); waited += 1) {
          await page.waitForTimeout(100);
          await page.evaluate(() => dispatchEvent(new Event("online")));
        }
        await page.getByTestId("connection").getByText("You are back online, carry on.").waitFor();
        if (tap) await page.getByTestId("voters").tap();
        else await page.clock.runFor(2_100);
        assert(await page.getByTestId("connection").isHidden(), tap ? "it stays after a tap" : "it stays longer");
        await page.context().close();
      }
    });

    await check("a code is taken as it is pasted: a link, its last slash, what a page was asked for behind it", async () => {
      for (const typed of ["482913", "482 913", "http://192.168.1.20:8080/482913", "https://vote.example.org/482913/", "vote.example.org/482913?lang=de", "https://vote.example.org/482913/#top", " /482913/ "]) {
        const page = await show("vote-join", { api: kit.audience(() => kit.live([kit.poll(["Yes", "No"], [3, 4])])) });
        await page.getByTestId("join-code").fill(typed);
        await page.getByTestId("join-button").tap();
        await page.getByTestId("choice").first().waitFor({ timeout: 5_000 }).catch(async () => { throw new Error(`“${typed}”: ${await page.getByTestId("join-error").innerText()}`); });
        equal(new URL(page.url()).pathname, "/482913", typed);
        await page.context().close();
      }
      const page = await show("vote-question", { path: "/482913/" });
      await page.getByTestId("choice").first().waitFor();
      await page.context().close();
    });

    await check("a clock has the digits of the reader, all of them", async () => {
      for (const [lang, ms, wanted] of /** @type {const} */ ([["ar-EG", 7_198_000, /^بقي ١:٥٩:٥\p{Nd}$/u], ["ar-EG", 64_000, /^بقي ١:٠\p{Nd}$/u], ["ar", 7_198_000, /^بقي 1:59:5\d$/], ["en", 64_000, /^1:0\d left$/], ["de", 9_000, /^noch 0:0\d$/]])) {
        const page = await show("vote-question", { lang, api: kit.audience(() => kit.live([kit.poll(["نعم", "لا"], [3, 6], { closes_at: kit.NOW() + ms })])) });
        await page.locator("#clock:not(:empty)").waitFor();
        const said = await page.getByTestId("clock").innerText();
        assert(wanted.test(said.replace(/[\u200e\u200f\u061c]/g, "")), `${lang}: ${said}`);
        await page.context().close();
      }
    });

    await check("nobody is thanked for a vote they did not give", async () => {
      for (const [lang, words] of Object.entries({ en: "Thank you for being here.", de: "Danke, dass du dabei warst.", fr: "Merci de votre présence.", es: "Gracias por acompañarnos.", ar: "شكرًا لحضورك." })) {
        const page = await show("vote-ended", { lang });
        await page.getByTestId("screen-ended").getByText(words).waitFor();
        await page.context().close();
      }
    });

    await check("on its side, and on a laptop at 200 % zoom, the vote, its steps and what can be done with it are in sight, and so are the question and a choice, in five languages", async () => {
      const poll = kit.poll(kit.SHORT.slice(0, 4), [40, 30, 20, 10]);
      for (const lang of LANGUAGES) {
        const page = await show("vote-question", { lang, keep: kit.voted(poll, [1], "counted"), api: kit.audience(() => kit.live([poll])) });
        for (const size of [SIZES.side, { width: 640, height: 400 }, { width: 568, height: 260 }]) {
          await page.setViewportSize(size);
          const wrong = await page.evaluate(() => {
            const all = ["#question", ".choice", "#steps li:first-child", "#steps li:last-child", "#change", "#clear"].map((selector) => [selector, /** @type {Element} */ (document.querySelector(selector)).getBoundingClientRect()]);
            const dock = /** @type {Element} */ (document.getElementById("dock")).getBoundingClientRect();
            return [
              ...(/** @type {[string, DOMRect][]} */ (all)).filter(([selector, box]) => box.top < 0 || box.bottom > innerHeight || box.right > innerWidth || box.left < 0 || (box.bottom > dock.top && !/steps|change|clear/.test(selector))).map(([selector, box]) => `${selector} from ${box.top} to ${box.bottom}`),
              ...(dock.height > 80 ? [`the line is ${dock.height} px high`] : []),
            ];
          });
          equal(wrong.filter((one) => size.height > 300 || !one.startsWith(".choice")), [], `${lang}, ${size.width} x ${size.height}`);
        }
        await page.context().close();
      }
    });

    await check("where a window is so low or so narrow that a line would cover it, the line stands at the end of the page", async () => {
      const page = await show("vote-million");
      for (const size of [{ width: 320, height: 256 }, { width: 640, height: 200 }]) {
        await page.setViewportSize(size);
        equal(await page.locator(".bottom").evaluate((one) => getComputedStyle(one).position), "static", `${size.width} x ${size.height}`);
      }
      await page.context().close();
    });

    await check("the second round marks where the first one stood, from where one begins to read, and says how many voted then; no mark where nobody may see the result", async () => {
      for (const [lang, words] of /** @type {const} */ ([["en", "280 votes · final · | round 1: 280 votes"], ["ar", null]])) {
        const poll = kit.final(kit.shift(kit.poll(kit.SHORT.slice(0, 4), [150, 90, 38, 2], { round: 2 }), [84, 140, 56, 0]));
        const page = await show("vote-closed", { lang, api: kit.audience(() => kit.live([poll])), keep: {} });
        const parts = await page.locator(".frame").evaluateAll((all, fromRight) => all.map((frame) => {
          const [whole, mark] = [frame, /** @type {Element} */ (frame.querySelector(".was"))].map((one) => one.getBoundingClientRect());
          return Math.round(100 * (fromRight ? whole.right - mark.right : mark.left - whole.left) / (whole.width - mark.width));
        }), lang === "ar");
        for (const [at, share] of [30, 50, 20, 0].entries()) assert(Math.abs(parts[at] - share) <= 1, `${lang}: marks at ${parts.join(", ")} %`);
        if (words) equal(await page.getByTestId("voters").innerText(), words, "the line of voters");
        else assert(/\| الجولة 1: 280 صوت/.test(await page.getByTestId("voters").innerText()), await page.getByTestId("voters").innerText());
        equal((await page.locator(".was").first().getAttribute("aria-label"))?.replace(/[\u200e\u200f\u061c]/g, ""), lang === "ar" ? "الجولة 1: 30%" : "round 1: 30%", "for who hears it");
        await page.context().close();
      }
      for (const [poll, words] of /** @type {[any, string][]} */ ([[kit.shift(kit.poll(["Yes", "No"], [0, 0], { round: 2 }), [3, 1]), "No votes yet · | round 1: 4 votes"], [kit.shift(kit.poll(["Yes", "No"], [0, 0], { round: 2, visibility: "after_vote", revealed: false }), [3, 1]), "You see the result once you have voted."]])) {
        const page = await show("vote-question", { api: kit.audience(() => kit.live([poll])) });
        await page.getByTestId("voters").getByText(words).waitFor();
        equal(await page.locator(".was:visible").count(), words.startsWith("No") ? 2 : 0, "marks");
        await page.context().close();
      }
    });

    await check("the winner is marked once it is decided, a tie as a tie, nobody before or without votes; and nothing moves", async () => {
      const stars = (/** @type {Page} */ page) => page.getByTestId("choice").evaluateAll((all) => all.flatMap((one, at) => (getComputedStyle(/** @type {Element} */ (one.querySelector(".percent")), "::before").content.includes("★") ? [at] : [])));
      for (const [votes, isFinal, wanted] of /** @type {[number[], boolean, number[]][]} */ ([[[1, 7, 2], false, []], [[1, 7, 2], true, [1]], [[5, 2, 5], true, [0, 2]], [[0, 0, 0], true, []]])) {
        const open = kit.poll(kit.SHORT.slice(0, 3), votes);
        let [now, version] = [/** @type {any} */ (open), 1042];
        const page = await show("vote-question", { api: kit.audience(() => kit.live([now], { version, refresh_ms: 100 })) });
        const places = () => page.locator(".text, .percent, .votes").evaluateAll((all) => all.map((one) => { const range = document.createRange(); range.selectNodeContents(one); const { right, top } = range.getBoundingClientRect(); return `${Math.round(right)} ${Math.round(top)}`; }));
        await page.locator(".percent:not(:empty)").first().waitFor();
        const before = await places();
        [now, version] = [isFinal ? kit.final(open) : open, version + 1];
        if (isFinal) await page.getByTestId("poll-state").getByText("Closed").waitFor();
        equal(await stars(page), wanted, `${votes.join(", ")}, ${isFinal ? "final" : "open"}`);
        equal(await places(), before, "where names and numbers stand");
        await page.context().close();
      }
    });

    await check("an event that was given no title asks its question once; the name of the page keeps it", async () => {
      const long = "What should we do about the release that was planned for the end of the month, given everything we heard this week from customers?";
      for (const [title, question, wanted, logo] of /** @type {[string, string, string, string?][]} */ ([["Which ending?", "Which ending?", "Groundswell"], [`${long.slice(0, 119)}…`, long, "Groundswell"], ["Which ending?", "Which ending?", "", "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg'/%3E"], ["Which", "Which ending?", "Which"], ["Friday", "Which ending?", "Friday"]])) {
        const page = await show("vote-question", { api: kit.audience(() => kit.live([kit.poll(["Yes", "No"], [3, 4], { question })], { event: { ...kit.live([]).event, title, logo } })) });
        await page.getByTestId("choice").first().waitFor();
        equal([await page.getByTestId("event-title").innerText(), await page.title()], [wanted, title], "the header, and the name of the page");
        await page.context().close();
      }
    });

    await check("a second round that is not open yet says what became of the vote in the first, in five languages; who gave none is told only what comes", async () => {
      const prepared = kit.poll(["Yes", "No"], null, { round: 2, state: "closed", results: null });
      const first = kit.voted({ ...prepared, round: 1 }, [0], "counted");
      const api = kit.audience(() => kit.live([prepared]));
      for (const lang of LANGUAGES) {
        const page = await show("vote-question", { lang, api, keep: first });
        const said = await page.locator("#receipt-note:not(:empty)").innerText();
        assert(said.includes("1") && said.includes("2") && await page.getByTestId("receipt-note").isVisible(), `${lang}: ${said}`);
        if (lang === "en") equal(said, "Your vote in round 1 was counted. You can vote again in round 2.", "it says");
        equal([await mine(page), await page.locator("#steps").isVisible()], [[], false], "a vote, or steps of one");
        await page.context().close();
      }
      let [now, version] = [/** @type {any} */ (kit.final(kit.poll(["Yes", "No"], [3, 4]))), 1042];
      const heard = await show("vote-question", { api: kit.audience(() => kit.live([now], { version, refresh_ms: 100 })), keep: first });
      await heard.getByTestId("poll-state").getByText("Closed").waitFor();
      [now, version] = [prepared, version + 1];
      await heard.locator("#news", { hasText: "Not open yet · round 2: Which ending? Your vote in round 1 was counted. You can vote again in round 2." }).waitFor({ state: "attached" });
      await heard.context().close();
      for (const keep of [{}, kit.voted({ ...prepared, round: 1 }, [], "counted"), kit.voted({ ...prepared, round: 1 }, [0], "received")]) {
        const page = await show("vote-question", { api: (call) => (call.path.endsWith("/mine") ? { hang: true } : api(call)), keep });
        await page.getByTestId("receipt-note").getByText("You can vote again in round 2.", { exact: true }).waitFor();
        await page.context().close();
      }
    });

    await check("with twenty choices the receipt says what one voted, and a tap on it goes there; nothing goes there by itself", async () => {
      const single = kit.poll(kit.SHORT, kit.falling(20, 50));
      const page = await show("vote-twenty-counted");
      await page.getByTestId("receipt-note").getByText(/^Your vote: O \u2068Divers\u2069$/).waitFor();
      equal(await page.evaluate(() => scrollY), 0, "it scrolled");
      await page.getByTestId("receipt-note").tap();
      const inSight = await page.locator(".is-mine").evaluate((one) => { const { top, bottom } = one.getBoundingClientRect(); return top > 0 && bottom < /** @type {Element} */ (document.getElementById("dock")).getBoundingClientRect().top; });
      assert(inSight, "the own choice is not in sight");
      await page.context().close();
      const several = kit.poll(kit.SHORT, kit.falling(20, 50), { kind: "multiple" });
      for (const [poll, picks, words] of /** @type {[any, number[], string][]} */ ([[several, [0, 14], "Your vote: A, O"], [kit.poll(kit.longs(8), kit.falling(8, 50)), [6], "Your vote: G"], [kit.poll(kit.SHORT.slice(0, 4), [1, 2, 3, 4]), [1], ""], [single, [], ""]])) {
        const other = await show("vote-question", { api: kit.audience(() => kit.live([poll])), keep: picks.length ? kit.voted(poll, picks, "counted") : {} });
        await other.getByTestId("choice").first().waitFor();
        equal(await other.locator("#receipt-note").textContent(), words, "the receipt");
        await other.context().close();
      }
    });

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
