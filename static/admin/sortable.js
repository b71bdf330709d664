// Rows that can be put in another order: by dragging their handle, or with the arrow keys on it.

const EDGE_PX = 48; // of the window: there the page follows the hand

/**
 * @param {HTMLElement} row @param {HTMLElement} handle
 * @param {(from:number, to:number) => void} moved told once, when it is let go
 */
export function sortable(row, handle, moved) {
  const place = () => (row.parentElement ? [...row.parentElement.children].indexOf(row) : -1);

  handle.addEventListener("keydown", (pressed) => {
    const by = pressed.key === "ArrowUp" ? -1 : pressed.key === "ArrowDown" ? 1 : 0;
    const list = row.parentElement;
    const to = place() + by;
    if (!by || !list || to < 0 || to >= list.children.length) return;
    pressed.preventDefault();
    const from = place();
    put(row, to);
    handle.focus(); // a moved element loses it
    moved(from, to);
  });

  handle.addEventListener("pointerdown", (down) => {
    if (down.button || !row.parentElement) return;
    const from = place();
    handle.setPointerCapture(down.pointerId);
    row.classList.add("is-dragged");
    const drag = (/** @type {PointerEvent} */ { clientY }) => {
      const others = [.../** @type {HTMLElement} */ (row.parentElement).children].filter((one) => one !== row);
      const above = others.filter((one) => { const box = one.getBoundingClientRect(); return clientY > box.top + box.height / 2; }).length;
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
