// What an event brings along: its colour, its logo, and the mark that it is only a rehearsal.

import { server } from "/assets/shared/api.js";

/** @param {import("/assets/shared/live.js").Live["event"]} event */
export function dressFor(event) {
  const { style } = document.documentElement;
  for (const theme of /** @type {const} */ (["light", "dark"])) {
    if (event.accent) style.setProperty(`--accent-${theme}`, event.accent[theme]);
    else style.removeProperty(`--accent-${theme}`);
  }
  for (const logo of /** @type {NodeListOf<HTMLImageElement>} */ (document.querySelectorAll("img.logo"))) {
    logo.hidden = !event.logo;
    if (event.logo && logo.getAttribute("src") !== server + event.logo) logo.src = server + event.logo;
  }
  for (const mark of document.querySelectorAll(".mark")) mark.toggleAttribute("hidden", Boolean(event.logo));
  for (const note of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll(".rehearsal"))) note.hidden = !event.rehearsal;
}
