// A picture of a result for those who cannot use SVG: drawn from it, in this browser.

const TIMES = 2; // as fine as a slide needs

const NAME_LONGEST = 80; // characters: what file systems and people can take
const KEPT_MS = 60_000; // until then a download has begun

/** @param {string} address of the SVG @param {string} name */
export async function savePicture(address, name) {
  const image = new Image();
  image.src = address;
  await image.decode();
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [image.naturalWidth * TIMES, image.naturalHeight * TIMES];
  canvas.getContext("2d")?.drawImage(image, 0, 0, canvas.width, canvas.height);
  /** @type {Blob|null} */
  const png = await new Promise((give) => canvas.toBlob(give, "image/png"));
  if (!png) throw new Error("this browser has no room for the picture");
  const link = document.createElement("a");
  [link.href, link.download] = [URL.createObjectURL(png), name];
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), KEPT_MS);
}

/** A question as the name of a file, without what file systems refuse. @param {string} question @param {string} ending */
export function fileName(question, ending) {
  const plain = question.normalize("NFC").replace(/[\\/:*?"<>|\p{C}]/gu, " ").replace(/\s+/g, " ").trim();
  const short = [...plain].slice(0, NAME_LONGEST).join("").replace(/^\.+|[\s.]+$/g, "");
  return `${short || "poll"}.${ending}`;
}
