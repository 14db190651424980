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

// Return a row of probabilities for each image in pixels, [n, height, width, 3].
export function predict(pixels, shape) {
  return new Promise((resolve, reject) => {
    waiting.set(++last, { resolve, reject });
    worker.postMessage({ id: last, pixels, shape });
  });
}

const GREY = 127;

// Return how much the probability of a class falls when each patch is hidden, 0 to 1,
// [height, width] (Zeiler and Fergus, "Visualizing and understanding convolutional
// networks", 2014). A patch of mid-grey moves over the image.
export async function occlusion(pixels, shape, classIndex, probability) {
  const [height, width] = shape;
  const patch = Math.max(2, Math.round(height / 4));
  const step = Math.max(1, Math.round(patch / 2));
  const corners = [];
  for (let y = 0; y <= height - patch; y += step) {
    for (let x = 0; x <= width - patch; x += step) corners.push([y, x]);
  }
  const hidden = new Uint8Array(corners.length * pixels.length);
  corners.forEach(([top, left], number) => {
    const start = number * pixels.length;
    hidden.set(pixels, start);
    for (let y = top; y < top + patch; y++) {
      hidden.fill(GREY, start + (y * width + left) * 3, start + (y * width + left + patch) * 3);
    }
  });
  const rows = await predict(hidden, shape);
  const total = new Float32Array(height * width);
  const count = new Float32Array(height * width);
  corners.forEach(([top, left], number) => {
    const fall = Math.max(0, probability - rows[number][classIndex]);
    for (let y = top; y < top + patch; y++) {
      for (let x = left; x < left + patch; x++) {
        total[y * width + x] += fall;
        count[y * width + x] += 1;
      }
    }
  });
  const mean = total.map((value, i) => (count[i] ? value / count[i] : 0));
  const most = Math.max(...mean);
  return most > 0 ? mean.map((value) => value / most) : mean;
}
