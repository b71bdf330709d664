// What a phone will show of a question that is being written, or corrected, and when it will show its result. In the phone's own words, which are in
// static/vote/words.js: a test compares them.

import { digits, hue, letter, t } from "/assets/shared/words.js";
import { clone, setText, slot } from "/assets/admin/dom.js";

const SHOWN_MOST = 8; // the rest is counted

/** @typedef {{question:string, choices:string[], several:boolean, change:boolean, min:number, max:number, visibility:string}} Written `several` to `max`: how people pick; no `max`: as many as there are */

/**
 * Stands beside the fields of a question and follows what is typed there.
 * @param {HTMLElement} fields @param {() => Written} read @returns {() => void} draws it anew, after what was not typed
 */
export function previewBeside(fields, read) {
  const place = clone("preview");
  const draw = () => {
    const written = read();
    drawPreview(slot(place, "phone"), written);
    setText(slot(place, "seen"), t(`seen_${written.visibility}`));
  };
  fields.append(place);
  fields.addEventListener("input", draw);
  return draw;
}

/** @param {HTMLElement} place @param {Written} written */
function drawPreview(place, { question, choices, several, change, min, max }) {
  const title = Object.assign(document.createElement("p"), { className: "preview-question", textContent: question || t("preview_question"), dir: "auto" });
  const list = document.createElement("ol");
  const texts = choices.length ? choices : [t("preview_choice"), t("preview_choice")];
  list.append(...texts.slice(0, SHOWN_MOST).map((text, at) => {
    const row = clone("preview-choice");
    row.dataset.hue = hue(at);
    row.querySelector(".letter").textContent = letter(at);
    row.querySelector(".text").textContent = text;
    return row;
  }));
  place.classList.toggle("is-empty", !question && !choices.length);
  place.classList.toggle("is-several", several);
  const hint = Object.assign(document.createElement("p"), { className: "quiet hint", textContent: howToPick() });
  place.replaceChildren(title, hint, list);
  if (texts.length > SHOWN_MOST) place.append(Object.assign(document.createElement("p"), { className: "quiet", textContent: `+ ${digits(texts.length - SHOWN_MOST)}` }));

  function howToPick() {
    if (!several && change) return t("tap_one");
    const [least, most] = several ? [min || 1, max || texts.length] : [1, 1];
    const rule = least === most ? t("pick", { n: most }) : least > 1 ? t("pick_range", { min: least, n: most }) : most >= texts.length ? t("pick_any") : t("pick_up_to", { n: most });
    return t("then_send", { rule });
  }
}
