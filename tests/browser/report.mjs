// One line per check, and the sum at the end. A check that fails does not stop the rest.

/** A check that takes longer says how long. */
const SLOW_S = 2;
const counts = { passed: 0, failed: 0 };

/** @param {string} name @param {() => Promise<string|void>} body may return what was measured */
export async function check(name, body) {
  const began = Date.now();
  try {
    const measured = await body();
    counts.passed += 1;
    const took_s = (Date.now() - began) / 1_000;
    console.log(`ok - ${name}${measured ? ` (${measured})` : ""}${took_s >= SLOW_S ? ` in ${took_s.toFixed(1)} s` : ""}`);
    return true;
  } catch (error) {
    counts.failed += 1;
    console.log(`not ok - ${name}`);
    console.log(String(error?.stack ?? error).replace(/^/gm, "    "));
    return false;
  }
}

/** A step without which nothing that follows makes sense. @param {string} name @param {() => Promise<string|void>} body */
export async function need(name, body) {
  if (!await check(name, body)) throw new CannotGoOn();
}

export class CannotGoOn extends Error {}

/** @param {unknown} what @param {string} otherwise */
export function assert(what, otherwise) {
  if (!what) throw new Error(otherwise);
}

/** @param {unknown} is @param {unknown} wanted @param {string} what */
export function equal(is, wanted, what) {
  assert(JSON.stringify(is) === JSON.stringify(wanted), `${what}: wanted ${JSON.stringify(wanted)}, is ${JSON.stringify(is)}`);
}

const EVERY_MS = 25;

/**
 * For what is not in a page: asks again until it is so.
 * @template T @param {string} what @param {() => Promise<T>|T} ask @param {number} within_ms @returns {Promise<T>}
 */
export async function eventually(what, ask, within_ms = 10_000) {
  const until = Date.now() + within_ms;
  for (;;) {
    const answer = await ask();
    if (answer) return answer;
    if (Date.now() > until) throw new Error(`not within ${within_ms} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, EVERY_MS));
  }
}

export const failures = () => counts.failed;

/** @returns {number} exit code */
export function close() {
  console.log(`\n${counts.passed} passed, ${counts.failed} failed`);
  return counts.failed || !counts.passed ? 1 : 0;
}
