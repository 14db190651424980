// Pillow's bicubic filter, to the last bit. Images are {pixels, width, height}, RGB bytes.

const CHANNELS = 3;
// Weights are whole numbers of this precision, as in Pillow, so that rounding is the same.
const UNIT = 2 ** 22;

// Return the image at another size, whatever its proportions.
export function resize({ pixels, width, height }, toWidth, toHeight) {
  const narrow = resizeRows(pixels, height, width, toWidth);
  const turned = transpose(narrow, height, toWidth);
  const small = resizeRows(turned, toWidth, height, toHeight);
  return { pixels: transpose(small, toWidth, toHeight), width: toWidth, height: toHeight };
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

function resizeRows(pixels, height, before, after) {
  if (before === after) return pixels;
  const result = new Uint8ClampedArray(height * after * CHANNELS);
  const taps = weightsOf(before, after);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < after; x++) {
      const { first, weights } = taps[x];
      for (let c = 0; c < CHANNELS; c++) {
        let sum = UNIT / 2;
        for (let i = 0; i < weights.length; i++) {
          sum += weights[i] * pixels[(y * before + first + i) * CHANNELS + c];
        }
        result[(y * after + x) * CHANNELS + c] = Math.floor(sum / UNIT);
      }
    }
  }
  return result;
}

function transpose(pixels, height, width) {
  const result = new Uint8ClampedArray(pixels.length);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      for (let c = 0; c < CHANNELS; c++) {
        result[(x * height + y) * CHANNELS + c] = pixels[(y * width + x) * CHANNELS + c];
      }
    }
  }
  return result;
}
