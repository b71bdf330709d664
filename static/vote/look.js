// The event's own name, colour and logo, the mark that it is only a rehearsal, and where its results stand.

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

const CUT_LEAST = 100; // characters, as in src/wire/shown.rs

/** An event that was given no title has a question for one, whole or cut. It is not said twice. @param {import("/assets/vote/live.js").Live} live */
export function ownTitle({ event: { title, logo }, polls }) {
  const cut = title.replace(/…$/, "");
  const isQuestion = polls.some(({ question }) => question === title || ([...cut].length >= CUT_LEAST && question.startsWith(cut)));
  return isQuestion ? (logo ? "" : "Groundswell") : title;
}
