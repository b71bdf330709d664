// On a phone what one does while the show is on comes first: how people join is one line that opens, and results to take away stand below the
// questions. Where there is room, all stands as it is in the page.

import { grouped, t } from "/assets/shared/words.js";
import { setText, slot } from "/assets/admin/dom.js";

const narrow = matchMedia("(max-width: 480px)"); // as in admin.css

/** @param {any} element the event's page @returns {{draw:(event:{code:string, state:string}) => void, leave:() => void}} */
export function firstThingsFirst(element) {
  const ways = slot(element, "ways");
  let isOver = false;
  const moves = [
    elsewhere(slot(element, "black"), (one) => ways.before(one)),
    elsewhere(slot(element, "present"), (one) => ways.before(one)),
    elsewhere(slot(element, "outcome"), (one) => slot(element, "polls").after(one)),
  ];
  const settle = () => {
    for (const move of moves) move(narrow.matches && !isOver);
    ways.open = isOver || !narrow.matches;
  };
  settle();
  narrow.addEventListener("change", settle);
  return {
    draw({ code, state }) {
      setText(slot(element, "share"), t("share", { code: grouped(code) }));
      ways.classList.toggle("is-over", state === "ended");
      if (isOver === (state === "ended")) return; // or it would fold under somebody's hands
      isOver = state === "ended";
      settle();
    },
    leave: () => narrow.removeEventListener("change", settle),
  };
}

/** @param {HTMLElement} one @param {(one:HTMLElement) => void} put @returns {(away:boolean) => void} there, or back to where it is at home */
function elsewhere(one, put) {
  const home = document.createComment("");
  one.before(home);
  return (away) => (away ? put(one) : home.after(one));
}
