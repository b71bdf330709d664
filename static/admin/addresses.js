// Where everything of an event is: how people join, its big screen and the remote of that, what goes over a picture or into a slide.

import { language, grouped, percent, spoken, t } from "/assets/shared/words.js";
import { control, done, oops, setText, slot } from "/assets/admin/dom.js";
import { isLoopback } from "/assets/admin/rehearsals.js";

const SAFE_USUAL = 5; // percent of the picture on each side: as overlay.css has it

/** @param {string} id @param {any} element the event's page */
export function addresses(id, element) {
  const present = `/present/${id}`;
  let remote = new URL(present, location.origin).href;
  const copied = {
    copy: () => slot(element, "link").href,
    "copy-remote": () => remote,
    "copy-overlay": () => slot(element, "overlay").href,
    "copy-embed": () => slot(element, "embed").href,
  };
  for (const [name, address] of Object.entries(copied)) control(element, name).addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(address());
      setText(control(element, name), t("copied"));
      done(t("link_copied"));
    } catch {
      oops({ detail: t("copy_refused") });
    }
  });

  // What the picture wants of it; the rest is in docs/api.md.
  const wishes = slot(element, "overlay-wishes");
  for (const [place, part] of Object.entries({ "safe-usual": SAFE_USUAL, "safe-wide": 2 * SAFE_USUAL })) slot(wishes, place).textContent = percent(part);
  wishes.addEventListener("change", leadOverlay);
  let overlay = "";
  function leadOverlay() {
    const wanted = new URLSearchParams();
    for (const select of wishes.querySelectorAll("select")) if (select.value) wanted.set(select.name, select.value);
    lead("overlay", String(wanted) ? `${overlay}?${wanted}` : overlay);
  }

  const show = control(element, "show-remote");
  show.addEventListener("click", () => {
    const picture = slot(element, "remote-qr");
    picture.hidden = !picture.hidden;
    picture.querySelector("img").src = `/api/v1/events/${id}/remote.svg`; // not before somebody wants it
    show.setAttribute("aria-expanded", String(!picture.hidden));
  });

  return {
    /** @param {string} code @param {string} joinUrl */
    draw(code, joinUrl) {
      lead("link", joinUrl);
      setText(slot(element, "code"), grouped(code));
      const qr = `/api/v1/live/${code}/qr.svg`;
      if (slot(element, "qr").getAttribute("src") !== qr) slot(element, "qr").src = qr;
      slot(element, "poster").href = `/poster/${code}?lang=${language}`;
      for (const name of ["results-page", "results-again"]) slot(element, name).href = `/results/${code}?lang=${language}`;
      slot(element, "all-results").href = `/api/v1/events/${id}/results.xlsx?lang=${language}`;
      slot(element, "present").href = present;
      const there = new URL(joinUrl).origin;
      lead("embed", `${there}/embed/${code}`);
      overlay = `${there}/overlay/${code}`;
      leadOverlay();
      remote = new URL(present, isLoopback(location.origin) ? there : location.origin).href; // a phone is another machine
    },
  };

  /** @param {string} name @param {string} url */
  function lead(name, url) {
    const link = slot(element, name);
    link.href = url;
    setText(link, spoken(url));
  }
}
