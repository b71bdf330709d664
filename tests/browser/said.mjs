// What screens say of votes: whose choice is sent and whose is not, who is back, how many there were. And that what is read stays in sight,
// on one line where there is room, in the order it is read in, and is not cut where it is typed.

import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { launch } from "./browser.mjs";
import { enterNamed } from "./enter.mjs";
import { percentsOutOfOrder } from "./eyes.mjs";
import { mine, phone } from "./hands.mjs";
import { assert, check, equal, eventually } from "./report.mjs";
import { kit, scenes } from "./scenes.mjs";
import { Theatre } from "./theatre.mjs";

/** @typedef {import("playwright-core").Page} Page @typedef {import("./theatre.mjs").Api} Api */

const LANGUAGES = ["en", "de", "fr", "es", "ar"];
const RULES = readFileSync(fileURLToPath(new URL("../../src/domain/text.rs", import.meta.url)), "utf8");
/** As the server has it. @param {string} what */
const longest = (what) => Number(RULES.match(new RegExp(`${what}_GRAPHEMES_MAX: usize = (\\d+)`))?.[1]);

/** An audience's server that counts at once what it is sent. @param {any} poll @returns {Api} */
const counting = (poll) => (call) => (call.method === "POST" && call.path.endsWith("/ballots")
  ? { status: 202, json: { ballot: call.body.ballot, accepted_at: kit.NOW() - 500, status: "counted" } } : kit.audience(() => kit.live([poll]))(call));

/** What anybody may read, at once and by stream. @param {any[]} polls @returns {Api} */
const open = (polls) => (call) => (call.path.endsWith("/stream") ? { stream: kit.live(polls) } : kit.audience(() => kit.live(polls))(call));

