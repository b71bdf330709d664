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
