// Any picture this browser can draw becomes a small one without a past: no SVG document, no place where a photograph was taken.

import { t } from "/assets/shared/words.js";

const WIDE_PX = 512;
const HIGH_PX = 192;
const BYTES_MAX = 64 * 1024; // as the server says
const QUALITY = 0.9;
const SHRINK = 0.75;
const TRIES = 6;

/** @param {File} file @returns {Promise<Blob>} a WebP, or a PNG where the browser writes none */
export async function asLogo(file) {
  const image = new Image();
  image.src = await read(file);
  await image.decode().catch(() => { throw refusal(); });
  // A drawing may have no size of its own.
  const [width, height] = [image.naturalWidth || WIDE_PX, image.naturalHeight || HIGH_PX];
  let scale = Math.min(1, WIDE_PX / width, HIGH_PX / height);
  for (let tried = 0; tried < TRIES; tried += 1, scale *= SHRINK) {
    const picture = await draw(image, Math.max(1, Math.round(width * scale)), Math.max(1, Math.round(height * scale)));
    if (picture && picture.size <= BYTES_MAX) return picture;
  }
  throw refusal();
}

/** @param {HTMLImageElement} image @param {number} width @param {number} height @returns {Promise<Blob|null>} */
function draw(image, width, height) {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [width, height];
  canvas.getContext("2d")?.drawImage(image, 0, 0, width, height);
  return new Promise((give) => canvas.toBlob(give, "image/webp", QUALITY));
}

/** @param {File} file @returns {Promise<string>} */
const read = (file) => new Promise((give, fail) => {
  const reader = new FileReader();
  reader.addEventListener("load", () => give(String(reader.result)));
  reader.addEventListener("error", () => fail(refusal()));
  reader.readAsDataURL(file);
});

const refusal = () => ({ code: "logo_odd", detail: t("logo_odd") });
