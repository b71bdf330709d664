// An event in its own colours, from the admin's choice to the audience's phone; and what the back office says in another language.

import { accessible, fitsInWidth } from "./browser.mjs";
import { admin } from "./hands.mjs";
import { assert, check, equal, eventually } from "./report.mjs";

const SVG = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 300 100"><rect width="300" height="100" rx="20" fill="#8b1e3f"/><circle cx="60" cy="50" r="30" fill="#ffd400"/></svg>`;

/** @param {import("./app.mjs").App} app @param {import("./browser.mjs").People} people @param {import("playwright-core").Page} ada on an event's page */
export async function ownLook(app, people, ada) {
  const home = new URL("/", app.join).href;
  const { id, code } = await admin.event(ada);
  const phone = await people.newPerson("a phone in colour", { size: "phone", touch: true });
  await phone.goto(new URL(`/${code}`, home).href);
  await phone.getByTestId("event-title").filter({ hasText: /./ }).waitFor();
  const screen = await people.newWindow(ada, "a screen in colour");
  await screen.goto(new URL(`/present/${id}`, home).href);
  const action = (/** @type {import("playwright-core").Page} */ page) => page.evaluate(() => {
    const style = getComputedStyle(document.documentElement);
    return (style.getPropertyValue("--raw-wave") || style.getPropertyValue("--wave")).trim(); // on the phone it has the shorter name
  });

  await check("an event's colour reaches phones and screen by itself, readable in light and dark, and is taken back by one click", async () => {
    await ada.getByTestId("event-settings").locator("summary").click();
    await ada.getByTestId("accent").fill("#ffd400");
    await ada.getByTestId("toast").filter({ hasText: "Saved" }).waitFor();
    for (const page of [phone, screen]) {
      await page.emulateMedia({ colorScheme: "dark" });
      await eventually("dark has the colour itself", async () => (await action(page)) === "#ffd400");
      await page.emulateMedia({ colorScheme: "light" });
      await eventually("light has a darker one", async () => !["#ffd400", "#0a6b75"].includes(await action(page)));
    }
    await ada.getByTestId("undo").click(); // while it is offered
    await eventually("the colour is ours again", async () => (await action(phone)) === "#0a6b75");
    await ada.getByTestId("accent").fill("#ffd400");
    await eventually("and yellow again", async () => (await action(phone)) !== "#0a6b75");
    await accessible(phone, "a phone in yellow, in light");
    await accessible(screen, "the screen in yellow, in light");
    await ada.getByTestId("accent").fill("#8b1e3f");
    await eventually("and then wine", async () => (await action(phone)) === "#8b1e3f");
  });

  await check("a logo from an SVG becomes a small picture, and stands on phone, screen and poster", async () => {
    await ada.getByTestId("logo").setInputFiles({ name: "logo.svg", mimeType: "image/svg+xml", buffer: Buffer.from(SVG) });
    for (const page of [phone, screen]) {
      await eventually("the logo is drawn", () => page.locator("img.logo").first().evaluate((image) => /** @type {HTMLImageElement} */ (image).naturalWidth > 100 && image.getBoundingClientRect().height > 10));
      assert(await page.locator(".mark").first().isHidden(), "our mark is there too");
    }
    await people.photograph(phone, "own-look", "phone", "tablet");
    await people.photograph(screen, "own-look", "projector");
    await people.photograph(ada, "own-look-settings", "laptop", "phone");
    await accessible(ada, "the settings of an event");
    await fitsInWidth(phone);
    await ada.getByTestId("no-logo").click();
    await phone.locator(".mark").first().waitFor();
  });

  await check("a short name is set where the event is, and leads to it; a taken or odd one is refused in words", async () => {
    await ada.getByTestId("slug").fill("no spaces!");
    await ada.getByTestId("slug").press("Tab");
    await ada.getByTestId("slug-error").filter({ hasText: "3 to 40 letters" }).waitFor();
    await ada.getByTestId("slug").fill("grand-final");
    await ada.getByTestId("slug").press("Tab");
    await ada.getByTestId("join-link").filter({ hasText: "grand-final" }).waitFor();
    await phone.goto(new URL("/grand-final", home).href);
    await phone.getByTestId("event-title").filter({ hasText: /./ }).waitFor();
  });

  await check("what the server refuses is said in the reader's language", async () => {
    await ada.goto(new URL(`/admin/events/${id}?lang=de`, home).href);
    await ada.getByTestId("event-settings").locator("summary").click();
    await ada.getByTestId("slug").fill("no spaces!");
    await ada.getByTestId("slug").press("Tab");
    await ada.getByTestId("slug-error").filter({ hasText: "Ein Kurzname hat 3 bis 40" }).waitFor();
    await ada.goto(new URL(`/admin/events/${id}`, home).href);
    await ada.getByTestId("event-settings").locator("summary").click();
  });

  await check("a workbook is downloaded from a result", async () => {
    const href = await ada.getByTestId("event-xlsx").evaluate((link) => /** @type {HTMLAnchorElement} */ (link).href);
    const answer = await ada.request.get(href);
    equal([answer.status(), (await answer.body()).subarray(0, 2).toString()], [200, "PK"], "the workbook");
  });

  await check("a rehearsal says so, on the phone, on the screen and at the desk, over a picture and inside another page", async () => {
    const headers = { origin: new URL(home).origin };
    const made = await (await ada.request.post(new URL("/api/v1/events", home).href, { data: { title: "Dry run", rehearsal: true }, headers })).json();
    const { id } = await (await ada.request.post(new URL(`/api/v1/events/${made.id}/polls`, home).href, { data: { kind: "single", question: "Does it work?", choices: ["Yes", "No"] }, headers })).json();
    await ada.request.put(new URL(`/api/v1/polls/${id}/state`, home).href, { data: { state: "open" }, headers });
    await phone.goto(new URL(`/${made.code}`, home).href);
    await phone.getByTestId("rehearsal").filter({ hasText: "No vote here is real" }).waitFor();
    await screen.goto(new URL(`/present/${made.id}`, home).href);
    await screen.getByTestId("rehearsal").waitFor();
    for (const place of ["overlay", "embed"]) {
      await screen.goto(new URL(`/${place}/${made.code}`, home).href);
      await screen.getByTestId("rehearsal").filter({ hasText: "No vote here is real" }).waitFor();
    }
    await screen.goto(new URL(`/admin/events/${made.id}`, home).href);
    await screen.getByTestId("rehearsal").filter({ hasText: "No vote here is real" }).waitFor();
    await people.photograph(phone, "rehearsal", "phone");
    await accessible(phone, "a rehearsal on a phone");
  });
  for (const page of [phone, screen]) await page.close();
}
