// The picture of a shared link, static/shared/card.png: the mark and the name, and no words, since whoever sees it may speak any language.
//   node card.mjs [FILE]

import { launch } from "./browser.mjs";

const file = process.argv[2] ?? new URL("../../static/shared/card.png", import.meta.url).pathname;
/** Heights of the swell, of 630. */
const BARS = [60, 104, 176, 300, 436, 352, 214];
const CREST = 4;
const browser = await launch();
try {
  const page = await browser.newPage({ viewport: { width: 1200, height: 630 } });
  const bars = BARS.map((height, at) => `<i class="${at === CREST ? "crest" : ""}" style="height:${height}px"></i>`).join("");
  await page.setContent(`<!doctype html><style>
body{margin:0;height:630px;overflow:hidden;background:#0f1a20;color:#f1f4f2;font-family:system-ui,sans-serif}
p{position:absolute;margin:0;left:88px;top:86px;display:flex;align-items:center;gap:30px;font-size:72px;font-weight:700;letter-spacing:-0.015em}
svg{width:84px;height:84px;fill:none;stroke:#5fd3c8;stroke-width:4;stroke-linecap:round}svg .crest{stroke:#f2c15c}
div{position:absolute;inset:auto 88px 0;display:flex;align-items:flex-end;justify-content:space-between}
i{width:88px;border-radius:44px 44px 0 0;background:#5fd3c8}i.crest{background:#f2c15c}
</style><p><svg viewBox="0 0 32 32"><path d="M4 28v-2M10 28v-6M16 28V15M28 28v-9"/><path class="crest" d="M22 28V6"/></svg>Groundswell</p><div>${bars}</div>`);
  await page.screenshot({ path: file });
} finally {
  await browser.close();
}
console.log(file);
