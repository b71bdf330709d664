// What is new on the screen, for who hears it instead: a question opens, closes, shows its result, or the next one comes. What became of the own
// vote is said by receipt.js, and at once.

import { setText } from "/assets/vote/small.js";

const SPEAK_EVERY_MS = 5_000;

let was = "";
let toSay = "";
let spokenAt = -SPEAK_EVERY_MS; // by performance.now()
let speakTimer = 0;

/**
 * The latest is said, and not what is over by then. Nothing of the first: a page that opens is read anyway.
 * @param {string} text none: there is no event, so what comes next is the first @param {string} [state] what makes it new, where that is not any other word
 */
export function announce(text, state = text) {
  toSay = text;
  if (text && was && state !== was) {
    speakTimer ||= window.setTimeout(() => {
      speakTimer = 0;
      spokenAt = performance.now();
      setText("news", toSay);
    }, spokenAt + SPEAK_EVERY_MS - performance.now());
  }
  was = state;
}
