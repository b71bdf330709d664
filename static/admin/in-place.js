// Words that are corrected where they stand: a pencil, a field, Enter. Escape leaves them as they were.

import { forget, isTooLong } from "/assets/admin/longest.js";

/**
 * @param {HTMLElement} place the words @param {HTMLElement} pencil
 * @param {{longest:number, save:(text:string) => void}} about
 */
export function inPlace(place, pencil, { longest, save }) {
  pencil.addEventListener("click", () => {
    const field = document.createElement("input");
    const was = place.textContent ?? "";
    field.className = "in-place";
    field.value = was;
    field.dataset.longest = String(longest);
    field.dir = "auto";
    field.setAttribute("aria-label", pencil.getAttribute("aria-label") ?? "");
    field.dataset.testid = "in-place";
    let done = false;
    const leave = (/** @type {boolean} */ keep) => {
      if (done || (keep && isTooLong(field))) return;
      done = true;
      forget(field);
      field.remove();
      place.hidden = pencil.hidden = false;
      const text = field.value.trim();
      if (keep && text && text !== was) save(text);
    };
    field.addEventListener("keydown", (pressed) => {
      if (pressed.key !== "Enter" && pressed.key !== "Escape") return;
      pressed.preventDefault();
      leave(pressed.key === "Enter");
      pencil.focus();
    });
    field.addEventListener("blur", () => leave(true));
    place.hidden = pencil.hidden = true;
    place.after(field);
    field.select();
  });
}
