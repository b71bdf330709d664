// A browser full of people: each has a context of its own, so nobody shares a pass, a cookie or a vote.

import { execFileSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import axe from "axe-core";
import { chromium } from "playwright-core";
import { assert } from "./report.mjs";

const WAIT_MS = 15_000; // for one thing to appear; two cores may be compiling beside us
export const ARGS = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];
export const SIZES = {
  small: { width: 320, height: 568 }, side: { width: 740, height: 360 }, phone: { width: 360, height: 740 }, tablet: { width: 820, height: 1180 },
  laptop: { width: 1280, height: 800 }, projector: { width: 1920, height: 1080 }, cinema: { width: 3840, height: 2160 },
  zoomed: { width: 640, height: 400 }, tiny: { width: 320, height: 256 }, // laptops at 200 and 400 %
};

/** @typedef {keyof typeof SIZES} Size */

export class People {
  /** @type {Set<string>} */
  complaints = new Set();
  #shot = 0;

  /** @param {import("playwright-core").Browser} browser @param {import("./app.mjs").App} app @param {string} shots a directory, or "" for none */
  constructor(browser, app, shots) {
    this.browser = browser;
    this.app = app;
    this.shots = shots;
    if (shots) mkdirSync(shots, { recursive: true });
  }

  /** @param {import("./app.mjs").App} app @param {string} shots */
  static async arrive(app, shots) {
    return new People(await launch(), app, shots);
  }

  /**
   * @param {string} name for messages
   * @param {{size?:Size, touch?:boolean, expects?:(url:URL, status:number) => boolean}} [about] `expects`: refusals that belong to this person's story
   */
  async newPerson(name, { size = "laptop", touch = false, expects = () => false } = {}) {
    const context = await this.browser.newContext({ viewport: SIZES[size], hasTouch: touch, isMobile: touch, deviceScaleFactor: 1, locale: "en-GB", reducedMotion: "no-preference" });
    await context.addInitScript(() => {
      addEventListener("securitypolicyviolation", (event) => console.error(`CSP ${event.violatedDirective} refused ${event.blockedURI}`));
      addEventListener("click", () => { /** @type {any} */ (window).clickedAt = Date.now(); }, true);
    });
    return this.#open(context, name, expects);
  }

  /** The same person with one more window. @param {import("playwright-core").Page} page @param {string} name */
  newWindow(page, name) {
    return this.#open(page.context(), name, () => false);
  }

  /** @param {import("playwright-core").BrowserContext} context @param {string} name @param {(url:URL, status:number) => boolean} expects */
  async #open(context, name, expects) {
    const page = await context.newPage();
    page.setDefaultTimeout(WAIT_MS);
    this.#listen(name, page, expects);
    return page;
  }

  /** @param {string} name @param {import("playwright-core").Page} page @param {(url:URL, status:number) => boolean} expects */
  #listen(name, page, expects) {
    const complain = (/** @type {string} */ text) => this.complaints.add(`${name}: ${text}`);
    page.on("pageerror", (error) => complain(error.stack ?? error.message));
    page.on("console", (message) => {
      // The browser's own line about a refused request: the responses below are looked at one by one.
      if (message.type() !== "error" || message.text().startsWith("Failed to load resource")) return;
      if (this.app.down && /ERR_|EventSource/.test(message.text())) return;
      complain(`${message.text()} (${message.location().url})`);
    });
    page.on("response", (response) => {
      const url = new URL(response.url());
      if (response.status() >= 400 && !expects(url, response.status())) complain(`${response.status()} ${response.request().method()} ${url.pathname}`);
    });
    page.on("requestfailed", (request) => {
      const why = request.failure()?.errorText ?? "";
      // A page that goes away, or goes offline on purpose, ends its own requests.
      if (this.app.down || /ERR_ABORTED|ERR_INTERNET_DISCONNECTED/.test(why)) return;
      complain(`${why} ${request.method()} ${request.url()}`);
    });
  }

  /** Light and dark, at each size. @param {import("playwright-core").Page} page @param {string} name @param {Size[]} sizes */
  async photograph(page, name, ...sizes) {
    if (!this.shots) return;
    this.#shot += 1;
    const before = page.viewportSize();
    for (const size of sizes) {
      await page.setViewportSize(SIZES[size]);
      for (const colorScheme of /** @type {const} */ (["light", "dark"])) {
        await page.emulateMedia({ colorScheme });
        await page.screenshot({ path: join(this.shots, `${String(this.#shot).padStart(2, "0")}-${name}.${size}.${colorScheme}.png`), animations: "disabled" });
      }
    }
    await page.emulateMedia({ colorScheme: null });
    if (before) await page.setViewportSize(before);
  }
}

// Playwright puts its own headless flag in front; ours is the one that says which.
export async function launch() {
  const browser = await chromium.launch({ executablePath: findBrowser(), args: ARGS, chromiumSandbox: false });
  const plain = browser.newContext.bind(browser);
  browser.newContext = async (about) => named(await plain(about));
  return browser;
}

/** On the audience's page an id is the name in tests, too: a second one would be bytes on a million phones. @template {import("playwright-core").BrowserContext} C @param {C} context @returns {Promise<C>} */
async function named(context) {
  await context.addInitScript(() => document.addEventListener("DOMContentLoaded", () => {
    if (document.getElementById("screen-join")) for (const one of document.querySelectorAll("[id]:not([data-testid], template)")) one.setAttribute("data-testid", one.id);
  }));
  return context;
}

/** A browser with a memory: what a person has on the phone in their hand. @param {string} directory @param {import("playwright-core").BrowserContextOptions} about */
export const enduring = async (directory, about) => named(await chromium.launchPersistentContext(directory, { executablePath: findBrowser(), args: ARGS, chromiumSandbox: false, ...about }));

/** @param {import("playwright-core").Page} page @param {string} what fails on what keeps somebody out */
export async function accessible(page, what) {
  // Half-way from one colour to another is no colour that anybody reads.
  await page.evaluate(() => Promise.all(document.getAnimations().filter((one) => one.effect?.getComputedTiming().iterations !== Infinity).map((one) => one.finished.catch(() => {}))));
  await page.evaluate(axe.source);
  const found = await page.evaluate(async () => {
    const result = await /** @type {any} */ (window).axe.run({ resultTypes: ["violations"] });
    return result.violations.filter((one) => ["serious", "critical"].includes(one.impact))
      .map((one) => `${one.id}: ${one.help}\n${one.nodes.map((node) => `  ${node.html}\n    ${node.failureSummary}`).join("\n")}`);
  });
  assert(found.length === 0, `${what}:\n${found.join("\n")}`);
}

/** @param {import("playwright-core").Page} page */
export async function fitsInWidth(page) {
  const { is, has } = await page.evaluate(() => ({ is: document.documentElement.scrollWidth, has: document.documentElement.clientWidth }));
  assert(is <= has, `${is} px wide in a window of ${has} px`);
}

export function findBrowser() {
  for (const name of ["chromium", "chromium-browser", "google-chrome"]) {
    try {
      return execFileSync("sh", ["-c", `command -v ${name}`], { encoding: "utf8" }).trim();
    } catch { /* the next one */ }
  }
  throw new Error("no browser: install chromium");
}
