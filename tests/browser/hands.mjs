// What people do with their hands and see with their eyes, in the words of the product. No expectations here but waiting.

/** @typedef {import("playwright-core").Page} Page */

export const phone = {
  /** @param {Page} page @param {string} code */
  async join(page, code) {
    await page.getByTestId("join-code").fill(code);
    await page.getByTestId("join-button").tap();
  },

  /** @param {Page} page @param {string} choice */
  vote: (page, choice) => row(page, choice).tap(),

  /** @param {Page} page @param {string} choice */
  tick: (page, choice) => row(page, choice).tap(),

  /** @param {Page} page @param {...("saved"|"received"|"counted")} steps one of them */
  reached: (page, ...steps) => page.locator(steps.map((step) => `[data-step="${step}"][aria-current="step"]`).join()).first().waitFor({ state: "attached" }),

  /** @param {Page} page @returns {Promise<string|null>} */
  step: (page) => page.evaluate(() => document.querySelector('[data-step][aria-current="step"]')?.getAttribute("data-step") ?? null),

  /** @param {Page} page */
  choices: (page) => page.locator('[data-testid="choice"] .text').allInnerTexts(),

  /** @param {Page} page */
  percents: (page) => page.locator('[data-testid="choice"] .percent').allInnerTexts(),

  /** @param {Page} page */
  code: async (page) => new URL(page.url()).pathname.slice(1),
};

/** The choices a phone marks as its own vote. @param {Page} page @returns {Promise<string[]>} */
export const mine = (page) => page.locator('[data-testid="choice"].is-mine .text').allInnerTexts();

/** @param {Page} page @param {string} choice */
const row = (page, choice) => page.getByTestId("choice").filter({ hasText: choice });

export const stage = {
  /** @param {Page} page */
  async reveal(page) {
    const button = page.getByTestId("reveal");
    await page.mouse.move(300, 300);
    await page.mouse.move(320, 320);
    if (await button.filter({ hasText: "Reveal" }).count()) await button.click();
    await button.filter({ hasText: "Hide" }).waitFor();
  },

  /** @param {Page} page @param {Record<string, number>} votes per choice, all of them, in any order */
  shows: (page, votes) => page.waitForFunction((wanted) => {
    const rows = Array.from(document.querySelectorAll("#bars .row"));
    const shown = Object.fromEntries(rows.map((row) => [row.querySelector(".text")?.textContent, row.querySelector(".votes")?.textContent]));
    return rows.length === Object.keys(wanted).length && Object.entries(wanted).every(([choice, count]) => shown[choice] === String(count));
  }, votes),

  /** When the screen first shows so many votes for a choice, by the page's own clock. @param {Page} page @param {string} choice @param {number} votes @returns {Promise<number>} */
  moment: (page, choice, votes) => page.evaluate(([wanted, count]) => new Promise((resolve) => {
    const bars = /** @type {HTMLElement} */ (document.getElementById("bars"));
    const look = () => {
      const row = Array.from(bars.children).find((one) => one.querySelector(".text")?.textContent === wanted);
      if (row?.querySelector(".votes")?.textContent !== String(count)) return;
      observer.disconnect();
      resolve(Date.now());
    };
    const observer = new MutationObserver(look);
    observer.observe(bars, { subtree: true, childList: true, characterData: true });
    look();
  }), /** @type {const} */ ([choice, votes])),

  /** @param {Page} page @returns {Promise<number[]>} what is really drawn, in pixels: a fill slides into its track from the left */
  lengths: (page) => page.locator("#bars .fill").evaluateAll((fills) => fills.map((fill) =>
    Math.max(0, fill.getBoundingClientRect().right - /** @type {HTMLElement} */ (fill.parentElement).getBoundingClientRect().left))),
};

export const admin = {
  /** The event on the page. @param {Page} page */
  async event(page) {
    const id = new URL(page.url()).pathname.split("/")[3];
    return { id, code: (await page.getByTestId("join-code").innerText()).replace(/\D/g, "") };
  },

  /** @param {Page} page @param {string} question */
  poll: (page, question) => page.getByTestId("poll").filter({ hasText: question }),

  /** @param {Page} page @param {string} event @param {string} question @returns {Promise<string>} */
  async pollId(page, event, question) {
    const { polls } = await (await page.request.get(new URL(`/api/v1/events/${event}`, page.url()).href)).json();
    return polls.find((/** @type {any} */ poll) => poll.question === question).id;
  },
};

const PRESSES_MOST = 150; // past a page of events, which are two links each

/** Tab, as often as it takes, and not for ever. @param {Page} page @param {string} selector */
export async function tabTo(page, selector) {
  for (let presses = 0; presses < PRESSES_MOST; presses += 1) {
    await page.keyboard.press("Tab");
    if (await page.evaluate((wanted) => document.activeElement?.matches(wanted), selector)) return;
  }
  throw new Error(`the keyboard does not reach ${selector}`);
}
