// A question that is over and off stage is one line among the others: what was asked, how it ended, how many voted. So is a draft whose turn
// comes later. A click, Enter or a search in the page opens it. It folds by itself when the page is entered, never under somebody's hands.

import { t } from "/assets/shared/words.js";
import { control, setText, slot } from "/assets/admin/dom.js";

/** @param {HTMLElement} card */
export function foldable(card) {
  const [button, inside] = [control(card, "fold"), slot(card, "inside")];
  let entered = false;

  /** @param {boolean} folded */
  function fold(folded) {
    card.toggleAttribute("data-folded", folded);
    button.setAttribute("aria-expanded", String(!folded));
    if (folded) button.removeAttribute("aria-label"); // its words say how the question ended
    else button.setAttribute("aria-label", t("fold"));
    if (folded) inside.setAttribute("hidden", "until-found");
    else inside.removeAttribute("hidden");
  }

  button.addEventListener("click", () => fold(!card.hasAttribute("data-folded")));
  card.querySelector("h3")?.addEventListener("click", () => { if (card.hasAttribute("data-folded")) fold(false); });
  inside.addEventListener("beforematch", () => fold(false));

  return {
    /** @param {boolean} rests over, or a draft for later @param {boolean} arrives the page is being entered; what is written while it is open stays open */
    draw(rests, arrives) {
      if (!entered || !rests) fold(rests && arrives);
      entered = true;
      button.hidden = !rests;
    },
    /** @param {string[]} words */
    sum(words) { setText(slot(card, "gist"), words.filter(Boolean).join(" ·\u00a0")); },
  };
}
