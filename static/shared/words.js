// How numbers, codes and letters are written, everywhere the same. Never NaN.

const number = new Intl.NumberFormat("en");

/** @param {number|undefined|null} n */
export const digits = (n) => number.format(Number.isFinite(n) ? Number(n) : 0);

/** @param {number|undefined|null} n @param {string} one @param {string} [many] */
export const count = (n, one, many = `${one}s`) => `${digits(n)} ${n === 1 ? one : many}`;

/** 482913 as 482 913. @param {string} code */
export const grouped = (code) => (/^\d{6}$/.test(code) ? `${code.slice(0, 3)} ${code.slice(3)}` : code);

/** The mark of a choice beside its colour. @param {number} at from 0 */
export const letter = (at) => String.fromCharCode(65 + at);

/** Eight colours, then from the start. @param {number} at from 0 */
export const hue = (at) => String((at % 8) + 1);

/** @param {number} ms */
export function age(ms) {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 60) return `${seconds} s`;
  return seconds < 3600 ? `${Math.floor(seconds / 60)} min` : `${Math.floor(seconds / 3600)} h`;
}

/** The join link without what nobody types. @param {string} url */
export const spoken = (url) => url.replace(/^https?:\/\//, "").replace(/\/$/, "");
