// What is new, for who hears the page instead of seeing it: a question opens, closes, shows its result, or the next one comes; and how far the own
// vote has got. One queue, as a vote is saved, received, counted and shows the result within a second or two: a voice that says each says too much.

import { setText } from "/assets/vote/small.js";

const STEPS_WITHIN_MS = 1_500; // mostly all of them
const SPEAK_EVERY_MS = 5_000;

let was = "";
let onScreen = "";
let isNews = false;
let ofVote = "";
let spokenAt = -SPEAK_EVERY_MS; // by performance.now()
let speakTimer = 0;

/**
 * The latest is said, and not what is over by then. Nothing of the first: a page that opens is read anyway.
 * @param {string} text none: there is no event, so what comes next is the first @param {string} [state] what makes it new, where that is not any other word
 */
export function announce(text, state = text) {
  onScreen = text;
  if (text && was && state !== was) {
    isNews = true;
    speakSoon();
  }
  was = state;
  if (text) return;
  clearTimeout(speakTimer); // what was to be said is of an event that is left
  [speakTimer, ofVote, isNews] = [0, "", false];
}

/** The last step alone is said. @param {string} text none: of another question, or not on its way any more */
export function announceVote(text) {
  ofVote = text;
  if (text) speakSoon();
}

function speakSoon() {
  setText("news", ""); // or the same words again would not be heard
  speakTimer ||= window.setTimeout(() => {
    speakTimer = 0;
    spokenAt = performance.now();
    setText("news", [ofVote, isNews && onScreen].filter(Boolean).join(". "));
    ofVote = "";
    isNews = false;
  }, Math.max(STEPS_WITHIN_MS, spokenAt + SPEAK_EVERY_MS - performance.now()));
}
