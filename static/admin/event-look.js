// The event itself: its short name, its colour, its logo. Each is saved as soon as it is chosen, and can be taken back. What is refused says so
// below its field, until there is something else in it.

import { api } from "/assets/shared/api.js";
import { spoken, t } from "/assets/shared/words.js";
import { control, setText, slot, tellBelow } from "/assets/admin/dom.js";
import { asLogo } from "/assets/admin/logo.js";

const OWN_COLOUR = "#0a6b75"; // ours, for the field: it cannot be empty

/** @param {string} id @param {any} element the event's page @param {import("/assets/admin/poll-card.js").Act} act */
export function eventLook(id, element, act) {
  const [slug, accent] = [control(element, "slug"), control(element, "accent")];
  /** @type {any} */
  let event;
  const patch = (/** @type {object} */ what) => () => api("PATCH", `events/${id}`, what);
  const refused = { slug: refusable(slug, "slug_"), logo: refusable(control(element, "logo"), "logo_"), accent: undefined };
  const save = (/** @type {"slug"|"accent"} */ what, /** @type {string|null} */ value) => {
    act(patch({ [what]: value }), t("saved"), patch({ [what]: event[what] }), refused[what], (now) => now[what]);
  };

  slug.addEventListener("change", () => { if (slug.value.trim() !== (event.slug ?? "")) save("slug", slug.value.trim() || null); });
  // Also one that looks as it was: what was taken back a moment ago may not have been drawn yet.
  accent.addEventListener("change", () => save("accent", accent.value));
  control(element, "no-accent").addEventListener("click", () => save("accent", null));
  control(element, "logo").addEventListener("change", async (/** @type {Event} */ { target }) => {
    const field = /** @type {HTMLInputElement} */ (target);
    const file = field.files?.[0];
    field.value = "";
    if (file) act(async () => api("PUT", `events/${id}/logo`, await asLogo(file)), t("saved"), undefined, refused.logo);
  });
  control(element, "no-logo").addEventListener("click", () => act(() => api("DELETE", `events/${id}/logo`), t("saved")));

  const place = (/** @type {string} */ joinUrl) => setText(slot(element, "host"), `${spoken(joinUrl).replace(/\/[^/]*$/, "")}/`);

  return {
    place,
    /** @param {any} now @param {string} joinUrl */
    draw(now, joinUrl) {
      event = now;
      place(joinUrl);
      if (document.activeElement !== slug && slug.ariaInvalid !== "true") slug.value = now.slug ?? "";
      accent.value = now.accent ?? OWN_COLOUR;
      control(element, "no-accent").hidden = !now.accent;
      slot(element, "logo").hidden = control(element, "no-logo").hidden = !now.logo;
      if (now.logo && slot(element, "logo").getAttribute("src") !== now.logo) slot(element, "logo").src = now.logo;
    },
  };
}

/** @param {HTMLInputElement} field @param {string} codes how they begin, of what is said below it @returns {(error:any) => boolean} was it said there? */
function refusable(field, codes) {
  const words = Object.assign(document.createElement("p"), { className: "error", role: "alert" });
  words.dataset.testid = `${field.dataset.do}-error`;
  let forget = () => {};
  for (const kind of ["input", "change"]) field.addEventListener(kind, () => forget());
  return (error) => {
    if (!error.code?.startsWith(codes)) return false;
    forget = tellBelow(field, words, error.detail);
    return true;
  };
}
