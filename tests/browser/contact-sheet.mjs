// Photographs every screen in every state, light and dark, and puts all of them on one sheet.
//   node contact-sheet.mjs DIR [--binary target/debug/groundswell] [--only PART-OF-A-NAME] [--light] [--sheet]
// Needs no server: see theatre.mjs. With a binary, what the server draws by itself is there, too: see paper.mjs. Opens DIR/index.html; DIR/sheet-N.png are the same, to look at without a browser.

import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import { launch, SIZES } from "./browser.mjs";
import { scenes } from "./scenes.mjs";
import { Theatre } from "./theatre.mjs";
import { enter } from "./enter.mjs";
import { furnish, turnTo } from "./paper.mjs";

const { positionals: [directory], values: { only = "", light, sheet, binary } } = parseArgs({ allowPositionals: true, options: { only: { type: "string" }, light: { type: "boolean" }, sheet: { type: "boolean" }, binary: { type: "string" } } });
if (!directory) throw new Error("say where to: node contact-sheet.mjs DIR");
const PER_SHEET = 40;

const isWanted = (/** @type {{name:string}} */ { name }) => only.split(",").some((part) => name.includes(part));
if (!only) rmSync(directory, { recursive: true, force: true });
mkdirSync(directory, { recursive: true });
const theatre = await new Theatre().up();
const browser = await launch();
/** @type {{file:string, width:number}[]} */
const pictures = [];
let failed = 0;
try {
  for (const scene of scenes.filter(isWanted)) await photograph(scene, (look) => enter(browser, theatre, scene, look), Boolean(scene.full));
  if (binary) {
    const { app, sheets } = await furnish(binary);
    process.on("exit", () => app.remove());
    for (const one of sheets.filter(isWanted)) await photograph(one, (look) => turnTo(browser, app, one, { ...look, framed: true }), true);
    await app.kill();
  }
  const cell = ({ file, width }) => `<figure class="${width < 700 ? "narrow" : "wide"}"><img src="${file}" loading="eager"><figcaption>${file.replace(".png", "")}</figcaption></figure>`;
  const html = (/** @type {typeof pictures} */ some) => `<!doctype html><meta charset="utf-8"><title>Contact sheet</title><style>
body{margin:16px;background:#777;font:13px system-ui;color:#fff;display:flex;flex-wrap:wrap;gap:16px;align-items:flex-start}
figure{margin:0}img{display:block;box-shadow:0 2px 8px #0008}.narrow img{width:220px}.wide img{width:456px}</style>${some.map(cell).join("")}`;
  writeFileSync(join(directory, "index.html"), html(pictures));
  const page = await browser.newPage({ viewport: { width: 1960, height: 1000 } });
  for (let at = 0; sheet !== undefined || !only ? at < pictures.length : false; at += PER_SHEET) {
    const part = join(directory, `sheet-${at / PER_SHEET + 1}.html`);
    writeFileSync(part, html(pictures.slice(at, at + PER_SHEET)));
    await page.goto(pathToFileURL(resolve(part)).href);
    await page.screenshot({ path: part.replace(".html", ".png"), fullPage: true });
    rmSync(part);
  }
} finally {
  await browser.close();
  await theatre.down();
}

/**
 * @param {{name:string, sizes:(keyof typeof SIZES)[], themes?:("light"|"dark")[]}} what
 * @param {(look: {size:keyof typeof SIZES, colorScheme:"light"|"dark"}) => Promise<import("playwright-core").Page>} go @param {boolean} fullPage
 */
async function photograph({ name, sizes, themes = ["light", "dark"] }, go, fullPage) {
  for (const size of sizes) {
    for (const colorScheme of light ? /** @type {const} */ (["light"]) : themes) {
      const file = `${name}.${size}.${colorScheme}.png`;
      try {
        const page = await go({ size, colorScheme });
        await page.screenshot({ path: join(directory, file), animations: "disabled", fullPage });
        await page.context().close();
        pictures.push({ file, width: SIZES[size].width });
      } catch (error) {
        failed += 1;
        console.error(`${file}: ${error}`);
      }
    }
  }
}

console.log(`${pictures.length} pictures in ${directory}${failed ? `, ${failed} failed` : ""}`);
process.exitCode = failed ? 1 : 0;
