// While a show is on, the desk is steady: what is pressed stays where it is, what is said lies over nothing that can be pressed, nothing begins
// by a slip of the hand, and nobody takes back what somebody else has written.

import { fitsInWidth, launch } from "./browser.mjs";
import { enterNamed } from "./enter.mjs";
import { assert, check, equal } from "./report.mjs";
import { kit } from "./scenes.mjs";
import { Theatre } from "./theatre.mjs";

/** @typedef {import("playwright-core").Page} Page */

const { EVENT } = kit;
const LANGUAGES = ["en-GB", "de", "fr", "es", "ar"];

export async function steady() {
  const theatre = await new Theatre().up();
  const browser = await launch();
  const show = (/** @type {string} */ name, /** @type {Partial<import("./scenes.mjs").Scene>} */ otherwise = {}, size = /** @type {import("./scenes.mjs").Size} */ ("laptop")) => enterNamed(browser, theatre, name, size, otherwise);
  /** An event whose server remembers, and what it was asked. @param {any} event */
  const office = (event) => {
    const asked = /** @type {string[]} */ ([]);
    const api = (/** @type {any} */ call) => {
      const { method, path, body } = call;
      if (method !== "GET") asked.push(`${method} ${path} ${JSON.stringify(body)}`);
      if (path === `events/${EVENT}`) {
        if (method === "PATCH") Object.assign(event, body);
        return { json: { .../** @type {any} */ (kit.office(event.polls)({ ...call, method: "GET" })).json, ...event } };
      }
      const poll = event.polls.find((/** @type {any} */ one) => path.split("/")[1] === one.id);
      if (poll && method === "PATCH") Object.assign(poll, body, body.choices && { choices: body.choices.map((/** @type {any} */ one, /** @type {number} */ at) => ({ id: one.id ?? `new${at}`, text: one.text })) });
      if (poll && path.endsWith("/visibility")) Object.assign(poll, body);
      if (poll && path.endsWith("/rounds")) Object.assign(poll, { round: poll.round + 1, state: "closed", closed_at: null });
      if (poll && path.endsWith("/state")) {
        Object.assign(poll, { state: body.state, closed_at: body.state === "closed" ? kit.NOW() : null });
        if (body.state === "open") event.current = poll.id;
      }
      return method === "GET" ? kit.office(event.polls)(call) : { json: {} };
    };
    return { asked, api };
  };
  try {
    await check("a time that is over opens nothing and closes nothing: it is said below its field, and what was set before may be left as it is", async () => {
      const event = { polls: [{ ...kit.drafts[0] }] };
      const { api, asked } = office(event);
      const page = await show("admin-event-drafts", { api });
      await page.getByTestId("schedule").locator("summary").click();
      await page.getByTestId("opens").fill("2020-01-01T10:00");
      await page.getByTestId("closes").fill("2020-01-01T11:00");
      await page.getByTestId("save-schedule").click();
      await page.getByText("This time is over.").first().waitFor({ timeout: 3_000 });
      const told = await page.locator("[aria-invalid]").evaluateAll((all) => all.map((field) => {
        const words = document.getElementById(field.getAttribute("aria-describedby") ?? "");
        return [field.getAttribute("name"), words?.textContent?.slice(0, 18), Number(words?.getBoundingClientRect().top) >= field.getBoundingClientRect().bottom];
      }));
      equal(told, [["opens", "This time is over.", true], ["closes", "This time is over.", true]], "what is told");
      equal([asked, await page.getByTestId("toast").isHidden()], [[], true], "asked of the server, and whether anything is said to be done");
      await page.context().close();
      const was = Date.UTC(2020, 0, 1);
      const running = { polls: [{ ...kit.poll(["Yes", "No"], [0, 0]), opens_at: was }] };
      const desk = office(running);
      const other = await show("admin-event", { api: desk.api });
      await other.getByTestId("schedule").locator("summary").click();
      await other.getByTestId("closes").fill("2099-01-01T11:00");
      await other.getByTestId("save-schedule").click();
      await other.getByTestId("toast").filter({ hasText: "Scheduled." }).waitFor();
      equal(running.polls[0].opens_at, was, "what nobody touched");
      await other.context().close();
    });

    await check("what somebody else has written since is not taken back", async () => {
      const press = (/** @type {Page} */ page, /** @type {string} */ pencil) => async () => {
        await page.getByTestId(pencil).first().click();
        await page.getByTestId("in-place").fill("From A");
        await page.keyboard.press("Enter");
      };
      for (const [what, theirs] of /** @type {[string, (event:any) => void][]} */ ([
        ["reword", (event) => { event.polls[0].question = "From B"; }],
        ["rename", (event) => { event.title = "From B"; }],
        ["form", (event) => { event.polls[0].choices = event.polls[0].choices.map((/** @type {any} */ one) => ({ ...one, text: `${one.text}, says B` })); }],
        ["visibility", (event) => { event.polls[0].visibility = "hidden"; }],
        ["gone", (event) => { event.polls.shift(); }],
      ])) {
        const event = { title: "Friday all-hands", polls: [{ ...kit.poll(["Yes", "No"], [0, 0], { state: "draft" }) }, { ...kit.drafts[1] }] };
        const { api, asked } = office(event);
        const page = await show("admin-event", { api });
        if (what === "form") {
          await page.getByTestId("edit").first().locator("summary").click();
          await page.getByTestId("edit-question").first().fill("From A");
          await page.getByTestId("save").first().click();
        } else if (what === "visibility") await page.getByTestId("poll-visibility").first().selectOption("after_vote");
        else await press(page, what === "gone" ? "reword" : what)();
        await page.getByTestId("toast").filter({ hasText: "Saved." }).waitFor();
        theirs(event);
        const [kept, sent] = [JSON.stringify(event), asked.length];
        await page.evaluate(() => /** @type {HTMLElement} */ (document.activeElement)?.blur());
        await page.keyboard.press("Control+z");
        await page.getByTestId("alert").filter({ hasText: "Changed meanwhile: not undone." }).waitFor({ timeout: 3_000 });
        equal([JSON.stringify(event), asked.slice(sent)], [kept, []], `${what}: what is there, and what was asked`);
        await page.context().close();
      }
    });

    await check("a long word in a result makes nothing wider than its window", async () => {
      const word = "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauun";
      const page = await show("admin-results", { api: kit.office([kit.final(kit.poll([word, "No"], [3, 4]))]) }, "small");
      await page.getByTestId("results-table").waitFor();
      await fitsInWidth(page);
      await page.context().close();
    });
    await check("what was done is said over nothing that can be pressed: with Undo and without, wherever the page is scrolled to", async () => {
      for (const size of /** @type {const} */ (["laptop", "tablet", "phone", "small"])) {
        const polls = [{ ...kit.final(kit.poll(["Yes", "No"], [3, 4])) }, ...kit.drafts.slice(0, 3).map((/** @type {any} */ one) => ({ ...one }))];
        const page = await show("admin-event", { api: office({ current: null, polls }).api }, size);
        const covered = () => page.evaluate(() => {
          const toast = /** @type {HTMLElement} */ (document.getElementById("toast"));
          const here = toast.getBoundingClientRect();
          const over = [...document.querySelectorAll("button, select, input, summary")].filter((one) => !toast.contains(one) && one.checkVisibility({ visibilityProperty: true }));
          const isOut = here.top < 0 || here.bottom > innerHeight || here.left < 0 || here.right > innerWidth;
          return [...(isOut ? ["out of the window"] : []), ...over.filter((one) => {
            const box = one.getBoundingClientRect();
            return box.width && box.left < here.right && box.right > here.left && box.top < here.bottom && box.bottom > here.top;
          }).map((one) => one.textContent || one.getAttribute("data-testid"))];
        });
        for (const [what, words, press] of /** @type {[string, string, () => Promise<unknown>][]} */ ([
          ["without Undo", "Voting is open.", () => page.getByTestId("toggle").nth(1).click()],
          ["with Undo", "Saved.", () => page.getByTestId("poll-visibility").nth(1).selectOption("after_vote")],
        ])) {
          await press();
          await page.getByTestId("toast").filter({ hasText: words }).waitFor();
          await page.mouse.move(1, 1);
          for (const far of [-1, 0, 0.13, 0.29, 0.5, 0.71, 1]) { // where it was pressed, and elsewhere
            if (far >= 0) await page.evaluate((part) => scrollTo(0, part * (document.documentElement.scrollHeight - innerHeight)), far);
            await page.evaluate(() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(() => resolve(undefined)))));
            equal(await covered(), [], `${size}, ${what}, at ${far}`);
          }
        }
        await page.context().close();
      }
    });

    await check("the button that opens voting is where it was when it closes it, and then where it opens it again", async () => {
      const question = "Which of all these endings shall we show to the people who have waited for it since the first of May?";
      for (const lang of LANGUAGES) for (const size of /** @type {const} */ (["laptop", "phone", "small"])) for (const at of [0, 2]) {
        const polls = kit.drafts.slice(0, 3).map((/** @type {any} */ one) => ({ ...one, question, opens_at: null, closes_at: kit.NOW() + 86_400_000 }));
        const page = await show("admin-event-drafts", { lang, api: office({ current: null, polls }).api }, size);
        if (at) await page.getByTestId("fold").nth(at).click();
        const toggle = page.getByTestId("toggle").nth(at);
        const state = page.getByTestId("life").nth(at).locator("[aria-current]");
        /** Measured in the page: a window that scrolls is another matter. */
        const place = () => toggle.evaluate((one) => { const box = one.getBoundingClientRect(); return [document.dir === "rtl" ? document.documentElement.clientWidth - box.right : box.left, box.top + scrollY]; });
        const places = [await place()];
        for (const step of ["open", "closed", "open"]) {
          await toggle.click();
          await page.waitForFunction(([nth, wanted]) => document.querySelectorAll(".life")[Number(nth)].querySelector(`[aria-current][data-step="${wanted}"]`), /** @type {const} */ ([at, step]));
          places.push(await place());
        }
        assert(await state.isVisible(), "no state");
        for (const [x, y] of places) assert(Math.abs(x - places[0][0]) <= 2 && Math.abs(y - places[0][1]) <= 2, `${lang}, ${size}, question ${at + 1}: ${JSON.stringify(places)}`);
        await page.context().close();
      }
    });

    await check("hiding and revealing say where they act, and are offered only where there is something to hide", async () => {
      const asked = kit.final(kit.poll(["Yes", "No"], [3, 4]));
      const over = { ...kit.drafts[0], id: "8f3k2m9qx1c9x", state: "closed", opens_at: kit.NOW() + 600_000, closed_at: kit.NOW() - 1_000 };
      for (const [polls, wanted] of /** @type {[any[], string[]][]} */ ([
        [[asked, { ...asked, id: "8f3k2m9qx1c7w", revealed: false }, kit.drafts[0], over, { ...asked, id: "8f3k2m9qx1c7y", round: 2, closed_at: null }], ["Hide on the big screen", "Reveal on the big screen"]],
      ])) {
        const page = await show("admin-event", { api: kit.office(polls) });
        for (const card of await page.getByTestId("poll").all()) if (await card.getAttribute("data-folded") !== null) await card.getByTestId("fold").click();
        equal(await page.getByTestId("reveal").filter({ visible: true }).allInnerTexts(), wanted, "what is offered");
        await page.context().close();
      }
    });

    await check("a question that waited for the clock when its event ended was not asked, and is neither final nor a table of zeros", async () => {
      const never = { ...kit.final(kit.poll(["Yes", "No"], [0, 0])), opens_at: kit.NOW() + 600_000 };
      for (const state of ["ended", "live"]) {
        const page = await show("admin-results", { api: (call) => (call.path === `events/${EVENT}` ? { json: { .../** @type {any} */ (kit.office([never])(call)).json, state } } : kit.office([never])(call)) });
        equal(await page.getByTestId("life").locator("[aria-current]").innerText(), "Not asked", "its state");
        await page.getByTestId("results-summary").filter({ hasText: "Nobody was asked" }).waitFor();
        equal([await page.getByTestId("results-table").isVisible(), await page.getByTestId("poll-voters").innerText(), await page.getByTestId("new-round").isVisible()], [false, "", false], "its table, its votes, another round of it");
        equal(await page.getByTestId("toggle").filter({ visible: true }).allInnerTexts(), state === "live" ? ["Open voting"] : [], "what can be done");
        await page.context().close();
      }
      const event = { polls: [{ ...never }] };
      const desk = office(event);
      const again = await show("admin-event", { api: desk.api });
      assert(!/opens/.test(await again.getByTestId("poll").locator('[data-fill="about"]').innerText()), "it is said to open all the same");
      await again.getByTestId("toggle").click();
      await again.getByTestId("toast").filter({ hasText: "Voting is open." }).waitFor();
      equal([desk.asked, event.polls[0].opens_at], [[`PATCH polls/${never.id} {"opens_at":null}`, `PUT polls/${never.id}/state {"state":"open"}`], null], "asked of the server: with its time it would wait for it");
      await again.context().close();
      const asked = await show("admin-results", { api: kit.office([{ ...kit.final(kit.poll(["Yes", "No"], [3, 4])), opens_at: kit.NOW() - 600_000 }]) });
      equal(await asked.getByTestId("life").locator("[aria-current]").innerText(), "Final", "of one that was asked");
      await asked.context().close();
    });

    await check("at the desk, too, the winner is marked once all is counted, and a tie as a tie", async () => {
      for (const [votes, isFinal, wanted] of /** @type {[number[], boolean, boolean[]][]} */ ([[[3, 9, 4], true, [false, true, false]], [[9, 9, 4], true, [true, true, false]], [[3, 9, 4], false, [false, false, false]], [[0, 0, 0], true, [false, false, false]]])) {
        const one = kit.poll(["Lake", "Bar", "Pub"], votes);
        const page = await show("admin-results", { api: kit.office([isFinal ? kit.final(one) : one]) });
        await page.getByTestId("results-table").locator("tbody tr").nth(2).waitFor();
        equal(await page.getByTestId("results-table").locator("tbody tr").evaluateAll((rows) => rows.map((row) => /** @type {HTMLElement} */ (row).innerText.includes("★"))), wanted, `${votes}${isFinal ? ", final" : ""}`);
        await page.context().close();
      }
    });

    await check("a result at the desk says how the round before came out", async () => {
      const second = kit.secondRound();
      const page = await show("admin-results", { api: (call) => (call.path.endsWith("/results") ? { json: { .../** @type {any} */ (kit.office([second])(call)).json, round: 2, rounds: [1, 2], results: { ...second.results, before: undefined } } } : kit.office([second])(call)) });
      const table = page.getByTestId("results-table");
      await table.getByRole("columnheader", { name: "Round 1" }).waitFor({ timeout: 3_000 });
      equal(await table.locator("tbody tr td:nth-child(4)").allInnerTexts(), second.results.before.choices.map((/** @type {any} */ one) => `${one.percent}%`), "the round before");
      await page.context().close();
      const first = await show("admin-results");
      equal(await first.getByTestId("results-table").getByRole("columnheader").allInnerTexts(), ["Choice", "Votes", "Percent of voters"], "of a first round");
      await first.context().close();
    });

    await check("once voting is closed the question can be asked again, beside opening it again; it is confirmed by a button that warns of nothing", async () => {
      const event = { polls: [{ ...kit.final(kit.poll(["Yes", "No"], [3, 4])) }] };
      const { api, asked } = office(event);
      const page = await show("admin-event", { api });
      const again = page.getByTestId("new-round");
      equal(await again.innerText(), "Ask again (round 2) …", "its words");
      await again.click({ timeout: 3_000 });
      const yes = page.getByTestId("confirm-yes");
      equal([await yes.innerText(), await yes.evaluate((one) => one.className)], ["Ask again", "main"], "the button");
      assert((await page.getByTestId("confirm").innerText()).includes("The votes of round 1 stay and can still be downloaded; its result is marked beside the new one, unless you switch that off"), "what stays");
      await yes.click();
      await page.getByTestId("toast").filter({ hasText: "A new round is ready." }).waitFor();
      equal([asked.map((one) => one.split(" ").slice(0, 2).join(" ")), await again.isVisible()], [[`POST polls/${event.polls[0].id}/rounds`], false], "asked of the server, and whether it is offered before it was opened");
      await page.getByTestId("poll").locator("summary", { hasText: "More" }).click();
      await page.getByTestId("delete-poll").click();
      equal(await yes.evaluate((one) => one.className), "danger", "of what is lost");
      await page.context().close();
    });

    await check("on a phone the first question and its button are in sight; how people join is a line that opens, and results stand below the questions", async () => {
      for (const lang of LANGUAGES) {
        const polls = [{ ...kit.drafts[0] }, kit.final(kit.poll(["Yes", "No"], [3, 4]))];
        const page = await show("admin-event", { lang, api: office({ current: null, polls }).api }, "phone");
        const box = await page.getByTestId("toggle").first().boundingBox();
        assert(box && box.y + box.height <= 740, `${lang}: it ends at ${box && box.y + box.height}`);
        equal([await page.getByTestId("join-link").isVisible(), await page.getByTestId("present-link").isVisible()], [false, true], `${lang}: the link, the big screen`);
        const [list, results] = [await page.getByTestId("polls").boundingBox(), await page.getByTestId("results-link").boundingBox()];
        assert(list && results && results.y >= list.y + list.height, `${lang}: results to take away stand above`);
        await page.getByTestId("ways").locator("summary").click();
        assert(await page.getByTestId("join-link").isVisible() && await page.getByTestId("show-remote").isVisible(), `${lang}: opened`);
        await fitsInWidth(page);
        await page.setViewportSize({ width: 1280, height: 800 });
        assert(await page.getByTestId("ways").evaluate((ways, testids) => testids.every((id) => ways.querySelector(`[data-testid="${id}"]`)?.checkVisibility()), ["join-link", "present-link", "poster-link"]), `${lang}: where there is room again`);
        await page.context().close();
      }
      const over = await show("admin-event-ended", {}, "phone");
      assert(await over.getByTestId("revive").isVisible(), "what goes on with an event that is over is folded");
      await over.context().close();
    });
    await check("the preview of a question says what the phone says, in its own words and in five languages, and when its result is to be seen", async () => {
      const written = async (/** @type {string} */ lang) => {
        const { readFileSync } = await import("node:fs");
        const source = readFileSync(new URL(`../../static/vote/${lang === "en" ? "words" : lang}.js`, import.meta.url), "utf8");
        return (/** @type {string} */ key) => source.match(new RegExp(`\\b${key}: "([^"]*)"`))?.[1] ?? "nothing";
      };
      for (const locale of LANGUAGES) {
        const phone = await written(locale.slice(0, 2));
        const number = new Intl.NumberFormat(locale);
        const page = await show("admin-new-event", { lang: locale });
        const preview = page.getByTestId("preview");
        const says = async (/** @type {string} */ wanted, /** @type {string} */ what) => equal(await preview.locator(".hint").innerText(), wanted, `${locale}, ${what}`);
        const rule = (/** @type {string} */ key, /** @type {Record<string, number>} */ values = {}) => phone("then_send").replace("{rule}", phone(key).replace(/\{(\w+)\}/g, (_, name) => number.format(values[name])));
        await page.getByTestId("choices").fill("Lake\nBar\nPub\nPark");
        await says(phone("tap_one"), "one");
        await page.getByTestId("change").uncheck();
        await says(rule("pick", { n: 1 }), "one, for good");
        await page.getByTestId("kind-multiple").check();
        await says(rule("pick_any"), "several");
        await page.getByTestId("max").fill("3");
        await says(rule("pick_up_to", { n: 3 }), "up to three");
        await page.getByTestId("min").fill("2");
        await says(rule("pick_range", { min: 2, n: 3 }), "two or three");
        await page.getByTestId("max").fill("2");
        await says(rule("pick", { n: 2 }), "two");
        const seen = [];
        for (const visibility of ["live", "after_vote", "after_close", "hidden"]) {
          await page.getByTestId("visibility").selectOption(visibility);
          seen.push(await page.getByTestId("seen").innerText());
        }
        equal(new Set(seen).size, 4, `${locale}: ${seen}`);
        if (locale === "en-GB") equal(seen, ["Everyone sees the bars while voting.", "Everyone sees the bars after they have voted.", "Everyone sees the bars after voting closes.", "Everyone sees the bars when you show them."], "when the bars are to be seen");
        await page.context().close();
      }
    });

    await check("the list of events says of each how it is, and leads to its big screen; where there is none yet, one button is bright", async () => {
      for (const size of /** @type {const} */ (["laptop", "small"])) {
        const page = await show("admin-events", {}, size);
        const rows = await page.getByTestId("events").locator("li").evaluateAll((all) => all.map((row) => [row.querySelector("[data-testid=event-state]")?.textContent, row.querySelector("[data-testid=event-screen]")?.checkVisibility()]));
        equal(rows.map(([state]) => state), ["Live", "Voting open", "Live", "Voting open", "Voting open", "Live"], "how each is");
        assert(rows.every(([, screen]) => screen), "no way to a big screen");
        equal(await page.getByTestId("event-screen").first().getAttribute("href"), "/present/e0", "where it leads");
        await fitsInWidth(page);
        await page.context().close();
      }
      const page = await show("admin-events", { api: kit.office([], [{ id: "e1", code: "482913", title: "Over", state: "ended", polls: 1, open: 0, created_at: kit.NOW() }]) });
      equal([await page.getByTestId("event-state").innerText(), await page.getByTestId("event-screen").isVisible()], ["Ended", false], "of one that is over");
      await page.context().close();
      const none = await show("admin-no-events");
      equal(await none.locator(".main").filter({ visible: true }).allInnerTexts(), ["Write a question"], "what is bright where there is none");
      await none.context().close();
    });
  } finally {
    await browser.close();
    await theatre.down();
  }
}
