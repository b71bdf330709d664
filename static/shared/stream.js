// Follows an event: every change arrives as the whole document. Comes back by itself, and asks why when it cannot.

import { api, server } from "/assets/shared/api.js";

const AGAIN_FIRST_MS = 500;
const AGAIN_LAST_MS = 10_000;
const SILENT_MS = 40_000; // the server says something every 15 s: who hears nothing for longer than two such times hears a dead line

/** Where the presenter's document of an event is. @param {string} event its id */
export const presenters = (event) => ({ stream: `events/${encodeURIComponent(event)}/stream`, document: `events/${encodeURIComponent(event)}/live` });

/**
 * @param {{stream:string, document:string}} paths below /api/v1/
 * @param {{document: (live: import("/assets/shared/live.js").Live) => void, lost: () => void, heard?: () => void, refused: (error: import("/assets/shared/api.js").ApiError) => void}} tell
 *   `refused`: the server answers, but not with this event; nothing more will come.
 * @returns {() => void} stop
 */
export function follow(paths, tell) {
  /** @type {EventSource|undefined} */
  let source;
  let timer = 0;
  let silence = 0;
  let heardAt = 0;
  let failures = 0;
  let stopped = false;

  function open() {
    source?.close();
    source = new EventSource(`${server}/api/v1/${paths.stream}`);
    for (const name of ["live", "message"]) source.addEventListener(name, heard);
    source.addEventListener("beat", alive);
    source.addEventListener("error", failed);
    alive();
  }

  function alive() {
    heardAt = Date.now();
    tell.heard?.();
    clearTimeout(silence);
    silence = window.setTimeout(failed, SILENT_MS);
  }

  // A machine that slept finds the line as it left it, and its timers, too.
  function awake() {
    if (!document.hidden && source?.readyState === EventSource.OPEN && Date.now() - heardAt > SILENT_MS) failed();
  }

  /** @param {MessageEvent} message */
  function heard(message) {
    failures = 0;
    alive();
    tell.document(JSON.parse(message.data));
  }

  function failed() {
    source?.close();
    clearTimeout(silence);
    if (stopped) return;
    tell.lost();
    clearTimeout(timer);
    failures += 1;
    timer = window.setTimeout(again, Math.random() * Math.min(AGAIN_LAST_MS, AGAIN_FIRST_MS * 2 ** failures));
  }

  // An EventSource does not say what the server answered, so a plain request does.
  async function again() {
    try {
      tell.document(await api("GET", paths.document));
      if (!stopped) open();
    } catch (error) {
      if (stopped) return;
      // "Too many" is only ever said of codes that are wrong.
      if ([401, 403, 404].includes(error.status) || error.code === "too_many_requests") return tell.refused(error);
      failed();
    }
  }

  function online() {
    clearTimeout(timer);
    again();
  }

  const offline = () => { source?.close(); clearTimeout(silence); tell.lost(); };
  addEventListener("online", online);
  document.addEventListener("visibilitychange", awake);
  addEventListener("offline", offline);
  again();

  return () => {
    stopped = true;
    clearTimeout(timer);
    clearTimeout(silence);
    document.removeEventListener("visibilitychange", awake);
    source?.close();
    removeEventListener("online", online);
    removeEventListener("offline", offline);
  };
}
