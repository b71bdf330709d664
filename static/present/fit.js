// Makes question and chart fit their place: the layout and the size at which all rows are seen without scrolling, as large as that allows.
// A long word makes its text smaller before it is broken, its own alone where all would get much smaller. Larger text makes neither smaller.

const PHONE = matchMedia("(max-width: 640px), (max-height: 480px) and (hover: none) and (pointer: coarse)"); // there the page scrolls
const LOW = matchMedia("(max-height: 480px)"); // there the question leaves its room to the chart
const STEPS = 8; // of halving the size: less than a pixel at the end
const SMALLEST_REM = 0.5;
const READABLE_REM = 1.15; // from the back of the room; below it, larger names matter more than where they stand
const WORD_LEAST_REM = 0.9; // a word is broken before it would be read less easily than this
const WHOLE_WORTH = 0.97; // where all is smaller than that: words in one piece are worth a size that much smaller
const EVEN_WORTH = 0.88; // a name on one line more than the others is worth a size that much smaller
const THICK_ROWS = 6; // more rows have thinner bars, so that names and bars stay pairs
const THICK_NAMES = 400; // characters in all: longer names need the room
const TRACK_LEAST = 0.36; // of the width: a bar must be long enough to be compared
const TRACK_LEAST_UPRIGHT = 0.5; // in a window higher than wide, where a row of its own for the bar costs little
const TRACK_LEAST_LARGER = 0.25; // for whoever asked for larger text
const OWN_WORTH = 1.3; // one name smaller than the others is worth a size that much larger
const BROKEN_SHARE = 0.6; // of the size: a word that is broken anyway is broken less often
const QUESTION_REM = 2.6; // as in stage.css
const QUESTION_SHARE = 0.36; // of the height, less for each choice
const CHOICE_SHARE = 0.03;
const FEW = 8; // choices: with more, the question keeps to the size its length gives it

/** What the keys + and − step through. */
export const SIZES = [0.7, 0.8, 0.9, 1, 1.15, 1.3, 1.5];

/**
 * Names beside the bars are compared best, so they win as long as they are not much smaller. With percent and count on one line rows are
 * lower, and of more than three nobody takes a count for the next one's.
 * @typedef {{layout:"side"|"above", inline?:boolean, columns:number, largest_rem:number, from:number, to:number, worth:number}} Layout
 * @typedef {"together"|"own"|"broken"} Words long words make all names smaller, their own alone, or are broken
 * @typedef {{layout:Layout, size:number, words:Words}} Fit
 * @type {Layout[]}
 */
const LAYOUTS = [
  { layout: "side", columns: 1, largest_rem: 2.9, from: 1, to: 3, worth: 1.25 },
  { layout: "side", inline: true, columns: 1, largest_rem: 2.9, from: 4, to: 12, worth: 1.35 },
  { layout: "side", columns: 1, largest_rem: 2.9, from: 4, to: 12, worth: 1.25 },
  { layout: "side", inline: true, columns: 1, largest_rem: 2.2, from: 1, to: 3, worth: 1 },
  { layout: "above", columns: 1, largest_rem: 2.6, from: 1, to: 10, worth: 1 },
  { layout: "above", columns: 2, largest_rem: 2.1, from: 7, to: 40, worth: 0.86 },
  { layout: "above", columns: 3, largest_rem: 1.8, from: 16, to: 100, worth: 0.7 },
  { layout: "above", columns: 4, largest_rem: 1.6, from: 30, to: 100, worth: 0.6 },
];

const ABOVE = LAYOUTS.filter(({ layout }) => layout === "above");