export async function said() {
  const theatre = await new Theatre().up();
  const browser = await launch();
  const show = (/** @type {string} */ name, /** @type {Partial<import("./scenes.mjs").Scene>} */ otherwise = {}, size = /** @type {import("./scenes.mjs").Size} */ ("phone")) => enterNamed(browser, theatre, name, size, { hands: undefined, keep: undefined, after_ms: 0, ...otherwise });
  try {
    await check("a choice that is not sent says so, and no step of the vote before it stays lit: while it is changed, after it was cleared, after a reload", async () => {
      const poll = kit.poll(kit.SHORT.slice(0, 4), [4, 3, 2, 1], { kind: "multiple", voters: 6 });
      const page = await show("vote-several", { api: counting(poll), keep: kit.voted(poll, [0, 2], "counted") });
      await receipt(page, 3, "");
      await page.getByTestId("change").click();
      await receipt(page, 3, "Your earlier vote stands."); // what is ticked is what was counted
      await phone.tick(page, "Pirates");
      await receipt(page, 0, "Not sent yet. Your earlier vote stands.");
      equal(await phone.step(page), null, "the step that is read out");
      await page.locator("#say", { hasText: "Not sent yet." }).waitFor({ state: "attached" });
      await phone.tick(page, "Pirates");
      await receipt(page, 3, "Your earlier vote stands.");
      await phone.tick(page, "Cowboys");
      await receipt(page, 0, "Not sent yet. Your earlier vote stands.");
      await page.getByTestId("send").click();
      await receipt(page, 3, "");
      equal(await mine(page), ["Robots"], "the vote");
      await page.getByTestId("clear").click();
      await receipt(page, 0, "Your vote is cleared.");
      assert(await page.locator("#steps").isHidden(), "there are steps of no vote");
      await phone.tick(page, "Detectives");
      await receipt(page, 0, "Not sent yet.");
      await page.reload();
      await receipt(page, 0, "Not sent yet.");
      equal(await page.locator("#choices input:checked").count(), 1, "ticks after a reload");
      await page.getByTestId("send").click();
      await receipt(page, 3, "");
      equal(await mine(page), ["Detectives"], "the vote at last");
      await page.context().close();
    });

    await check("the first choice of all says that it is not sent, too; so does one that arrow keys have gone to", async () => {
      const several = kit.poll(kit.SHORT.slice(0, 4), [0, 0, 0, 0], { kind: "multiple" });
      const first = await show("vote-several", { api: counting(several) });
      assert(await first.getByTestId("receipt").isHidden(), "there is something to say before anything is ticked");
      await phone.tick(first, "Pirates");
      await first.getByTestId("receipt-note").filter({ hasText: /^Not sent yet\.$/, visible: true }).waitFor();
      assert(await first.locator("#steps").isHidden(), "there are steps of no vote");
      await first.context().close();
      const one = kit.poll(kit.SHORT.slice(0, 4), [1, 0, 0, 0]);
      const page = await show("vote-question", { api: counting(one), keep: kit.voted(one, [0], "counted") }, "laptop");
      await page.getByTestId("change").click();
      await page.keyboard.press("ArrowDown");
      await receipt(page, 0, "Not sent yet. Your earlier vote stands.");
      await page.keyboard.press("Enter");
      await receipt(page, 3, "");
      equal(await mine(page), ["Pirates"], "the vote");
      await page.context().close();
    });

    await check("why a tap did nothing is said where the thumb is, however far the question is away", async () => {
      const names = Array.from({ length: 9 }, (_, at) => `Choice ${at + 1}`);
      const poll = kit.poll(names, names.map(() => 0), { kind: "multiple", rules: { min: 2, max: 3, change: true } });
      const page = await show("vote-several", { api: counting(poll) });
      const inSight = async (/** @type {string} */ text) => {
        await page.locator("#say", { hasText: text }).waitFor({ state: "attached" });
        const box = await page.getByTestId("receipt-note").filter({ hasText: text }).boundingBox();
        const height = page.viewportSize()?.height ?? 0;
        assert(box && box.y >= 0 && box.y + box.height <= height, `“${text}” is not in sight: ${JSON.stringify(box)}`);
      };
      await phone.tick(page, "Choice 9");
      assert(!await page.getByTestId("question").evaluate((one) => one.getBoundingClientRect().bottom > 0), "the question is in sight anyway");
      await page.getByTestId("send").tap();
      await inSight("Pick 1 more");
      for (const at of [8, 7, 6]) await phone.tick(page, `Choice ${at}`);
      await inSight("At most 3");
      await page.context().close();
    });

    await check("nobody is told to carry on while their vote is still here: first it is sent, then they are back online", async () => {
      const poll = kit.poll(kit.SHORT.slice(0, 4), [4, 3, 2, 1]);
      let answers = "nothing";
      const page = await show("vote-question", {
        keep: kit.voted(poll, [1], "saved"), ready: "#connection:not([hidden])",
        api: (call) => (answers === "nothing" || (answers === "documents" && call.method === "POST") ? { hang: true } : counting(poll)(call)),
      });
      await page.evaluate(() => {
        const heard = /** @type {string[]} */ ([]);
        Object.assign(window, { heard });
        const place = /** @type {HTMLElement} */ (document.getElementById("connection"));
        new MutationObserver(() => { if (!place.hidden && heard.at(-1) !== place.textContent) heard.push(place.textContent ?? ""); }).observe(place, { childList: true, characterData: true, subtree: true, attributes: true });
      });
      answers = "documents";
      await page.getByTestId("connection").filter({ hasText: /^Your vote is saved and will be sent\.$/ }).waitFor();
      await page.locator("#receipt-note", { hasText: "Saved. Sending" }).waitFor();
      answers = "all";
      await page.evaluate(() => dispatchEvent(new Event("online")));
      await page.getByTestId("connection").filter({ hasText: "You are back online, carry on." }).waitFor();
      equal(await phone.step(page), "counted", "the step when that is said");
      equal(await page.evaluate(() => /** @type {any} */ (window).heard.slice(-2)), ["Your vote is saved and will be sent.", "You are back online, carry on."], "what was said");
      await page.getByTestId("connection").waitFor({ state: "hidden" });
      await page.context().close();
    });

    await check("who hears the page is told in words that a question opens, closes and shows its result, and that the next one comes: at most every 5 s, and nothing of what was there first", async () => {
      const LEAST_MS = 5_000;
      const words = { en: ["Your vote: Counted", "Closed", "Results", "Open", "You are in. The next question appears here by itself."], ar: ["صوتك: احتُسب", "مغلق", "النتائج", "مفتوح", "لقد انضممت. سيظهر السؤال التالي هنا تلقائيًا."] };
      for (const [lang, [counted, closed, results, open, waiting]] of Object.entries(words)) {
        const [asked, next] = [kit.poll(kit.SHORT.slice(0, 3), [4, 5, 1]), kit.poll(["Yes", "No"], [0, 0], { id: "8f3k2m9qx1c7w", question: "Shall we do it?" })];
        const secret = { ...asked, visibility: "after_close", results: null };
        let [polls, version] = [[secret], 1];
        const page = await show("vote-question", { lang, api: (call) => (call.method === "POST" ? counting(polls[0])(call) : kit.audience(() => kit.live(polls, { version, refresh_ms: 100 }))(call)) });
        await page.clock.install();
        await page.reload();
        await page.getByTestId("choice").first().waitFor();
        /** @param {any[]} now what the next documents have @param {string} text what can be seen then */
        const then = async (now, text) => {
          [polls, version] = [now, version + 1];
          await page.locator("main > section:not([hidden])", { hasText: text }).waitFor();
        };
        await page.evaluate(() => {
          const heard = /** @type {{text:string|null, at:number}[]} */ ([]);
          Object.assign(window, { heard });
          const place = /** @type {HTMLElement} */ (document.getElementById("news"));
          if (place.textContent) heard.push({ text: place.textContent, at: 0 });
          new MutationObserver(() => { if (place.textContent) heard.push({ text: place.textContent, at: Date.now() }); }).observe(place, { childList: true, characterData: true, subtree: true });
        });
        await phone.vote(page, "Pirates");
        await phone.reached(page, "counted");
        await page.clock.fastForward(LEAST_MS);
        await page.locator("#news", { hasText: /./ }).waitFor({ state: "attached" });
        await then([{ ...secret, ...kit.closed }], closed);
        // Within the 5 s it was open again, too: that is over by the time it could be said.
        await then([secret], open);
        await then([kit.final(asked)], "50");
        await page.clock.fastForward(LEAST_MS);
        await page.locator("#news", { hasText: results }).waitFor({ state: "attached" });
        await then([next], next.question);
        await page.clock.fastForward(LEAST_MS);
        await page.locator("#news", { hasText: next.question }).waitFor({ state: "attached" });
        await then([kit.poll(["Yes", "No"], [3, 4], { id: next.id, question: next.question })], "57"); // numbers that move are no news
        await then([], waiting.split(". ")[0]);
        await page.clock.fastForward(LEAST_MS);
        await page.locator("#news", { hasText: waiting }).waitFor({ state: "attached" });
        const heard = /** @type {{text:string, at:number}[]} */ (await page.evaluate(() => /** @type {any} */ (window).heard));
        equal(heard.map(({ text }) => text.replace(/[\u200e\u200f\u061c]/g, "").replace(/\s+/g, " ")), [counted, `${closed}: Which ending? ${results}: Pirates 50%`, `${open}: Shall we do it?`, waiting], `heard, ${lang}`);
        for (let at = 1; at < heard.length; at += 1) assert(heard[at].at - heard[at - 1].at >= LEAST_MS, `${heard[at].text} comes ${heard[at].at - heard[at - 1].at} ms after what was said before`);
        equal(await page.locator("#news").getAttribute("role"), "status", "its role");
        await page.context().close();
      }
    });

    await check("who mistyped a code can type it again, however many others behind the same address mistyped theirs", async () => {
      const page = await show("vote-no-answer", { api: () => ({ status: 429, json: { code: "too_many_requests", detail: "That was too often." } }), ready: "#screen-join:not([hidden])" });
      await page.getByTestId("screen-join").locator("input").fill("482 914");
      await page.context().close();
    });

    await check("whatever a phone waits for, words in sight say what is going on, and nothing moves without them", async () => {
      const poll = kit.poll(kit.SHORT.slice(0, 4), [4, 3, 2, 1]);
      const kept = { "gs:live:482913": { at: kit.NOW() - 60_000, offset: 0, live: kit.live([poll]) } };
      const [one] = Object.entries(kit.voted(poll, [1], "received"));
      /** @param {object} answer to every vote @returns {Api} */
      const voting = (answer) => (call) => (call.method === "POST" && call.path.endsWith("/ballots") ? answer : counting(poll)(call));
      const tap = (/** @type {Page} */ page) => phone.vote(page, "Pirates");
      /** @type {[string, string, Partial<import("./scenes.mjs").Scene>, Record<string, string>][]} what is waited for, the scene, what is otherwise there, and the words by place */
      const waits = [
        ["the first answer", "vote-no-answer", { api: () => ({ silent: true }) }, { "#screen-loading h1": "One moment …", "#loading-note": "Fetching the question." }],
        ["the first answer, and there is none", "vote-no-answer", {}, { "#loading-note": "Fetching the question.", "#connection": "No answer from the server. This page goes on by itself once there is a connection." }],
        ["the next question", "vote-waiting", {}, { "#screen-waiting h1": "You are in.", "#screen-waiting p": "The next question appears here by itself." }],
        ["the opening", "vote-soon", {}, { "#poll-state": "Not open yet", "#clock": "opens in" }],
        ["an answer to the vote", "vote-question", { api: voting({ silent: true }), hands: tap }, { "#steps [aria-current]": "Saved on this phone" }],
        ["another try with the vote", "vote-question", { api: voting({ status: 503, json: { code: "busy" } }), hands: tap }, { "#steps [aria-current]": "Saved on this phone", "#receipt-note": "Saved. Sending … no need to refresh." }],
        ["the count", "vote-received", { keep: { [one[0]]: { ...one[1], accepted_at: kit.NOW() + 600_000 } } }, { "#steps [aria-current]": "Received" }],
        ["the result", "vote-hidden-counted", {}, { "#voters": "The presenter will show the result." }],
        ["the server, after a reload", "vote-question", { api: () => ({ hang: true }), keep: kept }, { "#connection": "No answer from the server. You can still vote: it is saved here and sent later." }],
        ["the server, with a vote", "vote-question", { api: () => ({ hang: true }), keep: { ...kept, ...kit.voted(poll, [1], "saved") } }, { "#connection": "No answer from the server. Your vote is saved and will be sent.", "#steps [aria-current]": "Saved on this phone", "#receipt-note": "Saved. Sending … no need to refresh." }],
        ["the network", "vote-question", { hands: (page) => page.context().setOffline(true) }, { "#connection": "You are offline. You can still vote: it is saved here and sent later." }],
        ["the network, with a vote", "vote-question", { hands: async (page) => { await page.context().setOffline(true); await tap(page); } }, { "#connection": "You are offline. Your vote is saved and will be sent.", "#steps [aria-current]": "Saved on this phone" }],
      ];
      for (const [what, name, otherwise, words] of waits) {
        const page = await show(name, otherwise);
        for (const [place, text] of Object.entries(words)) {
          const there = page.locator(place).filter({ hasText: text, visible: true });
          await there.waitFor().catch(() => { throw new Error(`${what}: “${text}” is not said`); });
          await there.evaluate((element) => Promise.all(element.getAnimations({ subtree: true }).map((one) => one.effect?.getComputedTiming().iterations === Infinity || one.finished)));
          equal(await there.evaluate((element) => {
            const { left, right, top, bottom } = element.getBoundingClientRect();
            const seen = document.elementFromPoint((left + right) / 2, (top + bottom) / 2);
            return [element.checkVisibility({ opacityProperty: true, visibilityProperty: true }), top >= 0 && bottom <= innerHeight, element.contains(seen)];
          }), [true, true, true], `${what}: “${text}” is visible, in the window and under nothing`);
        }
        equal(await page.evaluate(() => document.getAnimations().filter((one) => one.effect?.getComputedTiming().iterations === Infinity)
          .map((one) => /** @type {KeyframeEffect} */ (one.effect).target).filter((element) => !/** @type {HTMLElement|null|undefined} */ (element?.closest("section, #dock, .notice"))?.innerText.trim()).length), 0, `${what}: what moves without words`);
        await page.context().close();
      }
    });

    await check("on a phone of 360 px, whether anybody is there covers neither question nor choices nor the number of voters, in any language", async () => {
      for (const lang of LANGUAGES) {
        const poll = kit.poll(kit.SHORT.slice(0, 4), [40, 30, 20, 10]);
        const page = await show("vote-question", { lang, api: counting(poll), keep: kit.voted(poll, [1], "counted") });
        await page.locator("#voters:not(:empty)").waitFor();
        const before = await tops(page);
        for (const offline of [true, false]) {
          const last = offline ? "" : await page.getByTestId("connection").textContent();
          await page.context().setOffline(offline);
          const words = /** @type {string} */ (await (await page.waitForFunction((was) => {
            const place = /** @type {HTMLElement} */ (document.getElementById("connection"));
            return !place.hidden && place.textContent !== was && place.textContent;
          }, last)).jsonValue());
          equal(await underNotices(page), [], `${lang}, under “${words}”`);
          const moved = Math.max(...(await tops(page)).map((top, at) => Math.abs(top - before[at])));
          assert(moved < 30, `${lang}: “${words}” moves a choice by ${moved} px, which is nearly another choice`);
        }
        await page.context().close();
      }
    });

    await check("a refusal covers neither choices nor the number of voters, where they were in sight", async () => {
      for (const lang of LANGUAGES) {
        const poll = kit.poll(kit.SHORT.slice(0, 4), [40, 30, 20, 10]);
        const page = await show("vote-question", {
          lang, keep: kit.voted(poll, [1], "counted"),
          api: (call) => (call.path.endsWith("/ballots") ? { status: 409, json: { code: "poll_closed", detail: "Voting is closed." } } : counting(poll)(call)),
        });
        await page.getByTestId("change").click();
        await phone.vote(page, "Robots");
        await page.getByTestId("refusal").waitFor();
        await page.getByTestId("change").waitFor();
        equal(await underNotices(page), [], `${lang}, under the refusal`);
        await page.context().close();
      }
    });

    await check("ten options of three words stand on one line each at 360 px, and the counts of a million beside them touch none", async () => {
      const names = Array.from({ length: 10 }, (_, at) => `Option number ${at + 1}`);
      for (const votes of [names.map(() => 0), names.map((_, at) => 1_234_567 - at)]) {
        const poll = kit.poll(names, votes);
        const page = await show("vote-question", { api: counting(poll) });
        await page.locator(".votes", { hasText: /\d/ }).first().waitFor();
        const seen = await page.locator("#choices .choice").evaluateAll((rows) => rows.map((row) => {
          const box = (/** @type {string} */ part) => { const range = document.createRange(); range.selectNodeContents(/** @type {Element} */ (row.querySelector(part))); return range; };
          const [text, numbers] = [box(".text"), box(".numbers").getBoundingClientRect()];
          return { name: row.querySelector(".text")?.textContent, lines: new Set([...text.getClientRects()].map(({ top }) => top)).size, apart: Math.round(numbers.left - text.getBoundingClientRect().right), inside: row.getBoundingClientRect().right - numbers.right };
        }));
        equal(seen.filter((row) => row.lines > 1).map((row) => row.name), [], "on more than one line");
        equal(seen.filter((row) => row.apart < 0 || row.inside < 8).map((row) => row.name), [], "names and numbers over each other");
        await page.context().close();
      }
    });

    await check("where people pick several every screen counts people, else votes, in five languages as the phone does", async () => {
      const poll = kit.poll(kit.SHORT.slice(0, 4), [8, 7, 6, 5], { kind: "multiple", voters: 9 });
      for (const lang of LANGUAGES) {
        const told = async (/** @type {string} */ name, /** @type {Api} */ api, /** @type {string} */ place, size = /** @type {import("./scenes.mjs").Size} */ ("laptop")) => {
          const page = await show(name, { lang, api }, size);
          const text = () => page.locator(place).first().textContent();
          await eventually(`${name} has the number`, async () => /9/.test(await text() ?? ""));
          const words = await text() ?? "";
          await page.context().close();
          return words;
        };
        const people = (await told("vote-several", counting(poll), "#voters", "phone")).split(" · ")[0];
        equal(await told("present-several", kit.stage(() => kit.live([poll])), "#voters"), people, `${lang}: on stage`);
        equal(await told("present-several", kit.stage(() => kit.live([poll])), "#twin caption"), `${poll.question} ${people}`, `${lang}: the table beside the stage`);
        equal(await told("overlay-lower", open([poll]), "#voters"), people, `${lang}: over a picture`);
        equal(await told("embed", open([poll]), "#voters"), people, `${lang}: in another page`);
        equal(await told("admin-event", kit.office([poll]), "[data-testid=poll-voters]"), people, `${lang}: at the desk`);
        if (lang === "en") equal(people, "9 voters", "in English");
        const single = kit.poll(kit.SHORT.slice(0, 4), [4, 3, 2, 0]);
        const votes = (await told("vote-question", counting(single), "#voters", "phone")).split(" · ")[0];
        equal(await told("present-two", kit.stage(() => kit.live([single])), "#voters"), votes, `${lang}: on stage, one pick each`);
        if (lang === "en") equal(votes, "9 votes", "in English, one pick each");
      }
    });

    await check("what is over and nobody voted on has no votes; where some may still be on their way, none yet", async () => {
      const none = kit.poll(kit.SHORT.slice(0, 3), [0, 0, 0]);
      for (const [poll, words] of /** @type {[any, string][]} */ ([[kit.final(none), "No votes"], [{ ...none, ...kit.closed }, "No votes yet"], [none, "No votes yet"]])) {
        /** @type {[string, Api, string][]} */
        const screens = [["vote-question", counting(poll), "#voters"], ["present-none", kit.stage(() => kit.live([poll])), "#voters"], ["overlay-lower", open([poll]), "#voters"], ["embed-none", open([poll]), "#voters"], ["admin-event", kit.office([poll]), "[data-testid=poll-voters]"]];
        for (const [name, api, place] of screens) {
          const page = await show(name, { api }, "laptop");
          await page.locator(place, { hasText: /./ }).first().waitFor({ state: "attached" });
          equal(await page.locator(place).first().textContent(), words, `${name}, ${poll.state}, ${poll.results.status}`);
          await page.context().close();
        }
      }
      const line = await show("admin-event", { api: (call) => (call.path === `events/${kit.EVENT}` ? { json: { .../** @type {any} */ (kit.office([kit.final(none)])(call)).json, current: null } } : kit.office([kit.final(none)])(call)) }, "laptop");
      equal(await line.getByTestId("gist").first().innerText(), "Final ·\u00a0No votes", "its line at the desk");
      await line.context().close();
    });

    await check("in Arabic a percent sign stands behind its number on every screen, and the note on several picks has one", async () => {
      const poll = kit.final(kit.poll(kit.ARABIC, [9, 7, 6, 5], { kind: "multiple", voters: 9, question: "أي نهاية تفضل؟" }));
      /** @type {[string, Api, string][]} */
      const screens = [["vote-several", counting(poll), "#voters"], ["present-several", kit.stage(() => kit.live([poll])), "#note"], ["admin-results", kit.office([poll]), "[data-testid=results-summary]"]];
      for (const [name, api, place] of screens) {
        const page = await show(name, { api, lang: "ar", hands: name.startsWith("admin") ? (desk) => desk.getByTestId("results").first().locator("summary").click() : undefined }, "laptop");
        await page.locator(place, { hasText: /100\u200e%\u200e/ }).first().waitFor();
        equal(await percentsOutOfOrder(page), [], name);
        await page.context().close();
      }
    });

    await check("a text that is longer than the server takes is not cut: a form says below the field how much is too much, is not sent, and is once it fits", async () => {
      const [question, title, choice] = ["QUESTION", "TITLE", "CHOICE"].map(longest);
      const page = await show("admin-new-event", { api: (call) => (call.method === "POST" ? { status: 201, json: { id: kit.EVENT } } : kit.office([])(call)) });
      const sent = /** @type {string[]} */ ([]);
      page.on("request", (request) => { if (request.method() === "POST") sent.push(request.postData() ?? ""); });
      const below = (/** @type {string} */ field) => page.getByTestId(field).evaluate((one) => [/** @type {HTMLInputElement} */ (one).value.length, document.getElementById(one.getAttribute("aria-describedby") ?? "")?.textContent ?? ""]);
      await paste(page, "question", "q".repeat(question + 12));
      equal(await below("question"), [question + 12, `12 characters too many: at most ${question}.`], "the question");
      await page.locator("#say", { hasText: "12 characters too many" }).waitFor({ state: "attached" });
      await paste(page, "title", "t".repeat(title + 1));
      equal(await below("title"), [title + 1, `1 character too many: at most ${title}.`], "the title");
      await paste(page, "choices", `- Cowboys\n- ${"c".repeat(choice + 3)}`);
      equal((await below("choices"))[1], `Choice 2: 3 characters too many: at most ${choice}.`, "the second choice");
      await page.getByTestId("submit").click();
      assert(await page.getByTestId("question").evaluate((one) => one === document.activeElement), "the first field that is too long is not gone to");
      equal(sent, [], "sent");
      // As the server counts: families of emoji are one each.
      await page.getByTestId("question").fill("👩‍🚀".repeat(question - 5));
      equal((await below("question"))[1], "5 characters left.", "near the limit");
      // And no more than sixteen bytes for each: one of these has eighteen.
      await page.getByTestId("question").fill("👩‍👩‍👧".repeat(question));
      equal((await below("question"))[1], `${Math.ceil((question * 18) / 16) - question} characters too many: at most ${question}.`, "too many bytes");
      await page.getByTestId("question").fill("Which ending?");
      equal([(await below("question"))[1], await page.getByTestId("question").getAttribute("aria-invalid")], ["", null], "where there is room");
      await page.getByTestId("title").fill("");
      await page.getByTestId("choices").fill("Cowboys\nPirates");
      await page.getByTestId("submit").click();
      await eventually("it is sent", () => sent.length > 0);
      await page.context().close();
      // An event that has no title is called as its question, cut where its characters are too many: not where their units are.
      for (const [asked, called] of [["🌊".repeat(title), "🌊".repeat(title)], ["🌊".repeat(title + 1), `${"🌊".repeat(title - 1)}…`]]) {
        const other = await show("admin-new-event", { api: (call) => (call.method === "POST" ? { status: 201, json: { id: kit.EVENT } } : kit.office([])(call)) });
        const making = other.waitForRequest((request) => request.method() === "POST");
        await other.getByTestId("question").fill(asked);
        await other.getByTestId("choices").fill("Cowboys\nPirates");
        await other.getByTestId("submit").click();
        equal((await making).postDataJSON(), { title: called }, "the title");
        await other.context().close();
      }
    });

    await check("words that are corrected where they stand, and choices that are edited, are not cut either", async () => {
      const draft = kit.poll(["Yes", "No"], [0, 0], { state: "draft", results: { voters: 0, status: "provisional", choices: [] } });
      const page = await show("admin-event", { api: (call) => (call.method === "PATCH" ? { json: {} } : kit.office([draft])(call)) }, "laptop");
      const asked = /** @type {string[]} */ ([]);
      page.on("request", (request) => { if (request.method() === "PATCH") asked.push(request.postData() ?? ""); });
      await page.getByTestId("rename").click();
      await paste(page, "in-place", "t".repeat(longest("TITLE") + 7));
      await page.keyboard.press("Enter");
      await page.getByTestId("length").filter({ hasText: "7 characters too many" }).waitFor();
      assert(await page.getByTestId("in-place").isVisible(), "the field is gone, and what was typed");
      await page.getByTestId("in-place").press("Escape");
      equal(await page.getByTestId("length").count(), 0, "words about a field that is gone");
      await page.getByTestId("edit").locator("summary").click();
      await paste(page, "edit-choice", "c".repeat(longest("CHOICE") + 2));
      await page.getByTestId("length").filter({ hasText: "2 characters too many" }).waitFor();
      await page.getByTestId("save").click();
      assert(await page.getByTestId("edit-choice").first().evaluate((one) => one === document.activeElement), "the choice that is too long is not gone to");
      equal(asked, [], "what the server was asked");
      await page.context().close();
    });

    await check("a code that is longer than any is not cut to one that somebody else may have, and nobody is asked for it", async () => {
      const page = await show("vote-join");
      const [long, asked] = ["a-name-that-nobody-can-have-".repeat(2_000), /** @type {string[]} */ ([])];
      page.on("request", (request) => asked.push(request.url()));
      await paste(page, "join-code", long);
      await page.getByTestId("join-button").click();
      await page.getByTestId("join-error").filter({ hasText: "We don't know the code" }).waitFor();
      equal((await page.getByTestId("join-code").inputValue()).length, long.length, "characters in the field");
      equal(asked, [], "asked");
      await page.context().close();
    });
  } finally {
    await browser.close();
    await theatre.down();
  }
}

