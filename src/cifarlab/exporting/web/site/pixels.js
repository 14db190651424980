// From a file to the pixels that the model sees: the same ones that the Python library makes.

import { withEightBits } from "./png16.js";
import { LARGEST_BYTES, LARGEST_PIXELS } from "./limits.js";
import { resize } from "./resize.js";

const ACCEPTED = "PNG, JPEG, WEBP, AVIF, GIF or BMP";

// Return {pixels, width, height}, RGB bytes, turned as EXIF says, transparency on white. Of 16-bit
// PNG files, a value of 2 ** bits - 1 is white.
export async function decode(blob, name, bits) {
  if (blob.size > LARGEST_BYTES) throw new Error(`${name}: too large; shrink it`);
  let bitmap;
  try {
    bitmap = await createImageBitmap(await withEightBits(blob, bits), {
      colorSpaceConversion: "none",
      imageOrientation: "from-image",
    });
  } catch {
    throw new Error(`${name}: not an image that can be read; use ${ACCEPTED}`);
  }
  const { width, height } = bitmap;
  if (width * height > LARGEST_PIXELS) {
    throw new Error(`${name}: ${width} x ${height} pixels are too many; shrink it`);
  }
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.fillStyle = "white";
  context.fillRect(0, 0, width, height);
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  return { pixels: withoutAlpha(context.getImageData(0, 0, width, height).data), width, height };
}

function withoutAlpha(rgba) {
  const rgb = new Uint8ClampedArray((rgba.length / 4) * 3);
  for (let i = 0, j = 0; i < rgba.length; i += 4) {
    rgb[j++] = rgba[i];
    rgb[j++] = rgba[i + 1];
    rgb[j++] = rgba[i + 2];
  }
  return rgb;
}

// Return the bytes that a model takes, [height, width, channels], of a decoded image.
export function toPixels(image, [height, width, channels], resizeMode) {
  const { pixels } = fit[resizeMode](image, width, height);
  return new Uint8Array(channels === 1 ? grey(pixels) : pixels);
}

// How an image is brought to a width and height.
const fit = { squash: resize, crop, pad };

// Cut the largest part of these proportions out of the middle.
function crop(image, width, height) {
  if (image.width === width && image.height === height) return image;
  const scale = Math.max(width / image.width, height / image.height);
  const part = black(wholePixels(width / scale), wholePixels(height / scale));
  const left = Math.floor((image.width - part.width) / 2);
  const top = Math.floor((image.height - part.height) / 2);
  paste(image, part, -left, -top);
  return resize(part, width, height);
}

// Put the whole image on black.
function pad(image, width, height) {
  if (image.width === width && image.height === height) return image;
  const scale = Math.min(width / image.width, height / image.height);
  const inner = [wholePixels(image.width * scale), wholePixels(image.height * scale)];
  const whole = black(width, height);
  const left = Math.floor((width - inner[0]) / 2);
  const top = Math.floor((height - inner[1]) / 2);
  paste(resize(image, ...inner), whole, left, top);
  return whole;
}

function black(width, height) {
  return { pixels: new Uint8ClampedArray(width * height * 3), width, height };
}

// Copy an image onto another one, where it may stick out.
function paste(image, onto, left, top) {
  const first = Math.max(0, -left);
  const end = Math.min(image.width, onto.width - left);
  for (let y = Math.max(0, -top); y < Math.min(image.height, onto.height - top); y++) {
    const row = image.pixels.subarray((y * image.width + first) * 3, (y * image.width + end) * 3);
    onto.pixels.set(row, ((y + top) * onto.width + left + first) * 3);
  }
}

// At least 1; halves go to the even number, as in Python.
function wholePixels(value) {
  const below = Math.floor(value);
  const up = value - below > 0.5 || (value - below === 0.5 && below % 2 === 1);
  return Math.max(1, below + (up ? 1 : 0));
}

// Pillow's grey, in whole numbers.
function grey(pixels) {
  return Uint8Array.from({ length: pixels.length / 3 }, (_, i) => {
    const [red, green, blue] = pixels.subarray(3 * i, 3 * i + 3);
    return (red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16;
  });
}
