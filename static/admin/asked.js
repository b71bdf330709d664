// Was anybody ever asked? What closed before its time to open had come, as an event ends, never was: it has no result, and is not final.

/** @param {import("/assets/shared/live.js").Poll} poll */
export const isNeverAsked = ({ state, opens_at, closed_at, results }) => state === "closed" && Boolean(opens_at && closed_at && closed_at < opens_at) && !results?.voters;
