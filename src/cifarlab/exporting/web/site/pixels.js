// From a file to the pixels that the model sees: the same ones that the Python library makes.

export const LARGEST_BYTES = 64 * 2 ** 20;
export const LARGEST_PIXELS = 25_000_000;
const ACCEPTED = "PNG, JPEG, WEBP, GIF or BMP";
// Weights are whole numbers of this precision, as in Pillow, so that rounding is the same.
const UNIT = 2 ** 22;

// Return {data, width, height}, RGBA, turned as EXIF says, transparency on white.
export async function decode(blob, name) {
  if (blob.size > LARGEST_BYTES) throw new Error(`${name}: too large; shrink it`);
  let bitmap;
  try {
    bitmap = await createImageBitmap(blob, {
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
  return context.getImageData(0, 0, width, height);
}

// Return RGB bytes, [height, width, 3], of a decoded image squashed to the given size.
export function toPixels(image, height, width) {
  const { data } = image;
  const rgb = new Uint8ClampedArray((data.length / 4) * 3);
  for (let i = 0, j = 0; i < data.length; i += 4) {
    rgb[j++] = data[i];
    rgb[j++] = data[i + 1];
    rgb[j++] = data[i + 2];
  }
  const narrow = resizeRows(rgb, image.height, image.width, width);
  const turned = transpose(narrow, image.height, width);
  const small = resizeRows(turned, width, image.height, height);
  return new Uint8Array(transpose(small, width, height));
}

// Bicubic, a = -1/2.
function cubic(x) {
  const t = Math.abs(x);
  if (t < 1) return (1.5 * t - 2.5) * t * t + 1;
  if (t < 2) return ((-0.5 * t + 2.5) * t - 4) * t + 2;
  return 0;
}

// For each new position: where its old ones start, and their weights. When an image shrinks,
// the filter widens with it, which is what prevents aliasing.
function weightsOf(before, after) {
  const scale = before / after;
  const wide = Math.max(scale, 1);
  const reach = 2 * wide;
  return Array.from({ length: after }, (_, position) => {
    const centre = (position + 0.5) * scale;
    const first = Math.max(0, Math.trunc(centre - reach + 0.5));
    const end = Math.min(before, Math.trunc(centre + reach + 0.5));
    const raw = [];
    for (let i = first; i < end; i++) raw.push(cubic((i - centre + 0.5) / wide));
    const sum = raw.reduce((a, b) => a + b, 0);
    const weights = raw.map((w) => {
      const whole = (w / sum) * UNIT;
      return Math.trunc(whole < 0 ? whole - 0.5 : whole + 0.5);
    });
    return { first, weights };
  });
}

function resizeRows(rgb, height, before, after) {
  if (before === after) return rgb;
  const result = new Uint8ClampedArray(height * after * 3);
  const taps = weightsOf(before, after);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < after; x++) {
      const { first, weights } = taps[x];
      for (let c = 0; c < 3; c++) {
        let sum = UNIT / 2;
        for (let i = 0; i < weights.length; i++) {
          sum += weights[i] * rgb[(y * before + first + i) * 3 + c];
        }
        result[(y * after + x) * 3 + c] = Math.floor(sum / UNIT);
      }
    }
  }
  return result;
}

function transpose(rgb, height, width) {
  const result = new Uint8ClampedArray(rgb.length);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      for (let c = 0; c < 3; c++) result[(x * height + y) * 3 + c] = rgb[(y * width + x) * 3 + c];
    }
  }
  return result;
}
