// The event's own colour and logo, the mark that it is only a rehearsal, and where its results stand.

import { server } from "/assets/vote/server.js";
import { $ } from "/assets/vote/small.js";

/** @param {import("/assets/vote/live.js").Live["event"]} event */
export function drawLook({ accent, code, logo, rehearsal }) {
  for (const theme of /** @type {const} */ (["light", "dark"])) document.documentElement.style.setProperty(`--accent-${theme}`, accent?.[theme] ?? "");
  if (logo && $("logo").getAttribute("src") !== server + logo) $("logo").src = server + logo;
  $("logo").hidden = !logo;
  document.querySelector(".mark")?.toggleAttribute("hidden", Boolean(logo));
  $("rehearsal").hidden = !rehearsal;
  $("sheet").href = `${server}/results/${code}?lang=${document.documentElement.lang}`;
}
