// The event's own colour and logo, and the mark that it is only a rehearsal.

import { server } from "/assets/vote/server.js";
import { $ } from "/assets/vote/small.js";

/** @param {import("/assets/vote/live.js").Live["event"]} event */
export function drawLook({ accent, logo, rehearsal }) {
  for (const theme of /** @type {const} */ (["light", "dark"])) document.documentElement.style.setProperty(`--accent-${theme}`, accent?.[theme] ?? "");
  if (logo && $("logo").getAttribute("src") !== server + logo) $("logo").src = server + logo;
  $("logo").hidden = !logo;
  document.querySelector(".mark")?.toggleAttribute("hidden", Boolean(logo));
  $("rehearsal").hidden = !rehearsal;
}
