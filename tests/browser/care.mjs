// At the desk nothing that was typed is lost, every wrong field says so itself, what stands there fits, and one thing at a time stands out.

import { fitsInWidth, launch } from "./browser.mjs";
import { enterNamed } from "./enter.mjs";
import { assert, check, equal } from "./report.mjs";
import { kit, scenes } from "./scenes.mjs";
import { Theatre } from "./theatre.mjs";

const EVENTS = Array.from({ length: 8 }, (_, at) => ({ id: `e${at}`, code: String(482913 + at), slug: null, title: `Evening ${at + 1}`, state: "live", polls: at, created_at: kit.NOW(), updated_at: kit.NOW() }));

export async function care() {
  const theatre = await new Theatre().up();
  const browser = await launch();
  const show = (/** @type {string} */ name, size = /** @type {import("./scenes.mjs").Size} */ ("laptop"), /** @type {Partial<import("./scenes.mjs").Scene>} */ otherwise = {}) => enterNamed(browser, theatre, name, size, otherwise);
  try {
    await check("a word of any length can be looked for, and the page stays as wide as its window", async () => {
      const page = await show("admin-events", "phone");
      await page.getByTestId("search").fill("W".repeat(300));
      await page.getByTestId("nothing-found").waitFor();
      await fitsInWidth(page);
      await page.context().close();
    });
    await check("where votes are taken now, the list says so, and nowhere else", async () => {
      const page = await show("admin-events");
      const marks = await page.getByTestId("event-link").evaluateAll((all) => all.map((link) => link.querySelector("[data-testid=event-state]")?.textContent === "Voting open"));
      equal(marks, [false, true, false, true, true, false], "marked");
      await page.context().close();
    });
    await check("the list notices by itself that voting opens and ends, and nobody's place in it is lost", async () => {
      let events = EVENTS.slice(0, 3).map((event) => ({ ...event, open: 0 }));
      const page = await show("admin-events", "laptop", { api: (call) => kit.office([], events)(call) });
      await page.clock.install();
      await page.reload();
      const second = page.getByTestId("event-link").nth(1);
      await second.focus();
      for (const open of [true, false]) {
        events = events.map((event, at) => ({ ...event, open: open && at === 1 ? 1 : 0 }));
        await page.clock.fastForward(10_000);
        await second.getByTestId("event-state").filter({ hasText: open ? "Voting open" : "Live" }).waitFor();
      }
      assert(await second.evaluate((link) => link === document.activeElement), "the focus has moved");
      await page.context().close();
    });
    await check("what was found by a question says by which", async () => {
      const events = [{ ...EVENTS[0], asks: ["Which film?", "Which pizza, then?"] }, EVENTS[1]];
      const page = await show("admin-events", "phone", { api: kit.office([], events), path: "/admin?search=pizza" });
      equal(await page.getByTestId("event-link").locator("b").allInnerTexts(), ["Evening 1"], "found");
      equal(await page.getByTestId("event-asks").allInnerTexts(), ["Which pizza, then?"], "by");
      await fitsInWidth(page);
      await page.context().close();
    });
    await check("what is longer than any question is not looked for and not remembered: it is said in words, also after a reload, and where an address asks for it", async () => {
      const page = await show("admin-events", "laptop", { api: (call) => (call.path === "events" && [...(call.query?.get("search") ?? "")].length > 300 ? { status: 422, json: { code: "search_long", detail: "Said by the server." } } : call.path === "events" && call.query?.get("search") === "refused" ? { status: 422, json: { code: "search_odd", detail: "Said by the server." } } : kit.office([], EVENTS)(call)) });
      await page.getByTestId("search").fill("W".repeat(301));
      await page.getByTestId("nothing-found").waitFor();
      await page.getByTestId("found").filter({ hasText: "longer than any question: at most 300 characters" }).waitFor();
      equal(new URL(page.url()).search, "", "remembered");
      assert(await page.locator("#alert").isHidden(), "it is told as trouble, too");
      await page.reload();
      await page.getByTestId("event-link").first().waitFor();
      await page.goto(`${theatre.home}/admin?search=${"W".repeat(301)}`);
      await page.getByTestId("found").filter({ hasText: "at most 300 characters" }).waitFor();
      await page.goto(`${theatre.home}/admin?search=refused`);
      await page.getByTestId("found").filter({ hasText: "Said by the server." }).waitFor();
      await page.getByTestId("all-events").click();
      await page.getByTestId("event-link").first().waitFor();
      await page.context().close();
    });
    await check("an event that was made, and whose question was refused, is not made a second time after a reload", async () => {
      let refuses = true;
      const asked = /** @type {string[]} */ ([]);
      const page = await show("admin-new-event", "laptop", { api: (call) => {
        if (call.method !== "GET") asked.push(`${call.method} ${call.path}`);
        if (call.method === "POST" && call.path.endsWith("/polls") && refuses) return { status: 422, json: { code: "odd", detail: "Said by the server." } };
        return call.method === "GET" ? kit.office([])(call) : { status: 201, json: { id: kit.EVENT } };
      } });
      await page.getByTestId("template-yes_no").click();
      await page.getByTestId("submit").click();
      await page.getByTestId("form-error").filter({ hasText: "Said by the server." }).waitFor();
      refuses = false;
      await page.reload();
      await page.getByTestId("submit").click();
      await page.waitForURL(`**/admin/events/${kit.EVENT}`);
      equal(asked, ["POST events", `POST events/${kit.EVENT}/polls`, `PATCH events/${kit.EVENT}`, `POST events/${kit.EVENT}/polls`], "asked");
      await page.context().close();
    });
    await check("where this tab keeps nothing, or a text is too much to keep, every link of the desk works", async () => {
      const page = await show("admin-new-event", "laptop", { api: kit.office([], EVENTS) });
      await page.getByTestId("title").fill("t".repeat(300_000));
      await page.getByTestId("home").click();
      await page.getByTestId("event-link").first().waitFor();
      equal(await page.evaluate(() => Object.entries(sessionStorage).filter(([, text]) => text.length > 200_000).length), 0, "kept whole");
      await page.getByTestId("new-event").click();
      await page.evaluate(() => { for (let size = 4_000_000, at = 0; size; ) try { sessionStorage.setItem(`full-${at += 1}`, "x".repeat(size)); } catch { size = Math.floor(size / 2); } });
      await page.getByTestId("question").fill("Which ending?");
      await page.getByTestId("home").click();
      await page.getByTestId("event-link").first().waitFor();
      await page.context().close();
    });
    await check("a text that is there again and is too long says so at once", async () => {
      const page = await show("admin-new-event");
      await page.getByTestId("question").fill("q".repeat(312));
      await page.reload();
      await page.getByTestId("length").filter({ hasText: "12 characters too many" }).waitFor();
      await page.context().close();
    });
    await check("to give up in another tab drops nothing here; and what one has begun is not there for another who signs in", async () => {
      let who = "u";
      const page = await show("admin-new-event", "laptop", { api: (call) => (call.path === "session" && call.method === "GET" ? { json: { user: { id: who, email: `${who}@example.org`, role: "owner" } } } : kit.office([], EVENTS)(call)) });
      const question = page.getByTestId("question");
      await question.fill("Which ending?");
      const [other] = await Promise.all([page.context().waitForEvent("page"), page.getByTestId("give-up").click({ modifiers: ["Control"] })]);
      await other.close();
      await page.reload();
      await question.waitFor();
      equal(await question.inputValue(), "Which ending?", "after Cancel in another tab");
      who = "v";
      await page.reload();
      await question.waitFor();
      equal(await question.inputValue(), "", "for another");
      await page.context().close();
    });
    await check("a question that was added is not in the form any more, even where the event cannot be read again", async () => {
      let added = 0;
      const page = await show("admin-event", "laptop", { api: (call) => {
        if (call.method === "POST") return { status: 201, json: { added: added += 1 } };
        return added && call.path === `events/${kit.EVENT}` ? { status: 500, json: { code: "odd", detail: "Said by the server." } } : kit.office([kit.poll(["Yes", "No"], [3, 4])])(call);
      } });
      const form = page.getByTestId("poll-form");
      await page.getByTestId("add-poll").locator("summary").click();
      await form.getByTestId("template-yes_no").click();
      await form.getByTestId("submit").click();
      await page.locator("#alert", { hasText: "Said by the server." }).waitFor();
      await page.getByTestId("toast").filter({ hasText: "Question added." }).waitFor();
      equal([added, await form.getByTestId("question").inputValue(), await form.getByTestId("choices").inputValue()], [1, "", ""], "what stands in the form");
      await page.context().close();
    });
    await check("what was begun is still there after Back and Forward, a reload and another page; not once it was given up, sent or signed out", async () => {
      const page = await show("admin-no-events", "laptop", { api: (call) => (call.method === "DELETE" ? { status: 204 } : kit.office([])(call)) });
      const field = (/** @type {string} */ id) => page.getByTestId("event-form").getByTestId(id);
      const written = async () => [await field("title").inputValue(), await field("question").inputValue(), await field("choices").inputValue(), await field("kind-multiple").isChecked(), await field("max").inputValue(), await field("change").isChecked(), await page.getByTestId("preview").locator(".text").allInnerTexts()];
      const write = async () => {
        await page.getByTestId("first-event").click();
        await field("title").fill("Friday all-hands");
        await field("question").fill("Which snacks?");
        await field("choices").fill("Popcorn\nNachos\nFruit");
        await field("kind-multiple").check();
        await field("max").fill("2");
        await field("change").uncheck();
      };
      const all = ["Friday all-hands", "Which snacks?", "Popcorn\nNachos\nFruit", true, "2", false, ["Popcorn", "Nachos", "Fruit"]];
      const nothing = ["", "", "", false, "", true, ["A choice", "A choice"]];
      await write();
      for (const way of [() => page.goBack().then(() => page.getByTestId("first-event").waitFor()).then(() => page.goForward()), () => page.reload(), () => page.getByTestId("home").click().then(() => page.getByTestId("first-event").click())]) {
        await way();
        await field("title").waitFor();
        equal(await written(), all, String(way));
        assert(await field("max").isVisible(), "the limits of several picks are hidden");
      }
      await page.getByTestId("give-up").click();
      await page.getByTestId("first-event").click();
      equal(await written(), nothing, "given up");
      await page.getByTestId("home").click();
      await write();
      await page.getByTestId("sign-out").click();
      await page.getByTestId("first-event").click();
      equal(await written(), nothing, "signed out");
      await page.context().close();
    });

    await check("a question that was begun in an event is there again, in sight, until it is added", async () => {
      const page = await show("admin-event", "laptop", { api: (call) => (call.method === "POST" ? { status: 201, json: {} } : kit.office([kit.poll(["Yes", "No"], [3, 4])])(call)) });
      const form = page.getByTestId("poll-form");
      await page.getByTestId("add-poll").locator("summary").click();
      await form.getByTestId("template-yes_no").click();
      await page.reload();
      await form.getByTestId("preview").getByText("Shall we do it?").waitFor();
      await form.getByTestId("submit").click();
      await page.getByTestId("toast").waitFor();
      await page.reload();
      await page.getByTestId("poll").waitFor();
      assert(await form.getByTestId("question").isHidden(), "the form stands open");
      equal(await form.getByTestId("question").inputValue(), "", "what was added");
      await page.context().close();
    });
    await check("what was begun of a question that stands there already is there again after a reload; not once it was saved or given up, nor where the question became another", async () => {
      const polls = [kit.poll(["Yes", "No"], [0, 0], { state: "draft", locked: false }), kit.poll(["Red", "Blue"], [0, 0], { id: "8f3k2m9qx1c7w", state: "draft", locked: false, question: "Which colour?" })];
      const page = await show("admin-event", "laptop", { api: (call) => (call.method === "PATCH" ? { json: {} } : kit.office(polls)(call)) });
      const card = page.getByTestId("poll").nth(1);
      const isOpen = () => card.getByTestId("edit").evaluate((details) => /** @type {HTMLDetailsElement} */ (details).open);
      const written = async () => [await card.getByTestId("edit-question").inputValue(), ...await card.getByTestId("edit-choice").evaluateAll((all) => all.map((one) => /** @type {HTMLInputElement} */ (one).value))];
      const write = async () => {
        if (await card.getByTestId("fold").getAttribute("aria-expanded") === "false") await card.getByTestId("fold").click();
        await card.getByTestId("edit").locator("summary").click();
        await card.getByTestId("edit-question").fill("Which colour, then?");
        await card.getByTestId("add-choice").click();
        await card.getByTestId("edit-choice").nth(2).fill("Green");
      };
      const again = async () => {
        await page.reload();
        await card.waitFor();
      };
      const wanted = ["Which colour, then?", "Red", "Blue", "Green"];
      await write();
      equal(await card.locator(".edit-choice .letter").allInnerTexts(), ["A", "B", "C"], "the letters");
      await again();
      await card.getByTestId("edit-question").waitFor();
      equal(await written(), wanted, "after a reload");
      await card.getByTestId("save").click();
      await page.getByTestId("toast").waitFor();
      await again();
      equal(await isOpen(), false, "saved, and open");
      await write();
      await card.getByTestId("edit").locator("summary").click();
      await again();
      equal(await isOpen(), false, "given up, and open");
      await write();
      polls[1] = { ...polls[1], choices: polls[1].choices.map((choice) => ({ ...choice, text: `${choice.text}!` })) };
      await again();
      await card.getByTestId("edit-question").waitFor();
      equal(await written(), ["Which colour?", "Red!", "Blue!"], "corrected elsewhere meanwhile");
      await page.context().close();
    });
    await check("the command that rehearses is for the machine it is said to be for: on a loopback address for this one, with the public address for any", async () => {
      const archive = (/** @type {object} */ more) => (/** @type {any} */ call) => (call.path === "rehearsals" ? { json: { rehearsals: [], ...more } } : kit.office([])(call));
      const page = await show("admin-rehearsals-none", "laptop", { api: archive({}) });
      const [command, where, elsewhere] = ["rehearse-command", "rehearse-where", "rehearse-elsewhere"].map((id) => page.getByTestId(id));
      assert((await command.innerText()).includes(`--url ${theatre.home} `), await command.innerText());
      equal(await where.innerText(), "In a terminal on this machine:", "for whom it is");
      await elsewhere.filter({ hasText: "put the address at which it reaches this one in place of", visible: true }).waitFor();
      assert((await elsewhere.innerText()).includes(String(theatre.home)) && (await elsewhere.innerText()).includes("--i-operate-this-server"), await elsewhere.innerText());
      theatre.api = archive({ public_url: "https://vote.example.org" });
      await page.reload();
      await command.filter({ hasText: "--url https://vote.example.org " }).waitFor();
      assert((await command.innerText()).trim().endsWith("--i-operate-this-server"), await command.innerText());
      assert((await where.innerText()).includes("or on another machine"), await where.innerText());
      assert(await elsewhere.isHidden(), "there is nothing to be put in its place");
      theatre.api = archive({ public_url: "http://localhost:8080" });
      await page.reload();
      await elsewhere.filter({ visible: true }).waitFor();
      await page.context().close();
    });
    await check("an address of the desk that leads nowhere says so, within the desk, and leads back", async () => {
      for (const path of ["/admin/nonsense", "/admin/new/what", `/admin/events/${kit.EVENT}/what`, "/admin/rehearsals/r1/what", "/admin/events/%E0%A4%A"]) {
        const page = await show("admin-nowhere", "laptop", { path });
        await page.getByRole("heading", { name: "Not here" }).waitFor();
        assert(await page.getByTestId("who").isVisible(), `${path} is not within the desk`);
        await page.getByRole("link", { name: "All events" }).click();
        await page.getByTestId("event-link").first().waitFor();
        await page.context().close();
      }
      for (const [path, heading] of [["/admin/", "Events"], ["/admin/events", "Events"], ["/admin/new/", "New event"]]) {
        const page = await show("admin-nowhere", "laptop", { path, ready: "h1:not(.quiet)" });
        await page.getByRole("heading", { name: heading, level: 1 }).waitFor();
        await page.context().close();
      }
    });
    await check("the first account: each field that is wrong says so itself, with the limit, and what the server refuses stands below its field", async () => {
      let refused = "";
      const page = await show("admin-setup", "phone", { api: (call) => (call.method === "POST" && refused ? { status: 422, json: { code: refused, detail: "Said by the server." } } : call.method === "POST" ? { json: {} } : call.path === "setup" ? { json: { needed: true } } : kit.office([])(call)) });
      const told = () => page.locator("[aria-invalid]").evaluateAll((all) => all.map((field) => {
        const words = /** @type {HTMLElement} */ (document.getElementById(field.getAttribute("aria-describedby") ?? ""));
        const [box, below] = [field.getBoundingClientRect(), words.getBoundingClientRect()];
        return [field.getAttribute("name"), words.textContent, below.top >= box.bottom && below.top < box.bottom + 40];
      }));
      const send = async (/** @type {string} */ email, /** @type {string} */ password) => {
        await page.getByTestId("email").fill(email);
        await page.getByTestId("password").fill(password);
        await page.getByTestId("submit").click();
      };
      const odd = ["email", "This does not look like an email address: something like name@example.org.", true];
      await send("ada", "short");
      equal(await told(), [odd, ["password", "The password needs at least 12 characters. This one has 5.", true]], "both are wrong");
      equal(await page.evaluate(() => document.activeElement?.getAttribute("name")), "email", "the focus");
      equal(await page.getByRole("alert").filter({ hasText: /./, visible: true }).count(), 2, "what a reader hears");
      equal(await page.getByTestId("form-error").count(), 1, "of one name");
      await send("ada@example.org", "é".repeat(1025));
      equal(await told(), [["password", "The password may have at most 1,024 characters. This one has 1,025.", true]], "too long");
      await send("ada", "🌊".repeat(12));
      equal(await told(), [odd], "signs of two units are one character");
      refused = "email_invalid";
      await send("ada@b@c", "a password that is long enough");
      await page.getByText("Said by the server.").waitFor();
      equal(await told(), [["email", "Said by the server.", true]], "refused by the server");
      refused = "setup_token_invalid";
      await send("ada@example.org", "a password that is long enough");
      await page.waitForFunction(() => !document.querySelector("[aria-invalid]") && [...document.querySelectorAll(".error")].some((one) => one.textContent === "Said by the server."));
      equal(await page.locator(".error").count(), 1, "what was wrong before is still told");
      await page.context().close();
    });
    await check("on stage, an error lies over nothing that tells where things are: connection, votes, state, how to join, the buttons", async () => {
      /** What it says of Space, by language. @type {Map<string, string>} */
      const said = new Map();
      for (const size of /** @type {const} */ (["projector", "laptop", "tablet", "phone", "cinema"])) {
        for (const lang of ["en-GB", "de", "ar"]) {
          const page = await show("present-lost-error", size, { lang });
          for (const larger of [0, 2]) {
            for (let more = 0; more < larger; more += 1) await page.keyboard.press("+");
            // What the remote cannot tell the screen is the longest of them.
            const first = said.get(lang) ?? await page.getByTestId("error").innerText();
            said.set(lang, first);
            if (larger) await page.waitForFunction((before) => ![before, ""].includes(/** @type {HTMLElement} */ (document.getElementById("error")).innerText), first);
            if (lang !== "en-GB") assert(!first.startsWith("The server"), `without a connection it is said in English: ${first}`);
            const covered = await page.evaluate(() => {
              const box = (/** @type {Element} */ one) => one.getBoundingClientRect();
              const error = box(/** @type {Element} */ (document.getElementById("error")));
              const others = [...document.querySelectorAll("#lost, #voters, #poll-state, #clock, .join p, .join img, #controls button")].filter((one) => one.checkVisibility() && box(one).width);
              const inside = error.left >= 0 && error.right <= innerWidth && error.top >= 0 && error.bottom <= innerHeight;
              return [...(inside ? [] : ["out of the window"]), ...others.filter((one) => box(one).left < error.right && error.left < box(one).right && box(one).top < error.bottom && error.top < box(one).bottom).map((one) => one.id || one.getAttribute("data-testid") || one.className || one.textContent)];
            });
            equal(covered, [], `${size}, ${lang}, ${larger} larger`);
          }
          await page.context().close();
        }
      }
    });
    await check("of five drafts the next one stands out, and is open; the others are lines that open, and stay quiet", async () => {
      const seen = (/** @type {import("playwright-core").Page} */ page) => page.getByTestId("poll").evaluateAll((cards) => cards.map((card) => `${card.hasAttribute("data-folded") ? "line" : "card"}${card.querySelector("[data-do=toggle].main") ? ", bright" : ""}`));
      const line = "line";
      const page = await show("admin-event-drafts");
      equal(await seen(page), ["card, bright", line, line, line, line], "nothing on stage");
      equal(await page.getByTestId("poll").nth(1).getByTestId("gist").innerText(), "Draft", "its line");
      const box = await page.getByTestId("poll").nth(1).boundingBox();
      assert(box && box.height < 70, `a line is ${box?.height} px high`);
      await page.getByTestId("fold").nth(2).click();
      equal(await seen(page), ["card, bright", line, "card", line, line], "one is opened");
      await page.context().close();
      const { drafts, onStageNow } = kit;
      const [open, closed] = [{ ...kit.poll(kit.SHORT.slice(0, 4), [4, 3, 2, 1]), id: drafts[2].id, question: drafts[2].question }, { ...kit.final(kit.poll(kit.SHORT.slice(0, 4), [4, 3, 2, 1])), id: drafts[2].id, question: drafts[2].question }];
      for (const [polls, current, wanted, what] of /** @type {[any[], string|null, string[], string][]} */ ([
        [drafts, drafts[3].id, [line, line, line, "card, bright", line], "the fourth is on stage"],
        [drafts.with(2, open), open.id, [line, line, "card, bright", "card, bright", line], "the third is open: it is to be closed, and the fourth is next"],
        [drafts.with(4, { ...closed, id: drafts[4].id }), drafts[4].id, ["card, bright", line, line, line, "card"], "the last is over: what was left out is next"],
        [drafts.with(1, { ...drafts[1], state: "open", opens_at: kit.NOW() + 600_000 }), null, ["card, bright", line, line, line, line], "what the clock opens waits as well"],
      ])) {
        const desk = await show("admin-event-drafts", "laptop", { api: onStageNow(polls, current) });
        equal(await seen(desk), wanted, what);
        await desk.context().close();
      }
      const scheduled = await show("admin-event-drafts", "laptop", { api: onStageNow(drafts.with(1, { ...drafts[1], state: "open", opens_at: Date.UTC(2099, 0, 2, 10) }), null) });
      assert(/^Scheduled ·\u00a0opens .*2099/.test(await scheduled.getByTestId("poll").nth(1).getByTestId("gist").innerText()), "the line of what the clock opens says when");
      await scheduled.context().close();
    });

    await check("a question that is added or copied while one is at the desk is not folded away", async () => {
      const polls = kit.drafts.slice(0, 2);
      const page = await show("admin-event-drafts", "laptop", { api: (call) => {
        if (call.method === "POST") polls.push(kit.drafts[polls.length]);
        return call.method === "POST" ? { status: 201, json: polls[polls.length - 1] } : kit.onStageNow(polls, null)(call);
      } });
      await page.getByTestId("add-poll").locator("summary").click();
      await page.getByTestId("poll-form").getByTestId("template-yes_no").click();
      await page.getByTestId("poll-form").getByTestId("submit").click();
      await page.getByTestId("poll").nth(2).waitFor();
      equal(await page.getByTestId("poll").evaluateAll((cards) => cards.map((card) => card.hasAttribute("data-folded"))), [false, true, false], "folded");
      await page.context().close();
    });
  } finally {
    await browser.close();
    await theatre.down();
  }
}