/** How many steps are lit, and what is said below them. @param {Page} page @param {number} lit @param {string} note */
const receipt = async (page, lit, note) => {
  const now = async () => JSON.stringify([await page.locator("#steps .is-done").count(), await page.locator("#receipt-note").textContent()]);
  const wanted = JSON.stringify([lit, note]);
  await page.waitForFunction((text) => JSON.stringify([document.querySelectorAll("#steps .is-done").length, document.getElementById("receipt-note")?.textContent]) === text, wanted, { timeout: 5_000 })
    .catch(async () => equal(await now(), wanted, "the receipt"));
};

/** Where what is read stands. @param {Page} page */
const tops = (page) => page.locator("#question, #choices .choice, #voters").evaluateAll((all) => all.map((one) => Math.round(one.getBoundingClientRect().top)));

/** What is read and lies under a notice. @param {Page} page @returns {Promise<string[]>} */
const underNotices = (page) => page.evaluate(() => {
  const notices = [...document.querySelectorAll(".notice:not([hidden])")].map((one) => one.getBoundingClientRect());
  return [...document.querySelectorAll("#poll-state, #question, #choices .choice, #voters")].filter((one) => {
    const { top, bottom } = one.getBoundingClientRect();
    return notices.some((notice) => top < notice.bottom - 1 && bottom > notice.top + 1);
  }).map((one) => one.id || one.textContent?.trim() || "");
});

/** As by Ctrl+V, in place of what is there: a field that cuts what is too long cuts this. @param {Page} page @param {string} field @param {string} text */
async function paste(page, field, text) {
  await page.getByTestId(field).first().click();
  await page.keyboard.press("Control+a");
  await page.keyboard.insertText(text);
}
