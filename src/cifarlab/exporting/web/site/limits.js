// The largest images that are read, as in the Python library.

export const LARGEST_BYTES = 64 * 2 ** 20;
export const LARGEST_PIXELS = 25_000_000;
