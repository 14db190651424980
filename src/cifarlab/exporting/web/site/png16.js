// 16-bit PNG files: a browser keeps the upper 8 bits, of which a 12-bit camera fills only 4. They
// are written anew with 8 bits a value, as the Python library scales them.

import { LARGEST_PIXELS } from "./limits.js";

const SIGNATURE = [137, 80, 78, 71, 13, 10, 26, 10];
const DEPTH = 24;
const COLOUR = 25;
const INTERLACED = 28;
// Values of each pixel, by the kind of colour; the last of two or four is transparency.
const VALUES = { 0: 1, 2: 3, 4: 2, 6: 4 };
// The parts that a PNG file holds one after the other: first column and row, and the steps.
const WHOLE = [[0, 0, 1, 1]];
const ADAM7 = [
  [0, 0, 8, 8],
  [4, 0, 8, 8],
  [0, 4, 4, 8],
  [2, 0, 4, 4],
  [0, 2, 2, 4],
  [1, 0, 2, 2],
  [0, 1, 1, 2],
];
const CRCS = Uint32Array.from({ length: 256 }, (_, crc) => {
  for (let i = 0; i < 8; i++) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1;
  return crc;
});

// Return a 16-bit PNG file with 8 bits, where 2 ** bits - 1 is white; other files as they are.
export async function withEightBits(blob, bits) {
  const bytes = new Uint8Array(await blob.arrayBuffer());
  if (!isDeep(bytes)) return blob;
  const view = new DataView(bytes.buffer);
  const width = view.getUint32(16);
  const height = view.getUint32(20);
  // Refused by whoever decodes it.
  if (width * height > LARGEST_PIXELS) return blob;
  const values = VALUES[bytes[COLOUR]];
  const parts = (bytes[INTERLACED] ? ADAM7 : WHOLE)
    .map(([left, top, stepX, stepY]) => ({
      length: Math.ceil((width - left) / stepX) * values * 2,
      rows: Math.ceil((height - top) / stepY),
    }))
    .filter(({ length, rows }) => length > 0 && rows > 0);
  const chunks = chunksOf(bytes, view);
  const of = (kind) => chunks.filter((one) => one.kind === kind).map(({ data }) => data);
  const lines = await unpacked(new Blob(of("IDAT")), parts, values * 2);
  const image = await packed(scaled(lines, values, bits, of("tRNS")[0]));
  const header = bytes.slice(16, 29);
  header[DEPTH - 16] = 8;
  const turned = of("eXIf").map((data) => chunk("eXIf", data));
  const file = [Uint8Array.from(SIGNATURE), chunk("IHDR", header), ...turned];
  return new Blob([...file, chunk("IDAT", image), chunk("IEND", new Uint8Array())]);
}

function isDeep(bytes) {
  const png = bytes.length > INTERLACED && SIGNATURE.every((value, i) => bytes[i] === value);
  return png && bytes[DEPTH] === 16 && bytes[COLOUR] in VALUES;
}

function chunksOf(bytes, view) {
  const found = [];
  for (let at = SIGNATURE.length; at + 12 <= bytes.length; ) {
    const length = view.getUint32(at);
    const kind = String.fromCharCode(...bytes.subarray(at + 4, at + 8));
    found.push({ kind, data: bytes.subarray(at + 8, at + 8 + length) });
    at += length + 12;
  }
  return found;
}

// Return the rows of a file's compressed data, no longer filtered.
async function unpacked(blob, parts, bytesOfPixel) {
  // Each row begins with a byte that says how it is filtered.
  const all = parts.reduce((sum, { length, rows }) => sum + rows * (1 + length), 0);
  const data = await inflated(blob, all);
  const lines = [];
  let from = 0;
  for (const { length, rows } of parts) {
    let above = new Uint8Array(length);
    for (let row = 0; row < rows; row++, from += 1 + length) {
      const line = data.subarray(from + 1, from + 1 + length);
      unfilter(line, above, data[from], bytesOfPixel);
      lines.push(line);
      above = line;
    }
  }
  return lines;
}

// Return rows with 8 bits a value, not filtered. Pixels of the colour "clear" become white.
function scaled(lines, values, bits, clear) {
  const hasAlpha = values % 2 === 0;
  const deepAlpha = hasAlpha && lines.some((line) => anyAbove(line, values, 2 ** bits - 1));
  const used = Array(values).fill(bits);
  // The depth of the colours need not be that of the transparency.
  if (deepAlpha) used[values - 1] = 16;
  return lines.map((line) => {
    const result = new Uint8Array(1 + line.length / 2);
    for (let first = 0; first < line.length / 2; first += values) {
      const white = clear && isSame(line, first, clear);
      for (let i = 0; i < values; i++) {
        const value = Math.min(valueAt(line, first + i), 2 ** used[i] - 1) >> (used[i] - 8);
        result[1 + first + i] = white ? 255 : value;
      }
    }
    return result;
  });
}

function valueAt(line, i) {
  return (line[2 * i] << 8) | line[2 * i + 1];
}

function anyAbove(line, values, most) {
  for (let i = values - 1; i < line.length / 2; i += values) {
    if (valueAt(line, i) > most) return true;
  }
  return false;
}

function isSame(line, first, clear) {
  for (let i = 0; i < clear.length; i++) {
    if (line[2 * first + i] !== clear[i]) return false;
  }
  return true;
}

// Each byte is stored as its difference from what those before it and above it lead to expect.
function unfilter(line, above, kind, bytesOfPixel) {
  const expected = FILTERS[kind];
  if (!expected) throw new Error("damaged");
  for (let i = 0; i < line.length; i++) {
    const left = i < bytesOfPixel ? 0 : line[i - bytesOfPixel];
    const corner = i < bytesOfPixel ? 0 : above[i - bytesOfPixel];
    line[i] += expected(left, above[i], corner);
  }
}

const FILTERS = [
  () => 0,
  (left) => left,
  (_, up) => up,
  (left, up) => (left + up) >> 1,
  nearest,
];

// The Paeth predictor.
function nearest(left, up, corner) {
  const guess = left + up - corner;
  const fromLeft = Math.abs(guess - left);
  const fromUp = Math.abs(guess - up);
  const fromCorner = Math.abs(guess - corner);
  if (fromLeft <= fromUp && fromLeft <= fromCorner) return left;
  return fromUp <= fromCorner ? up : corner;
}

// Return exactly so many bytes; a damaged file may hold fewer, or far more.
async function inflated(blob, length) {
  const result = new Uint8Array(length);
  let filled = 0;
  for await (const part of blob.stream().pipeThrough(new DecompressionStream("deflate"))) {
    const wanted = part.subarray(0, length - filled);
    result.set(wanted, filled);
    filled += wanted.length;
    if (wanted.length < part.length) break;
  }
  if (filled < length) throw new Error("truncated");
  return result;
}

async function packed(lines) {
  const stream = new Blob(lines).stream().pipeThrough(new CompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

function chunk(kind, data) {
  const result = new Uint8Array(data.length + 12);
  const view = new DataView(result.buffer);
  view.setUint32(0, data.length);
  for (let i = 0; i < 4; i++) result[4 + i] = kind.charCodeAt(i);
  result.set(data, 8);
  let crc = ~0;
  for (let i = 4; i < result.length - 4; i++) crc = CRCS[(crc ^ result[i]) & 255] ^ (crc >>> 8);
  view.setUint32(result.length - 4, ~crc);
  return result;
}
