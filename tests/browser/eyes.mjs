// What can be said of any page by looking at it: what axe finds, whether Tab goes everywhere, in order, and is seen, and what stands over what.

import axe from "axe-core";

/** All that a theme can change. */
const COLOURS = ["color-contrast", "link-in-text-block"];

/** In light all of it, and in dark what that changes. @param {import("playwright-core").Page} page @param {import("playwright-core").BrowserContextOptions["reducedMotion"]} reducedMotion @returns {Promise<string[]>} */
export async function axeFinds(page, reducedMotion = null) {
  await page.evaluate(axe.source);
  const found = [];
  for (const [colorScheme, rules] of /** @type {const} */ ([["light", null], ["dark", COLOURS]])) {
    await page.emulateMedia({ colorScheme, reducedMotion });
    found.push(...(await violations(page, rules)).map((one) => `${colorScheme}: ${one}`));
  }
  return found;
}

/** @param {import("playwright-core").Page} page @param {readonly string[] | null} rules @returns {Promise<string[]>} */
function violations(page, rules) {
  return page.evaluate(async (only) => {
    const result = await /** @type {any} */ (window).axe.run({ resultTypes: ["violations"], ...(only && { runOnly: only }) });
    return result.violations.flatMap((one) => one.nodes.map((node) => `${one.id}: ${node.html.slice(0, 160)} ${node.failureSummary.replace(/\s+/g, " ").slice(0, 240)}`));
  }, rules);
}

/** A group of radio buttons is one stop. */
const STOPS_MOST = 200;

/**
 * Walks through a page with Tab, from its beginning: what cannot be reached, what is reached in another order than it stands in, and
 * what does not show that it has the focus. An open dialog is all there is.
 * @param {import("playwright-core").Page} page @returns {Promise<string[]>}
 */
export async function everythingByKeyboard(page) {
  const wanted = await page.evaluate(() => {
    // First, as a field in place of words is there only as long as it has the focus.
    /** @type {HTMLElement|null} */ (document.activeElement)?.blur();
    const inside = document.querySelector("dialog[open]") ?? document;
    const groups = new Set();
    const stops = [...inside.querySelectorAll("a[href], button, input, select, textarea, summary, [tabindex='0']")].filter((one) => {
      const element = /** @type {HTMLInputElement} */ (one);
      if (element.disabled || element.tabIndex < 0 || element.closest("fieldset:disabled") || !element.checkVisibility({ visibilityProperty: true })) return false;
      if (element.type !== "radio") return true;
      const members = [...document.querySelectorAll(`input[type=radio][name="${element.name}"]`)];
      if (members.some((member) => /** @type {HTMLInputElement} */ (member).checked) ? element.checked : !groups.has(element.name)) {
        groups.add(element.name);
        return true;
      }
      return false;
    });
    stops.forEach((stop, at) => stop.setAttribute("data-stop", String(at)));
    getSelection()?.removeAllRanges();
    // From the beginning, wherever somebody has been: the browser goes on from where the focus last was.
    const top = Object.assign(document.createElement("span"), { tabIndex: -1 });
    (inside === document ? document.body : /** @type {Element} */ (inside)).prepend(top);
    top.focus();
    return stops.map((stop) => (stop.id || stop.getAttribute("data-testid") || stop.textContent?.trim() || stop.tagName).slice(0, 40));
  });
  /** @type {number[]} */
  const seen = [];
  const wrong = [];
  for (let pressed = 0; pressed < STOPS_MOST && seen.length < wanted.length; pressed += 1) {
    await page.keyboard.press("Tab");
    const { at, visible, away } = await page.evaluate(() => {
      const one = document.activeElement;
      const style = one && getComputedStyle(one);
      // A hidden radio button or checkbox shows it on its frame.
      const frame = one?.parentElement?.querySelector(".frame");
      const ring = (/** @type {CSSStyleDeclaration|null} */ of) => Boolean(of && of.outlineStyle !== "none" && parseFloat(of.outlineWidth) >= 2);
      return { at: Number(one?.getAttribute("data-stop") ?? -1), visible: ring(style) || Boolean(frame && ring(getComputedStyle(frame))), away: !one || one === document.body };
    });
    if (away && seen.length) break;
    if (at < 0 || seen.includes(at)) continue; // the parts of a date, a file button
    if (seen.length && at < seen[seen.length - 1]) wrong.push(`${wanted[at]} comes after ${wanted[seen[seen.length - 1]]}`);
    if (!visible) wrong.push(`${wanted[at]} does not show its focus`);
    seen.push(at);
  }
  wanted.forEach((name, at) => { if (!seen.includes(at)) wrong.push(`${name} is not reached`); });
  return wrong;
}

/**
 * How far the beginnings of the words of any two are apart, where one stands over the other.
 * @param {import("playwright-core").Page} page @param {string} over @param {string} under
 */
export const farthest = (page, over, under) => page.evaluate((selectors) => {
  const [above, below] = selectors.map((selector) => [...document.querySelectorAll(selector)].map((one) => {
    const range = document.createRange();
    range.selectNodeContents(one);
    return (one.classList.contains("letter") ? one : range).getBoundingClientRect().left;
  }));
  return Math.max(...above.map((left, at) => Math.round(Math.abs(left - below[at]))));
}, [over, under]);

/** Numbers whose percent sign stands before them as they are seen, or apart. @param {import("playwright-core").Page} page @returns {Promise<string[]>} */
export const percentsOutOfOrder = (page) => page.evaluate(() => {
  const wrong = [];
  let found = 0;
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let text = texts.nextNode(); text; text = texts.nextNode()) {
    if (!text.parentElement?.checkVisibility()) continue;
    for (const { 0: whole, 1: digits, index } of (text.textContent ?? "").matchAll(/(\d+)[^\d%٪]{0,2}[%٪]/g)) {
      found += 1;
      const box = (/** @type {number} */ from, /** @type {number} */ to) => { const range = document.createRange(); range.setStart(/** @type {Text} */ (text), from); range.setEnd(/** @type {Text} */ (text), to); return range.getBoundingClientRect(); };
      const [number, sign] = [box(index, index + digits.length), box(index + whole.length - 1, index + whole.length)];
      if (Math.abs(sign.left - number.right) > number.height) wrong.push(text.textContent ?? "");
    }
  }
  return found ? wrong : ["no percent at all"];
});
