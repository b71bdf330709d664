// Numbers that count up to where they are. A few votes show at once: they are news, not a show.

const RISE_MS = 600;
const AT_ONCE = 10; // votes
const still = matchMedia("(prefers-reduced-motion: reduce)");

/** @type {WeakMap<Element, {shown:number, to:number, frame:number}>} */
const rising = new WeakMap();

/** @param {Element} place @param {number} to @param {(n:number) => string} write @param {number} [atOnce] a change smaller than that is not counted through */
export function rise(place, to, write, atOnce = AT_ONCE) {
  const now = rising.get(place) ?? { shown: NaN, to: NaN, frame: 0 };
  rising.set(place, now);
  if (now.to === to && now.frame) return; // on its way there
  cancelAnimationFrame(now.frame);
  const from = now.shown;
  now.to = to;
  const put = (/** @type {number} */ n) => {
    now.shown = n;
    const text = write(n);
    if (place.textContent !== text) place.textContent = text;
  };
  if (!Number.isFinite(from) || Math.abs(to - from) < atOnce || still.matches || document.hidden) {
    now.frame = 0;
    return put(to);
  }
  const began = performance.now();
  const step = (/** @type {number} */ at) => {
    const part = Math.min(1, Math.max(0, (at - began) / RISE_MS));
    put(Math.round(from + (to - from) * (1 - (1 - part) ** 3)));
    now.frame = part < 1 ? requestAnimationFrame(step) : 0;
  };
  now.frame = requestAnimationFrame(step);
}

/** Says something else, and starts anew the next time. @param {Element} place @param {string} text @param {number} [from] counts up from there then; left out, it is there at once */
export function fall(place, text, from = NaN) {
  const now = rising.get(place);
  if (now) cancelAnimationFrame(now.frame);
  rising.set(place, { shown: from, to: NaN, frame: 0 });
  if (place.textContent !== text) place.textContent = text;
}
