// The model as the page uses it: pixels in, probabilities out, and occlusion saliency.

const worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
const waiting = new Map();
let last = 0;

worker.onmessage = ({ data: { id, rows, error } }) => {
  const { resolve, reject } = waiting.get(id);
  waiting.delete(id);
  if (error) reject(new Error(`the model cannot be run here: ${error}`));
  else resolve(rows);
};
worker.onerror = () => {
  for (const { reject } of waiting.values()) {
    reject(new Error("the model could not be loaded; reload the page"));
  }
  waiting.clear();
};

// Return a row of probabilities for each image in pixels, [n, height, width, channels].
export function predict(pixels, shape) {
  return new Promise((resolve, reject) => {
    waiting.set(++last, { resolve, reject });
    worker.postMessage({ id: last, pixels, shape });
  });
}

const GREY = 127;

// Return how much the probability of a class falls when each patch is hidden, 0 to 1,
// [height, width] (Zeiler and Fergus, "Visualizing and understanding convolutional
// networks", 2014). A patch of mid-grey, a quarter as high and as wide as the image, moves over it.
export async function occlusion(pixels, shape, classIndex, probability) {
  const [height, width, channels] = shape;
  const high = patchOf(height);
  const wide = patchOf(width);
  const corners = starts(height, high).flatMap((y) => starts(width, wide).map((x) => [y, x]));
  const hidden = new Uint8Array(corners.length * pixels.length);
  corners.forEach(([top, left], number) => {
    const start = number * pixels.length;
    hidden.set(pixels, start);
    for (let y = top; y < top + high; y++) {
      const row = start + y * width * channels;
      hidden.fill(GREY, row + left * channels, row + (left + wide) * channels);
    }
  });
  const rows = await predict(hidden, shape);
  const total = new Float32Array(height * width);
  const count = new Float32Array(height * width);
  corners.forEach(([top, left], number) => {
    const fall = Math.max(0, probability - rows[number][classIndex]);
    for (let y = top; y < top + high; y++) {
      for (let x = left; x < left + wide; x++) {
        total[y * width + x] += fall;
        count[y * width + x] += 1;
      }
    }
  });
  const mean = total.map((value, i) => value / count[i]);
  const most = mean.reduce((a, b) => Math.max(a, b), 0);
  return most > 0 ? mean.map((value) => value / most) : mean;
}

function patchOf(side) {
  return Math.min(side, Math.max(2, Math.round(side / 4)));
}

// Return where the patches begin along one side: half a patch apart, the last one at the end.
function starts(side, patch) {
  const step = Math.max(1, Math.round(patch / 2));
  const found = [];
  for (let start = 0; start < side - patch; start += step) found.push(start);
  return [...found, side - patch];
}
