// 16-bit grey PNG files: a browser keeps the upper 8 bits, of which a 12-bit camera fills only 4.
// They are written anew with 8 bits a pixel, as the Python library scales them.

import { LARGEST_PIXELS } from "./limits.js";

const SIGNATURE = [137, 80, 78, 71, 13, 10, 26, 10];
const DEPTH = 24;
const COLOUR = 25;
const INTERLACED = 28;
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

// Return a 16-bit grey PNG file with 8 bits, where 2 ** bits - 1 is white; other files as they are.
export async function withEightBits(blob, bits) {
  const bytes = new Uint8Array(await blob.arrayBuffer());
  if (!isGrey16(bytes)) return blob;
  const view = new DataView(bytes.buffer);
  const width = view.getUint32(16);
  const height = view.getUint32(20);
  // Refused by whoever decodes it.
  if (width * height > LARGEST_PIXELS) return blob;
  const chunks = chunksOf(bytes, view);
  const parts = (bytes[INTERLACED] ? ADAM7 : WHOLE)
    .map(([left, top, stepX, stepY]) => ({
      columns: Math.ceil((width - left) / stepX),
      rows: Math.ceil((height - top) / stepY),
    }))
    .filter(({ columns, rows }) => columns > 0 && rows > 0);
  const stored = chunks.filter(({ kind }) => kind === "IDAT").map(({ data }) => data);
  const values = await unpacked(new Blob(stored), lengthOf(parts, 2));
  const clear = chunks.find(({ kind }) => kind === "tRNS")?.data;
  const white = clear ? (clear[0] << 8) | clear[1] : -1;
  const pixels = scaled(values, parts, bits, white);
  const header = bytes.slice(16, 29);
  header[DEPTH - 16] = 8;
  const turn = chunks.filter(({ kind }) => kind === "eXIf").map(({ data }) => chunk("eXIf", data));
  const image = chunk("IDAT", await packed(pixels));
  const file = [Uint8Array.from(SIGNATURE), chunk("IHDR", header), ...turn, image];
  return new Blob([...file, chunk("IEND", new Uint8Array())]);
}

function isGrey16(bytes) {
  const png = bytes.length > INTERLACED && SIGNATURE.every((value, i) => bytes[i] === value);
  return png && bytes[DEPTH] === 16 && bytes[COLOUR] === 0;
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

// Each row begins with a byte that says how it is filtered.
function lengthOf(parts, size) {
  return parts.reduce((sum, { columns, rows }) => sum + rows * (1 + columns * size), 0);
}

// Return the rows with one byte a pixel, not filtered.
function scaled(values, parts, bits, white) {
  const result = new Uint8Array(lengthOf(parts, 1));
  const most = 2 ** bits - 1;
  let from = 0;
  let to = 0;
  for (const { columns, rows } of parts) {
    let above = new Uint8Array(columns * 2);
    for (let row = 0; row < rows; row++) {
      const kind = values[from++];
      const line = values.subarray(from, from + columns * 2);
      unfilter(line, above, kind);
      to++;
      for (let x = 0; x < columns; x++) {
        const value = (line[2 * x] << 8) | line[2 * x + 1];
        result[to++] = value === white ? 255 : Math.min(value, most) >> (bits - 8);
      }
      from += columns * 2;
      above = line;
    }
  }
  return result;
}

// Each byte is stored as its difference from what those before it and above it lead to expect.
function unfilter(line, above, kind) {
  const expected = FILTERS[kind];
  if (!expected) throw new Error("damaged");
  for (let i = 0; i < line.length; i++) {
    const left = i < 2 ? 0 : line[i - 2];
    const corner = i < 2 ? 0 : above[i - 2];
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
async function unpacked(blob, length) {
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

async function packed(bytes) {
  const stream = new Blob([bytes]).stream().pipeThrough(new CompressionStream("deflate"));
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
