// Rows that can be put in another order: by dragging their handle, with the arrow keys on it, or with two buttons that a press on it brings, for
// who can neither drag nor has keys.

import { t } from "/assets/shared/words.js";

const STILL_PX = 6; // a finger that presses moves as much
const EDGE_PX = 48; // of the window: there the page follows the hand

/**
 * @param {HTMLElement} row @param {HTMLElement} handle
 * @param {(from:number, to:number) => void} moved told once, when it is let go
 */
export function sortable(row, handle, moved) {
  const place = () => (row.parentElement ? [...row.parentElement.children].indexOf(row) : -1);

  /** @param {number} by @returns {boolean} is there a place? */
  function move(by) {
    const [list, from] = [row.parentElement, place()];
    const to = from + by;
    if (!by || !list || to < 0 || to >= list.children.length) return false;
    put(row, to);
    moved(from, to);
    return true;
  }

  handle.addEventListener("keydown", (pressed) => {
    if (!move(pressed.key === "ArrowUp" ? -1 : pressed.key === "ArrowDown" ? 1 : 0)) return;
    pressed.preventDefault();
    handle.focus(); // a moved element loses it
  });

  let wasDragged = false;
  /** @type {HTMLElement|null} */
  let buttons = null;

  /** @param {boolean} shown */
  function offer(shown) {
    buttons?.remove();
    buttons = null;
    handle.setAttribute("aria-expanded", String(shown));
    if (!shown) return;
    buttons = Object.assign(document.createElement("span"), { className: "moves" });
    buttons.append(...[-1, 1].map((by) => {
      const button = Object.assign(document.createElement("button"), { type: "button", textContent: by < 0 ? "↑" : "↓" });
      button.setAttribute("aria-label", t(by < 0 ? "move_up" : "move_down"));
      button.dataset.testid = by < 0 ? "move-up" : "move-down";
      button.addEventListener("click", () => {
        move(by);
        button.focus();
      });
      return button;
    }));
    handle.after(buttons);
    /** @type {HTMLElement} */ (buttons.firstElementChild).focus();
  }

  handle.setAttribute("aria-expanded", "false");
  // The press at the end of a drag is none; that of a key is always one.
  handle.addEventListener("click", ({ detail }) => { if (!wasDragged || !detail) offer(!buttons); });
  row.addEventListener("keydown", (pressed) => {
    if (pressed.key !== "Escape" || !buttons) return;
    offer(false);
    handle.focus();
  });
  // Somebody goes on elsewhere. The press on the handle that closes it comes as a click.
  row.addEventListener("focusout", ({ target, relatedTarget }) => { if (buttons?.contains(/** @type {Node} */ (target)) && relatedTarget instanceof Node && relatedTarget !== handle && !buttons.contains(relatedTarget)) offer(false); });

  handle.addEventListener("pointerdown", (down) => {
    if (down.button || !row.parentElement) return;
    const from = place();
    wasDragged = false;
    handle.setPointerCapture(down.pointerId);
    row.classList.add("is-dragged");
    const drag = (/** @type {PointerEvent} */ { clientY }) => {
      const others = [.../** @type {HTMLElement} */ (row.parentElement).children].filter((one) => one !== row);
      const above = others.filter((one) => { const box = one.getBoundingClientRect(); return clientY > box.top + box.height / 2; }).length;
      if (Math.abs(clientY - down.clientY) > STILL_PX) wasDragged = true;
      if (above !== place()) put(row, above);
      if (clientY < EDGE_PX || clientY > innerHeight - EDGE_PX) scrollBy(0, clientY < EDGE_PX ? -EDGE_PX / 4 : EDGE_PX / 4);
    };
    const drop = () => {
      row.classList.remove("is-dragged");
      handle.removeEventListener("pointermove", drag);
      if (place() !== from) moved(from, place());
    };
    handle.addEventListener("pointermove", drag);
    handle.addEventListener("lostpointercapture", drop, { once: true });
  });
}

/** @param {HTMLElement} row @param {number} to */
function put(row, to) {
  const list = /** @type {HTMLElement} */ (row.parentElement);
  const others = [...list.children].filter((one) => one !== row);
  // Moving the others keeps the dragged one in the page, and with it the pointer and the focus.
  others.forEach((one, at) => { if (at < to) list.insertBefore(one, row); });
  for (const one of others.slice(to).reverse()) row.after(one);
}
