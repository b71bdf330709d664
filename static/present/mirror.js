// Several windows of one presenter: what one shows beside the poll itself (join screen, blank, order, text size), all show.
// The poll needs no mirror: every window follows the server.

/**
 * @template {object} T
 * @param {string} event @param {() => T} mine @param {(view: T) => void} take
 * @returns {{tell: () => void}}
 */
export function mirror(event, mine, take) {
  if (typeof BroadcastChannel === "undefined") return { tell() {} };
  const channel = new BroadcastChannel(`gs:present:${event}`);
  channel.addEventListener("message", ({ data }) => {
    if (data === "hello") channel.postMessage(mine());
    else take(data);
  });
  channel.postMessage("hello");
  return { tell: () => channel.postMessage(mine()) };
}
