// At the desk a word of warning goes when it is true no more, what was replaced or removed comes back by one press, a list may be pasted as
// it stands elsewhere, and what belongs to an event is found on its page.

import { fitsInWidth, launch } from "./browser.mjs";
import { enterNamed } from "./enter.mjs";
import { assert, check, equal, eventually } from "./report.mjs";
import { kit } from "./scenes.mjs";
import { Theatre } from "./theatre.mjs";

/** @typedef {import("playwright-core").Page} Page @typedef {import("playwright-core").Locator} Locator */

const LANGUAGES = ["en-GB", "de", "fr", "es", "ar"];
const DOT = Buffer.from("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==", "base64");

export async function forms() {
  const theatre = await new Theatre().up();
  const browser = await launch();
  const show = (/** @type {string} */ name, /** @type {Partial<import("./scenes.mjs").Scene>} */ otherwise = {}, size = /** @type {import("./scenes.mjs").Size} */ ("laptop")) => enterNamed(browser, theatre, name, size, otherwise);
  /** An event whose server remembers. @param {any} event @param {(call:{method:string, path:string, body:any}) => any} [first] what is answered otherwise */
  const office = (event, first = () => undefined) => (/** @type {any} */ call) => {
    const own = first(call);
    if (own) return own;
    if (call.path === `events/${kit.EVENT}`) {
      if (call.method === "PATCH") Object.assign(event, call.body);
      return { json: { .../** @type {any} */ (kit.office(event.polls)({ ...call, method: "GET" })).json, ...event } };
    }
    const poll = event.polls.find((/** @type {any} */ one) => call.path === `polls/${one.id}`);
    if (call.method === "PATCH" && poll) Object.assign(poll, call.body, call.body.choices && { choices: call.body.choices.map((/** @type {any} */ one, /** @type {number} */ at) => ({ id: one.id ?? `new${at}`, text: one.text })) });
    return call.method === "GET" ? kit.office(event.polls)(call) : { json: {} };
  };
  /** What is marked as wrong, and what is said below it. @param {Page} page */
  const told = (page) => page.locator("[aria-invalid]").evaluateAll((all) => all.map((field) => {
    const words = /** @type {HTMLElement} */ (document.getElementById(field.getAttribute("aria-describedby") ?? ""));
    const red = getComputedStyle(field).borderTopColor === getComputedStyle(words).color;
    return [field.getAttribute("name") ?? field.getAttribute("data-testid"), words.textContent, red && words.checkVisibility() && words.getBoundingClientRect().top >= field.getBoundingClientRect().bottom];
  }));
  try {
    await check("a short name that is refused says so below its field, in red, until it is changed; nothing of it is left beside “Saved.”", async () => {
      const event = { slug: null, polls: [kit.poll(["Yes", "No"], [3, 4])] };
      const page = await show("admin-event", { api: office(event, ({ method, body }) => (method === "PATCH" && body?.slug === "admin" ? { status: 422, json: { code: "slug_reserved", detail: "Said by the server." } } : undefined)) });
      await page.getByTestId("event-settings").locator("summary").click();
      const slug = page.getByTestId("slug");
      await slug.fill("admin");
      await slug.press("Enter");
      await page.getByText("Said by the server.").waitFor();
      equal(await told(page), [["slug", "Said by the server.", true]], "what is told");
      assert(await page.getByTestId("alert").isHidden(), "it lies over the page, too");
      await slug.press("Tab");
      equal(await slug.inputValue(), "admin", "what was typed, once the field is left");
      await slug.fill("evening");
      equal(await told(page), [], "once it is another name");
      await slug.press("Enter");
      await page.getByTestId("toast").filter({ hasText: "Saved." }).waitFor();
      equal([await page.getByText("Said by the server.").count(), event.slug], [0, "evening"], "left of it");
      await page.context().close();
    });

    await check("a file that is no picture says so below its field, until there is one that is", async () => {
      const page = await show("admin-event", { api: office({ polls: [kit.poll(["Yes", "No"], [3, 4])] }) });
      await page.getByTestId("event-settings").locator("summary").click();
      await page.getByTestId("logo").setInputFiles({ name: "notes.png", mimeType: "image/png", buffer: Buffer.from("no picture") });
      await page.getByText("cannot make a small picture").waitFor();
      equal((await told(page)).map(([name, , right]) => [name, right]), [["logo", true]], "what is told");
      assert(await page.getByTestId("alert").isHidden(), "it lies over the page, too");
      await page.getByTestId("logo").setInputFiles({ name: "dot.png", mimeType: "image/png", buffer: DOT });
      await page.getByTestId("toast").filter({ hasText: "Saved." }).waitFor();
      equal([await told(page), await page.getByText("cannot make a small picture").count()], [[], 0], "left of it");
      await page.context().close();
    });

    await check("what went wrong is not said any more beside what went well", async () => {
      let refuses = true;
      const page = await show("admin-event", { api: office({ polls: [kit.poll(["Yes", "No"], [3, 4])] }, ({ method }) => (method === "PUT" && refuses ? { status: 409, json: { code: "odd", detail: "Said by the server." } } : undefined)) });
      await page.getByTestId("toggle").click();
      await page.getByTestId("alert").filter({ hasText: "Said by the server." }).waitFor();
      refuses = false;
      await page.getByTestId("toggle").click();
      await page.getByTestId("toast").waitFor();
      assert(await page.getByTestId("alert").isHidden(), "it is still there");
      await page.context().close();
    });

    await check("a field that is wrong is so until it changes: by typing, by a template, by pasting; and “is there twice” as long as it is", async () => {
      for (const mend of [
        async (/** @type {Page} */ page) => { await page.getByTestId("template-yes_no").click(); },
        async (/** @type {Page} */ page) => { await page.getByTestId("question").fill("W"); await page.getByTestId("choices").fill("a"); },
        async (/** @type {Page} */ page) => { await paste(page.getByTestId("question"), "Where to?"); await paste(page.getByTestId("choices"), "- Lake\n- Bar"); },
      ]) {
        const page = await show("admin-new-event");
        await page.getByTestId("submit").click();
        await page.getByText("Write the question.").waitFor();
        equal((await told(page)).map(([name]) => name), ["question", "choices"], "all that is wrong");
        await mend(page);
        equal([await told(page), await page.locator(".error", { hasText: /./ }).count()], [[], 0], `after ${mend}`);
        await page.context().close();
      }
      const page = await show("admin-new-event");
      await page.getByTestId("question").fill("Where to?");
      await page.getByTestId("choices").fill("Lake\nlake");
      await page.getByTestId("submit").click();
      await page.getByText("“lake” is there twice").waitFor();
      await page.getByTestId("choices").fill("Lake\nBar\nlake");
      equal((await told(page)).map(([name]) => name), ["choices"], "still twice");
      await page.getByTestId("choices").fill("Lake\nBar\nlakes");
      equal(await told(page), [], "once only");
      await page.getByTestId("kind-multiple").check();
      await page.getByTestId("max").fill("7");
      await page.getByTestId("submit").click();
      await page.getByText("“At most” is a number from 1 to 3.").waitFor();
      await page.getByTestId("kind-single").check();
      equal([await told(page), await page.locator(".error", { hasText: /./ }).count()], [[], 0], "limits that are not asked for");
      await page.context().close();
    });

    await check("a list that is pasted leaves its bullets and its counting behind; what only looks like them stays", async () => {
      const page = await show("admin-new-event");
      const choices = page.getByTestId("choices");
      const kept = "kept as it is";
      for (const [list, wanted] of [
        ["1. Lake\n2. Rooftop bar", "Lake\nRooftop bar"], ["9) Lake\n10) Bar\n11) Pub", "Lake\nBar\nPub"], ["- Lake\n• Rooftop bar\n* Bowling\n– Pub\n·\tPark", "Lake\nRooftop bar\nBowling\nPub\nPark"],
        ["a) Lake\nb) Bar", "Lake\nBar"], ["A. Lake\nB. Bar\nC. Pub", "Lake\nBar\nPub"], ["١. بحيرة\n٢. شاطئ", "بحيرة\nشاطئ"], ["Lake\n- Bar", "Lake\nBar"], ["  - Lake\r\n\r\n  - Bar\r\n", "Lake\nBar\n"],
        ["- Lake", kept], ["1. Lake", kept], ["-5 °C\n-10 °C", kept], ["2024\n2025", kept], ["3.5\n4.5", kept], ["1.5 km\n2.5 km", kept], ["1. FC Köln\n1. FC Nürnberg", kept],
        ["● Lake\n▪ Bar\n◦ Pub", "Lake\nBar\nPub"], ["- [ ] Lake\n- [x] Bar\n[X] Pub\n[] Park", "Lake\nBar\nPub\nPark"], ["Lake\tRooftop bar\t\tPub\r\n", "Lake\nRooftop bar\nPub\n"], ["[a] Lake\n[b] Bar", kept], ["Lake\t4\nBar\t5", kept],
        ["1. May\n2. May", kept], ["1. Lake\nBar", kept], ["1. Lake\n3. Bar", kept], ["A. Lake\nb. Bar", kept], ["*\n-", kept], ["*bold*\n-x", kept],
      ]) {
        await choices.fill("");
        await paste(choices, list);
        equal(await choices.inputValue(), wanted === kept ? list : wanted, list);
      }
      await choices.fill("");
      await paste(choices, "1. Lake\n2. Bar");
      await page.keyboard.press("Control+Z");
      equal(await choices.inputValue(), "", "taken back by the keyboard");
      await choices.fill("1. FC Köln\n1. FC Nürnberg");
      equal(await page.getByTestId("preview").locator(".text").allInnerTexts(), ["1. FC Köln", "1. FC Nürnberg"], "what a phone will show of two that do not count up");
      await page.context().close();
    });

    await check("a list that is pasted into one choice of a question becomes as many choices", async () => {
      const page = await show("admin-edit");
      const card = page.getByTestId("poll").first();
      await card.getByTestId("edit-choice").nth(1).fill("");
      await paste(card.getByTestId("edit-choice").nth(1), "1. Lake\n2. Rooftop bar\n3. Pub");
      equal(await card.getByTestId("edit-choice").evaluateAll((all) => all.map((one) => /** @type {HTMLInputElement} */ (one).value)), ["Yes", "Lake", "Rooftop bar", "Pub"], "the choices");
      await page.context().close();
    });

    await check("a template that takes the place of choices somebody wrote says so, and gives them back", async () => {
      const page = await show("admin-new-event");
      const [question, choices, toast] = ["question", "choices", "toast"].map((id) => page.getByTestId(id));
      await choices.fill("Lake\nBar\nPub");
      await page.getByTestId("template-yes_no").click();
      await toast.filter({ hasText: "3 choices" }).waitFor();
      await page.getByTestId("undo").click();
      equal([await question.inputValue(), await choices.inputValue(), await page.getByTestId("preview").locator(".text").allInnerTexts()], ["", "Lake\nBar\nPub", ["Lake", "Bar", "Pub"]], "taken back");
      await page.getByTestId("template-yes_no").click();
      await question.fill("Shall we?");
      await page.getByTestId("undo").click();
      equal([await question.inputValue(), await choices.inputValue()], ["Shall we?", "Lake\nBar\nPub"], "a question that was written since");
      await page.context().close();
      const other = await show("admin-new-event");
      await other.getByTestId("template-yes_no").click();
      await other.getByTestId("template-ice").click();
      assert(await other.getByTestId("toast").isHidden(), "one template after another is nothing to be told");
      await other.context().close();
    });

    await check("a choice that was removed in the form comes back where it stood; what was saved there can be taken back, too", async () => {
      const event = { polls: [{ ...kit.drafts[0], choices: ["Lake", "Bar", "Pub"].map((text, at) => ({ id: `c${at}`, text })) }] };
      const page = await show("admin-event-drafts", { api: office(event) });
      const card = page.getByTestId("poll").first();
      const written = () => card.getByTestId("edit-choice").evaluateAll((all) => all.map((one) => /** @type {HTMLInputElement} */ (one).value));
      await card.getByTestId("edit").locator("summary").click();
      await card.getByTestId("remove-choice").nth(1).click();
      equal(await written(), ["Lake", "Pub"], "removed");
      await page.getByTestId("toast").filter({ hasText: "“Bar”" }).waitFor();
      await page.getByTestId("undo").click();
      equal(await written(), ["Lake", "Bar", "Pub"], "and back");
      await card.getByTestId("remove-choice").nth(1).click();
      await card.getByTestId("edit-question").fill("Where to?");
      await card.getByTestId("save").click();
      await page.getByTestId("toast").filter({ hasText: "Saved." }).waitFor();
      equal([event.polls[0].question, event.polls[0].choices.map(({ text }) => text)], ["Where to?", ["Lake", "Pub"]], "saved");
      await page.getByTestId("undo").click();
      await page.getByTestId("toast").filter({ hasText: "Undone." }).waitFor();
      equal([event.polls[0].question, event.polls[0].choices.map(({ id, text }) => `${id} ${text}`)], [kit.drafts[0].question, ["c0 Lake", "new1 Bar", "c2 Pub"]], "taken back: what is gone comes as a new one");
      await page.context().close();
    });

    await check("who deletes a question that was never asked is not warned of its votes; who deletes another is", async () => {
      for (const [name, warned] of /** @type {const} */ ([["admin-event-drafts", false], ["admin-results", true]])) {
        const page = await show(name);
        await page.getByTestId("poll").first().locator("summary", { hasText: "More" }).click();
        await page.getByTestId("delete-poll").first().click();
        const text = await page.getByTestId("confirm").innerText();
        equal([/votes/.test(text), /CSV/.test(text)], [warned, warned], text);
        await page.context().close();
      }
    });

    await check("an event is duplicated with one click and taken back with another; its copy has a title that says so and fits", async () => {
      for (const [lang, title, named] of [["en-GB", "Friday all-hands", "Copy of Friday all-hands"], ["de", "ä".repeat(120), `Kopie von ${"ä".repeat(109)}…`], ["de", `${"👩‍👩‍👧".repeat(106)}abcd`, `Kopie von ${"👩‍👩‍👧".repeat(105)}…`]]) {
        const asked = /** @type {string[]} */ ([]);
        const page = await show("admin-event", { lang, api: office({ title, polls: [kit.poll(["Yes", "No"], [3, 4])] }, ({ method, path, body }) => {
          if (method !== "GET") asked.push(`${method} ${path}${body ? ` ${JSON.stringify(body)}` : ""}`);
          return method === "POST" && path === "events" ? { json: { id: "copy" } } : path === "events/copy" ? { json: { .../** @type {any} */ (kit.office([])({ method: "GET", path: `events/${kit.EVENT}` })).json, id: "copy", title: named } } : undefined;
        }) });
        await page.getByTestId("event-settings").locator("summary").click();
        await page.getByTestId("copy-event").click();
        await page.waitForURL("**/admin/events/copy");
        await page.getByTestId("undo").click();
        await page.waitForURL(`**/admin/events/${kit.EVENT}`);
        equal(asked, [`POST events ${JSON.stringify({ title: named, copy_of: kit.EVENT })}`, "DELETE events/copy"], "asked of the server");
        await page.context().close();
      }
    });

    await check("how many people pick can be changed in a draft, and back; later it is not offered", async () => {
      const [draft, voted] = [{ ...kit.drafts[0], kind: "single", rules: { min: 1, max: 1, change: true } }, { ...kit.poll(["Yes", "No"], [3, 4]), locked: true }];
      const asked = /** @type {any[]} */ ([]);
      const page = await show("admin-event-drafts", { api: office({ polls: [draft, voted] }, ({ method, body }) => { if (method === "PATCH") asked.push([body.kind, body.min, body.max]); }) });
      const [first, second] = [page.getByTestId("edit").first(), page.getByTestId("edit").last()];
      await first.locator("summary").click();
      assert(await first.getByLabel("At least").isHidden(), "limits of a single choice");
      await first.getByTestId("edit-multiple").check();
      await first.getByLabel("At most").fill("2");
      await first.getByTestId("save").click();
      await page.getByTestId("undo").click();
      await page.getByTestId("toast").filter({ hasText: "Undone" }).waitFor();
      equal(asked, [["multiple", 1, 2], ["single", undefined, undefined]], "asked of the server");
      await second.locator("summary").click();
      await second.getByText("People have voted").waitFor();
      assert(await second.getByTestId("edit-multiple").isHidden(), "offered after votes");
      await page.context().close();
    });

    await check("a choice that cannot be saved says so below itself, for as long as it is true", async () => {
      const asked = /** @type {string[]} */ ([]);
      const page = await show("admin-edit", { api: office({ polls: [{ ...kit.poll(["Yes", "No", "Maybe"], [0, 0, 0]), locked: false }] }, ({ method, path }) => { if (method !== "GET") asked.push(`${method} ${path}`); }) }, "phone");
      const form = page.getByTestId("edit").first();
      const choices = form.getByTestId("edit-choice");
      const said = () => choices.evaluateAll((all) => all.map((one) => (one.getAttribute("aria-invalid") ? document.getElementById(one.getAttribute("aria-describedby") ?? "")?.textContent : "")));
      for (const [at, typed, words] of /** @type {[number, string, string][]} */ ([[1, "", "A choice has no words"], [2, "yes", "“yes” is there twice"]])) {
        const before = await choices.nth(at).inputValue();
        await choices.nth(at).fill(typed);
        await form.getByTestId("save").click();
        await eventually(`“${words}” is said`, async () => (await said())[at]?.startsWith(words) ?? false);
        equal((await said()).filter(Boolean).length, 1, "choices that are wrong");
        assert(await choices.nth(at).evaluate((one) => one === document.activeElement), "it is not gone to");
        const [field, below] = [await choices.nth(at).boundingBox(), await form.locator(".error:not(:empty)").boundingBox()];
        assert(field && below && below.y >= field.y + field.height && below.y < field.y + field.height + 30, `said at ${below?.y}, below ${field?.y}`);
        if (typed) await choices.first().fill("Yes, of course"); // the other of two that are the same
        else await choices.nth(at).fill(before);
        equal((await said()).filter(Boolean), [], "after a change");
        await choices.nth(at).fill(before);
        await choices.first().fill("Yes");
      }
      for (let left = 3; left > 1; left -= 1) await form.getByTestId("remove-choice").last().click();
      await form.getByTestId("save").click();
      await eventually("two are wanted", async () => (await said())[0] === "Keep at least two choices.");
      await form.getByTestId("add-choice").click();
      equal(await said(), ["", ""], "with a second one");
      equal(asked, [], "asked of the server");
      await page.context().close();
    });

    await check("a form that was open while people had voted takes choices again once a new round has begun", async () => {
      const event = { polls: [kit.poll(["Yes", "No"], [3, 4])] };
      const page = await show("admin-event", { api: office(event) });
      await page.getByTestId("edit").locator("summary").click();
      assert(await page.getByTestId("add-choice").isHidden(), "choices are added to a question with votes");
      event.polls[0] = { ...kit.poll(["Yes", "No"], [0, 0], { state: "closed", round: 2 }), locked: false };
      await page.locator("summary", { hasText: "More" }).click();
      await page.getByTestId("duplicate").click(); // anything that looks at the server
      await page.getByTestId("add-choice").waitFor();
      await page.context().close();
    });

    await check("a schedule that is emptied is no longer one, in words and in fact: nothing opens for it", async () => {
      const [draft, scheduled] = [{ ...kit.drafts[0], closes_at: kit.NOW() + 600_000 }, { ...kit.drafts[1], state: "open", opens_at: kit.NOW() + 600_000 }];
      for (const [poll, calls] of /** @type {[any, string[]][]} */ ([
        [draft, [`PATCH polls/${draft.id} {"opens_at":null,"closes_at":null}`]],
        [scheduled, [`POST polls/${scheduled.id}/rounds`, `PATCH polls/${scheduled.id} {"opens_at":null,"closes_at":null}`]],
        [{ ...scheduled, results: { voters: 3, status: "provisional", choices: [] } }, [`PUT polls/${scheduled.id}/state {"state":"closed"}`, `PATCH polls/${scheduled.id} {"opens_at":null,"closes_at":null}`]],
      ])) {
        for (const [lang, words] of [["en-GB", "No longer scheduled."], ["de", "Nicht mehr geplant."]]) {
          const asked = /** @type {string[]} */ ([]);
          const page = await show("admin-event-drafts", { lang, api: office({ polls: [{ ...poll }] }, ({ method, path, body }) => { if (method !== "GET") asked.push(`${method} ${path}${body ? ` ${JSON.stringify(body)}` : ""}`); }) });
          await page.getByTestId("schedule").locator("summary").click();
          // What is set stands there a moment after it was unfolded: emptied before that, it would be filled in again.
          await eventually("the schedule as it is", async () => /^20/.test(await page.getByTestId("opens").inputValue() + await page.getByTestId("closes").inputValue()));
          for (const field of ["opens", "closes"]) await page.getByTestId(field).fill("");
          await page.getByTestId("save-schedule").click();
          await page.getByTestId("toast").filter({ hasText: words }).waitFor();
          equal(asked, calls, `asked of the server, of one that is ${poll.state}`);
          await page.context().close();
        }
      }
    });

    await check("a schedule is set in the time of another place: the hours stay as they were typed, it is said what they are here, and they stand there again", async () => {
      const event = { polls: [{ ...kit.drafts[0] }] };
      const page = await show("admin-event-drafts", { zone: "Europe/Berlin", api: office(event) });
      const [schedule, opens, closes, zone, name, here] = ["schedule", "opens", "closes", "zone", "zone-name", "zone-here"].map((id) => page.getByTestId(id));
      const unfold = () => schedule.locator("summary").click();
      const stands = async () => [await opens.inputValue(), await closes.inputValue(), await zone.inputValue()];
      const save = async () => {
        await page.getByTestId("save-schedule").click();
        await page.getByTestId("toast").filter({ hasText: "Scheduled." }).waitFor();
        return [event.polls[0].opens_at, event.polls[0].closes_at];
      };
      await unfold();
      const all = await zone.locator("option").allInnerTexts();
      equal([all.slice(0, 2), all.length > 300, new Set(all).size], [["Europe/Berlin", "UTC"], true, all.length], "the zones");
      await opens.fill("2099-07-01T08:00");
      await closes.fill("2099-07-01T09:30");
      equal([await name.innerText(), await here.innerText()], ["Europe/Berlin, CEST", ""], "of this place");
      await zone.selectOption("America/New_York");
      equal(await stands(), ["2099-07-01T08:00", "2099-07-01T09:30", "America/New_York"], "what was typed, once the place is another");
      equal(await name.innerText(), "America/New_York, GMT-4", "the clock of that day");
      assert(/^Here that is 14:00\W+15:30\.$/.test(await here.innerText()), await here.innerText());
      await opens.fill("2099-07-01T20:00");
      await closes.fill("");
      equal(await here.innerText(), "Here that is 2 Jul 2099, 02:00.", "on another day");
      await closes.fill("2099-07-01T21:00");
      assert(/^Here that is 2 Jul 2099\W+02:00\W+03:00\.$/.test(await here.innerText()), await here.innerText());
      await opens.fill("2099-03-07T20:00");
      await closes.fill("2099-03-08T20:00"); // the clock was put forward between them
      equal(await name.innerText(), "America/New_York, GMT-5, GMT-4", "the clocks of those days");
      equal(await save(), [Date.UTC(2099, 2, 8, 1), Date.UTC(2099, 2, 9, 0)], "what the server is told");
      const about = schedule.page().locator('[data-fill="about"]');
      assert((await about.innerText()).includes("opens 8 Mar 2099, 02:00 CET"), await about.innerText());
      await unfold();
      equal(await stands(), ["2099-03-07T20:00", "2099-03-08T20:00", "America/New_York"], "opened again");
      await page.reload();
      await unfold();
      equal(await stands(), ["2099-03-07T20:00", "2099-03-08T20:00", "America/New_York"], "after a reload");
      await zone.selectOption("Europe/Berlin");
      equal([await stands(), await here.innerText()], [["2099-03-07T20:00", "2099-03-08T20:00", "Europe/Berlin"], ""], "of this place again");
      equal(await save(), [Date.UTC(2099, 2, 7, 19), Date.UTC(2099, 2, 8, 19)], "what the server is told");
      await about.filter({ hasText: "opens 7 Mar 2099, 20:00" }).waitFor();
      assert(!/CET/.test(await about.innerText()), `the zone is said where there is only one: ${await about.innerText()}`);
      await page.context().close();
    });

    await check("an hour that a clock leaves out is the next one, of one that comes twice it is the first; what was set exactly stays so", async () => {
      const twice = Date.UTC(2099, 9, 25, 1, 30, 20); // the second half past two in Berlin, and 20 seconds
      const event = { polls: [{ ...kit.drafts[0] }] };
      const page = await show("admin-event-drafts", { zone: "America/New_York", api: office(event) });
      const save = async () => {
        const asked = page.waitForRequest((request) => request.method() === "PATCH");
        await page.getByTestId("save-schedule").click();
        return (await asked).postDataJSON().opens_at;
      };
      await page.getByTestId("schedule").locator("summary").click();
      for (const [zone, typed, at, here] of /** @type {[string, string, number, string][]} */ ([
        ["Europe/Berlin", "2099-03-29T02:30", Date.UTC(2099, 2, 29, 1, 30), "28 Mar 2099, 21:30"], // left out: half past three
        ["Europe/Berlin", "2099-03-29T03:00", Date.UTC(2099, 2, 29, 1), "28 Mar 2099, 21:00"],
        ["Europe/Berlin", "2099-10-25T02:30", Date.UTC(2099, 9, 25, 0, 30), "24 Oct 2099, 20:30"], // comes twice
        ["Europe/Berlin", "2099-10-25T03:00", Date.UTC(2099, 9, 25, 2), "24 Oct 2099, 22:00"],
        ["America/New_York", "2099-03-08T02:30", Date.UTC(2099, 2, 8, 7, 30), ""],
        ["America/New_York", "2099-11-01T01:30", Date.UTC(2099, 10, 1, 5, 30), ""],
        ["Australia/Lord_Howe", "2099-10-04T02:15", Date.UTC(2099, 9, 3, 15, 45), "3 Oct 2099, 11:45"], // put forward by half an hour
        ["Pacific/Marquesas", "2099-05-01T00:00", Date.UTC(2099, 4, 1, 9, 30), "05:30"],
        ["UTC", "2099-05-01T00:00", Date.UTC(2099, 4, 1), "30 Apr 2099, 20:00"],
      ])) {
        await page.getByTestId("zone").selectOption(zone);
        await page.getByTestId("opens").fill(typed);
        equal(await page.getByTestId("zone-here").innerText(), here && `Here that is ${here}.`, `here, of ${typed} in ${zone}`);
        equal(await page.evaluate(async ([wall, place]) => (await import(String("/assets/admin/zone.js"))).momentOf(wall, place), [typed, zone]), at, `${typed} in ${zone}`);
      }
      await page.getByTestId("zone").selectOption("Europe/Berlin");
      await page.getByTestId("opens").fill("2099-03-29T02:30");
      equal(await save(), Date.UTC(2099, 2, 29, 1, 30), "what is sent of a time that is left out");
      event.polls[0].opens_at = twice;
      await page.evaluate(() => sessionStorage.setItem("gs:zone", "Europe/Berlin"));
      await page.reload();
      await page.getByTestId("schedule").locator("summary").click();
      equal(await page.getByTestId("opens").inputValue(), "2099-10-25T02:30", "what the clock shows");
      await page.getByTestId("closes").fill("2099-10-25T09:00");
      equal(await save(), twice, "what nobody touched");
      // Every half hour of a year, beside what the browser itself makes of its own clock.
      const wrong = await page.evaluate(async () => {
        const { here, momentOf, wallOf } = await import(String("/assets/admin/zone.js"));
        const all = Array.from({ length: 365 * 48 }, (_, at) => Date.UTC(2027, 0, 1) + at * 1_800_000);
        return all.filter((at) => {
          const wall = new Date(at).toISOString().slice(0, 16);
          return momentOf(wall, here()) !== new Date(wall).getTime() || wallOf(at, here()) !== new Date(at - new Date(at).getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
        }).length;
      });
      equal(wrong, 0, "half hours that are another");
      await page.context().close();
    });

    await check("a close that would come before the opening is refused at its field: by the clock of the place that was chosen", async () => {
      const event = { polls: [{ ...kit.drafts[0] }] };
      const page = await show("admin-event-drafts", { zone: "Europe/Berlin", api: office(event) });
      await page.getByTestId("schedule").locator("summary").click();
      await page.getByTestId("zone").selectOption("America/New_York");
      for (const [opens, closes] of [["2099-07-01T20:00", "2099-07-01T19:00"], ["2099-03-08T02:45", "2099-03-08T03:15"]]) { // quarter to three is left out: it is quarter to four
        await page.getByTestId("opens").fill(opens);
        await page.getByTestId("closes").fill(closes);
        equal(await told(page), [], "before it is sent");
        await page.getByTestId("save-schedule").click();
        await page.getByText("Voting would close before it opens.").waitFor();
        equal(await told(page), [["closes", "Voting would close before it opens.", true]], `from ${opens} to ${closes}`);
      }
      equal(event.polls[0].opens_at, null, "what the server was told");
      await page.getByTestId("closes").fill("2099-03-08T04:00");
      await page.getByTestId("save-schedule").click();
      await page.getByTestId("toast").filter({ hasText: "Scheduled." }).waitFor();
      equal([event.polls[0].opens_at, event.polls[0].closes_at], [Date.UTC(2099, 2, 8, 7, 45), Date.UTC(2099, 2, 8, 8)], "a quarter of an hour");
      await page.context().close();
    });

    await check("what is typed into a form in the moment that it opens stays there", async () => {
      const page = await show("admin-event", { api: office({ polls: [kit.poll(["Yes", "No"], [3, 4])] }) });
      const card = page.getByTestId("poll").first();
      for (const [box, name, typed] of [["schedule", "opens", "2099-01-02T10:00"], ["edit", "question", "Which way home?"]]) {
        // A browser tells of the opening when it comes to it: on a busy machine after the first letters.
        const stays = await card.getByTestId(box).evaluate(async (details, [field, text]) => {
          const input = /** @type {HTMLInputElement} */ (details.querySelector(`[name="${field}"]`));
          const told = new Promise((resolve) => details.addEventListener("toggle", resolve, { once: true }));
          details.querySelector("summary")?.click();
          input.value = text;
          input.dispatchEvent(new Event("input", { bubbles: true }));
          await told;
          return input.value;
        }, [name, typed]);
        equal(stays, typed, box);
      }
      await page.context().close();
    });

    await check("overlay, embed and remote are found on the event's page and copied as full addresses, in five languages", async () => {
      for (const lang of LANGUAGES) {
        const page = await show("admin-event", { lang }, lang === "en-GB" ? "laptop" : "phone");
        await page.evaluate(() => Object.defineProperty(navigator, "clipboard", { value: { writeText: async (/** @type {string} */ text) => { document.title = text; } } }));
        const copied = async (/** @type {string} */ id) => {
          await page.getByTestId(id).click();
          await page.getByTestId("toast").waitFor();
          return page.title();
        };
        if (lang !== "en-GB") await page.getByTestId("ways").locator("summary").click();
        await eventually("the remote's address is one that a phone can come in at", async () => (await copied("copy-remote")) === `https://vote.example.org/present/${kit.EVENT}`);
        await page.getByTestId("streams").locator("summary").click();
        for (const what of ["overlay", "embed"]) {
          await eventually("the address is that of the join link", async () => (await copied(`copy-${what}`)) === `https://vote.example.org/${what}/${kit.CODE}`);
          equal(await page.getByTestId(`${what}-link`).innerText(), `vote.example.org/${what}/${kit.CODE}`, "the words of the link");
        }
        await fitsInWidth(page);
        await page.context().close();
      }
    });

    await check("an event that has ended offers to go on and its results; nothing of it is bright", async () => {
      const event = { state: "ended", polls: [kit.final(kit.poll(["Yes", "No"], [3, 4])), { ...kit.drafts[1] }] };
      const page = await show("admin-event", { api: office(event) });
      equal(await page.locator("#page .main:visible").allInnerTexts(), [], "what is bright");
      equal(await page.locator(".join .buttons > :visible").allInnerTexts(), ["Make it live again", "Results page", "Open the big screen"], "what is offered");
      for (const refused of ['[data-do="toggle"]', '[data-do="round"]', '[data-fill="schedule"]']) {
        equal(await page.locator(`[data-testid=poll] ${refused}`).evaluateAll((all) => [all.length > 0, all.some((one) => !(/** @type {HTMLElement} */ (one).hidden))]), [true, false], `what cannot be before it is live again, ${refused}`);
      }
      await page.getByTestId("revive").click();
      await page.getByTestId("toast").filter({ hasText: "The event is live." }).waitFor();
      equal(event.state, "live", "made live again");
      assert(await page.getByTestId("revive").isHidden(), "it is still offered");
      equal(await page.locator(".join .main:visible").allInnerTexts(), ["Open the big screen"], "what is bright of a live one");
      assert(await page.locator('[data-do="toggle"]:visible').count() > 0, "a live one's questions cannot be opened");
      await page.context().close();
    });

    await check("a big screen that somebody left blank is told of on the event's page, and shown again from there", async () => {
      const page = await show("admin-event-blank");
      const asked = page.waitForRequest((request) => request.method() === "PATCH");
      await page.getByTestId("show-screen").click();
      const request = await asked;
      equal([request.url().split("/api/v1/")[1], request.postDataJSON()], [`events/${kit.EVENT}/view`, { blank: false }], "the server is asked");
      await page.context().close();
      const view = { edition: 1, joining: false, blank: false, sorted: false, numbers: "both", size: 1 };
      const first = kit.poll(["Yes", "No"], [3, 4]);
      const usual = await show("admin-event-blank", { ready: "[data-testid=poll]", api: (call) => (call.path === `events/${kit.EVENT}/stream` ? { stream: kit.live([first], { view, join_url: "https://told.example.org/482913" }) } : kit.office([first])(call)) });
      await usual.getByTestId("join-link").filter({ hasText: "told.example.org" }).waitFor(); // by the stream
      assert(await usual.getByTestId("is-blank").isHidden(), "it is said of a screen that shows something");
      await usual.context().close();
    });

    await check("who ends an event is told that what is open will be closed; nobody is told how to join one that is over", async () => {
      const polls = [kit.poll(["Yes", "No"], [3, 4]), kit.final(kit.poll(["Yes", "No"], [3, 4], { id: "8f3k2m9qx1c7w" }))];
      const event = { state: "live", polls };
      const page = await show("admin-event", { api: office(event) });
      const ask = async () => {
        await page.getByTestId("end-event").click();
        return page.locator("#confirm-text").innerText();
      };
      await page.getByTestId("event-settings").locator("summary").click();
      assert((await ask()).includes("1 question takes votes now: it is closed."), await page.locator("#confirm-text").innerText());
      await page.locator('#confirm [value="yes"]').click();
      await page.getByTestId("event-state").filter({ hasText: "Ended" }).waitFor();
      const joining = ["join-link", "join-code", "copy-link", "poster-link", "show-remote"];
      equal(await Promise.all(joining.map((id) => page.getByTestId(id).isVisible())), joining.map(() => false), "ways to join");
      await page.context().close();
      const quiet = await show("admin-event", { api: office({ state: "live", polls: [polls[1]] }) });
      await quiet.getByTestId("event-settings").locator("summary").click();
      await quiet.getByTestId("end-event").click();
      assert(!/takes votes/.test(await quiet.locator("#confirm-text").innerText()), "nothing is open");
      await quiet.context().close();
    });

    await check("what was done is taken back by keys, too; whoever is at the offer keeps it", async () => {
      const event = { polls: [kit.poll(["Yes", "No"], [3, 4])] };
      const page = await show("admin-event", { api: office(event) });
      await page.clock.install();
      const reword = async () => {
        await page.getByTestId("reword").click();
        await page.getByTestId("in-place").fill("Shall we?");
        await page.keyboard.press("Enter");
        await page.getByTestId("toast").filter({ hasText: "Saved." }).waitFor();
      };
      const [was, toast] = [event.polls[0].question, page.getByTestId("toast")];
      await reword();
      await page.keyboard.press("Control+z");
      await toast.filter({ hasText: "Undone." }).waitFor();
      equal(event.polls[0].question, was, "taken back");
      await reword();
      await page.getByTestId("undo").focus();
      await page.clock.fastForward(60_000);
      assert(await toast.isVisible(), "it goes while somebody is at it");
      await page.keyboard.press("Enter");
      await toast.filter({ hasText: "Undone." }).waitFor();
      equal(event.polls[0].question, was, "taken back after a minute");
      await reword();
      await page.clock.fastForward(11_000);
      await toast.waitFor({ state: "hidden" });
      await page.keyboard.press("Control+z");
      await page.getByTestId("slug").evaluate(() => new Promise((resolve) => setTimeout(resolve)));
      equal(event.polls[0].question, "Shall we?", "what is offered no more");
      await page.context().close();
    });

    await check("rows are moved by a press on their handle and on one of two buttons, without dragging and without arrow keys", async () => {
      const asked = kit.drafts.slice(0, 3).map((/** @type {any} */ one) => ({ ...one }));
      const page = await show("admin-event", { api: office({ polls: asked }) });
      const card = page.getByTestId("poll").nth(1);
      const moved = page.waitForRequest((request) => request.method() === "PATCH");
      await card.getByTestId("move").click();
      await card.getByTestId("move-up").click();
      equal((await moved).postDataJSON(), { position: 0 }, "a question");
      await page.getByTestId("toast").filter({ hasText: "Moved." }).waitFor();
      const first = page.getByTestId("poll").first();
      await first.getByTestId("edit").locator("summary").click();
      const texts = () => first.getByTestId("edit-choice").evaluateAll((all) => all.map((one) => /** @type {HTMLInputElement} */ (one).value));
      const [a, b, ...rest] = await texts();
      await first.locator('[data-do="move-choice"]').first().click();
      await first.getByTestId("move-down").click();
      equal(await texts(), [b, a, ...rest], "a choice");
      await page.keyboard.press("Escape");
      equal(await first.getByTestId("move-down").count(), 0, "buttons after Escape");
      await page.context().close();
    });

    await check("what an overlay shall be like is picked where its address is, and the address says it", async () => {
      const page = await show("admin-streams");
      const address = async () => new URL(await page.getByTestId("overlay-link").evaluate((link) => /** @type {HTMLAnchorElement} */ (link).href)).search;
      equal(await address(), "", "as usual");
      await page.getByTestId("overlay-layout").selectOption("versus");
      await page.getByTestId("overlay-size").selectOption("1.3");
      await page.getByTestId("overlay-margin").selectOption("0");
      equal(await address(), "?layout=versus&scale=1.3&safe=0", "picked");
      await page.getByTestId("overlay-layout").selectOption("");
      equal(await address(), "?scale=1.3&safe=0", "as usual again");
      await page.context().close();
    });

    await check("the preview shows how one and how several are picked", async () => {
      const page = await show("admin-new-event");
      const hint = page.getByTestId("preview").locator(".hint");
      equal(await hint.innerText(), "Tap one. Your tap is your vote.", "of one");
      await page.getByTestId("change").uncheck();
      equal(await hint.innerText(), "Pick 1, then send.", "of one, for good");
      await page.getByTestId("change").check();
      await page.getByTestId("kind-multiple").check();
      equal(await hint.innerText(), "Pick as many as you like, then send.", "of several");
      await page.context().close();
    });

    await check("a question that is corrected has the preview beside it: of its words, its rows, its kind, below the form where the window is narrow", async () => {
      const event = { polls: [{ ...kit.drafts[0], choices: ["Lake", "Bar", "Pub"].map((text, at) => ({ id: `c${at}`, text })) }] };
      for (const size of /** @type {const} */ (["laptop", "phone"])) {
        const page = await show("admin-event-drafts", { api: office(event) }, size);
        const card = page.getByTestId("poll").first();
        const [preview, kinds] = [card.getByTestId("preview"), card.locator('[data-fill="kinds"]')];
        const shown = async () => [await preview.locator(".preview-question").innerText(), await preview.locator(".text").allInnerTexts(), (await preview.locator(".letter").allInnerTexts()).join("")];
        const drawn = card.getByTestId("edit-choices").evaluate((list) => new Promise((resolve) => {
          let rows = 0;
          new MutationObserver((changes) => {
            for (const { addedNodes } of changes) rows += addedNodes.length;
            setTimeout(() => resolve(rows));
          }).observe(list, { childList: true });
        }));
        await card.getByTestId("edit").locator("summary").click();
        equal(await drawn, 3, "rows that were drawn");
        equal(await shown(), [event.polls[0].question, ["Lake", "Bar", "Pub"], "ABC"], "as it is");
        assert(await card.getByTestId("begun").isHidden(), "nothing was begun before");
        await card.getByTestId("edit-question").fill("Where to?");
        await card.getByTestId("edit-choice").nth(1).fill("Rooftop bar");
        equal(await shown(), ["Where to?", ["Lake", "Rooftop bar", "Pub"], "ABC"], "typed");
        await card.getByTestId("remove-choice").first().click();
        equal(await shown(), ["Where to?", ["Rooftop bar", "Pub"], "AB"], "removed");
        await page.getByTestId("undo").click();
        equal(await shown(), ["Where to?", ["Lake", "Rooftop bar", "Pub"], "ABC"], "and back");
        await card.locator('[data-do="move-choice"]').first().press("ArrowDown");
        equal(await shown(), ["Where to?", ["Rooftop bar", "Lake", "Pub"], "ABC"], "moved");
        await card.getByTestId("edit-choice").nth(2).fill("");
        await paste(card.getByTestId("edit-choice").nth(2), "Pub\nPark");
        equal(await shown(), ["Where to?", ["Rooftop bar", "Lake", "Pub", "Park"], "ABCD"], "pasted");
        await card.getByTestId("add-choice").click();
        equal((await shown())[1], ["Rooftop bar", "Lake", "Pub", "Park"], "a row without words");
        const hint = preview.locator(".hint");
        equal(await hint.innerText(), "Tap one. Your tap is your vote.", "of one");
        await card.locator('[name="change"]').uncheck();
        equal(await hint.innerText(), "Pick 1, then send.", "of one, for good");
        await card.getByTestId("edit-multiple").check();
        equal([await hint.innerText(), await preview.evaluate((one) => one.classList.contains("is-several"))], ["Pick as many as you like, then send.", true], "of several");
        const [a, b, save] = await Promise.all([kinds, preview, card.getByTestId("save")].map(async (one) => (await one.boundingBox()) ?? { x: 0, y: 0, width: 0, height: 0 }));
        assert(size === "phone" ? b.y > a.y + a.height && b.y + b.height < save.y : b.x >= a.x + a.width && b.y < a.y, `the preview at ${JSON.stringify(b)}, a field at ${JSON.stringify(a)}`);
        await card.getByTestId("edit").locator("summary").click();
        await card.getByTestId("edit").locator("summary").click();
        equal([await shown(), await hint.innerText()], [[event.polls[0].question, ["Lake", "Bar", "Pub"], "ABC"], "Tap one. Your tap is your vote."], "given up, and opened again");
        await page.context().close();
      }
    });

    await check("what is there again after a reload says that it is not saved, until it is, and its preview shows it", async () => {
      for (const [lang, words] of [["en-GB", "You began this earlier. It is not saved yet."], ["de", "Das hattest du schon angefangen. Es ist noch nicht gespeichert."]]) {
        const event = { polls: [{ ...kit.drafts[0] }] };
        const page = await show("admin-event-drafts", { lang, api: office(event) });
        const card = page.getByTestId("poll").first();
        const [begun, summary] = [card.getByTestId("begun"), card.getByTestId("edit").locator("summary")];
        await summary.click();
        await card.getByTestId("edit-question").fill("Where to?");
        assert(await begun.isHidden(), "it is said of what is being typed");
        await page.reload();
        await begun.filter({ visible: true }).waitFor();
        equal([await begun.innerText(), await card.getByTestId("preview").locator(".preview-question").innerText()], [words, "Where to?"], "after a reload");
        await card.getByTestId("save").click();
        await page.getByTestId("toast").waitFor();
        await summary.click();
        assert(await begun.isHidden(), "it is said of what was saved");
        await page.context().close();
      }
    });

    await check("who adds one question after another finds the form open, and the hands in the next one", async () => {
      const event = { polls: kit.drafts.slice(0, 2) };
      const page = await show("admin-event-drafts", { api: office(event, ({ method }) => {
        if (method !== "POST") return undefined;
        event.polls.push(kit.drafts[event.polls.length]);
        return { status: 201, json: {} };
      }) });
      await page.getByTestId("add-poll").locator("summary").click();
      const form = page.getByTestId("poll-form");
      await form.getByTestId("template-yes_no").click();
      await form.getByTestId("submit").click();
      await page.getByTestId("poll").nth(2).waitFor();
      await page.keyboard.type("And then?");
      equal([await form.getByTestId("question").inputValue(), await form.getByTestId("choices").inputValue()], ["And then?", ""], "what stands in the form");
      const box = await form.getByTestId("question").boundingBox();
      assert(box && box.y >= 40 && box.y + box.height <= (page.viewportSize()?.height ?? 0), `the field is out of sight, at ${box?.y}`);
      await page.context().close();
    });
  } finally {
    await browser.close();
    await theatre.down();
  }
}

/** As from the clipboard: what nobody takes is inserted by the browser. @param {Locator} field @param {string} text */
async function paste(field, text) {
  await field.focus();
  await field.evaluate((element, pasted) => {
    const data = new DataTransfer();
    data.setData("text/plain", pasted);
    if (element.dispatchEvent(new ClipboardEvent("paste", { clipboardData: data, bubbles: true, cancelable: true }))) document.execCommand("insertText", false, pasted);
  }, text);
}