/** @param {HTMLElement} question @param {HTMLElement} list @param {number} scale of the text, as its reader wishes */
export function fit(question, list, scale) {
  const rows = list.children.length;
  if (!rows || !list.clientWidth) return;
  if (PHONE.matches) {
    question.style.setProperty("--asked", String(scale));
    question.style.removeProperty("font-size");
    return set(list, ABOVE[0], 0);
  }
  const rem = parseFloat(getComputedStyle(document.documentElement).fontSize);
  ask(question, list, 1, rem);
  let best = chart(list, rem);
  const usual = best.size;
  let asked = Math.min(1, scale);
  if (scale < 1) best = { ...best, size: usual * scale };
  // Step by step, so that no step makes a name smaller: what does not fit beside a larger question is not asked in a larger one.
  for (const step of SIZES.filter((one) => one > 1 && one <= scale)) {
    for (const larger of [step, asked]) {
      ask(question, list, larger, rem);
      const next = chart(list, rem, { from: best.size, to: usual * step });
      if (next.size < best.size) continue;
      [asked, best] = [larger, next];
      break;
    }
  }
  ask(question, list, asked, rem);
  put(list, best, rem);
  // A name of three lines has no thicker bar than one of one: who compares bars compares areas.
  list.style.setProperty("--lowest", `${Math.min(...Array.from(list.children, (row) => /** @type {HTMLElement} */ (row).offsetHeight))}px`);
}

/** As large as the room that few choices leave allows, at least as large as its length gives it. @param {HTMLElement} question @param {HTMLElement} list @param {number} scale @param {number} rem */
function ask(question, list, scale, rem) {
  question.style.setProperty("--asked", String(scale));
  question.style.removeProperty("font-size");
  const least = parseFloat(getComputedStyle(question).fontSize);
  const rows = list.children.length;
  const share = LOW.matches || rows > FEW || (list.textContent ?? "").length > THICK_NAMES ? 0 : QUESTION_SHARE - CHOICE_SHARE * rows;
  const room = share * scale * (question.parentElement?.clientHeight ?? 0);
  question.classList.add("is-whole");
  let [low, high] = [least, QUESTION_REM * rem * scale];
  if (room && high > low) {
    const roomy = (/** @type {number} */ size) => {
      question.style.setProperty("font-size", `${size}px`);
      return question.clientHeight <= room && question.scrollWidth <= question.clientWidth;
    };
    for (let step = 0; step < STEPS; step += 1) {
      const middle = (low + high) / 2;
      if (roomy(middle)) low = middle;
      else high = middle;
    }
    question.style.setProperty("font-size", `${low}px`);
  }
  const { scrollWidth, clientWidth } = question;
  question.classList.remove("is-whole");
  if (scrollWidth <= clientWidth) return;
  const size = Math.floor(low * clientWidth / scrollWidth);
  if (size >= WORD_LEAST_REM * rem) question.style.setProperty("font-size", `${size}px`);
}

/** @param {HTMLElement} list @param {number} rem @param {{from:number, to:number}} [larger] than usual, in px @returns {Fit} */
function chart(list, rem, larger) {
  // While it is measured, words that do not fit stick out, and can be seen to. In a size where all fit, none is broken anyway.
  list.classList.add("is-whole");
  let best = bestOf(list, rem, "together", larger);
  const own = bestOf(list, rem, "own", larger, OWN_WORTH * best.size);
  if (own.size) best = own;
  list.classList.remove("is-whole");
  if (best.size < WORD_LEAST_REM * rem) {
    const broken = bestOf(list, rem, "broken", larger);
    if (best.size < WHOLE_WORTH * broken.size) best = broken;
  }
  if (larger) return best;
  best.size ||= SMALLEST_REM * rem;
  if (best.layout.layout === "side") return best;
  put(list, best, rem);
  if (isEven(list)) return best;
  const even = { ...best, size: best.size * EVEN_WORTH };
  put(list, even, rem);
  return isEven(list) ? even : best;
}

