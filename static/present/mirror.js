// Several windows of one presenter: what one shows beside the poll itself (join screen, blank, order, text size), all show.
// The poll needs no mirror: every window follows the server. While another window listens the page is `data-mirrored`.

/**
 * @template {object} T
 * @param {string} event @param {() => T} mine @param {(view: T) => void} take
 * @returns {{tell: () => void}}
 */
export function mirror(event, mine, take) {
  if (typeof BroadcastChannel === "undefined") return { tell() {} };
  const channel = new BroadcastChannel(`gs:present:${event}`);
  const meet = (/** @type {boolean} */ isThere) => document.body.toggleAttribute("data-mirrored", isThere);
  channel.addEventListener("message", ({ data }) => {
    meet(data !== "bye");
    if (data === "hello") channel.postMessage(mine());
    else if (data === "bye") channel.postMessage("hello"); // to whoever is left
    else take(data);
  });
  channel.postMessage("hello");
  addEventListener("pagehide", () => channel.postMessage("bye"));
  return { tell: () => channel.postMessage(mine()) };
}
