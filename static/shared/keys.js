// Which key was pressed, for shortcuts that are Latin letters.

/**
 * Who writes Arabic, Greek or Russian has other letters on the same keys: there the place of the key says which one is meant. On a Latin
 * keyboard, whatever its order, the letter does.
 * @param {KeyboardEvent} pressed
 */
export function keyOf({ key, code }) {
  const place = /^Key([A-Z])$/.exec(code)?.[1];
  // Two letters on one key, as on Arabic ones, may be reported as both, or as none.
  if (place && (key === "Unidentified" || (/\p{L}/u.test(key) && !/\p{Script=Latin}/u.test(key)))) return place.toLowerCase();
  return key.length > 1 ? key : key.toLowerCase();
}
