// Screens tell no lies: what is not there is not offered, what nobody was asked has no result, what phones show already does not come later.
// And what there is to read can be read: words in one piece, a count that nothing lies over, one line for what is over.

import { launch } from "./browser.mjs";
import { enterNamed } from "./enter.mjs";
import { assert, check, equal } from "./report.mjs";
import { kit, scenes } from "./scenes.mjs";
import { Theatre } from "./theatre.mjs";

const LANGUAGES = ["en", "de", "fr", "es", "ar"];

export async function told() {
  const theatre = await new Theatre().up();
  const browser = await launch();
  const show = (/** @type {string} */ name, size = /** @type {import("./scenes.mjs").Size} */ ("laptop"), /** @type {Partial<import("./scenes.mjs").Scene>} */ otherwise = {}) => enterNamed(browser, theatre, name, size, otherwise);
  /** @param {string} poll what the stage says beside the votes @param {string} [lang] */
  const note = async (/** @type {any} */ poll, lang) => {
    const page = await show("present-hidden", "laptop", { api: kit.stage(() => kit.live([poll])), lang, after_ms: 0 });
    const said = await page.getByTestId("note").innerText();
    await page.context().close();
    return said;
  };
  /** @param {() => any} document @returns {import("./theatre.mjs").Api} for overlays and embeds */
  const onAir = (document) => ({ path }) => (path === `live/${kit.CODE}/stream` ? { stream: document() } : path === `live/${kit.CODE}` ? { json: document() } : path.endsWith("qr.svg") ? { svg: kit.QR } : undefined);
  try {
    await check("a phone that is the remote offers no keys; a laptop does, and its keys list them", async () => {
      const remote = await show("present-two", "phone");
      assert(await remote.getByTestId("toggle").isVisible(), "the remote has no buttons");
      assert(await remote.getByTestId("help").isHidden(), "a phone is told of keys");
      await remote.setViewportSize({ width: 740, height: 360 });
      assert(await remote.getByTestId("help").isHidden(), "a phone on its side is told of keys");
      await remote.context().close();
      const laptop = await show("present-two");
      await laptop.getByTestId("help").click();
      await laptop.getByTestId("keys").waitFor();
      await laptop.context().close();
    });

    await check("what a key changes on the big screen, a button does too: blank, text size, order, numbers; it says what is on, and a touch ends the blank", async () => {
      const page = await show("present-six");
      const group = page.getByTestId("view-group");
      assert(await group.isHidden(), "the group is open before anybody wants it");
      await page.getByTestId("view").click();
      equal([await group.isVisible(), await page.getByTestId("view").getAttribute("aria-expanded")], [true, "true"], "opened");
      const press = (/** @type {string} */ what) => group.getByTestId(`view-${what}`).click();
      const pressed = (/** @type {string} */ what) => group.getByTestId(`view-${what}`).getAttribute("aria-pressed");
      const letters = () => page.evaluate(() => Number(document.documentElement.style.getPropertyValue("--scale")));
      const usual = await letters();
      await press("larger");
      assert(await letters() > usual, "larger text is not larger");
      await press("smaller");
      equal(await letters(), usual, "there and back");
      while (await group.getByTestId("view-smaller").isEnabled()) await press("smaller");
      await page.keyboard.press("+");
      assert(await group.getByTestId("view-smaller").isEnabled(), "the button does not know what the key did");
      await press("sort");
      equal(await pressed("sort"), "true", "sorted");
      await page.waitForFunction(() => {
        const tops = [...document.querySelectorAll("#bars .row")].map((row) => [row.getBoundingClientRect().top, Number(row.querySelector(".votes")?.textContent)]).sort((one, other) => one[0] - other[0]).map(([, votes]) => votes);
        return tops.every((votes, at) => !at || votes <= tops[at - 1]);
      });
      await page.keyboard.press("s");
      equal(await pressed("sort"), "false", "put back by the key");
      const numbers = [await group.getByTestId("view-numbers").innerText()];
      for (const [percent, count] of [[true, false], [false, true], [true, true]]) {
        await press("numbers");
        numbers.push(await group.getByTestId("view-numbers").innerText());
        const first = page.locator("#bars .row").first();
        equal([await first.locator(".percent").isVisible(), await first.locator(".votes").isVisible()], [percent, count], numbers.join(", "));
      }
      equal(numbers, ["% and count", "% only", "Count only", "% and count"], "what the button says");
      await press("blank");
      await page.getByTestId("blank").waitFor();
      equal(await pressed("blank"), "true", "blank");
      await page.mouse.click(300, 300);
      await page.getByTestId("blank").waitFor({ state: "hidden" });
      equal(await pressed("blank"), "false", "and back");
      await page.context().close();
    });

    await check("a phone is the remote of all that: black is the screen, and not the remote; a window of its browser follows without the server", async () => {
      /** @type {any} */
      let asked;
      const stage = kit.stage(() => kit.live([kit.poll(["Yes", "No"], [3, 4]), kit.poll(["More", "Less"], [0, 0], { id: "8f3k2m9qx1c7w", state: "draft" })]));
      const remote = await show("present-six", "phone", { api: (call) => (call.method === "PATCH" ? ((asked = call.body), { hang: true }) : stage(call)) });
      const screen = await remote.context().newPage();
      await screen.goto(`${theatre.home}/present/${kit.EVENT}#screen`);
      await screen.getByTestId("question").waitFor();
      await remote.getByTestId("view").tap();
      await remote.getByTestId("view-blank").tap();
      await screen.getByTestId("blank").waitFor();
      await screen.locator("body[data-idle]").waitFor({ state: "attached" });
      equal(await screen.getByTestId("blank").evaluate((one) => [one.getBoundingClientRect().height === innerHeight, [...one.children].filter((text) => text.checkVisibility({ opacityProperty: true })).length]), [true, 0], "black, and the room reads nothing");
      equal(asked, { size: 3, numbers: "both", blank: true }, "what the server was told");
      await remote.getByTestId("error").filter({ hasText: "follows when the connection is back" }).waitFor();
      assert(await remote.getByTestId("blank").getByText("The big screen is blank.").isVisible(), "nothing says that it is black");
      assert(await remote.getByTestId("voters").isVisible(), "the remote is blind");
      await remote.getByTestId("next").tap({ trial: true });
      await remote.getByTestId("view-blank").tap();
      await screen.getByTestId("blank").waitFor({ state: "hidden" });
      await remote.context().close();
    });

    await check("no button of the presenter's bar lies over another, is cut or is hard to hit, with the group open, in five languages", async () => {
      for (const lang of LANGUAGES) {
        const page = await show("present-six", "laptop", { lang });
        await page.getByTestId("view").click();
        for (const [width, height] of [[1920, 1080], [1280, 800], [1000, 700], [820, 1180], [700, 600], [360, 740], [320, 568]]) {
          await page.setViewportSize({ width, height });
          if (width === 1920 || (width === 1280 && ["en", "de", "ar"].includes(lang))) {
            const [high, shut] = await page.getByTestId("controls").evaluate((bar) => [bar, bar.querySelector(".view")].map((one) => /** @type {HTMLElement} */ (one).offsetHeight));
            assert(high - shut < 96, `${lang}, ${width} px: without the group the bar has more than one line`);
          }
          const wrong = await page.evaluate(() => {
            scrollTo(0, document.documentElement.scrollHeight);
            const all = [...document.querySelectorAll("#controls button")].filter((one) => one.checkVisibility()).map((one) => ({ name: one.getAttribute("data-do"), box: one.getBoundingClientRect(), one: /** @type {HTMLElement} */ (one) }));
            return all.flatMap(({ name, box, one }, at) => [
              ...(Math.min(box.width, box.height) < 48 ? [`${name} is ${box.width} x ${box.height} px`] : []),
              ...(box.left < 0 || box.right > innerWidth || box.bottom > innerHeight + 1 ? [`${name} is out of the window`] : []),
              ...(one.scrollWidth > one.clientWidth || one.scrollHeight > one.clientHeight ? [`the words of ${name} are cut`] : []),
              ...all.slice(0, at).filter((other) => other.box.left < box.right - 1 && box.left < other.box.right - 1 && other.box.top < box.bottom - 1 && box.top < other.box.bottom - 1).map((other) => `${name} is over ${other.name}`),
            ]);
          });
          equal(wrong, [], `${lang}, ${width} x ${height}`);
        }
        await page.context().close();
      }
    });

    await check("on the remote nothing lies over the count of votes or the state, wherever the page is scrolled to", async () => {
      for (const name of ["present-rehearsal", "present-six-long", "present-hidden-live"]) {
        for (const size of /** @type {const} */ (["phone", "small"])) {
          const page = await show(name, size);
          for (const where of [0, 120, 100_000]) {
            const covered = await page.evaluate((to) => {
              scrollTo(0, to);
              return ["voters", "poll-state"].flatMap((id) => {
                const box = /** @type {HTMLElement} */ (document.getElementById(id));
                const { left, right, top, bottom } = box.getBoundingClientRect();
                const corners = [[left + 12, top + 1], [right - 12, top + 1], [left + 12, bottom - 1], [right - 12, bottom - 1]];
                return corners.filter(([x, y]) => !box.contains(document.elementFromPoint(x, y))).map(([x, y]) => `${id} at ${Math.round(x)}, ${Math.round(y)}`);
              });
            }, where);
            equal(covered, [], `${name}, ${size}, scrolled to ${where}: covered`);
          }
          await page.context().close();
        }
      }
    });

    await check("a question nobody was asked has no result at the desk but words: no zeros, no books, nothing to download", async () => {
      for (const poll of [{ state: "draft" }, { state: "closed", round: 2 }]) {
        const untouched = kit.poll(["Yes", "No"], [0, 0], poll);
        const page = await show("admin-results-draft", "laptop", { api: kit.office([untouched]) });
        await page.getByTestId("results-summary").filter({ hasText: "Not asked yet" }).waitFor();
        for (const id of ["results-table", "books", "csv", "svg"]) assert(await page.getByTestId(id).isHidden(), `${id} is there, ${JSON.stringify(poll)}`);
        equal((await page.getByTestId("results").innerText()).match(/0/g), null, "zeros");
        await page.context().close();
      }
      const page = await show("admin-results");
      await page.getByTestId("results-table").waitFor();
      assert(await page.getByTestId("books").isVisible(), "an asked question has no books");
      await page.context().close();
    });

    await check("where each person has one vote, a result at the desk has votes, above and below; where people pick several, voters", async () => {
      for (const [poll, said] of /** @type {const} */ ([[kit.final(kit.poll(["Yes", "No"], [30, 12])), "42 votes, final"], [kit.poll(["Yes", "No"], [30, 12], { kind: "multiple" }), "42 voters, provisional"]])) {
        const page = await show("admin-results", "laptop", { api: kit.office([poll]) });
        await page.getByTestId("results-summary").filter({ hasText: said }).waitFor();
        equal(await page.getByTestId("poll-voters").innerText(), said.split(",")[0], "above");
        await page.context().close();
      }
    });

    await check("a rehearsal that broke a promise, or proved nothing, is not said to be able to take more; one that fits is", async () => {
      for (const [name, spoken] of /** @type {const} */ ([["fits", true], ["broken", false], ["unchecked", false]])) {
        const page = await show(`admin-rehearsal-${name}`);
        equal(await page.getByText("able to take more").isVisible(), spoken, name);
        equal(await page.getByRole("heading", { name: "What limited it" }).isVisible(), spoken, `${name}: its heading`);
        await page.context().close();
      }
    });

    await check("on a phone a command is not broken, nor a flag in a sentence, in any language", async () => {
      for (const lang of LANGUAGES) {
        const page = await show("admin-rehearsals", "phone", { lang });
        const [typed, shown] = await page.getByTestId("rehearse-command").evaluate((code) => {
          const all = document.createRange();
          all.selectNodeContents(code);
          return [code.textContent?.split("\n").length, new Set([...all.getClientRects()].map(({ top }) => Math.round(top))).size];
        });
        equal(shown, typed, `lines, ${lang}`);
        equal(await page.getByTestId("rehearse-elsewhere").evaluate((words) => {
          const walk = document.createTreeWalker(words, NodeFilter.SHOW_TEXT);
          for (let text = walk.nextNode(); text; text = walk.nextNode()) {
            const at = text.textContent?.indexOf("--i-operate-this-server") ?? -1;
            if (at < 0) continue;
            const flag = document.createRange();
            flag.setStart(text, at);
            flag.setEnd(text, at + "--i-operate-this-server".length);
            return new Set([...flag.getClientRects()].map(({ top }) => Math.round(top))).size;
          }
        }), 1, `lines of a flag, ${lang}`);
        await page.context().close();
      }
    });

    await check("a section of a question that is opened stays before those that follow it", async () => {
      for (const size of /** @type {const} */ (["laptop", "phone"])) {
        const page = await show("admin-edit", size);
        const tops = await page.locator("[data-testid=poll]:first-child .drawers > details").evaluateAll((all) => all.map((one) => one.getBoundingClientRect().top));
        equal(tops, tops.toSorted((one, other) => one - other), size);
        await page.context().close();
      }
    });

    await check("where one reads from the right, a question that is folded and a figure begin at the right, and “sign out” is one line that ends where the page does", async () => {
      /** @param {import("playwright-core").Page} page @param {string} selector */
      const rights = (page, selector) => page.locator(selector).evaluateAll((all) => all.map((one) => {
        const words = document.createRange();
        words.selectNodeContents(one);
        return Math.round(one.getBoundingClientRect().right - parseFloat(getComputedStyle(one).paddingRight) - words.getBoundingClientRect().right);
      }));
      const many = await show("admin-event-many-arabic", "phone");
      const folded = await rights(many, "[data-folded] [data-testid=poll-question]");
      assert(folded.length > 3 && folded.every((px) => Math.abs(px) <= 2), `${folded} px from the right`);
      const [left, high] = await many.getByTestId("sign-out").evaluate((button) => {
        const words = document.createRange();
        words.selectNodeContents(button);
        const { left, height } = words.getBoundingClientRect();
        return [left - /** @type {Element} */ (document.getElementById("page")).getBoundingClientRect().left, height];
      });
      assert(Math.abs(left) < 2 && high < 30, `${left} px from the edge of the page, ${high} px high`);
      await many.context().close();
      const figures = await show("admin-rehearsal-arabic");
      const numbers = await rights(figures, ".figures dd");
      assert(numbers.length === 4 && numbers.every((px) => Math.abs(px) <= 2), `${numbers} px from the right`);
      await figures.context().close();
    });

    await check("the books at the desk say in words how they stand: what is on its way and what nobody has reported is no alarm, what is missing or does not add up is", async () => {
      const lost = (/** @type {string} */ batches, one = false) => `${batches} of votes did not arrive. Keep the data ${one ? "directory of the server it" : "directories of the servers they"} came from: the votes may still be there.`;
      const gap = (/** @type {number} */ first, /** @type {number} */ last) => ({ instance: "0190f3c4", lane: 0, first, last });
      /** @type {[object, "good"|"bad", string][]} how they differ from 999 received and counted, and what is said of them */
      const states = [
        [{}, "good", "Every vote is accounted for: nothing is on the way and nothing was lost."],
        [{ received: 0, counted: 0 }, "good", "Nothing received yet."],
        [{ counted: 980, superseded: 10, duplicate: 5, late: 4 }, "good", "Every vote is accounted for: nothing is on the way and nothing was lost."],
        [{ counted: 900, in_flight: 1, missing: [gap(1, 1)] }, "good", "1 batch of votes is still on the way. Nothing is lost: it is counted when it arrives."],
        [{ counted: 900, in_flight: 3, missing: [gap(2, 4)], unreported: [{ instance: "0190f3c4", last_sign: 12 }] }, "good", "3 batches of votes are still on the way. Nothing is lost: they are counted when they arrive."],
        [{ counted: 900, unreported: [{ instance: "0190f3c4", last_sign: 12 }] }, "good", "Waiting to hear from 1 server. What it holds is counted when it comes back."],
        [{ unreported: [{ instance: "0190f3c4", last_sign: 12 }, { instance: "0190f3c5", last_sign: 90 }] }, "good", "Waiting to hear from 2 servers. What they hold is counted when they come back."],
        [{ counted: 990, late: 4 }, "bad", "The two sides differ by 5. Run “groundswell recount” and look at the server's log."],
        [{ counted: 1_004 }, "bad", "The two sides differ by 5. Run “groundswell recount” and look at the server's log."],
      ];
      const asked = kit.final(kit.poll(kit.SHORT.slice(0, 4), [412, 345, 200, 42]));
      let one = asked;
      {
        // What is on its way of other questions is no doubt about one that is final.
        const page = await show("admin-results", "laptop", { hands: undefined, after_ms: 0, api: (call) => (call.path.endsWith("/results")
          ? { json: { poll: one.id, round: 1, rounds: [1], question: one.question, choices: one.choices, results: one.results, books: { ...one.books, status: "final", in_flight: 3, missing: [{ instance: "0190f3c4", lane: 0, first: 1, last: 3 }], unreported: [{ instance: "0190f3c4", last_sign: 12 }] } } } : kit.office([one])(call)) });
        await page.clock.install();
        await page.getByTestId("results").locator("summary").click();
        await page.getByTestId("books").getByText("Every vote is accounted for").waitFor();
        await page.clock.fastForward(61_000);
        await page.getByTestId("books").getByText("Every vote is accounted for").waitFor();
        assert(await page.getByTestId("whose").isHidden(), "a final question waits for somebody");
        await page.context().close();
      }
      const page = await show("admin-results", "laptop", { hands: undefined, after_ms: 0, api: (call) => (call.path.endsWith("/results")
        ? { json: { poll: one.id, round: 1, rounds: [1], question: one.question, choices: one.choices, results: one.results, books: one.books } } : kit.office([one])(call)) });
      const [summary, verdict, equation] = [page.getByTestId("results").locator("summary"), ...["verdict", "equation"].map((what) => page.getByTestId("books").locator(`[data-fill="${what}"]`))];
      for (const [how, kind, words] of states) {
        const books = { ...asked.books, in_flight: 0, missing: [], unreported: [], ...how };
        one = { ...asked, books };
        const answered = page.waitForResponse((response) => response.url().endsWith("/results"));
        await summary.click(); // opened, it asks
        await answered;
        const what = JSON.stringify(how);
        await verdict.filter({ hasText: words, visible: true }).waitFor().catch(async () => equal(await verdict.textContent(), words, `${what}: the verdict`));
        equal([await verdict.innerText(), await verdict.getAttribute("class")], [words, kind], `${what}: the verdict`);
        equal(await equation.innerText(), `${books.received.toLocaleString("en")} received = ${books.counted.toLocaleString("en")} counted + ${books.superseded} superseded + ${books.duplicate} duplicate + ${books.late} late`, `${what}: the equation`);
        await summary.click();
      }
      // What is on its way comes within seconds. What does not has not arrived, though all that a server can say of it is the same.
      const long = [
        [{ in_flight: 1, missing: [gap(7, 7)] }, lost("1 batch", true)],
        [{ in_flight: 2, missing: [gap(17, 17), gap(19, 19)] }, lost("2 batches")],
        [{ in_flight: 5, missing: [gap(22, 23), gap(25, 27)] }, lost("5 batches")],
      ];
      await page.clock.install();
      for (const [how, words] of /** @type {[object, string][]} */ (long)) {
        one = { ...asked, books: { ...asked.books, unreported: [], ...how } };
        await summary.click();
        await verdict.filter({ hasText: "still on the way", visible: true }).waitFor();
        await page.clock.fastForward(61_000);
        await verdict.filter({ hasText: words, visible: true }).waitFor();
        equal(await verdict.getAttribute("class"), "bad", `${words}: the verdict`);
        const whose = (/** @type {any} */ (how)).missing.map((/** @type {any} */ { first, last }) => `${first === last ? first : `${first}–${last}`} of lane 0, from server 0190f3c4`);
        equal(await page.getByTestId("whose").locator("li").allInnerTexts(), whose, "which they are");
        await summary.click();
      }
      await page.context().close();
    });

    await check("a long word on stage gets smaller before it is broken, in question and choices, and is not read less easily for it", async () => {
      for (const [name, size] of /** @type {const} */ ([["present-long-word", "projector"], ["present-long-word", "laptop"], ["present-long-words", "projector"], ["present-long-words", "laptop"], ["present-mixed", "projector"]])) {
        const page = await show(name, size);
        const { broken, least, readable } = await words(page);
        equal(broken, [], `broken in ${name}, ${size}`);
        assert(least >= readable, `letters of ${least} px in ${name}, ${size}: ${readable} are read easily`);
        await page.context().close();
      }
      const large = await show("present-long-word", "projector");
      for (let more = 0; more < 2; more += 1) await large.keyboard.press("+");
      equal((await words(large)).broken, [], "broken in larger text");
      await large.setViewportSize({ width: 1280, height: 800 });
      await large.keyboard.press("-");
      await large.keyboard.press("-");
      await large.waitForFunction(() => /** @type {HTMLElement} */ (document.getElementById("question")).scrollWidth <= innerWidth);
      equal((await words(large)).broken, [], "broken in a window that got smaller");
      await large.context().close();
    });

    await check("larger text makes no name, letter or number on stage smaller, takes no bar out of sight and moves no margin; smaller text makes none larger", async () => {
      for (const name of ["present-large-text", "present-six", "present-two", "present-long-question"]) {
        const page = await show(name, "laptop", { hands: undefined });
        const seen = () => page.evaluate(() => {
          const size = (/** @type {string} */ what) => Math.min(...[...document.querySelectorAll(what)].map((one) => parseFloat(getComputedStyle(one).fontSize)));
          const list = /** @type {HTMLElement} */ (document.getElementById("bars"));
          const [first, question] = ["[data-do=previous]", "#question"].map((one) => document.querySelector(one)?.getBoundingClientRect().left);
          return { sizes: ["#question", ".text", ".letter", ".percent", ".votes"].map((what) => size(what === "#question" ? what : `#bars ${what}`)), inside: list.scrollHeight <= list.clientHeight + 1, margins: [first, question] };
        });
        const usual = await seen();
        for (const [key, way] of /** @type {const} */ ([["+", 1], ["-", -1]])) {
          for (let [press, before] = [0, usual]; press < 3; press += 1) {
            await page.keyboard.press(key);
            const now = await seen();
            const wrong = now.sizes.filter((one, at) => way * (one - before.sizes[at]) < -0.1);
            equal([wrong, now.inside, now.margins], [[], true, usual.margins], `${name}, ${key} pressed ${press + 1} times: ${before.sizes} became ${now.sizes}`);
            before = now;
          }
          if (name === "present-large-text") assert(way * ((await seen()).sizes[1] - usual.sizes[1]) > 4, `${key} does next to nothing`);
          for (let back = 0; back < 3; back += 1) await page.keyboard.press(way === 1 ? "-" : "+");
          equal((await seen()).sizes, usual.sizes, `${name}: there and back`);
        }
        await page.context().close();
      }
    });

    await check("on a projector one long word leaves the other names large, a long question of few choices is nearly as large as they are, a small share is no lens", async () => {
      const mixed = await show("present-mixed", "projector");
      const sizes = await mixed.locator("#bars .text").evaluateAll((all) => all.map((one) => parseFloat(getComputedStyle(one).fontSize)));
      assert(sizes[0] === sizes[3] && sizes[0] > 1.3 * sizes[2], `names of ${sizes} px`);
      equal(await mixed.locator("#bars .fill").first().evaluate((fill) => getComputedStyle(fill).borderRadius), "0px", "corners of a fill");
      await mixed.context().close();
      const long = await show("present-long-question", "projector");
      const { question, name, share } = await long.evaluate(() => {
        const [question, name] = ["#question", "#bars .text"].map((what) => /** @type {HTMLElement} */ (document.querySelector(what)));
        const lines = document.createRange();
        lines.selectNodeContents(question);
        return { question: parseFloat(getComputedStyle(question).fontSize), name: parseFloat(getComputedStyle(name).fontSize), share: lines.getBoundingClientRect().width / question.clientWidth };
      });
      assert(question > 0.6 * name && share > 0.9, `a question of ${question} px over names of ${name} px, ${share} of the width`);
      await long.context().close();
    });

    await check("a result that is held back is said to be, in every language, large and over no name; not before voting was opened, nor once it is shown", async () => {
      const said = new Set();
      for (const lang of LANGUAGES) {
        const page = await show("present-hidden", "projector", { lang });
        const { text, size, over, covered } = await page.getByTestId("held").evaluate((held) => {
          const box = /** @type {Element} */ (held.firstElementChild).getBoundingClientRect();
          const track = /** @type {Element} */ (document.querySelector("#bars .track")).getBoundingClientRect();
          const names = [...document.querySelectorAll("#bars .text")].map((one) => { const range = document.createRange(); range.selectNodeContents(one); return range.getBoundingClientRect(); });
          const meets = (/** @type {DOMRect} */ one) => one.left < box.right && one.right > box.left && one.top < box.bottom && one.bottom > box.top;
          return { text: held.textContent, size: parseFloat(getComputedStyle(held).fontSize), over: box.left >= track.left - 1 && box.right <= track.right + 1, covered: names.some(meets) };
        });
        equal([over, covered, size >= 40], [true, false, true], `${lang}: “${text}”, ${size} px: over the tracks, over a name, large`);
        said.add(text);
        await page.context().close();
      }
      equal(said.size, LANGUAGES.length, [...said].join(", "));
      const two = kit.poll(["Yes", "No"], [3, 4], { revealed: false });
      const twenty = kit.poll(kit.SHORT, Array(20).fill(3), { revealed: false });
      for (const [poll, where] of /** @type {[any, string[]]} */ ([
        [two, ["held"]], [kit.final(two), ["held"]], [twenty, ["held-below"]], [{ ...two, revealed: true }, []], [{ ...two, state: "draft" }, []], [{ ...two, opens_at: kit.NOW() + 600_000 }, []],
      ])) {
        const page = await show("present-hidden", "laptop", { api: kit.stage(() => kit.live([poll])), after_ms: 0 });
        const there = [];
        for (const id of ["held", "held-below"]) if (await page.getByTestId(id).isVisible()) there.push(id);
        equal(there, where, `${poll.state}, ${poll.choices.length} choices, revealed ${poll.revealed}`);
        await page.context().close();
      }
    });

    await check("nobody is invited to an event that has ended, whatever is on stage; who presents it is led to its page", async () => {
      const event = { code: "482913", slug: null, title: "Friday all-hands", state: "ended" };
      const page = await show("present-two", "laptop", { api: kit.stage(() => kit.live([kit.poll(["Yes", "No"], [3, 4])], { event })) });
      equal(await page.getByTestId("poll-state").innerText(), "Ended", "its state");
      await page.keyboard.press("j");
      for (const id of ["join-strip", "lobby"]) assert(await page.getByTestId(id).isHidden(), `${id} is there`);
      assert(await page.getByTestId("bars").isVisible(), "its result is gone");
      await page.context().close();
      const none = await show("present-ended");
      assert(await none.getByTestId("join-strip").isHidden(), "the invitation is there");
      equal(await none.locator("#message-link").getAttribute("href"), "/admin/events/8f3k2m9qx1c70", "it leads to");
      await none.context().close();
      const clean = await show("present-ended-clean");
      equal(await clean.locator("#message").innerText(), "This event has ended\n\nThank you for voting.", "what the room reads");
      await clean.context().close();
    });

    await check("keys are letters where letters are Latin, and places where they are Arabic, Greek or Russian", async () => {
      const page = await show("present-two");
      const press = (/** @type {string} */ key, /** @type {string} */ code) => page.evaluate(([key, code]) => document.body.dispatchEvent(new KeyboardEvent("keydown", { key, code, bubbles: true, cancelable: true })), [key, code]);
      const lobby = page.getByTestId("lobby");
      let isThere = false;
      for (const [key, code, means] of /** @type {[string, string, boolean][]} */ ([["j", "KeyJ", true], ["J", "KeyJ", true], ["ت", "KeyJ", true], ["о", "KeyJ", true], ["ξ", "KeyJ", true], ["h", "KeyJ", false], ["j", "KeyC", true], ["ö", "KeyJ", false], [",", "KeyJ", false], ["لا", "KeyJ", true]])) {
        await press(key, code);
        if (means) isThere = !isThere;
        equal(await lobby.isVisible(), isThere, `the join screen after ${key} at ${code}`);
      }
      await press(".", "Period");
      assert(await page.getByTestId("blank").isVisible(), "a clicker's dot blanks nothing");
      await page.context().close();
    });

    await check("Page Down and Page Up, as clickers send them, go on and back; Enter and R reveal and hide; F fills the screen and leaves it", async () => {
      const polls = [kit.poll(["Yes", "No"], [3, 4]), kit.poll(["Left", "Right"], [3, 4], { id: "8f3k2m9qx1c7w", revealed: false }), kit.poll(["Up", "Down"], [0, 0], { id: "8f3k2m9qx1c7x" })];
      const page = await show("present-two", "laptop", { api: kit.stage(() => kit.live(polls, { current: polls[1].id })) });
      /** @param {string} key @param {string} path @param {object} body */
      const asks = async (key, path, body) => {
        const asked = page.waitForRequest((request) => request.method() === "PUT");
        await page.keyboard.press(key);
        const request = await asked;
        equal([request.url().split("/api/v1/")[1], request.postDataJSON()], [path, body], `what ${key} asks of the server`);
        await request.response(); // one at a time, and in order
      };
      await asks("PageDown", `events/${kit.EVENT}/current`, { poll: polls[2].id });
      // Until a document says so, it goes on from where it was asked to go.
      await asks("PageUp", `events/${kit.EVENT}/current`, { poll: polls[1].id });
      await asks("PageUp", `events/${kit.EVENT}/current`, { poll: polls[0].id });
      for (const key of ["Enter", "r", "R"]) await asks(key, `polls/${polls[1].id}/visibility`, { revealed: true });
      polls[1].revealed = true;
      theatre.hangUp(); // and the next stream has it
      await page.getByTestId("reveal").filter({ hasText: "Hide" }).waitFor();
      for (const key of ["Enter", "r"]) await asks(key, `polls/${polls[1].id}/visibility`, { revealed: false });
      for (const isFull of [true, false]) {
        await page.keyboard.press("f");
        await page.waitForFunction((wanted) => Boolean(document.fullscreenElement) === wanted, isFull);
      }
      // On a button it is the button's own.
      await page.getByTestId("join").focus();
      await page.keyboard.press("Enter");
      await page.getByTestId("lobby").waitFor();
      await page.context().close();
    });

    await check("equal votes have equal bars and equal percents", async () => {
      const three = kit.poll(["One", "Two", "Three"], [5, 5, 5]);
      equal(three.results.choices.map((/** @type {any} */ one) => one.percent), [33, 33, 33], "percents");
      for (const [name, api, bars] of /** @type {[string, any, string][]} */ ([["present-two", kit.stage(() => kit.live([three])), "#bars .row"], ["overlay-lower", onAir(() => kit.live([three])), "#rows > *"], ["vote-question", kit.audience(() => kit.live([three])), "#choices label"]])) {
        const page = await show(name, name.startsWith("vote") ? "phone" : "projector", { api });
        await page.locator(bars).nth(2).waitFor();
        const shares = await page.locator(bars).evaluateAll((rows) => rows.map((row) => /** @type {HTMLElement} */ (row).style.getPropertyValue("--share")));
        equal([shares.length, new Set(shares).size], [3, 1], `${name}: ${shares}`);
        await page.context().close();
      }
    });

    await check("a wait of two days is counted in hours on the stage", async () => {
      const waits = kit.poll(["Yes", "No"], [0, 0], { opens_at: kit.NOW() + 48 * 3_600_000 });
      const stage = await show("present-two", "laptop", { api: kit.stage(() => kit.live([waits])) });
      await stage.getByTestId("clock").filter({ hasText: /^4[78]:\d\d:\d\d$/ }).waitFor();
      await stage.context().close();
    });

    await check("the votes of one question do not fall to those of the next", async () => {
      let polls = [kit.poll(["Yes", "No"], [1_000, 204])];
      const page = await show("present-two", "laptop", { api: kit.stage(() => kit.live(polls, { version: 2_000 + polls[0].choices.length })) });
      await page.getByTestId("voters").filter({ hasText: "1,204" }).waitFor();
      await page.evaluate(() => {
        const seen = /** @type {any} */ (window).seen = [];
        new MutationObserver(() => seen.push(/** @type {any} */ (document.getElementById("voters")).textContent)).observe(/** @type {any} */ (document.getElementById("voters")), { childList: true, characterData: true, subtree: true });
      });
      polls = [kit.poll(["Left", "Right", "Neither"], [30, 12, 0], { id: "8f3k2m9qx1c8a" })];
      theatre.hangUp();
      await page.getByTestId("voters").filter({ hasText: "42" }).waitFor();
      const between = (await page.evaluate(() => /** @type {any} */ (window).seen)).map((/** @type {string} */ text) => parseInt(text.replace(/\D/g, "") || "0", 10)).filter((/** @type {number} */ n) => n > 42);
      equal(between, [], "counts on the way");
      await page.context().close();
    });

    await check("whoever is signed out in the midst of a show leaves the result standing, is told, and goes on when signed in again", async () => {
      let isOut = false;
      const two = kit.poll(["Yes", "No"], [3, 4]);
      const signedIn = kit.stage(() => kit.live([two]));
      const page = await show("present-two", "laptop", { api: (call) => (isOut ? { status: 401, json: { code: "not_signed_in", detail: "Sign in first." } } : signedIn(call)) });
      isOut = true;
      theatre.hangUp();
      await page.getByTestId("error").filter({ hasText: "Please sign in" }).waitFor();
      assert(await page.getByTestId("bars").isVisible(), "the result is gone");
      assert(await page.getByTestId("lost").isVisible(), "it looks as new as ever");
      isOut = false;
      await page.getByTestId("lost").waitFor({ state: "hidden", timeout: 20_000 });
      await page.getByTestId("error").waitFor({ state: "hidden" });
      await page.context().close();
      const clean = await show("present-clean", "projector", { api: (call) => (isOut ? { status: 401, json: { code: "not_signed_in", detail: "Sign in first." } } : signedIn(call)) });
      isOut = true;
      theatre.hangUp();
      await clean.getByTestId("lost").waitFor();
      assert(await clean.getByTestId("error").isHidden(), "the room is told to sign in");
      await clean.context().close();
    });

    await check("a line that says nothing any more is known to be dead, and another one is opened", async () => {
      let isDead = false;
      const answers = kit.stage(() => kit.live([kit.poll(["Yes", "No"], [3, 4])]));
      const page = await show("present-two", "laptop", { api: (call) => (isDead ? { hang: true } : answers(call)) });
      await page.clock.install();
      await page.reload();
      await page.getByTestId("bars").waitFor();
      isDead = true; // for whoever asks; the stream is there and says nothing
      await page.clock.fastForward(30_000);
      assert(await page.getByTestId("lost").isHidden(), "it may only be quiet");
      await page.clock.fastForward(11_000);
      await page.getByTestId("lost").waitFor();
      isDead = false;
      await page.clock.fastForward(10_000);
      await page.getByTestId("lost").waitFor({ state: "hidden" });
      await page.context().close();
    });

    await check("an embed that was set up before its event finds it later", async () => {
      let isThere = false;
      const answers = onAir(() => kit.live([kit.poll(["Yes", "No"], [3, 4])]));
      const page = await show("embed", "laptop", { api: (call) => (isThere ? answers(call) : undefined), ready: "#gone:not([hidden])" });
      await page.clock.install();
      await page.reload();
      await page.locator("#gone").waitFor(); // by now it waits for the next look
      isThere = true;
      await page.clock.fastForward(37_000);
      await page.locator("#rows > *").nth(1).waitFor();
      assert(await page.locator("#gone").isHidden(), "it still says that there is nothing");
      await page.context().close();
    });

    await check("an error on stage lies over nothing that tells where things are, nor over a choice", async () => {
      for (const size of /** @type {const} */ (["projector", "laptop", "tablet", "phone"])) {
        const page = await show("present-lost-error", size);
        const covered = await page.getByTestId("error").evaluate((error) => {
          const box = error.getBoundingClientRect();
          return ["#question", "#bars .row", "#voters", "#lost", "#poll-state", "[data-testid=join-strip]", "#controls button"].filter((what) => [...document.querySelectorAll(what)].map((one) => one.getBoundingClientRect())
            .some((one) => one.width && one.left < box.right && one.right > box.left && one.top < box.bottom - 1 && one.bottom > box.top + 1));
        });
        equal(covered, [], `covered on a ${size}`);
        await page.context().close();
      }
    });

    await check("on the phone nothing moves when voting closes, and a second round says that it is one, to eyes and ears", async () => {
      const open = kit.poll(kit.SHORT.slice(0, 4), [4, 3, 1, 0]);
      const keep = kit.voted(open, [1], "counted");
      let now = open;
      let version = 1042;
      const page = await show("vote-million", "phone", { keep, api: kit.audience(() => kit.live([now], { version, refresh_ms: 100 })) });
      const state = (/** @type {string} */ text) => page.getByTestId("poll-state").getByText(text, { exact: true }).waitFor();
      const places = () => page.getByTestId("choice").evaluateAll((all) => all.map((one) => one.getBoundingClientRect().top));
      const [before, become] = [await places(), async (/** @type {any} */ next) => { [now, version] = [next, version + 1]; }];
      await become(kit.final(open));
      await state("Closed");
      equal(await places(), before, "where the choices stand");
      await become({ ...kit.poll(kit.SHORT.slice(0, 4), [0, 0, 0, 0]), round: 2 });
      await state("Open · round 2");
      equal(await places(), before, "where they stand in the second round");
      await page.locator("#news").getByText("Open · round 2: Which ending?").waitFor();
      equal(await page.locator("#say").textContent(), "", "what is still said of the vote in the first");
      await page.context().close();
    });

    await check("who presents is told that a question off stage is still open, and closes it from there; and why nothing can be pressed before there is a question", async () => {
      const polls = [kit.poll(["Yes", "No"], [3, 4]), kit.poll(["Yes", "No"], [3, 4], { id: "8f3k2m9qx1c7w" }), kit.poll(["Yes", "No"], [0, 0], { id: "8f3k2m9qx1c7x", state: "draft", question: "And then?" })];
      for (const size of /** @type {const} */ (["laptop", "phone"])) {
        const page = await show("present-two", size, { api: kit.stage(() => kit.live(polls, { current: polls[1].id })) });
        equal(await page.getByTestId("upcoming").innerText(), "Next: \u2068And then?\u2069", `on a ${size}`);
        const asked = page.waitForRequest((request) => request.method() === "PUT");
        await page.getByTestId("still-open").filter({ hasText: "Close question 1, still open" }).click();
        const request = await asked;
        equal([request.url().split("/api/v1/")[1], request.postDataJSON()], [`polls/${polls[0].id}/state`, { state: "closed" }], "the server is asked");
        await page.context().close();
        const alone = await show("present-two", size);
        assert(await alone.getByTestId("still-open").isHidden(), "the question on stage is called still open");
        await alone.context().close();
        const empty = await show("present-lobby", size);
        const why = empty.getByTestId("upcoming").filter({ hasText: "No questions yet" });
        equal(await why.evaluate((one) => one.scrollWidth <= one.clientWidth), true, `${await why.innerText()}, whole on a ${size}`);
        equal(await empty.locator("#controls button:disabled:visible").count(), 0, "buttons that can do nothing");
        await empty.context().close();
      }
    });

    await check("where the round before stood is marked in the bars, named below and in the table, and can be switched off; hidden bars have no marks", async () => {
      const seen = (/** @type {Page} */ page) => page.evaluate(() => ({
        marks: Array.from(document.querySelectorAll("#bars .was:not([hidden])"), (mark) => {
          const [at, track] = [mark.getBoundingClientRect(), mark.parentElement?.getBoundingClientRect() ?? new DOMRect()];
          return Math.round((100 * (at.left - track.left)) / (track.width - at.width));
        }),
        below: document.querySelector("#earlier:not([hidden])")?.textContent?.trim() ?? "",
        twin: Array.from(document.querySelectorAll("#twin tr"), (row) => Array.from(/** @type {HTMLTableRowElement} */ (row).cells).filter((cell) => !cell.hidden).length),
      }));
      const page = await show("present-second-round", "projector");
      equal(await seen(page), { marks: [43, 36, 21, 0], below: "round 1: 960 votes", twin: [4, 4, 4, 4, 4] }, "what the hall sees");
      await page.getByTestId("view").click();
      const said = page.waitForRequest((request) => request.method() === "PATCH");
      await page.getByTestId("view-earlier").click();
      equal((await said).postDataJSON().earlier, false, "the server is told");
      equal(await seen(page), { marks: [], below: "", twin: [3, 3, 3, 3, 3] }, "switched off");
      await page.context().close();
      const held = kit.secondRound();
      const hidden = await show("present-second-round", "projector", { api: kit.stage(() => kit.live([{ ...held, revealed: false }])) });
      equal(await seen(hidden), { marks: [], below: "", twin: [3, 3, 3, 3, 3] }, "while the bars are hidden");
      await hidden.context().close();
      const first = await show("present-final", "projector");
      await first.getByTestId("view").click();
      assert(await first.getByTestId("view-earlier").isHidden(), "a first round has an earlier one");
      await first.context().close();
    });

    await check("a bar is as thick as the others, however long its name", async () => {
      for (const size of /** @type {const} */ (["projector", "laptop"])) {
        const page = await show("present-long-names", size);
        const heights = await page.locator("#bars .track").evaluateAll((tracks) => tracks.map((track) => track.getBoundingClientRect().height));
        assert(Math.max(...heights) - Math.min(...heights) < 1, `on a ${size}: ${heights}`);
        await page.context().close();
      }
    });

    await check("a title, however long, leaves the way to join alone; one that is the question is not said twice", async () => {
      for (const [name, size] of /** @type {const} */ ([["long-title", "zoomed"], ["long-title-word", "zoomed"], ["long-title-word", "small"], ["long-title", "laptop"], ["zoomed", "tiny"]])) {
        const page = await show(`present-${name}`, size);
        const over = await page.evaluate(() => {
          const [title, join] = ["#title", ".join p"].map((where) => document.querySelector(where)?.getBoundingClientRect() ?? new DOMRect());
          return !(title.right <= join.left || title.bottom <= join.top) || document.documentElement.scrollWidth > innerWidth;
        });
        assert(!over, `${name} on ${size}: over the way to join, or out of the window`);
        await page.context().close();
      }
      const long = "Which of all the endings that were written for this film over the last eleven years do you like best, and why?";
      for (const [title, question] of [["Which ending?", "Which ending?"], [`${long.slice(0, 104)}…`, long]]) {
        const page = await show("present-two", "laptop", { api: kit.stage(() => kit.live([kit.poll(["Yes", "No"], [3, 4], { question })], { event: { code: kit.CODE, slug: null, title, state: "live" } })) });
        equal([await page.getByTestId("event-title").textContent(), await page.getByTestId("question").textContent()], ["", question], title);
        await page.context().close();
      }
    });

    await check("a key too many before the start does not show to a hall what is to stay hidden while it votes", async () => {
      for (const [visibility, asks] of /** @type {const} */ ([["hidden", false], ["after_close", false], ["live", true]])) {
        const page = await show("present-draft", "laptop", { api: kit.stage(() => kit.live([kit.poll(["Yes", "No"], [0, 0], { state: "draft", revealed: false, visibility })])) });
        /** @type {string[]} */
        const asked = [];
        page.on("request", (request) => { if (request.method() === "PUT") asked.push(request.url()); });
        await page.keyboard.press("Enter");
        await page.keyboard.press("r");
        const answered = page.waitForRequest((request) => request.url().endsWith("/state")); // in order: what was asked before is known then
        await page.keyboard.press("Space");
        await answered;
        equal(asked.some((url) => url.endsWith("/visibility")), asks, `${visibility}: the server is asked to reveal`);
        await page.context().close();
      }
    });

    await check("a voice says once that the connection is lost, and does not count the seconds", async () => {
      const page = await show("present-two", "laptop");
      await page.evaluate(() => {
        const said = /** @type {string[]} */ ([]);
        Object.assign(window, { said });
        for (const place of document.querySelectorAll("[role=status], [role=alert], [aria-live]")) new MutationObserver(() => said.push(place.textContent ?? "")).observe(place, { childList: true, characterData: true, subtree: true });
      });
      await page.context().setOffline(true);
      await page.locator("#say").filter({ hasText: "No connection." }).waitFor();
      const shown = await page.getByTestId("lost").innerText();
      await page.getByTestId("lost").filter({ hasNotText: shown }).waitFor(); // a second later it says another age
      const said = await page.evaluate(() => /** @type {any} */ (window).said);
      equal(said.length, 1, `said: ${said}`);
      await page.context().close();
    });

    await check("an event that ended with its bars hidden says so, instead of showing bars of nothing", async () => {
      const page = await show("present-ended-hidden", "laptop");
      equal([await page.getByTestId("held").isVisible(), await page.locator("#bars.is-held").count()], [true, 1], "held, and said");
      await page.context().close();
    });

    await check("keys of one letter can be switched off, for who speaks to the computer; Space, arrows and ? go on", async () => {
      const page = await show("present-hidden", "laptop");
      const isBlank = () => page.getByTestId("blank").isVisible();
      await page.keyboard.press("?");
      await page.getByTestId("keys-on").uncheck();
      await page.keyboard.press("Escape");
      await page.reload();
      await page.locator("#bars .row").first().waitFor();
      await page.keyboard.press("b");
      assert(!await isBlank(), "B still blanks the hall");
      const asked = page.waitForRequest((request) => request.method() === "PUT");
      await page.keyboard.press("Space");
      assert((await asked).url().endsWith("/state"), "Space does nothing");
      await page.keyboard.press("?");
      await page.getByTestId("keys-on").check();
      await page.keyboard.press("Escape");
      await page.keyboard.press("b");
      assert(await isBlank(), "B does nothing any more");
      await page.context().close();
    });

    await check("with twenty choices, what the keyboard goes to is not under the buttons at the thumb", async () => {
      const many = kit.poll(kit.SHORT, kit.falling(20, 50), { kind: "multiple" });
      for (const key of ["Tab", "Shift+Tab"]) {
        const page = await show("vote-twenty", "phone", { api: kit.audience(() => kit.live([many])) });
        await page.locator("#choices input").first().click({ force: true }); // there is something to send
        const under = [];
        for (let pressed = 0; pressed < 24; pressed += 1) {
          await page.keyboard.press(key);
          under.push(...await page.evaluate(() => {
            const one = document.activeElement;
            if (!one?.closest("#choices")) return [];
            const box = /** @type {Element} */ (one.closest(".choice")).getBoundingClientRect();
            return [box.top + 2, box.bottom - 2].filter((y) => document.elementFromPoint(box.left + 40, y)?.closest(".bottom, .top") || y < 0 || y > innerHeight).map((y) => `${one.getAttribute("value")} at ${Math.round(y)}`);
          }));
        }
        equal(under, [], `out of sight by ${key}`);
        await page.context().close();
      }
    });

    await check("a change that the close overtook says so, and that the earlier vote stands; one that was begun is there again after a reload", async () => {
      const open = kit.poll(kit.SHORT.slice(0, 4), [4, 3, 1, 0], { kind: "multiple", voters: 5 });
      let [now, version] = [open, 1042];
      const api = kit.audience(() => kit.live([now], { version, refresh_ms: 100 }));
      const note = "Closed before you sent this. Your earlier vote stands.";
      const page = await show("vote-several-closed", "phone", { keep: kit.voted(open, [1], "counted"), api });
      const ticked = () => page.locator("#choices input").evaluateAll((all) => all.flatMap((one, at) => (/** @type {HTMLInputElement} */ (one).checked ? [at] : [])));
      await page.getByTestId("change").click();
      await page.locator("#choices input").nth(2).click({ force: true });
      await page.getByTestId("receipt-note").getByText("Not sent yet.").waitFor();
      await page.reload();
      await page.getByTestId("send").waitFor();
      equal(await ticked(), [1, 2], "after a reload");
      [now, version] = [kit.final(open), version + 1];
      await page.getByTestId("receipt-note").getByText(note, { exact: true }).waitFor();
      equal([await ticked(), await page.locator("#say").textContent()], [[1], note], "what stands, and what is heard");
      [now, version] = [open, version + 1];
      await page.getByTestId("change").waitFor();
      equal(await page.getByTestId("receipt-note").innerText(), "", "what is told once it is open again");
      await page.context().close();

      [now, version] = [open, 1042];
      const other = await show("vote-several-closed", "phone", { keep: {}, api });
      await other.locator("#choices input").first().click({ force: true });
      [now, version] = [kit.final(open), version + 1];
      await other.getByTestId("receipt-note").getByText("Closed before you sent this.", { exact: true }).waitFor();
      await other.context().close();

      // Who has sent nothing has nothing to keep; and of a question that was over when it came, nothing was overtaken.
      const before = { ...kit.poll(kit.SHORT.slice(0, 3), [0, 0, 0], { kind: "multiple" }), id: "8f3k2m9qx1c7a" };
      [now, version] = [before, 1042];
      const third = await show("vote-several-closed", "phone", { keep: kit.voted(open, [1], "counted"), api });
      await third.locator("#choices input").first().click({ force: true });
      await third.reload();
      await third.getByTestId("send").waitFor();
      equal([await third.locator("#choices input:checked").count(), await third.getByTestId("keep").isVisible()], [1, false], "what was begun, and a vote to keep");
      [now, version] = [kit.final(open), version + 1];
      await third.getByTestId("poll-state").getByText("Closed").waitFor();
      equal(await third.getByTestId("receipt-note").innerText(), "", "what is told of another question");
      await third.context().close();
    });

    await check("where a vote cannot be changed, a slip of the thumb is none: it is picked, then sent", async () => {
      const open = kit.poll(kit.SHORT.slice(0, 3), [4, 3, 1]);
      open.rules = { ...open.rules, change: false };
      const page = await show("vote-question", "phone", { api: kit.audience(() => kit.live([open])) });
      /** @type {any[]} */
      const sent = [];
      page.on("request", (request) => { if (request.url().endsWith("/ballots")) sent.push(request.postDataJSON().picks); });
      await page.getByTestId("hint").getByText("Pick 1, then send.").waitFor();
      for (const at of [0, 2]) await page.getByTestId("choice").nth(at).click();
      await page.getByTestId("receipt-note").getByText("Not sent yet.").waitFor();
      equal(sent, [], "sent by tapping");
      const asked = page.waitForRequest((request) => request.url().endsWith("/ballots"));
      await page.getByTestId("send").click();
      await asked;
      equal([sent[0], await page.getByTestId("change").isVisible(), await page.getByTestId("send").isVisible()], [[open.choices[2].id], false, false], "the vote sent, and offers to change or send again");
      await page.context().close();
    });

    await check("a phone in somebody's hand notices that an event which had ended goes on", async () => {
      const poll = kit.poll(["Yes", "No"], [3, 4]);
      let [state, version] = ["ended", 1042];
      const page = await show("vote-ended", "phone", { api: kit.audience(() => kit.live([poll], { version, event: { ...kit.live([]).event, state } })) });
      await page.clock.install();
      await page.reload();
      await page.getByTestId("screen-ended").waitFor();
      [state, version] = ["live", version + 1];
      await page.clock.fastForward(40_000);
      await page.getByTestId("question").waitFor();
      await page.context().close();
    });

    await check("a long wait is told in hours on the phone", async () => {
      for (const [ms, wanted] of /** @type {const} */ ([[48 * 3_600_000, /^opens in (48:00:00|47:59:5\d)$/], [3_599_000, /^opens in 59:5\d$/], [50_000, /^opens in 0:(50|4\d)$/]])) {
        const page = await show("vote-soon", "phone", { api: kit.audience(() => kit.live([kit.poll(kit.SHORT.slice(0, 3), [0, 0, 0], { opens_at: kit.NOW() + ms })])) });
        const said = await page.getByTestId("clock").innerText();
        assert(wanted.test(said), said);
        await page.context().close();
      }
    });

    await check("on the remote bars can be looked at that the big screen hides: there alone, until they are revealed or another question comes", async () => {
      const hidden = kit.poll(kit.SHORT.slice(0, 3), [4, 3, 1], { revealed: false });
      const remote = await show("present-peek", "phone", { hands: undefined, api: kit.stage(() => kit.live([hidden])) });
      const percents = () => remote.locator("#bars .percent").allInnerTexts();
      const isHeld = async () => await remote.locator("#bars.is-held").count() === 1;
      /** @type {string[]} */
      const sent = [];
      remote.on("request", (request) => { if (request.method() !== "GET") sent.push(request.url()); });
      assert(await isHeld(), "nothing is held back");
      await remote.getByTestId("view").click();
      await remote.getByTestId("view-peek").click();
      await remote.waitForFunction(() => document.querySelector("#bars .percent")?.textContent === "50%");
      equal([await percents(), await isHeld(), await remote.getByTestId("held-below").isVisible()], [["50%", "38%", "12%"], false, true], "it is looked at, and still said to be hidden");
      equal(sent, [], "what the server is told");
      await remote.getByTestId("view-peek").click();
      assert(await isHeld(), "nothing is held back any more");
      await remote.context().close();
      for (const [what, size, path] of /** @type {const} */ ([["a laptop", "laptop", ""], ["the clean screen", "phone", "#screen"]])) {
        const other = await show("present-hidden-live", size, { hands: undefined, path: `/present/${kit.EVENT}${path}` });
        equal(await other.locator("[data-do=peek]:visible").count(), 0, `on ${what}`);
        await other.context().close();
      }
    });

    await check("who presents an event that is over can make it live again, by a button and by no key; the winner is known when all is counted", async () => {
      const polls = [{ ...kit.poll(kit.SHORT.slice(0, 3), [4, 3, 1]), ...kit.closed }];
      const [over, counting] = [kit.live([kit.final(polls[0])], { event: { ...kit.live([]).event, state: "ended" } }), kit.live(polls)];
      const page = await show("present-final", "laptop", { api: kit.stage(() => over) });
      equal(await page.locator("#bars.is-decided").count(), 1, "with all counted, decided");
      const asked = page.waitForRequest((request) => request.method() === "PATCH");
      await page.getByTestId("revive").click();
      equal((await asked).postDataJSON(), { state: "live" }, "the server is asked");
      await page.context().close();
      const other = await show("present-final", "laptop", { api: kit.stage(() => counting) });
      equal([await other.getByTestId("revive").isVisible(), await other.locator("#bars.is-decided").count()], [false, 0], "while votes are counted");
      await other.context().close();
    });

    await check("where there is little height, question and first bar are in sight; on the remote short choices are close together", async () => {
      for (const viewport of [{ width: 640, height: 360 }, { width: 740, height: 360 }]) {
        const page = await show("present-six", "laptop");
        await page.setViewportSize(viewport);
        const gone = () => page.evaluate(() => {
          const end = /** @type {HTMLElement} */ (document.getElementById("controls")).getBoundingClientRect().top;
          return ["#question", "#bars .row:first-child .track", "#bars .row:nth-child(2) .track"].filter((what) => { const box = document.querySelector(what)?.getBoundingClientRect(); return !box || box.top < 0 || box.bottom > end; });
        });
        await page.waitForFunction(() => /** @type {HTMLElement} */ (document.getElementById("controls")).offsetHeight < 70);
        equal(await gone(), [], `out of sight at ${viewport.width} x ${viewport.height}`);
        await page.context().close();
      }
      const mixed = kit.poll([...kit.SHORT.slice(0, 6), `${kit.SHORT.slice(0, 12).join(", ")}.`], Array(7).fill(3));
      const remote = await show("present-two", "phone", { api: kit.stage(() => kit.live([mixed])) });
      const tops = await remote.locator("#bars .row").evaluateAll((rows) => rows.slice(0, 6).map((row) => row.getBoundingClientRect().top));
      assert(tops[5] - tops[0] < 5 * 60, `rows at ${tops}`);
      await remote.context().close();
    });

    await check("a word that would be too small to be read is broken, and all of it is there", async () => {
      for (const size of /** @type {const} */ (["projector", "laptop"])) {
        const page = await show("present-endless-word", size);
        const { broken, least, readable, outside } = await words(page);
        equal([broken.length, outside], [2, []], `broken and outside on a ${size}`);
        assert(least >= readable, `letters of ${least} px, ${readable} are read easily`);
        await page.context().close();
      }
    });

    await check("at the desk, what is over is one line; what is on stage, open or a draft is not", async () => {
      const page = await show("admin-event-many");
      const cards = page.getByTestId("poll");
      const folded = () => cards.evaluateAll((all) => all.map((card) => card.hasAttribute("data-folded")));
      const asEntered = [true, true, true, true, false, true, true, false, false];
      equal(await folded(), asEntered, "folded");
      for (const [at, isFolded] of asEntered.entries()) {
        equal(await cards.nth(at).getByTestId("results").isVisible(), !isFolded, `the inside of ${at}`);
        const height = (await cards.nth(at).boundingBox())?.height ?? 0;
        assert(isFolded ? height < 70 : height > 150, `card ${at} is ${height} px high`);
      }
      equal(await cards.first().getByTestId("gist").innerText(), "Final ·\u00a0187 votes", "its line");
      assert(await cards.nth(4).getByTestId("fold").isHidden(), "what is on stage can be folded");
      // By keyboard, by a click on the question, and back.
      const fold = cards.first().getByTestId("fold");
      equal(await fold.getAttribute("aria-expanded"), "false", "before");
      await fold.focus();
      await page.keyboard.press("Enter");
      equal([await fold.getAttribute("aria-expanded"), await cards.first().getByTestId("toggle").isVisible()], ["true", true], "after Enter");
      await page.keyboard.press("Enter");
      equal(await folded(), asEntered, "and again");
      await cards.nth(1).getByTestId("poll-question").click();
      equal((await folded())[1], false, "after a click on the question");
      await page.context().close();
      const phone = await show("admin-event-many", "phone");
      const box = await phone.getByTestId("poll").first().boundingBox();
      assert(box && box.height < 110, `a line on a phone is ${box?.height} px high`);
      await phone.context().close();
    });

    await check("folded questions are put in order by keys, stay folded, and are found by a search in the page", async () => {
      const page = await show("admin-event-many");
      const moved = page.waitForRequest((request) => request.method() === "PATCH");
      await page.getByTestId("move").first().focus();
      await page.keyboard.press("ArrowDown");
      equal((await moved).postDataJSON(), { position: 1 }, "the server is asked");
      assert(await page.getByTestId("poll").first().evaluate((card) => card.hasAttribute("data-folded")), "it opened");
      const inside = page.getByTestId("poll").first().locator('[data-fill="inside"]');
      equal(await inside.getAttribute("hidden"), "until-found", "a search looks into it");
      await inside.dispatchEvent("beforematch");
      assert(await page.getByTestId("poll").first().getByTestId("toggle").isVisible(), "what was found stays hidden");
      await page.context().close();
    });

    await check("who is asked when the audience sees the result is told what the server does: after the close, nobody has to reveal it", async () => {
      const reveals = { en: /reveal/, de: /zeig/, fr: /montr/, es: /muestr/, ar: /تكشف/ };
      for (const lang of LANGUAGES) {
        const page = await show("admin-results", "phone", { lang, hands: undefined });
        const texts = Object.fromEntries(await page.getByTestId("poll-visibility").first().locator("option").evaluateAll((all) => all.map((one) => [/** @type {HTMLOptionElement} */ (one).value, one.textContent])));
        const word = reveals[/** @type {keyof typeof reveals} */ (lang)];
        equal([word.test(texts.hidden), word.test(texts.after_close)], [true, false], `${texts.hidden} / ${texts.after_close}`);
        await page.context().close();
      }
    });

    await check("who hides the bars is told that phones go on, at the desk and with a finger on the remote; not where phones follow", async () => {
      const goOn = async (/** @type {string} */ name) => {
        const desk = await show(name);
        const told = await desk.getByTestId("phones-go-on").evaluateAll((all) => all.map((one) => one.checkVisibility()));
        await desk.context().close();
        return told;
      };
      equal(await goOn("admin-hidden"), [true, false, false], "hidden with live results, hidden until the close, shown");
      for (const [name, alone] of /** @type {const} */ ([["present-hidden-live", true], ["present-hidden", false]])) {
        const remote = await show(name, "phone");
        const reveal = remote.getByTestId("reveal");
        equal([await reveal.locator("small").isVisible(), ((await reveal.getAttribute("title")) ?? "").includes("alone")], [alone, alone], name);
        equal((await reveal.innerText()).split("\n")[0], "Reveal the bars", "the words of the button");
        await remote.context().close();
      }
    });

    await check("the clock that a schedule goes by is the one of its day: summer time for a day in summer, whatever is today", async () => {
      const page = await show("admin-schedule", "laptop", { zone: "America/New_York" });
      const schedule = page.getByTestId("schedule");
      for (const [day, offset] of [["2027-07-01", "GMT-4"], ["2027-01-15", "GMT-5"]]) {
        await schedule.getByTestId("closes").fill("");
        await schedule.getByTestId("opens").fill(`${day}T09:30`);
        await schedule.getByText(`America/New_York, ${offset}.`).waitFor();
      }
      await page.context().close();
    });

    await check("a vote that opens by the clock later is not called open at the desk, and is opened by hand by waiting no longer", async () => {
      const waiting = kit.poll(["Yes", "No"], [0, 0], { opens_at: kit.NOW() + 600_000 });
      const page = await show("admin-results-draft", "laptop", { api: (call) => (call.method === "PATCH" ? { json: {} } : kit.office([waiting])(call)) });
      equal(await page.getByTestId("life").locator("[aria-current]").innerText(), "Scheduled", "its state");
      await page.getByTestId("results-summary").filter({ hasText: "Not asked yet" }).waitFor();
      equal(await page.getByTestId("poll-voters").innerText(), "", "votes");
      const asked = page.waitForRequest((request) => request.method() === "PATCH");
      await page.getByTestId("toggle").filter({ hasText: "Open voting" }).click();
      equal((await asked).postDataJSON(), { opens_at: null }, "what the server is asked");
      await page.context().close();
      const soon = kit.poll(["Yes", "No"], [0, 0], { opens_at: kit.NOW() + 6_000 });
      const desk = await show("admin-results-draft", "laptop", { api: kit.office([soon]) });
      await desk.getByTestId("life").locator("[aria-current]").filter({ hasText: "Open" }).waitFor();
      await desk.getByTestId("toggle").filter({ hasText: "Close voting" }).waitFor();
      await desk.context().close();
    });

    await check("the stage says where the result is that it does not show, true of every visibility, revealed or hidden, open or closed", async () => {
      const [later, close, already, whoVoted] = ["the result is shown later", "phones show the result once voting has closed", "phones show the result already", "phones show the result to whoever has voted"];
      const wanted = { live: [already, already], after_vote: [whoVoted, already], after_close: [close, already], hidden: [later, later] };
      for (const [visibility, [open, closed]] of Object.entries(wanted)) {
        for (const revealed of [true, false]) {
          const poll = kit.poll(kit.SHORT.slice(0, 2), [3, 4], { visibility, revealed });
          equal(await note(poll), revealed ? "" : open, `open, ${visibility}, revealed ${revealed}`);
          equal(await note(kit.final(poll)), revealed ? "final" : `final · ${closed}`, `closed, ${visibility}, revealed ${revealed}`);
          equal(await note({ ...poll, opens_at: kit.NOW() + 600_000 }), "", `opens soon, ${visibility}, revealed ${revealed}`);
        }
      }
      const said = new Set();
      for (const lang of LANGUAGES) said.add(await note(kit.poll(["Yes", "No"], [3, 4], { revealed: false }), lang));
      equal(said.size, LANGUAGES.length, [...said].join(", "));
    });
  } finally {
    await browser.close();
    await theatre.down();
  }
}

