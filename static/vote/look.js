// The event's own colour and logo, and the mark that it is only a rehearsal.

import { $ } from "/assets/vote/small.js";

/** @param {import("/assets/vote/live.js").Live["event"]} event */
export function drawLook({ accent, logo, rehearsal }) {
  for (const theme of /** @type {const} */ (["light", "dark"])) document.documentElement.style.setProperty(`--accent-${theme}`, accent?.[theme] ?? "");
  if (logo && $("logo").getAttribute("src") !== logo) $("logo").src = logo;
  $("logo").hidden = !logo;
  document.querySelector(".mark")?.toggleAttribute("hidden", Boolean(logo));
  $("rehearsal").hidden = !rehearsal;
}
