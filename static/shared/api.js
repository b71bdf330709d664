// One way to ask the server: JSON in and out, and every refusal an Error that can be shown to a person.

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
 * @param {object} [body]
 * @returns {Promise<any>} the parsed answer, or null when there is none
 */
export async function api(method, path, body) {
  let answer;
  try {
    answer = await fetch(`${server}/api/v1/${path}`, {
      method,
      headers: body ? { "content-type": "application/json" } : {},
      body: body && JSON.stringify(body),
      signal: AbortSignal.timeout?.(ANSWER_WITHIN_MS),
    });
  } catch {
    throw new ApiError(0, "no_answer", "The server did not answer. Check the connection, then try again.");
  }
  if (answer.status === 204) return null;
  const said = await answer.json().catch(() => null);
  if (answer.ok) return said;
  throw new ApiError(answer.status, said?.code ?? "unexpected", said?.detail ?? `The server could not do this (${answer.status}). Try again in a moment.`);
}
