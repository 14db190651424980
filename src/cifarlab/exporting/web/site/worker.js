// Runs the model away from the page, so that the page never freezes.

import * as ort from "./runtime/ort.wasm.min.mjs";

// One thread needs no special headers from the host.
ort.env.wasm.numThreads = 1;
ort.env.wasm.wasmPaths = new URL("./runtime/", import.meta.url).href;
const CHUNK = 16;

const session = ort.InferenceSession.create(new URL("./model.onnx", import.meta.url).href);

// Return one row of probabilities for each image; shape is [height, width, channels].
async function probabilities(pixels, shape) {
  const size = shape[0] * shape[1] * shape[2];
  const model = await session;
  const rows = [];
  for (let start = 0; start < pixels.length; start += CHUNK * size) {
    const part = pixels.subarray(start, start + CHUNK * size);
    const images = new ort.Tensor("uint8", part, [part.length / size, ...shape]);
    const { probabilities: result } = await model.run({ images });
    const classes = result.dims[1];
    for (let i = 0; i < result.data.length; i += classes) {
      rows.push(Array.from(result.data.subarray(i, i + classes)));
    }
  }
  return rows;
}

onmessage = async ({ data: { id, pixels, shape } }) => {
  try {
    postMessage({ id, rows: await probabilities(pixels, shape) });
  } catch (error) {
    postMessage({ id, error: String(error.message ?? error) });
  }
};
