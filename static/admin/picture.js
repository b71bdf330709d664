// A picture of a result for those who cannot use SVG: drawn from it, in this browser.

const TIMES = 2; // as fine as a slide needs

/** @param {string} address of the SVG @param {string} name */
export async function savePicture(address, name) {
  const image = new Image();
  image.src = address;
  await image.decode();
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [image.naturalWidth * TIMES, image.naturalHeight * TIMES];
  canvas.getContext("2d")?.drawImage(image, 0, 0, canvas.width, canvas.height);
  const link = document.createElement("a");
  [link.href, link.download] = [canvas.toDataURL("image/png"), name];
  link.click();
}
