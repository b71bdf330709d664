// A morning at the desk: an admin who prepares, with the clock running, by mouse and by keyboard alone.

import { accessible, fitsInWidth } from "./browser.mjs";
import { ownLook } from "./look.mjs";
import { admin, tabTo } from "./hands.mjs";
import { assert, check, equal, eventually, need } from "./report.mjs";

// The keystroke-level model of Card, Moran and Newell: what an average typist needs, and a hand that goes to the mouse.
const KEY_S = 0.28;
const CLICK_S = 1.3;
const THINK_S = 1.35; // before each field
const READY_WITHIN_S = 30;

/** @param {import("./app.mjs").App} app @param {import("./browser.mjs").People} people @param {{email:string, password:string}} account */
export async function desk(app, people, account) {
  const home = new URL("/admin", app.join).href;
  const ada = await people.newPerson("the admin at the desk", { expects: (url, status) => status === 422 && url.pathname.startsWith("/api/v1/events/") });
  const questions = () => ada.getByTestId("poll-question").allInnerTexts();

  await need("the admin signs in by keyboard alone", async () => {
    await ada.goto(home);
    await ada.getByTestId("sign-in-form").waitFor();
    await ada.keyboard.type(account.email);
    await ada.keyboard.press("Tab");
    await ada.keyboard.type(account.password);
    await ada.keyboard.press("Enter");
    await ada.getByTestId("new-event").waitFor();
  });

  await need(`a poll takes less than ${READY_WITHIN_S} s from the list of events`, async () => {
    await ada.evaluate(() => {
      const effort = { keys: 0, clicks: 0, fields: 0 };
      Object.assign(window, { effort });
      addEventListener("keydown", (event) => { if (event.isTrusted) effort.keys += 1; }, true);
      addEventListener("click", (event) => { if (event.isTrusted && event.detail) effort.clicks += 1; }, true);
      addEventListener("focusin", () => { effort.fields += 1; }, true);
    });
    await ada.getByTestId("new-event").click();
    await ada.locator("[name=question]:focus").waitFor(); // the field is waiting
    await ada.keyboard.type("Which ending?");
    await ada.keyboard.press("Tab");
    await ada.keyboard.press("Control"); // as in Ctrl+V
    await ada.keyboard.insertText("- Cowboys\n- Pirates\n- Robots");
    await ada.getByTestId("submit").click();
    await ada.getByTestId("poll").waitFor();
    const { keys, clicks, fields } = await ada.evaluate(() => /** @type {any} */ (window).effort);
    const seconds = keys * KEY_S + clicks * CLICK_S + fields * THINK_S;
    assert(clicks === 2 && seconds < READY_WITHIN_S, `${keys} keys, ${clicks} clicks: ${seconds.toFixed(1)} s`);
    equal(await ada.getByTestId("event-title").innerText(), "Which ending?", "the title nobody wrote");
    const { polls } = await (await ada.request.get(new URL(`/api/v1/events/${(await admin.event(ada)).id}`, home).href)).json();
    equal(polls[0].choices.map((/** @type {any} */ one) => one.text), ["Cowboys", "Pirates", "Robots"], "the bullets of the list are no part of the choices");
    return `${keys} keys and ${clicks} clicks, ${seconds.toFixed(1)} s`;
  });

  await check("a template fills the form, the preview shows what a phone will, and its question is there", async () => {
    await ada.getByTestId("add-poll").locator("summary").click();
    const form = ada.getByTestId("poll-form");
    await form.getByTestId("template-yes_no").click();
    equal(await form.getByTestId("preview").locator(".text").allInnerTexts(), ["Yes", "No"], "the preview");
    await ada.keyboard.type("Ship it?");
    await form.getByTestId("preview").getByText("Ship it?").waitFor();
    await people.photograph(ada, "template", "laptop", "phone");
    await form.getByTestId("submit").click();
    await admin.poll(ada, "Ship it?").waitFor();
  });

  await check("words are corrected where they stand, and the correction can be taken back", async () => {
    await ada.getByTestId("reword").first().click();
    await ada.getByTestId("in-place").fill("Which of these endings?");
    await ada.keyboard.press("Enter");
    await admin.poll(ada, "Which of these endings?").waitFor();
    await ada.getByTestId("undo").click();
    await eventually("the old words are back", async () => (await questions())[0] === "Which ending?");
    await ada.getByTestId("reword").first().click();
    await ada.getByTestId("in-place").fill("Never mind");
    await ada.keyboard.press("Escape");
    equal((await questions())[0], "Which ending?", "after Escape");
    await ada.getByTestId("rename").click();
    await ada.getByTestId("in-place").fill("Monday meeting");
    await ada.keyboard.press("Enter");
    await ada.getByTestId("event-title").filter({ hasText: "Monday meeting" }).waitFor();
  });

  await check("a copy stands below its original, and can be taken back", async () => {
    const card = admin.poll(ada, "Which ending?");
    await card.locator("summary", { hasText: "More" }).click();
    await card.getByTestId("duplicate").click();
    await eventually("there are three", async () => JSON.stringify(await questions()) === JSON.stringify(["Which ending?", "Which ending?", "Ship it?"]));
    // The copy is there before its word is: until then, what could be undone is something else.
    await ada.getByTestId("toast").filter({ hasText: "Duplicated: the copy stands below." }).waitFor();
    await ada.getByTestId("undo").click();
    await eventually("the copy is gone", async () => JSON.stringify(await questions()) === JSON.stringify(["Which ending?", "Ship it?"]));
    await card.getByTestId("duplicate").click();
    await eventually("and made again", async () => (await questions()).length === 3);
  });

  await check("questions are put in order by dragging, whatever changes meanwhile", async () => {
    const { id } = await admin.event(ada);
    const rename = (/** @type {string} */ title) => ada.evaluate(([id, title]) => fetch(`/api/v1/events/${id}`, { method: "PATCH", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ title }) }), [id, title]);
    const title = await ada.getByTestId("event-title").innerText();
    await ada.setViewportSize({ width: 1280, height: 1700 });
    const handle = await ada.getByTestId("move").nth(2).boundingBox();
    const first = await ada.getByTestId("poll").first().boundingBox();
    assert(handle && first, "no handle");
    await ada.mouse.move(handle.x + 10, handle.y + 10);
    await ada.mouse.down();
    await ada.mouse.move(handle.x + 10, first.y + 60, { steps: 12 });
    await ada.mouse.move(handle.x + 10, first.y + 5, { steps: 4 });
    await rename("While it is held");
    await ada.getByTestId("event-title").filter({ hasText: "While it is held" }).waitFor();
    await ada.mouse.up();
    await ada.getByTestId("toast").filter({ hasText: "Moved" }).waitFor();
    await rename(title);
    await ada.reload();
    await eventually("the last is the first", async () => JSON.stringify(await questions()) === JSON.stringify(["Ship it?", "Which ending?", "Which ending?"]));
  });

  await check("and by the arrow keys, with the focus staying on the handle", async () => {
    await tabTo(ada, '[data-testid="move"]');
    await ada.keyboard.press("ArrowDown");
    await eventually("it went down by one", async () => JSON.stringify(await questions()) === JSON.stringify(["Which ending?", "Ship it?", "Which ending?"]));
    await ada.getByTestId("toast").filter({ hasText: "Moved" }).waitFor();
    equal(await ada.evaluate(() => document.activeElement?.getAttribute("aria-label")), "Move “Ship it?”: arrow keys, drag, or press", "the focus");
    const { polls } = await (await ada.request.get(new URL(`/api/v1/events/${(await admin.event(ada)).id}`, home).href)).json();
    equal(polls.map((/** @type {any} */ poll) => poll.question), ["Which ending?", "Ship it?", "Which ending?"], "on the server");
  });

  await check("choices are moved by keys in the form, and stay so", async () => {
    const card = ada.getByTestId("poll").first();
    await card.getByTestId("edit").locator("summary").click();
    await card.locator('[data-do="move-choice"]').first().focus();
    await ada.keyboard.press("ArrowDown");
    await card.getByTestId("save").click();
    await eventually("the server has the new order", async () => {
      const { polls } = await (await ada.request.get(new URL(`/api/v1/events/${(await admin.event(ada)).id}`, home).href)).json();
      return polls[0].choices[0].text === "Pirates";
    });
  });

  await check("a poll is set to open by the clock, in the time of the place", async () => {
    const card = admin.poll(ada, "Ship it?");
    await card.getByTestId("schedule").locator("summary").click();
    await card.getByTestId("opens").fill("2099-01-02T10:00");
    await card.getByTestId("closes").fill("2099-01-02T09:00");
    await card.getByTestId("save-schedule").click();
    await card.getByTestId("schedule").getByTestId("form-error").filter({ hasText: "before it opens" }).waitFor();
    await card.getByTestId("closes").fill("2099-01-02T11:00");
    await card.getByTestId("save-schedule").click();
    await card.locator('[data-fill="about"]').filter({ hasText: /opens .*2099/ }).waitFor();
    const { polls } = await (await ada.request.get(new URL(`/api/v1/events/${(await admin.event(ada)).id}`, home).href)).json();
    equal(polls.find((/** @type {any} */ poll) => poll.question === "Ship it?").opens_at, await ada.evaluate(() => new Date("2099-01-02T10:00").getTime()), "when it opens");
  });

  await check("a result goes to the press as SVG and as PNG, on paper and into a browser without JavaScript", async () => {
    const { code } = await admin.event(ada);
    const card = admin.poll(ada, "Which ending?").first();
    await card.getByTestId("toggle").click();
    await card.getByTestId("results").locator("summary").click();
    for (const [colorScheme, lang] of /** @type {const} */ ([["light", "en"], ["dark", "ar"]])) {
      await ada.emulateMedia({ colorScheme });
      await ada.goto(new URL(`${new URL(ada.url()).pathname}?lang=${lang}`, home).href);
      await card.getByTestId("results").locator("summary").click();
      const [png] = await Promise.all([ada.waitForEvent("download"), card.getByTestId("png").click()]);
      equal(png.suggestedFilename(), "Which ending.png", "the question without what file systems refuse");
      const svg = await (await ada.request.get(await card.getByTestId("svg").evaluate((link) => /** @type {HTMLAnchorElement} */ (link).href))).text();
      assert(svg.includes(`direction="${lang === "ar" ? "rtl" : "ltr"}"`), "it is drawn in the reader's language");
      const height = Number(svg.match(/ height="(\d+)" font/)?.[1]);
      const { width, tall, colours } = await inspect(ada, await read(png));
      equal([width, tall], [2400, 2 * height], `its size in ${lang}`);
      assert(colours["#fbf8f3"] > 0.4, `its ground is not there, in ${colorScheme}: ${JSON.stringify(colours)}`);
      for (const ink of ["#16262f", "#1492a0", "#b44606", "#5d2496", "#f0eadf"]) assert(colours[ink] > 0, `${ink} is not in the picture in ${lang}: texts, letters or bars are missing`);
    }
    await ada.emulateMedia({ colorScheme: null });
    await ada.goto(new URL(`${new URL(ada.url()).pathname}?lang=en`, home).href);
    await card.getByTestId("results").locator("summary").click();
    const plain = await ada.context().browser()?.newContext({ javaScriptEnabled: false, viewport: { width: 360, height: 740 } });
    assert(plain, "no browser");
    const reader = await plain.newPage();
    await reader.goto(new URL(`/results/${code}`, home).href);
    await reader.getByRole("heading", { name: "Which ending?" }).first().waitFor();
    await people.photograph(reader, "results", "phone", "laptop");
    await fitsInWidth(reader);
    await reader.goto(new URL(`/poster/${code}?lang=fr`, home).href);
    await reader.getByText(/^\d{3}.\d{3}$/).waitFor();
    await people.photograph(reader, "poster", "laptop");
    await reader.goto(new URL(await card.getByTestId("svg").evaluate((link) => /** @type {HTMLAnchorElement} */ (link).href)).href);
    await people.photograph(reader, "picture", "laptop");
    await plain.close();
    for (const page of [`/results/${code}`, `/poster/${code}?lang=ar`]) {
      const looked = await people.newWindow(ada, page);
      await looked.goto(new URL(page, home).href);
      await accessible(looked, page);
      await looked.close();
    }
  });

  await check("a result is over a picture and in another site's frame, and moves there by itself", async () => {
    const { code } = await admin.event(ada);
    const overlay = await people.newWindow(ada, "the overlay");
    await overlay.goto(new URL(`/overlay/${code}`, home).href);
    await overlay.getByTestId("question").filter({ hasText: "Which ending?" }).waitFor();
    equal(await overlay.evaluate(() => getComputedStyle(document.body).backgroundColor), "rgba(0, 0, 0, 0)", "its ground");
    await overlay.keyboard.press("h");
    const voter = await people.newPerson("a viewer", { size: "phone", touch: true });
    await voter.goto(new URL(`/${code}`, home).href);
    await voter.getByTestId("choice").first().tap();
    await voter.locator('[data-step="counted"][aria-current]').waitFor();
    const embed = await people.newWindow(ada, "a slide");
    await embed.goto(new URL(`/embed/${code}`, home).href);
    await embed.locator(".percent", { hasText: "100%" }).waitFor();
    equal(await overlay.locator(".percent", { hasText: "100%" }).count(), 0, "what was held has moved");
    await overlay.keyboard.press("h");
    await overlay.locator(".percent", { hasText: "100%" }).waitFor();
    for (const page of [overlay, embed, voter]) await page.close();
  });

  await ownLook(app, people, ada);

  await check("among many events the one is found by a word or by its code, while the hands stay on the keyboard", async () => {
    const post = async (/** @type {string} */ path, /** @type {object} */ data) => {
      const answer = await ada.request.post(new URL(`/api/v1/${path}`, home).href, { data, headers: { "sec-fetch-site": "same-origin", origin: new URL(home).origin } });
      equal(answer.status(), 201, `POST ${path}`);
      return answer.json();
    };
    const make = (/** @type {string} */ title) => post("events", { title });
    const { id, code } = await make("Café Résumé");
    await post(`events/${id}/polls`, { kind: "single", question: "Which pizza, then?", choices: ["Margherita", "Hawaii"] });
    for (let made = 0; made < 55; made += 1) await make(`Class ${made}`);
    const titles = () => ada.getByTestId("event-link").locator("b").allInnerTexts();
    const found = (/** @type {string} */ text) => ada.getByTestId("found").filter({ hasText: text }).waitFor();
    await ada.setViewportSize({ width: 1280, height: 800 });
    await ada.goto(home);
    await eventually("one page of events is there", async () => (await titles()).length === 50);
    await tabTo(ada, '[data-testid="search"]');
    await ada.keyboard.type("class 3 4");
    await found("2 events found");
    equal(await titles(), ["Class 43", "Class 34"], "every word is in the title");
    for (const typed of ["  RESUME  cafe", `${code.slice(0, 3)} ${code.slice(3)}`]) {
      await ada.keyboard.press("Control+A");
      await ada.keyboard.type(typed);
      await eventually(`“${typed}” finds it`, async () => JSON.stringify([new URL(ada.url()).searchParams.get("search"), await titles()]) === JSON.stringify([typed.trim(), ["Café Résumé"]]));
    }
    equal(await ada.evaluate(() => document.activeElement?.getAttribute("data-testid")), "search", "the focus");
    equal(await ada.getByTestId("found").getAttribute("role"), "status", "a reader hears the number");
    await ada.getByTestId("event-link").click();
    await ada.getByTestId("event-title").filter({ hasText: "Café Résumé" }).waitFor();
    await ada.goBack();
    await found("1 event found");
    equal([await ada.getByTestId("search").inputValue(), await titles()], [`${code.slice(0, 3)} ${code.slice(3)}`, ["Café Résumé"]], "the way back leads to what was found");
    await ada.getByTestId("search").fill("pizza");
    await ada.getByTestId("event-asks").filter({ hasText: "Which pizza, then?" }).waitFor();
    equal(await titles(), ["Café Résumé"], "found by its question");
  });

  await check("what is found nowhere says what to do, and more than a page is one press away", async () => {
    await ada.getByTestId("search").fill("50% of nothing_like\\it");
    await ada.getByTestId("found").filter({ hasText: "No event has “50% of nothing_like\\it”" }).waitFor();
    await ada.getByText("One word is enough").waitFor();
    await people.photograph(ada, "found-nothing", "laptop", "phone");
    await accessible(ada, "a search that finds nothing");
    await ada.setViewportSize({ width: 320, height: 568 });
    await fitsInWidth(ada);
    await ada.getByTestId("all-events").click();
    await eventually("all are back", async () => (await ada.getByTestId("event-link").count()) === 50);
    equal(await ada.evaluate(() => document.activeElement?.getAttribute("data-testid")), "search", "the focus");
    await ada.getByTestId("search").fill("class");
    await ada.getByTestId("found").filter({ hasText: "There are more" }).waitFor();
    await ada.getByTestId("more-events").click();
    await eventually("all 55 are there", async () => (await ada.getByTestId("event-link").count()) === 55);
    equal(await ada.evaluate(() => document.activeElement?.querySelector("b")?.textContent), "Class 4", "the focus is on the first that came");
    assert(await ada.getByTestId("more-events").isHidden(), "there is nothing more to show");
  });
  await ada.context().close();
}

/** @param {import("playwright-core").Download} download */
async function read(download) {
  const chunks = [];
  for await (const chunk of await download.createReadStream()) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** Width, height and how much of each colour. @param {import("playwright-core").Page} page @param {Buffer} png */
function inspect(page, png) {
  return page.evaluate(async (data) => {
    const image = new Image();
    image.src = `data:image/png;base64,${data}`;
    await image.decode();
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
    const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
    context.drawImage(image, 0, 0);
    const pixels = new Uint32Array(context.getImageData(0, 0, canvas.width, canvas.height).data.buffer);
    /** @type {Record<string, number>} */
    const colours = {};
    for (const pixel of pixels) {
      const name = `#${[pixel, pixel >> 8, pixel >> 16].map((part) => (part & 255).toString(16).padStart(2, "0")).join("")}`;
      colours[name] = (colours[name] ?? 0) + 1 / pixels.length;
    }
    return { width: canvas.width, tall: canvas.height, colours };
  }, png.toString("base64"));
}
