// The afternoon before the show: the admin copies the command from the screen, runs it in a terminal, and reads the verdict on the screen.

import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { accessible, fitsInWidth } from "./browser.mjs";
import { tabTo } from "./hands.mjs";
import { assert, check, equal, eventually, need } from "./report.mjs";

const run = promisify(execFile);
const PEOPLE = 300;
const SEEN_WITHIN_MS = 30_000;

/** @param {import("./app.mjs").App} app @param {import("./browser.mjs").People} people @param {{email:string, password:string}} account @param {string} token */
export async function rehearsal(app, people, account, token) {
  const home = new URL("/admin", app.join).href;
  const ada = await people.newPerson("the admin before the show", { expects: (url, status) => status === 404 && url.pathname === "/api/v1/rehearsals/nothing" });
  let told = "";

  await need("where nothing was rehearsed, the page teaches how, with this server's own address in the command", async () => {
    await ada.goto(home);
    await ada.getByTestId("email").fill(account.email);
    await ada.getByTestId("password").fill(account.password);
    await ada.getByTestId("submit").click();
    await ada.getByTestId("new-event").waitFor();
    await tabTo(ada, '[data-testid="rehearsals-link"]');
    await ada.keyboard.press("Enter");
    await ada.getByRole("heading", { name: "Rehearsals", level: 1 }).waitFor();
    equal(await ada.locator("#rooms [aria-current=page]").innerText(), "Rehearsals", "where one is");
    told = await ada.getByTestId("rehearse-command").innerText();
    assert(told.includes(`--url ${new URL(home).origin} `), told);
    assert(await ada.getByTestId("rehearsals").isHidden(), "an empty list is shown");
    await people.photograph(ada, "rehearsals-none", "laptop", "phone");
    await accessible(ada, "the page of rehearsals before the first one");
  });

  await need("the command, as it stands there, rehearses, and its verdict appears on the page by itself", async () => {
    // With a smaller audience; the binary and the token are what the reader puts in.
    const typed = told.replace("groundswell rehearse", `'${app.binary}' rehearse`).replace("=…", `=${token}`).replace("--voters 100000", `--voters ${PEOPLE}`).replace("--viewers 1000", "--viewers 5");
    const { stdout, stderr } = await run("sh", ["-c", typed]);
    assert(stdout.includes("lost 0") && stderr.includes("/admin/rehearsals/"), `${stdout}\n${stderr}`);
    const link = ada.getByTestId("rehearsal-link");
    await link.waitFor({ timeout: SEEN_WITHIN_MS });
    const seen = await link.innerText();
    assert(/^300 people within 1\ss\n/.test(seen) && /✓\s*Fits/.test(seen) && /nothing lost/.test(seen), seen);
    await ada.locator("#say").filter({ hasText: "300 people" }).waitFor({ state: "attached" });
    await people.photograph(ada, "rehearsals", "laptop", "phone");
    await accessible(ada, "the list of rehearsals");
  });

  await check("the verdict is in words: who fits, what limited it, and that every answer was kept", async () => {
    await ada.getByTestId("rehearsal-link").focus();
    await ada.keyboard.press("Enter");
    await ada.getByTestId("rehearsal-title").filter({ hasText: "300 people within 1" }).waitFor();
    const words = await ada.getByTestId("rehearsal-sentence").innerText();
    assert(/^An audience of 300 voting within 1\ss fits.*counted within .*nothing was lost\.$/.test(words), words);
    assert((await ada.getByTestId("rehearsal-check").innerText()).startsWith("Yes. Every answer was compared with the poll: all 300 people"), "the check");
    assert((await ada.getByTestId("rehearsal-limit").innerText()).length > 20, "what limited it");
    const figures = await ada.getByTestId("rehearsal-figures").locator("div").allInnerTexts();
    assert(figures.some((one) => /^0\s+lost$|^lost\s+0$/.test(one.trim())), figures.join(" | "));
    equal(await ada.getByTestId("waits").locator("tbody tr").count(), 5, "percentiles");
  });

  await check("the picture has a twin that says the same, and both are of every one of them", async () => {
    await ada.locator(".plot path.accepted").first().waitFor();
    const drawn = await ada.locator("figure svg[role=img] path:not(.grid)").evaluateAll((paths) => paths.map((path) => [path.getAttribute("class"), (path.getAttribute("d") ?? "").split("L").length]));
    equal(drawn.map(([name]) => name), ["tapped", "counted", "accepted"], "the lines");
    assert(drawn.every(([, points]) => Number(points) > 100), JSON.stringify(drawn));
    assert((await ada.locator("figure svg[role=img]").getAttribute("aria-label"))?.includes("All 300 people"), "the picture in words");
    await ada.locator("summary", { hasText: "as a table" }).click();
    const last = await ada.getByTestId("race-table").locator("tbody tr").last().locator("td").allInnerTexts();
    equal(last, ["300", "300", "300"], "the last row: tapped, answered, counted");
    await people.photograph(ada, "rehearsal", "laptop", "phone");
    await accessible(ada, "the report of a rehearsal");
    await ada.setViewportSize({ width: 320, height: 568 });
    await fitsInWidth(ada);
    const width = () => ada.locator("figure svg[role=img]").evaluate((svg) => svg.getBoundingClientRect().width);
    await eventually("the picture is drawn anew for the width it has", async () => (await width()) > 200 && (await width()) < 320);
  });

  await check("the report is taken home as JSON, and stays when its rehearsal is gone", async () => {
    const [download] = await Promise.all([ada.waitForEvent("download"), ada.getByTestId("rehearsal-json").click()]);
    const chunks = [];
    for await (const chunk of await download.createReadStream()) chunks.push(chunk);
    const report = JSON.parse(Buffer.concat(chunks).toString());
    equal([report.report, report.verdict, report.check.answered, report.check.lost], [1, "kept", PEOPLE, 0], "what it says");
    const { events } = await (await ada.request.get(new URL("/api/v1/events?rehearsal=true", home).href)).json();
    equal(events.filter((/** @type {any} */ one) => one.title.startsWith("Rehearsal")), [], "what it was held in");
  });

  await check("a report that is not kept says so, and leads back", async () => {
    await ada.goto(new URL("/admin/rehearsals/nothing", home).href);
    await ada.getByRole("heading", { name: "Not here" }).waitFor();
    await ada.getByTestId("rehearsals-link").click();
    await ada.getByTestId("rehearsal-link").waitFor();
  });
  await ada.context().close();
}
