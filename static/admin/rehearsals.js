// What rehearsals came to, the command that makes one, and those that were not removed.

import { api } from "/assets/shared/api.js";
import { day, lasted, t } from "/assets/shared/words.js";
import { clone, control, done, oops, say, setText, slot, tellDetails } from "/assets/admin/dom.js";
import { row as eventRow } from "/assets/admin/events.js";
import { asTyped, glance, glanceOf, headline, shortly } from "/assets/admin/report-words.js";

/**
 * @typedef {{id:string, title:string, at:number, groundswell:string, verdict:import("/assets/admin/report-words.js").Verdict, fit:import("/assets/admin/report-words.js").Fits,
 *   voters:number, over_ms:number, counted_ms:number, lost:number}} Line
 */

const LOOK_EVERY_MS = 5000; // the terminal is beside this window
const LEFT_MOST = 50; // rehearsals that are still there
const LOOPBACK = /^(localhost|127(\.\d+){3}|\[::1\])$/; // to another machine, these are itself
const FLAG = "--i-operate-this-server";

/** @param {import("/assets/admin/events.js").Tools} tools */
export async function rehearsalsPage({ trouble }) {
  const element = clone("rehearsals-page");
  /** @type {string|undefined} */
  let known;
  let audience = "";

  async function look() {
    const [{ rehearsals, public_url = "" }, { events }] = await Promise.all([api("GET", "rehearsals"), api("GET", `events?rehearsal=true&limit=${LEFT_MOST}`)]);
    audience = public_url;
    const now = JSON.stringify([rehearsals, events]);
    if (now === known) return;
    // What one reads, and may be about to press, is not replaced unless there is news.
    if (known !== undefined && rehearsals[0]) say(`${headline(rehearsals[0].voters, rehearsals[0].over_ms)}: ${t(`glance_${glanceOf(rehearsals[0].verdict, rehearsals[0].fit)}`)}`);
    known = now;
    slot(element, "list").replaceChildren(...rehearsals.map(row));
    slot(element, "list").hidden = rehearsals.length === 0;
    slot(element, "left-list").replaceChildren(...events.map(eventRow));
    slot(element, "left").hidden = events.length === 0;
  }

  await look();
  const at = isLoopback(location.origin) && audience ? audience : location.origin;
  const lines = command(at);
  setText(slot(element, "command"), lines.join("\n"));
  if (isLoopback(at)) {
    setText(slot(element, "where"), t("rehearse_2_here"));
    asTyped(slot(element, "elsewhere"), t("rehearse_elsewhere", { address: at, flag: FLAG }));
    slot(element, "elsewhere").hidden = false;
  }
  control(element, "copy").addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(lines.join("\n"));
      done(t("command_copied"));
    } catch {
      oops({ detail: t("copy_refused") });
    }
  });
  const timer = window.setInterval(() => { if (!document.hidden) look().catch((error) => { if (error.status === 401) trouble(error); }); }, LOOK_EVERY_MS);
  return { element, leave: () => clearInterval(timer) };
}

/** Does it lead to whatever machine it is used on? @param {string} address */
export const isLoopback = (address) => LOOPBACK.test(new URL(address).hostname);

/** @param {string} at where the rehearsal is to come in @returns {string[]} */
const command = (at) => ["export GROUNDSWELL_API_TOKEN=…", "groundswell rehearse \\", `  --url ${at} \\`, `  --voters 100000 --over 1s --viewers 1000${isLoopback(at) ? "" : ` \\\n  ${FLAG}`}`];

/** @param {Line} line */
function row(line) {
  const item = clone("rehearsal-row");
  item.querySelector("a").href = `/admin/rehearsals/${line.id}`;
  setText(slot(item, "title"), headline(line.voters, line.over_ms));
  glance(slot(item, "glance"), glanceOf(line.verdict, line.fit));
  tellDetails(slot(item, "about"), [shortly(line.verdict, line.lost, lasted(line.counted_ms)), day(line.at), t("version", { version: line.groundswell })]);
  return item;
}
