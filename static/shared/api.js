// One way to ask the server: JSON (or a picture) in, JSON out, and every refusal an Error that can be shown to a person, in their language.

import { language } from "/assets/shared/words.js";

const ANSWER_WITHIN_MS = 15_000;

/** The server, where this page comes from another place (`groundswell export static --origin`). */
export const server = document.querySelector('meta[name="api"]')?.getAttribute("content") ?? "";

export class ApiError extends Error {
  /** @param {number} status 0: no answer @param {string} code @param {string} detail */
  constructor(status, code, detail) {
    super(detail);
    this.status = status;
    this.code = code;
    this.detail = detail;
  }
}

/**
 * @param {"GET"|"POST"|"PUT"|"PATCH"|"DELETE"} method
 * @param {string} path below /api/v1/
 * @param {object|Blob} [body]
 * @returns {Promise<any>} the parsed answer, or null when there is none
 */
export async function api(method, path, body) {
  let answer;
  try {
    answer = await fetch(`${server}/api/v1/${path}`, {
      method,
      headers: body ? { "content-type": body instanceof Blob ? body.type : "application/json" } : {},
      body: body instanceof Blob ? body : body && JSON.stringify(body),
      signal: AbortSignal.timeout?.(ANSWER_WITHIN_MS),
    });
  } catch {
    throw await refusal(0, "no_answer", "The server did not answer. Check the connection, then try again.");
  }
  if (answer.status === 204) return null;
  const said = await answer.json().catch(() => null);
  if (answer.ok) return said;
  throw await refusal(answer.status, said?.code ?? "unexpected", said?.detail ?? `The server could not do this (${answer.status}). Try again in a moment.`);
}

/** @type {Record<string, () => Promise<{default: Record<string, string>}>>} */
const refusals = {
  de: () => import("/assets/shared/refusals.de.js"),
  fr: () => import("/assets/shared/refusals.fr.js"),
  es: () => import("/assets/shared/refusals.es.js"),
  ar: () => import("/assets/shared/refusals.ar.js"),
};

/** Their words in the reader's language: to be there when there is no connection to fetch them by. */
export const wordsOfRefusals = async () => refusals[language]?.().catch(() => null);

/** A code we have no words for is said as the server says it. @param {number} status @param {string} code @param {string} detail */
async function refusal(status, code, detail) {
  const words = await wordsOfRefusals();
  return new ApiError(status, code, words?.default[code] ?? detail);
}
