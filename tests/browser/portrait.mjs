// The picture of the README: the presenter's screen and a phone, as they are now.
//   node portrait.mjs [FILE]

import { launch } from "./browser.mjs";
import { enter } from "./enter.mjs";
import { scenes } from "./scenes.mjs";
import { Theatre } from "./theatre.mjs";

const file = process.argv[2] ?? new URL("../../docs/images/presenter-and-phone.png", import.meta.url).pathname;
const theatre = await new Theatre().up();
const browser = await launch();
try {
  const shoot = async (/** @type {string} */ name, /** @type {"laptop"|"phone"} */ size, /** @type {"light"|"dark"} */ colorScheme) => {
    const scene = scenes.find((one) => one.name === name);
    if (!scene) throw new Error(`no scene ${name}`);
    const page = await enter(browser, theatre, scene, { size, colorScheme });
    const picture = await page.screenshot({ animations: "disabled" });
    await page.context().close();
    return `data:image/png;base64,${picture.toString("base64")}`;
  };
  const [screen, phone] = [await shoot("present-million", "laptop", "light"), await shoot("vote-million", "phone", "dark")];
  const page = await browser.newPage({ viewport: { width: 1530, height: 790 } });
  await page.setContent(`<!doctype html><style>
body{margin:0;height:100vh;display:flex;align-items:center;justify-content:center;gap:42px;background:#dfe9e7}
img{display:block;box-shadow:0 12px 40px rgb(20 30 36 / .25)}.screen{height:675px;border:8px solid #16262f;border-radius:16px}.phone{height:675px;border:10px solid #16262f;border-radius:42px}
</style><img class="screen" src="${screen}"><img class="phone" src="${phone}">`);
  await page.screenshot({ path: file });
} finally {
  await browser.close();
  await theatre.down();
}
console.log(file);
