// What people see and do.

import { decode, toPixels } from "./pixels.js";
import { occlusion, predict } from "./model.js";

const BARS = 5;
const facts = await (await fetch("./facts.json")).json();
const shape = facts.input_shape;
const [height, width, channels] = shape;
const at = (id) => document.getElementById(id);
let shown = 0;

// For other scripts: {probabilities, pixels} of a file.
export async function classify(blob, name = "image") {
  const pixels = toPixels(await decode(blob, name, facts.bits), shape, facts.resize_mode);
  const [probabilities] = await predict(pixels, shape);
  return { probabilities, pixels };
}
window.cifarlab = { classify, facts };

async function answer(blob, name) {
  const turn = ++shown;
  at("problem").textContent = "";
  at("answer").setAttribute("aria-busy", "true");
  try {
    const { probabilities, pixels } = await classify(blob, name);
    if (turn !== shown) return;
    const best = probabilities.indexOf(Math.max(...probabilities));
    draw(at("seen"), pixels);
    draw(at("saliency"), pixels);
    showAnswer(probabilities, best);
    at("result").hidden = false;
    at("saliency").dataset.state = "working";
    const heat = await occlusion(pixels, shape, best, probabilities[best]);
    if (turn !== shown) return;
    draw(at("saliency"), pixels, heat);
    at("saliency").dataset.state = "done";
  } catch (error) {
    if (turn !== shown) return;
    at("result").hidden = true;
    at("problem").textContent = error.message;
  } finally {
    at("answer").removeAttribute("aria-busy");
  }
}

function showAnswer(probabilities, best) {
  const unsure = facts.not_sure_below !== null && probabilities[best] < facts.not_sure_below;
  const name = facts.class_names[best];
  at("verdict").textContent = unsure ? `Not sure, perhaps ${name}` : name;
  at("verdict").classList.toggle("unsure", unsure);
  const order = probabilities.map((_, i) => i).sort((a, b) => probabilities[b] - probabilities[a]);
  at("bars").replaceChildren(
    ...order.slice(0, BARS).map((i) => bar(facts.class_names[i], probabilities[i])),
  );
}

function bar(name, probability) {
  const row = element("li", "", "bar");
  const fill = element("i");
  fill.style.width = `${100 * probability}%`;
  row.append(fill, element("b", name), element("span", percent(probability)));
  return row;
}

// Draw pixels on a canvas, with heat over them where there is some.
function draw(canvas, pixels, heat) {
  canvas.width = width;
  canvas.height = height;
  canvas.style.setProperty("--ratio", width / height);
  const image = new ImageData(width, height);
  for (let i = 0; i < width * height; i++) {
    const warmth = heat ? heat[i] : 0;
    const hidden = heat ? 0.65 * warmth : 0;
    const light = heat ? 0.75 : 1;
    const colour = [255, 200 * warmth, 40 * warmth];
    for (let c = 0; c < 3; c++) {
      const value = pixels[channels * i + (channels === 1 ? 0 : c)];
      image.data[4 * i + c] = (1 - hidden) * light * value + hidden * colour[c];
    }
    image.data[4 * i + 3] = 255;
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
}

function showFacts() {
  const { accuracy, confusion, class_names: names, name = "model" } = facts;
  const known = accuracy
    ? `, test accuracy ${percent(accuracy.value, 2)} on ${accuracy.n.toLocaleString("en")} ` +
      `images (95% interval ${percent(accuracy.low, 2)} to ${percent(accuracy.high, 2)})`
    : "";
  at("known").textContent = `Model: ${name}${known}. Its classes: ${names.join(", ")}.`;
  at("result").classList.toggle("wide", width > 1.5 * height);
  at("input").textContent = `Input of the model: ${inWords()}`;
  if (!confusion || names.length > 20) return;
  at("confusion").hidden = false;
  const head = element("tr");
  head.append(element("td"), ...names.map((one) => heading(one, "col")));
  const rows = confusion.map((counts, row) => {
    const sum = counts.reduce((a, b) => a + b, 0);
    const line = element("tr");
    line.append(heading(names[row], "row"), ...counts.map((count) => cell(count, count / sum)));
    return line;
  });
  at("matrix").replaceChildren(head, ...rows);
}

// Return the size of the input, and how images of another shape are brought to it.
function inWords() {
  const size = height === width ? `${width}x${height} pixels` : `${width} pixels wide, ${height} high`;
  const fitted = { squash: "are stretched", crop: "are cut", pad: "get black bars" };
  const grey = channels === 1 ? ", grey" : "";
  return `${size}${grey}; other shapes ${fitted[facts.resize_mode]}`;
}

function heading(text, scope) {
  const made = element("th");
  made.append(element("span", text));
  made.scope = scope;
  return made;
}

function cell(count, share) {
  const made = element("td", count ? String(count) : "");
  made.style.setProperty("--share", Math.sqrt(share || 0));
  made.classList.toggle("many", share > 0.4);
  return made;
}

function element(tag, text = "", kind = "") {
  const made = document.createElement(tag);
  made.textContent = text;
  if (kind) made.className = kind;
  return made;
}

function percent(value, digits = 1) {
  return `${(100 * value).toFixed(digits)}%`;
}

// Webcam

let stream = null;

async function toggleCamera() {
  if (stream) return closeCamera();
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: true });
  } catch {
    at("problem").textContent = "no webcam can be used here; allow it, or choose a file";
    return;
  }
  at("video").srcObject = stream;
  at("camera").hidden = false;
}

function closeCamera() {
  for (const track of stream.getTracks()) track.stop();
  stream = null;
  at("camera").hidden = true;
}

function takeImage() {
  const video = at("video");
  const canvas = new OffscreenCanvas(video.videoWidth, video.videoHeight);
  canvas.getContext("2d").drawImage(video, 0, 0);
  closeCamera();
  canvas.convertToBlob().then((blob) => answer(blob, "webcam"));
}

// What people do

function fromTransfer(transfer) {
  const file = [...(transfer?.files ?? [])][0];
  if (file) answer(file, file.name);
}

showFacts();
at("file").onchange = ({ target }) => {
  if (target.files[0]) answer(target.files[0], target.files[0].name);
  target.value = "";
};
at("webcam").onclick = toggleCamera;
at("take").onclick = takeImage;
document.onpaste = ({ clipboardData }) => fromTransfer(clipboardData);
document.ondragover = (event) => event.preventDefault();
document.ondrop = (event) => {
  event.preventDefault();
  fromTransfer(event.dataTransfer);
};
document.body.dataset.state = "ready";
