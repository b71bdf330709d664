// Asking the server: an answer, or "later". Nothing here knows what is asked for.

const ANSWER_WITHIN_MS = 10_000; // then the outcome is unknown and the same is sent again
const RETRY_AFTER_MOST_MS = 60_000; // who says more is not ours, such as a hotel network's login page

/** The server, where this page comes from another place (`groundswell export static --origin`). */
export const server = document.querySelector('meta[name="api"]')?.getAttribute("content") ?? "";

/** Thrown where the outcome is unknown or the server is full: the same again, later. No error, as nobody is to be told of it. */
export class Later {
  constructor(afterMs = 0) {
    this.afterMs = afterMs;
  }
}

/**
 * @typedef {{status:number, body:any, retryAfterMs:number}} Answer
 * @param {string} url @param {string} [token] @param {object} [body] @returns {Promise<Answer>}
 */
export async function ask(url, token, body) {
  const stop = new AbortController();
  const timer = setTimeout(() => stop.abort(), ANSWER_WITHIN_MS);
  /** @type {Record<string, string>} */
  const headers = {};
  if (token) headers.authorization = `Bearer ${token}`;
  if (body) headers["content-type"] = "application/json";
  try {
    const answer = await fetch(server + url, { method: body ? "POST" : "GET", headers, body: body && JSON.stringify(body), signal: stop.signal, credentials: "omit",
      keepalive: Boolean(body), // a tab that is closed right after the tap has still sent it
      // Ask each time (a 304 is small): with stale-while-revalidate the browser would answer from its own cache while it is offline.
      cache: "no-cache" });
    const isJson = /json/.test(answer.headers.get("content-type") ?? "");
    const retryAfterMs = Math.min(1000 * (Number(answer.headers.get("retry-after")) || 0), RETRY_AFTER_MOST_MS);
    return { status: answer.status, body: isJson ? await answer.json() : null, retryAfterMs };
  } catch {
    throw new Later();
  } finally {
    clearTimeout(timer);
  }
}

/**
 * Only a problem document is the product speaking: a hotel network's login page is not. And what did not arrive whole, as on a bad line
 * (`body_slow`, `body_broken`, `request_invalid`), was not decided about.
 * @param {Answer} answer
 */
export const isRefusal = ({ status, body }) => status >= 400 && status < 500 && status !== 429 && /^(?!body_|request_)/.test(body?.code ?? "body_");
