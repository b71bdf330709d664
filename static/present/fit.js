// Makes a chart fit its place: the layout and the size at which all rows are seen without scrolling, as large as that allows. A long word
// makes its text smaller before it is broken.

const PHONE = matchMedia("(max-width: 640px)"); // there the page scrolls
const STEPS = 8; // of halving the size: less than a pixel at the end
const SMALLEST_REM = 0.5;
const READABLE_REM = 1.15; // from the back of the room; below it, larger names matter more than where they stand
const WORD_LEAST_REM = 0.9; // a word is broken before it would be read less easily than this
const WHOLE_WORTH = 0.97; // where all is smaller than that: words in one piece are worth a size that much smaller
const EVEN_WORTH = 0.88; // a name on one line more than the others is worth a size that much smaller
const THICK_ROWS = 6; // more rows have thinner bars, so that names and bars stay pairs
const THICK_NAMES = 400; // characters in all: longer names need the room
const TRACK_LEAST = 0.36; // of the width: a bar must be long enough to be compared

/**
 * Names beside the bars are compared best, so they win as long as they are not much smaller.
 * @type {{layout:"side"|"above", columns:number, largest_rem:number, from:number, to:number, worth:number}[]}
 */
const LAYOUTS = [
  { layout: "side", columns: 1, largest_rem: 2.9, from: 1, to: 12, worth: 1.25 },
  { layout: "above", columns: 1, largest_rem: 2.6, from: 1, to: 10, worth: 1 },
  { layout: "above", columns: 2, largest_rem: 2.1, from: 7, to: 40, worth: 0.86 },
  { layout: "above", columns: 3, largest_rem: 1.8, from: 16, to: 100, worth: 0.7 },
  { layout: "above", columns: 4, largest_rem: 1.6, from: 30, to: 100, worth: 0.6 },
];

/** @param {HTMLElement} list */
export function fit(list) {
  const rows = list.children.length;
  if (!rows || !list.clientHeight) return;
  if (PHONE.matches) {
    set(list, { layout: "above", columns: 1 }, 0);
    return;
  }
  const rem = parseFloat(getComputedStyle(document.documentElement).fontSize);
  // While it is measured, words that do not fit stick out, and can be seen to. In a size where all fit, none is broken anyway.
  list.classList.add("is-whole");
  let best = bestOf(list, rem);
  list.classList.remove("is-whole");
  if (best.size < WORD_LEAST_REM * rem) {
    const broken = bestOf(list, rem);
    if (best.size < WHOLE_WORTH * broken.size) best = broken;
  }
  best.size ||= SMALLEST_REM * rem;
  set(list, best.layout, best.size);
  if (best.layout.layout === "side" || isEven(list)) return;
  set(list, best.layout, best.size * EVEN_WORTH);
  if (!isEven(list)) set(list, best.layout, best.size);
}

/** Before the chart, which gets the room that is left. @param {HTMLElement} question */
export function fitWords(question) {
  question.style.removeProperty("font-size");
  question.classList.add("is-whole");
  const { scrollWidth, clientWidth } = question;
  question.classList.remove("is-whole");
  if (scrollWidth <= clientWidth) return;
  const rem = parseFloat(getComputedStyle(document.documentElement).fontSize);
  const size = Math.floor(parseFloat(getComputedStyle(question).fontSize) * clientWidth / scrollWidth);
  if (size >= WORD_LEAST_REM * rem) question.style.setProperty("font-size", `${size}px`);
}

/** @param {HTMLElement} list @param {number} rem @returns {{layout:typeof LAYOUTS[0], size:number}} no size: none fits */
function bestOf(list, rem) {
  let best = { layout: LAYOUTS[2], size: 0, worth: 0 };
  for (const layout of LAYOUTS) {
    if (list.children.length < layout.from || list.children.length > layout.to) continue;
    const size = largest(list, layout, rem);
    const worth = size * (layout.layout === "above" || size >= READABLE_REM * rem ? layout.worth : 1);
    if (size && worth > best.worth) best = { layout, size, worth };
  }
  return best;
}

/** All names take as many lines. @param {HTMLElement} list */
const isEven = (list) => new Set([...list.querySelectorAll(".text")].map((text) => text.clientHeight)).size === 1;

/** @param {HTMLElement} list @param {typeof LAYOUTS[0]} layout @param {number} rem @returns {number} in px; 0 when it does not fit at all */
function largest(list, layout, rem) {
  let [low, high] = [SMALLEST_REM * rem, layout.largest_rem * rem];
  set(list, layout, high);
  if (fits(list, layout)) return high;
  let found = 0;
  for (let step = 0; step < STEPS; step += 1) {
    const middle = (low + high) / 2;
    set(list, layout, middle);
    if (fits(list, layout)) found = low = middle;
    else high = middle;
  }
  return found;
}

/** @param {HTMLElement} list @param {{layout:string, columns:number}} layout @param {number} size */
function set(list, layout, size) {
  list.dataset.layout = layout.layout;
  const rows = Math.ceil(list.children.length / layout.columns);
  list.style.setProperty("--rows", String(rows));
  list.style.setProperty("--bar", rows > THICK_ROWS || (list.textContent ?? "").length > THICK_NAMES ? "0.75em" : "1.5em");
  if (size) list.style.setProperty("--size", `${size}px`);
  else list.style.removeProperty("--size");
}

/** @param {HTMLElement} list @param {{layout:string}} layout */
function fits(list, layout) {
  if (list.scrollHeight > list.clientHeight + 1 || list.scrollWidth > list.clientWidth + 1) return false;
  if (list.classList.contains("is-whole") && [...list.querySelectorAll(".text")].some((text) => text.scrollWidth > text.clientWidth)) return false;
  const track = list.querySelector(".track")?.clientWidth ?? 0;
  return layout.layout === "above" || track >= list.clientWidth * TRACK_LEAST;
}
