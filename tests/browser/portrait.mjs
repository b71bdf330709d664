// The pictures of the README and of docs/screens.md, as the screens are now.
//   node portrait.mjs [DIRECTORY]

import { join } from "node:path";
import { launch } from "./browser.mjs";
import { enterNamed } from "./enter.mjs";
import { Theatre } from "./theatre.mjs";

/** @typedef {{scene:string, size:import("./scenes.mjs").Size, colorScheme?:"light"|"dark", as:"screen"|"phone"|"air"}} Shown `air`: over a picture, as on television */
/** @type {{file:string, width:number, height:number, columns:string, shown:Shown[]}[]} */
const PICTURES = [
  { file: "presenter-and-phone.png", width: 1530, height: 790, columns: "auto auto", shown: [
    { scene: "present-million", size: "laptop", as: "screen" }, { scene: "vote-million", size: "phone", colorScheme: "dark", as: "phone" },
  ] },
  { file: "screens.png", width: 1960, height: 1240, columns: "repeat(2, 930px)", shown: [
    { scene: "present-lobby", size: "projector", as: "screen" }, { scene: "present-second-round", size: "projector", colorScheme: "dark", as: "screen" },
    { scene: "admin-new-event-filled", size: "laptop", as: "screen" }, { scene: "overlay-lower", size: "projector", as: "air" },
  ] },
];

const directory = process.argv[2] ?? new URL("../../docs/images/", import.meta.url).pathname;
const theatre = await new Theatre().up();
const browser = await launch();
try {
  for (const { file, width, height, columns, shown } of PICTURES) {
    const images = [];
    for (const { scene, size, colorScheme = "light", as } of shown) {
      const page = await enterNamed(browser, theatre, scene, size, {}, colorScheme);
      const picture = await page.screenshot({ animations: "disabled", omitBackground: as === "air" });
      await page.context().close();
      images.push(`<img class="${as}" src="data:image/png;base64,${picture.toString("base64")}">`);
    }
    const page = await browser.newPage({ viewport: { width, height } });
    await page.setContent(`<!doctype html><style>
body{margin:0;height:100vh;display:grid;grid-template-columns:${columns};place-content:center;place-items:center;gap:42px;background:#dfe9e7}
img{display:block;max-width:100%;max-height:675px;box-shadow:0 12px 40px rgb(20 30 36 / .25);box-sizing:content-box}
.screen,.air{border:8px solid #16262f;border-radius:16px}.phone{border:10px solid #16262f;border-radius:42px}
.air{background:radial-gradient(circle at 30% 20%,#6b8f9a,#274655 45%,#101d25)}
</style>${images.join("")}`);
    await page.screenshot({ path: join(directory, file) });
    await page.close();
    console.log(file);
  }
} finally {
  await browser.close();
  await theatre.down();
}
