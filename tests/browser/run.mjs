// One evening with Groundswell, lived by real people in a real browser: an admin, a presenter and several phones.
//   node run.mjs --binary target/debug/groundswell [--shots DIR] [--only story|phones|pictures|outbox|elsewhere|told|said|palm|care|forms|steady|air|moved]
// The checks tell one story from top to bottom; each line of output is a sentence that is true, or "not ok".

import { parseArgs } from "node:util";
import { air } from "./air.mjs";
import { App } from "./app.mjs";
import { accessible, fitsInWidth, launch, People } from "./browser.mjs";
import { care } from "./care.mjs";
import { desk } from "./desk.mjs";
import { elsewhere } from "./elsewhere.mjs";
import { forms } from "./forms.mjs";
import { admin, mine, phone, stage, tabTo } from "./hands.mjs";
import { looks } from "./looks.mjs";
import { moved } from "./moved.mjs";
import { outbox } from "./outbox.mjs";
import { palm } from "./palm.mjs";
import { paper } from "./paper.mjs";
import { rehearsal } from "./rehearsal.mjs";
import { said } from "./said.mjs";
import { steady } from "./steady.mjs";
import { told } from "./told.mjs";
import { stopwatch } from "./stopwatch.mjs";
import { assert, CannotGoOn, check, close, equal, eventually, failures, need } from "./report.mjs";

const ACCOUNT = { email: "ada@example.org", password: "correct horse battery" };
const SCREEN_WITHIN_MS = 500; // from the tap to the presenter's bar

const { values: { binary = "target/debug/groundswell", shots = "", only = "" } } = parseArgs({ options: { binary: { type: "string" }, shots: { type: "string" }, only: { type: "string" } } });

const TOKEN = "a-token-for-people-in-browsers-1234"; // for who rehearses
const app = new App(binary, { GROUNDSWELL_API_TOKEN: TOKEN });
process.on("exit", () => app.remove());
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => process.exit(130));

/** @type {Record<string, () => Promise<void>>} */
const parts = { story, phones, pictures, outbox: () => outbox(binary), elsewhere: () => elsewhere(binary, shots), told, said, palm, care, forms, steady, air, moved };
if (only && !(only in parts)) throw new Error(`--only takes ${Object.keys(parts).join(", ")}`);
if (only) await toItsEnd(parts[only]);
else {
  // Alone: it measures how soon a screen moves.
  await toItsEnd(story);
  // Phones mostly wait, pictures are mostly drawn: side by side they keep two cores busy.
  await Promise.all([toItsEnd(phones), toItsEnd(pictures)]);
}
if (failures()) console.log(`\nThe server last said:\n${app.log.join("\n").replace(/^/gm, "    ")}`);
process.exitCode = close();

/** @param {() => Promise<void>} part */
async function toItsEnd(part) {
  try {
    await part();
  } catch (error) {
    if (!(error instanceof CannotGoOn)) await check(`the ${part.name || "part"} comes to its end`, async () => { throw error; });
  }
}

/** From an empty directory to the end of the evening. */
async function story() {
  let people = /** @type {People|undefined} */ (undefined);
  try {
    await need("the server starts on an empty directory and says where to join and set up", async () => {
      await app.up();
      assert(app.admin.includes("#setup="), `no setup link among:\n${app.log.join("\n")}`);
      assert(app.data, "no data directory printed");
    });
    people = await People.arrive(app, shots);
    const there = people;
    await evening(app, there);
    await desk(app, there, ACCOUNT);
    await rehearsal(app, there, ACCOUNT, TOKEN);
    await check("no page complained: no error, no refused request, nothing against the content security policy", async () => {
      equal([...there.complaints], [], "complaints");
    });
    await check("the server ran to the end, but for the time it was killed", async () => {
      assert(!app.died, app.died);
    });
  } finally {
    await people?.browser.close();
    app.remove();
  }
}

async function phones() {
  await outbox(binary);
  await elsewhere(binary, shots);
}

/** Every screen in every state. */
async function pictures() {
  await told();
  await said();
  await palm();
  await care();
  await forms();
  await steady();
  await air();
  await moved();
  const browser = await launch();
  try {
    await looks(browser);
    await paper(browser, binary);
  } finally {
    await browser.close();
  }
}

