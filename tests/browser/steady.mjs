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
//NEXT
  } finally {
    await browser.close();
    await theatre.down();
  }
}