/** @param {HTMLElement} list @param {number} rem @param {Words} words @param {{from:number, to:number}} [larger] @param {number} [least] @returns {Fit} no size: none fits */
function bestOf(list, rem, words, larger, least = 0) {
  let best = { layout: ABOVE[1], size: 0, words, worth: 0 };
  for (const layout of LAYOUTS) {
    if (list.children.length < layout.from || list.children.length > layout.to) continue;
    const factor = layout.inline && larger ? Math.max(LAYOUTS[0].worth, layout.worth) : layout.worth;
    const low = Math.max(SMALLEST_REM * rem, least, larger?.from ?? 0, best.worth / factor); // smaller ones win nothing
    const track = larger ? TRACK_LEAST_LARGER : innerHeight > innerWidth ? TRACK_LEAST_UPRIGHT : TRACK_LEAST;
    const size = largest(list, layout, rem, track, [low, larger?.to ?? layout.largest_rem * rem], words);
    const worth = size * (layout.layout === "above" || size >= READABLE_REM * rem ? factor : 1);
    if (size && worth > best.worth) best = { layout, size, words, worth };
  }
  return best;
}

/** @param {HTMLElement} list */
const texts = (list) => /** @type {HTMLElement[]} */ ([...list.querySelectorAll(".text")]);

/** All names take as many lines. @param {HTMLElement} list */
const isEven = (list) => new Set(texts(list).filter((text) => !text.style.getPropertyValue("--own")).map((text) => text.clientHeight)).size === 1;

/** @param {HTMLElement} list @param {Layout} layout @param {number} rem @param {number} track @param {[number, number]} between in px @param {Words} words @returns {number} in px; 0 when none of them fits */
function largest(list, layout, rem, track, [low, high], words) {
  if (low > high || !tries(list, layout, rem, track, low, words)) return 0;
  if (tries(list, layout, rem, track, high, words)) return high;
  for (let step = 0; step < STEPS; step += 1) {
    const middle = (low + high) / 2;
    if (tries(list, layout, rem, track, middle, words)) low = middle;
    else high = middle;
  }
  return low;
}

/** @param {HTMLElement} list @param {Layout} layout @param {number} rem @param {number} track its least share of the width @param {number} size @param {Words} words */
function tries(list, layout, rem, track, size, words) {
  set(list, layout, size);
  return shrink(list, rem, size, words) && fits(list, layout, track);
}

/** @param {HTMLElement} list @param {Fit} best @param {number} rem */
function put(list, { layout, size, words }, rem) {
  set(list, layout, size);
  list.classList.add("is-whole");
  shrink(list, rem, size, words);
  list.classList.remove("is-whole");
}

/** Names whose longest word does not fit. @param {HTMLElement} list @param {number} rem @param {number} size @param {Words} words @returns {boolean} whether all words are read now */
function shrink(list, rem, size, words) {
  if (words === "broken") list.classList.add("is-whole");
  const long = texts(list).map((text) => ({ text, share: text.clientWidth / text.scrollWidth })).filter(({ share }) => share < 1);
  if (words === "broken") list.classList.remove("is-whole");
  if (words === "together") return !long.length;
  if (words === "own" && long.some(({ share }) => share * size < WORD_LEAST_REM * rem)) return false;
  const least = words === "own" ? 0 : Math.min(1, Math.max(BROKEN_SHARE, (WORD_LEAST_REM * rem) / size));
  for (const { text, share } of long) text.style.setProperty("--own", String(Math.max(least, 0.99 * share)));
  return true;
}

/** @param {HTMLElement} list @param {Layout} layout @param {number} size */
function set(list, layout, size) {
  list.dataset.layout = layout.layout;
  list.toggleAttribute("data-inline", Boolean(layout.inline));
  const rows = Math.ceil(list.children.length / layout.columns);
  list.style.setProperty("--rows", String(rows));
  list.style.setProperty("--bar", rows > THICK_ROWS || (list.textContent ?? "").length > THICK_NAMES ? "0.75em" : "1.5em");
  for (const text of texts(list)) text.style.removeProperty("--own");
  if (size) list.style.setProperty("--size", `${size}px`);
  else list.style.removeProperty("--size");
}

/** @param {HTMLElement} list @param {Layout} layout @param {number} least */
function fits(list, layout, least) {
  if (list.scrollHeight > list.clientHeight + 1 || list.scrollWidth > list.clientWidth + 1) return false;
  const track = list.querySelector(".track")?.clientWidth ?? 0;
  return layout.layout === "above" || track >= list.clientWidth * least;
}
