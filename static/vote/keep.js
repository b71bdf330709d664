// What this phone keeps: localStorage, which all tabs share and a restart leaves alone, or this page's memory where that is forbidden or full.

const memory = new Map();

export const keep = {
  /** Will it still be here after a reload? */
  lasts: true,
  /** @param {string} key */
  get(key) {
    if (memory.has(key)) return memory.get(key);
    try { return JSON.parse(localStorage.getItem(key) ?? "null"); } catch { return null; }
  },
  /** @param {string} key @param {unknown} value */
  set(key, value) {
    try {
      localStorage.setItem(key, JSON.stringify(value));
      memory.delete(key);
    } catch {
      memory.set(key, value);
      keep.lasts = false;
    }
  },
  /** @param {string} key */
  drop(key) {
    memory.delete(key);
    try { localStorage.removeItem(key); } catch { /* it was never there */ }
  },
  /** @param {string} prefix @returns {string[]} */
  keys(prefix) {
    let all = [...memory.keys()];
    try { all = all.concat(Object.keys(localStorage)); } catch { /* memory only */ }
    return [...new Set(all)].filter((key) => key.startsWith(prefix));
  },
};

keep.set("gs:try", 1); // it may be there and take nothing
keep.drop("gs:try");

/** Ticks that are not sent yet: of this tab alone, and they outlive a reload. @param {string} key @returns {string[]|null} */
export function draft(key) {
  try { return JSON.parse(sessionStorage.getItem(`gs:draft:${key}`) ?? "null"); } catch { return null; }
}

/** @param {string} key @param {string[]|null} picks */
export function setDraft(key, picks) {
  try {
    if (picks) sessionStorage.setItem(`gs:draft:${key}`, JSON.stringify(picks));
    else sessionStorage.removeItem(`gs:draft:${key}`);
  } catch { /* then the ticks live in the page only */ }
}