/** Of question and choices: words on more than one line, words out of their place, and the smallest letters. @param {import("playwright-core").Page} page */
const words = (page) => page.evaluate(() => {
  const [broken, outside, sizes] = [/** @type {string[]} */ ([]), /** @type {string[]} */ ([]), /** @type {number[]} */ ([])];
  for (const element of document.querySelectorAll("#question, #bars .text")) {
    sizes.push(parseFloat(getComputedStyle(element).fontSize));
    const place = element.getBoundingClientRect();
    const text = /** @type {Text} */ (element.firstChild);
    for (const { 0: word, index } of (text.textContent ?? "").matchAll(/\S+/gu)) {
      const range = document.createRange();
      range.setStart(text, index);
      range.setEnd(text, index + word.length);
      const lines = new Set([...range.getClientRects()].map((box) => Math.round(box.top)));
      if (lines.size > 1) broken.push(word);
      const box = range.getBoundingClientRect();
      if (box.left < place.left - 1 || box.right > place.right + 1 || box.bottom > place.bottom + 4 || place.bottom > innerHeight) outside.push(word);
    }
  }
  return { broken, outside, least: Math.min(...sizes), readable: Math.floor(0.88 * parseFloat(getComputedStyle(document.documentElement).fontSize)) }; // a 50th of the height
});