/** @param {App} app @param {People} people */
async function evening(app, people) {
  const home = new URL("/", app.join).href;
  const ada = await people.newPerson("the admin", { expects: (url, status) => url.pathname === "/api/v1/password" && status === 403 });
  const screen = await people.newWindow(ada, "the big screen");
  const alice = await people.newPerson("Alice's phone", { size: "phone", touch: true });
  const kim = await people.newPerson("Kim, keyboard only");
  let event = { id: "", code: "" };

  // ------------------------------------------------------------------------------------------------ the admin prepares

  await check("without the setup link, the back office says how to get an account", async () => {
    await ada.goto(new URL("/admin", home).href);
    await ada.getByRole("heading", { name: "Almost there" }).waitFor();
  });

  await need("the setup link makes the first account, once the password is long enough", async () => {
    await ada.goto(app.admin);
    await ada.getByTestId("setup-form").waitFor();
    await people.photograph(ada, "setup", "laptop", "phone");
    await ada.getByTestId("email").fill(ACCOUNT.email);
    await ada.getByTestId("password").fill("short");
    await ada.getByTestId("submit").click();
    await ada.getByTestId("form-error").filter({ hasText: "at least 12" }).waitFor();
    await ada.getByTestId("password").fill(ACCOUNT.password);
    await ada.getByTestId("submit").click();
    await ada.getByTestId("first-event").waitFor();
    await ada.getByTestId("who").filter({ hasText: ACCOUNT.email }).waitFor();
    assert(!ada.url().includes("setup="), "the token is still in the address");
    await people.photograph(ada, "no-events", "laptop");
  });

  await stopwatch(ada);

  await need("an event is made from a title, a question and pasted lines", async () => {
    await ada.getByTestId("first-event").click();
    await ada.getByTestId("title").fill("Friday all-hands");
    await ada.getByTestId("question").fill("Which ending?");
    await ada.getByTestId("choices").focus();
    await ada.keyboard.insertText("Cowboys\nPirates\n\n  Robots  \n");
    await people.photograph(ada, "new-event", "laptop", "phone");
    await accessible(ada, "the form of a new event");
    await ada.getByTestId("submit").click();
    await ada.getByTestId("poll").filter({ hasText: "Which ending?" }).waitFor();
    event = await admin.event(ada);
    assert(/^\d{6}$/.test(event.code), `the code is '${event.code}'`);
  });

  await check("the event's page shows the code, the link and a QR code that loads", async () => {
    equal(new URL(await ada.getByTestId("join-link").evaluate((link) => link.href)).pathname, `/${event.code}`, "the link");
    await eventually("the QR code is drawn", () => ada.locator('[data-fill="qr"]').evaluate((image) => image.complete && image.naturalWidth > 0));
    await people.photograph(ada, "event", "laptop", "phone");
    await accessible(ada, "the event's page");
  });

  // ------------------------------------------------------------------------------------------------ people join

  await check("a wrong code is answered with a sentence, and the right one still works", async () => {
    const bob = await people.newPerson("Bob's phone", { size: "phone", touch: true, expects: (url, status) => status === 404 && url.pathname.startsWith("/api/v1/live/") });
    await bob.goto(home);
    await people.photograph(bob, "join", "phone", "small");
    await phone.join(bob, "12345");
    await bob.getByTestId("join-error").filter({ hasText: "6 digits" }).waitFor();
    await phone.join(bob, event.code === "999999" ? "999998" : "999999");
    await bob.getByTestId("join-error").filter({ hasText: "don't know the code" }).waitFor();
    await people.photograph(bob, "wrong-code", "phone");
    await accessible(bob, "the join page");
    await phone.join(bob, event.code);
    await bob.getByTestId("screen-waiting").waitFor();
    await bob.context().close();
  });

  await need("a phone joins by typing the code, spaces allowed, and waits for the first question", async () => {
    await alice.goto(home);
    await phone.join(alice, `${event.code.slice(0, 3)} ${event.code.slice(3)}`);
    await alice.getByTestId("screen-waiting").waitFor();
    await alice.getByTestId("event-title").filter({ hasText: "Friday all-hands" }).waitFor();
    await people.photograph(alice, "waiting", "phone");
  });

  await need("the presenter's screen shows how to join", async () => {
    await screen.goto(new URL(`/present/${event.id}`, home).href);
    await screen.setViewportSize({ width: 1920, height: 1080 });
    await screen.getByTestId("lobby-code").waitFor();
    equal((await screen.getByTestId("lobby-code").innerText()).replace(/\D/g, ""), event.code, "the code on the big screen");
    await eventually("the QR code is drawn", () => screen.getByTestId("lobby-qr").evaluate((image) => image.complete && image.naturalWidth > 0));
    await people.photograph(screen, "lobby", "projector", "laptop");
  });

  await need("opening the poll puts it on the phone and on the big screen by itself", async () => {
    await admin.poll(ada, "Which ending?").getByTestId("toggle").click();
    await alice.getByTestId("question").filter({ hasText: "Which ending?" }).waitFor();
    await screen.getByTestId("question").filter({ hasText: "Which ending?" }).waitFor();
    await screen.getByTestId("voters").filter({ hasText: "No votes yet" }).waitFor();
    equal(await phone.choices(alice), ["Cowboys", "Pirates", "Robots"], "the choices on the phone");
    await people.photograph(alice, "question", "phone", "small");
    await people.photograph(screen, "no-votes-yet", "projector");
    await fitsInWidth(alice);
    await accessible(alice, "the question on a phone");
  });

  await need("the bars are revealed by one press, if they are not from the start", () => stage.reveal(screen));

  // ------------------------------------------------------------------------------------------------ people vote

  await need("one tap is a vote: Received, then Counted, without touching anything else", async () => {
    await phone.vote(alice, "Cowboys");
    await phone.reached(alice, "received", "counted");
    await phone.reached(alice, "counted");
    equal(await mine(alice), ["Cowboys"], "Alice's own vote on her phone");
    await stage.shows(screen, { Cowboys: 1, Pirates: 0, Robots: 0 });
    await screen.getByTestId("voters").filter({ hasText: /^1 vote$/ }).waitFor();
    await people.photograph(alice, "counted", "phone", "small");
    await accessible(alice, "a counted vote on a phone");
  });

  await check("the phone shows the result it may see", async () => {
    await alice.getByTestId("voters").filter({ hasText: "1 vote ·" }).waitFor();
    equal(await phone.percents(alice), ["100%", "0%", "0%"], "percents on the phone");
  });

  await check(`the bars on the big screen move within ${SCREEN_WITHIN_MS} ms of the tap`, async () => {
    const took = [];
    let votes = 1;
    for (let one = 0; one < 5; one += 1) {
      const voter = await people.newPerson(`voter ${one}`, { size: "phone", touch: true });
      await voter.goto(new URL(`/${event.code}`, home).href);
      await voter.getByTestId("choice").first().waitFor();
      const moved = stage.moment(screen, "Pirates", one + 1);
      await phone.vote(voter, "Pirates");
      took.push(await moved - await voter.evaluate(() => /** @type {any} */ (window).clickedAt));
      await phone.reached(voter, "counted");
      votes += 1;
      await voter.context().close();
    }
    await screen.getByTestId("voters").filter({ hasText: `${votes} votes` }).waitFor();
    const median = [...took].sort((a, b) => a - b)[2];
    assert(median <= SCREEN_WITHIN_MS, `took ${took.join(", ")} ms`);
    return `${took.join(", ")} ms`;
  });

  await check("the bar itself is as long as its share", async () => {
    await eventually("the bars reach their length", async () => {
      const [cowboys, pirates, robots] = await stage.lengths(screen);
      return Math.abs(cowboys / pirates - 1 / 5) < 0.02 && robots < 1;
    });
    await people.photograph(screen, "bars", "projector", "laptop");
    await accessible(screen, "the presenter's screen");
  });

  await check("a clean window for the projector follows: the poll from the server, the join screen and the blank from the presenter's keys", async () => {
    const [clean] = await Promise.all([screen.waitForEvent("popup"), screen.keyboard.press("w")]);
    await clean.getByTestId("question").filter({ hasText: "Which ending?" }).waitFor();
    assert(await clean.getByTestId("controls").isHidden(), "there are buttons on it");
    await screen.keyboard.press("j");
    await clean.getByTestId("lobby-code").waitFor();
    await screen.keyboard.press("b");
    await clean.getByTestId("blank").waitFor();
    await screen.keyboard.press("Escape");
    await screen.keyboard.press("j");
    await clean.getByTestId("question").waitFor();
    assert(await clean.getByTestId("blank").isHidden(), "it stays blank");
    await clean.close();
  });

  await check("a phone that scanned the remote's code and signed in is the remote: black, join screen, size and order reach the big screen of another browser, and its keys reach the phone", async () => {
    await ada.getByTestId("show-remote").click();
    await eventually("the QR code is drawn", () => ada.getByTestId("remote-qr").locator("img").evaluate((/** @type {any} */ image) => image.complete && image.naturalWidth > 0));
    const phone = await people.newPerson("Ada's phone", { size: "phone", touch: true, expects: (url, status) => status === 401 });
    await phone.goto(screen.url());
    await phone.getByTestId("message").getByRole("link", { name: "Sign in" }).tap();
    await phone.getByTestId("email").fill(ACCOUNT.email);
    await phone.getByTestId("password").fill(ACCOUNT.password);
    await phone.getByTestId("submit").tap();
    await phone.getByTestId("toggle").waitFor();
    await people.photograph(phone, "remote", "phone");
    await phone.getByTestId("join").tap();
    await screen.getByTestId("lobby-code").waitFor();
    await phone.getByTestId("join").tap();
    await screen.getByTestId("question").waitFor();
    await phone.getByTestId("view").tap();
    const letters = () => screen.evaluate(() => document.documentElement.style.getPropertyValue("--scale"));
    const usual = await letters();
    await phone.getByTestId("view-larger").tap();
    await phone.getByTestId("view-larger").tap();
    await eventually("two steps larger", async () => Number(await letters()) > 1.2 * Number(usual));
    await phone.getByTestId("view-smaller").tap();
    await phone.getByTestId("view-smaller").tap();
    await eventually("and back", async () => (await letters()) === usual);
    await phone.getByTestId("view-blank").tap();
    await screen.getByTestId("blank").waitFor();
    await people.photograph(phone, "remote-blank", "phone");
    await screen.keyboard.press("b");
    await phone.getByTestId("blank").waitFor({ state: "hidden" });
    await screen.keyboard.press("s");
    await eventually("the phone knows the order", async () => (await phone.getByTestId("view-sort").getAttribute("aria-pressed")) === "true");
    await phone.getByTestId("view-sort").tap();
    await eventually("and puts it back", async () => (await screen.getByTestId("view-sort").getAttribute("aria-pressed")) === "false");
    const late = await people.newWindow(phone, "a screen opened later");
    await phone.getByTestId("view-blank").tap();
    await late.goto(screen.url());
    await late.getByTestId("blank").waitFor();
    await phone.getByTestId("view-blank").tap();
    await screen.getByTestId("blank").waitFor({ state: "hidden" });
    await phone.context().close();
    await ada.getByTestId("show-remote").click();
  });

  await check("S sorts the bars and S puts them back; percent, count and both by one key; ? lists the keys", async () => {
    const order = () => screen.locator("#bars .row").evaluateAll((rows) => rows.map((row) => ({ text: row.querySelector(".text")?.textContent, top: row.getBoundingClientRect().top })).sort((a, b) => a.top - b.top).map((row) => row.text));
    await screen.keyboard.press("s");
    await eventually("the most votes stand first", async () => (await order())[0] === "Pirates");
    await screen.keyboard.press("s");
    await eventually("the order of the choices is back", async () => JSON.stringify(await order()) === JSON.stringify(["Cowboys", "Pirates", "Robots"]));
    await screen.keyboard.press("%");
    assert(await screen.locator("#bars .votes").first().isHidden(), "counts are still there");
    await screen.keyboard.press("%");
    await screen.keyboard.press("%");
    assert(await screen.locator("#bars .votes").first().isVisible(), "counts do not come back");
    await screen.keyboard.press("?");
    await screen.getByTestId("keys").filter({ hasText: "No key deletes anything" }).waitFor();
    await screen.keyboard.press("Escape");
  });

  await check("a changed vote moves, and does not add", async () => {
    await alice.getByTestId("change").tap();
    await phone.vote(alice, "Robots");
    await phone.reached(alice, "counted");
    await stage.shows(screen, { Cowboys: 0, Pirates: 5, Robots: 1 });
    await screen.getByTestId("voters").filter({ hasText: "6 votes" }).waitFor();
  });

  await check("after a reload the phone still knows its vote, and that it is counted", async () => {
    await alice.reload();
    await phone.reached(alice, "counted");
    equal(await mine(alice), ["Robots"], "after the reload");
    equal(await phone.code(alice), event.code, "the address");
  });

  await check("a vote by keyboard alone: arrows choose and do not vote, Enter does", async () => {
    await kim.goto(home);
    await kim.keyboard.type(event.code);
    await kim.keyboard.press("Enter");
    await kim.getByTestId("choice").first().waitFor();
    await tabTo(kim, "input[name=pick]");
    await kim.keyboard.press("ArrowDown");
    await kim.keyboard.press("ArrowUp");
    await kim.getByTestId("send").waitFor();
    equal(await phone.step(kim), null, "after the arrows");
    await people.photograph(kim, "keyboard", "laptop");
    await kim.keyboard.press("Enter");
    await phone.reached(kim, "counted");
    equal(await mine(kim), ["Cowboys"], "Kim's vote");
    await stage.shows(screen, { Cowboys: 1, Pirates: 5, Robots: 1 });
  });

  await check("a cleared vote is off the big screen", async () => {
    await tabTo(kim, '[data-testid="clear"]');
    await kim.keyboard.press("Enter");
    await kim.getByTestId("receipt-note").filter({ hasText: "cleared" }).waitFor();
    await stage.shows(screen, { Cowboys: 0, Pirates: 5, Robots: 1 });
    await screen.getByTestId("voters").filter({ hasText: "6 votes" }).waitFor();
  });

  await check("two taps in one moment are one vote", async () => {
    const dan = await people.newPerson("Dan's phone", { size: "phone", touch: true });
    await dan.goto(new URL(`/${event.code}`, home).href);
    await dan.getByTestId("choice").first().waitFor();
    await dan.evaluate(() => { for (const input of document.querySelectorAll("#choices input")) /** @type {HTMLElement} */ (input).click(); });
    await phone.reached(dan, "counted");
    equal(await mine(dan), ["Cowboys"], "the first tap");
    await stage.shows(screen, { Cowboys: 1, Pirates: 5, Robots: 1 });
    await dan.context().close();
  });

  await check("a vote without a network is saved, said so, and sent when it is back", async () => {
    await alice.context().setOffline(true);
    await alice.getByTestId("connection").filter({ hasText: "You are offline." }).waitFor();
    await alice.getByTestId("change").tap();
    await phone.vote(alice, "Pirates");
    await phone.reached(alice, "saved");
    await alice.getByTestId("connection").filter({ hasText: "Your vote is saved and will be sent." }).waitFor();
    await people.photograph(alice, "offline", "phone");
    await alice.context().setOffline(false);
    await phone.reached(alice, "counted");
    await stage.shows(screen, { Cowboys: 1, Pirates: 6, Robots: 0 });
  });

  // ------------------------------------------------------------------------------------------------ it ends

  await check("closing is told to the phone, and nothing can be tapped any more", async () => {
    await screen.keyboard.press("Space");
    await screen.getByTestId("poll-state").filter({ hasText: "Closed" }).waitFor();
    await alice.getByTestId("poll-state").filter({ hasText: "Closed" }).waitFor();
    assert(await alice.locator("#choices input").first().isDisabled(), "the choices are still enabled");
    assert(await alice.getByTestId("change").isHidden(), "the vote can still be changed");
    equal(await mine(alice), ["Pirates"], "Alice still sees her vote");
    await people.photograph(alice, "closed", "phone");
  });

  await check("the result becomes final, on the screen, on the phone and in the books", async () => {
    await screen.getByTestId("note").filter({ hasText: "final" }).waitFor();
    await alice.getByTestId("voters").filter({ hasText: "7 votes · final" }).waitFor();
    const card = admin.poll(ada, "Which ending?");
    await card.locator('[data-step="final"][aria-current="step"]').waitFor();
    await card.getByTestId("results").locator("summary").click();
    await card.getByTestId("books").filter({ hasText: "Every vote is accounted for" }).waitFor();
    await people.photograph(screen, "final", "projector");
    await people.photograph(ada, "books", "laptop");
  });

  await check("the CSV says the same", async () => {
    const [download] = await Promise.all([ada.waitForEvent("download"), admin.poll(ada, "Which ending?").getByTestId("csv").click()]);
    const csv = await read(download);
    for (const [choice, votes] of [["Cowboys", 1], ["Pirates", 6], ["Robots", 0]]) assert(new RegExp(`${choice}\\W.*\\b${votes}\\b`).test(csv), `no ${choice} with ${votes} in:\n${csv}`);
  });

  // ------------------------------------------------------------------------------------------------ several picks, kept secret

  await need("a question with several picks is added, and the presenter goes to it by one key", async () => {
    await ada.getByTestId("add-poll").locator("summary").click();
    const form = ada.getByTestId("poll-form");
    await form.getByTestId("question").fill("Which snacks?");
    await form.getByTestId("choices").fill("Popcorn\nNachos\nFruit\nNothing");
    await form.getByTestId("kind-multiple").check();
    await form.getByTestId("max").fill("2");
    await form.getByTestId("visibility").selectOption("after_close");
    await form.getByTestId("submit").click();
    await admin.poll(ada, "Which snacks?").waitFor();
    await eventually("the screen knows the next question", () => screen.getByTestId("next").isEnabled());
    await screen.keyboard.press("ArrowRight");
    await screen.getByTestId("question").filter({ hasText: "Which snacks?" }).waitFor();
    await screen.keyboard.press("Space");
    await screen.getByTestId("poll-state").filter({ hasText: "Open" }).waitFor();
    await alice.getByTestId("question").filter({ hasText: "Which snacks?" }).waitFor();
  });

  await check("two ticks and Send are one ballot; a third tick is refused with a sentence", async () => {
    await phone.tick(alice, "Popcorn");
    await phone.tick(alice, "Fruit");
    await phone.tick(alice, "Nothing");
    await alice.getByTestId("receipt-note").filter({ hasText: "At most 2" }).waitFor();
    await people.photograph(alice, "several", "phone", "small");
    await alice.getByTestId("send").tap();
    await phone.reached(alice, "counted");
    equal(await mine(alice), ["Popcorn", "Fruit"], "Alice's picks");
  });

  await check("what is kept until the close is not on the phone before", async () => {
    equal(await phone.percents(alice), ["", "", "", ""], "percents on the phone");
    const live = await (await fetch(new URL(`/api/v1/live/${event.code}`, home))).json();
    equal(live.polls.at(-1).results, null, "the public document");
  });

  await check("after closing and revealing, everybody sees shares of voters", async () => {
    await screen.keyboard.press("Space");
    await screen.getByTestId("poll-state").filter({ hasText: "Closed" }).waitFor();
    await stage.reveal(screen);
    await stage.shows(screen, { Popcorn: 1, Nachos: 0, Fruit: 1, Nothing: 0 });
    await screen.getByTestId("note").filter({ hasText: "more than 100%" }).waitFor();
    await eventually("the phone shows them too", async () => JSON.stringify(await phone.percents(alice)) === JSON.stringify(["100%", "0%", "100%", "0%"]));
    await people.photograph(screen, "several", "projector");
    await people.photograph(alice, "several-closed", "phone");
  });

  await check("a countdown is on the screen and on the phone, warns near the end, and closes the voting by itself", async () => {
    await screen.keyboard.press("Space");
    await screen.getByTestId("poll-state").filter({ hasText: "Open" }).waitFor();
    await screen.keyboard.press("t");
    await screen.getByTestId("timer-dialog").getByRole("button", { name: "15 seconds" }).press("Enter");
    await screen.getByTestId("clock").filter({ hasText: /^0:1\d$/ }).waitFor();
    await alice.getByTestId("clock").filter({ hasText: /0:1\d left/ }).waitFor();
    await screen.locator("#clock[data-near]").waitFor();
    await people.photograph(screen, "countdown", "projector");
    await alice.getByTestId("poll-state").filter({ hasText: "Closed" }).waitFor();
    await screen.getByTestId("poll-state").filter({ hasText: "Closed" }).waitFor();
    await eventually("the server has written it down", async () => (await (await fetch(new URL(`/api/v1/live/${event.code}`, home))).json()).polls.at(-1).state === "closed");
    await screen.getByTestId("toggle").filter({ hasText: "Open again" }).waitFor();
  });

  // ------------------------------------------------------------------------------------------------ the power goes

  await need("the first question is opened again, on stage", async () => {
    await screen.keyboard.press("ArrowLeft");
    await screen.getByTestId("question").filter({ hasText: "Which ending?" }).waitFor();
    await screen.keyboard.press("Space");
    await screen.getByTestId("poll-state").filter({ hasText: "Open" }).waitFor();
    await alice.getByTestId("change").waitFor();
  });

  await check("with the server killed the screens keep their result and say so; a vote is kept on the phone", async () => {
    await app.kill();
    await screen.getByTestId("lost").filter({ hasText: "No connection" }).waitFor();
    await stage.shows(screen, { Cowboys: 1, Pirates: 6, Robots: 0 });
    await alice.getByTestId("change").tap();
    await phone.vote(alice, "Cowboys");
    await alice.getByTestId("receipt-note").filter({ hasText: "no need to refresh" }).waitFor();
    await people.photograph(screen, "server-gone", "projector");
    await people.photograph(alice, "server-gone", "phone");
  });

  await need("started again on the same directory, everything is there and the kept vote arrives by itself", async () => {
    await app.up();
    await phone.reached(alice, "counted");
    await stage.shows(screen, { Cowboys: 2, Pirates: 5, Robots: 0 });
    await screen.getByTestId("voters").filter({ hasText: "7 votes" }).waitFor();
    assert(await screen.getByTestId("lost").isHidden(), "the screen still says that there is no connection");
  });

  await check("the admin is still signed in, and the books still balance", async () => {
    await ada.reload();
    const card = admin.poll(ada, "Which ending?");
    await card.getByTestId("results").locator("summary").click();
    await card.getByTestId("books").filter({ hasText: "Every vote is accounted for" }).waitFor();
    const { books, results } = await (await ada.request.get(new URL(`/api/v1/polls/${await admin.pollId(ada, event.id, "Which ending?")}/results`, home).href)).json();
    equal(books.received, books.counted + books.superseded + books.duplicate + books.late, "the two sides of the books");
    equal(results.voters, 7, "voters");
  });

  // ------------------------------------------------------------------------------------------------ good night

  await check("a new round starts empty on the phone", async () => {
    await screen.keyboard.press("Space");
    await screen.getByTestId("poll-state").filter({ hasText: "Closed" }).waitFor();
    const card = admin.poll(ada, "Which ending?");
    await card.getByTestId("new-round").click();
    await people.photograph(ada, "confirm", "laptop");
    await ada.getByTestId("confirm-yes").click();
    await screen.getByTestId("voters").filter({ hasText: "No votes yet" }).waitFor();
    await eventually("the phone forgets the old vote", async () => (await mine(alice)).length === 0);
    await alice.getByTestId("poll-state").getByText("Not open yet · round 2").waitFor();
  });

  await check("ending the event is told to the phone", async () => {
    await ada.getByTestId("event-settings").locator("summary").click();
    await ada.getByTestId("end-event").click();
    await ada.getByTestId("confirm-yes").click();
    await alice.getByTestId("screen-ended").waitFor();
    await people.photograph(alice, "ended", "phone");
    await alice.locator("#sheet").tap();
    await alice.getByText("Which snacks?").waitFor();
    await alice.goBack();
  });

  await check("text that looks like HTML stays text, everywhere", async () => {
    const nasty = "<img src=x onerror=alert(1)><b>bold</b>";
    await ada.getByTestId("home").click();
    await ada.getByTestId("new-event").click();
    await ada.getByTestId("title").fill(nasty);
    await ada.getByTestId("question").fill(nasty);
    await ada.getByTestId("choices").fill(`${nasty}\n"><script>alert(2)</script>`);
    await ada.getByTestId("submit").click();
    await ada.getByTestId("poll").waitFor();
    const made = await admin.event(ada);
    await ada.getByTestId("poll").getByTestId("toggle").click();
    await screen.goto(new URL(`/present/${made.id}`, home).href);
    await alice.goto(new URL(`/${made.code}`, home).href);
    for (const page of [ada, screen, alice]) {
      await page.getByText("<b>bold</b>").first().waitFor();
      equal(await page.locator("img[src=x], main b:text-is('bold')").count(), 0, "made of it");
    }
    await fitsInWidth(alice);
  });

  await check("a password is changed: a wrong one says so at its field, every other browser is signed out, and the new one signs in", async () => {
    const other = await people.newPerson("Ada's other laptop", { expects: (_, status) => status === 401 });
    const signIn = async (/** @type {string} */ password) => {
      await other.goto(new URL("/admin", home).href);
      await other.getByTestId("email").fill(ACCOUNT.email);
      await other.getByTestId("password").fill(password);
      await other.getByTestId("submit").click();
      await other.getByTestId("sign-out").waitFor();
    };
    await signIn(ACCOUNT.password);
    const next = `${ACCOUNT.password}, and another word`;
    await ada.getByTestId("who").click();
    await ada.getByTestId("account-form").waitFor();
    const change = async (/** @type {string} */ current, /** @type {string} */ password) => {
      await ada.getByTestId("current").fill(current);
      await ada.getByTestId("password").fill(password);
      await ada.getByTestId("submit").click();
    };
    await change("not the password", next);
    await ada.getByText("This is not the password of this account.").waitFor();
    await people.photograph(ada, "password", "laptop", "phone");
    await accessible(ada, "the change of the password");
    await change(ACCOUNT.password, "short");
    await ada.getByText(/The password needs at least 12/).waitFor();
    await change(ACCOUNT.password, next);
    await ada.waitForURL(({ pathname }) => pathname === "/admin");
    await ada.getByTestId("toast").filter({ hasText: "The password is changed." }).waitFor();
    await other.reload();
    await other.getByTestId("sign-in-form").waitFor();
    await signIn(next);
    await other.context().close();
    // The rest of the evening knows the old one.
    await ada.getByTestId("who").click();
    await change(next, ACCOUNT.password);
    await ada.waitForURL(({ pathname }) => pathname === "/admin");
    await ada.goto(new URL(`/admin/events/${event.id}`, home).href);
  });

  await check("signed out, neither the back office nor the big screen shows anything; a wrong password is told so", async () => {
    const eve = await people.newPerson("Eve", { expects: (_, status) => status === 401 });
    await eve.goto(new URL(`/present/${event.id}`, home).href);
    await eve.getByTestId("message").filter({ hasText: "Please sign in" }).waitFor();
    await eve.locator("#message-link").click();
    await eve.getByTestId("sign-in-form").waitFor();
    await people.photograph(eve, "sign-in", "laptop", "phone");
    await eve.getByTestId("email").fill(ACCOUNT.email);
    await eve.getByTestId("password").fill("not the password");
    await eve.getByTestId("submit").click();
    await eve.getByTestId("form-error").filter({ hasText: /\w/ }).waitFor();
    await eve.getByTestId("password").fill(ACCOUNT.password);
    await eve.getByTestId("submit").click();
    // Where she wanted to go; and nowhere else, whatever the address says.
    await eve.waitForURL(({ pathname }) => pathname === `/present/${event.id}`);
    for (const elsewhere of ["//example.org", "https://example.org/present/1", "/present/../admin/new"]) {
      await eve.goto(new URL(`/admin?then=${encodeURIComponent(elsewhere)}`, home).href);
      await eve.getByTestId("sign-out").click();
      await eve.getByTestId("email").fill(ACCOUNT.email);
      await eve.getByTestId("password").fill(ACCOUNT.password);
      await eve.getByTestId("submit").click();
      await eve.getByTestId("sign-out").waitFor();
      equal(new URL(eve.url()).pathname, "/admin", elsewhere);
    }
    await eve.goto(new URL(`/admin/events/${event.id}`, home).href);
    await eve.getByTestId("event-title").filter({ hasText: "Friday all-hands" }).waitFor();
    await eve.getByTestId("sign-out").click();
    await eve.getByTestId("sign-in-form").waitFor();
  });
}

/** @param {import("playwright-core").Download} download */
async function read(download) {
  const chunks = [];
  for await (const chunk of await download.createReadStream()) chunks.push(chunk);
  return Buffer.concat(chunks).toString("utf8");
}
