// Masks, as COCO's run lengths or as one number of a map: their pixels and their outlines. Knows nothing of the page.

/**
 * The lengths of a mask's runs, of zeros first, down its columns from the left.
 *
 * A letter holds six bits above "0": five of the number, the low ones first, and whether more follow. The last bit of
 * the number is its sign. From the fourth run on it is the difference to the run two before.
 */
export function runLengths(text) {
  const runs = [];
  for (let at = 0; at < text.length; ) {
    let number = 0, shift = 0, letter;
    do {
      letter = text.charCodeAt(at++) - 48;
      number |= (letter & 31) << shift;
      shift += 5;
    } while (letter & 32);
    if (letter & 16) number |= -1 << shift;
    runs.push(runs.length > 2 ? number + runs[runs.length - 2] : number);
  }
  return runs;
}

/** Calls visit(x, top, bottom) for what each run of ones covers in a column, of every step-th column and row. */
function visitStrips(runs, height, step, visit) {
  let start = 0;
  runs.forEach((length, i) => {
    const end = start + length;
    for (let at = i % 2 ? start : end; at < end; ) {
      const x = Math.floor(at / height), y = at % height, stop = Math.min(height, y + end - at);
      const top = Math.ceil(y / step), bottom = Math.ceil(stop / step);
      if (x % step === 0 && top < bottom) visit(x / step, top, bottom);
      at += stop - y;
    }
    start = end;
  });
}

/** The number of pixels of a mask {size: [height, width], counts}. */
export function area({ counts }) {
  return runLengths(counts).reduce((sum, length, i) => sum + (i % 2 ? length : 0), 0);
}

/**
 * The smallest rectangle that holds all of a mask, {left, top, width, height, bits}, with a byte 0 or 1 for each pixel,
 * row by row. With a step of n it has every n-th pixel of every n-th row, and all numbers count such pixels.
 */
export function bitmap({ size: [rows], counts }, step = 1) {
  const runs = runLengths(counts);
  let left = Infinity, top = Infinity, right = 0, bottom = 0;
  visitStrips(runs, rows, step, (x, start, end) => {
    left = Math.min(left, x);
    right = Math.max(right, x + 1);
    top = Math.min(top, start);
    bottom = Math.max(bottom, end);
  });
  if (!right) return { left: 0, top: 0, width: 0, height: 0, bits: new Uint8Array(0) };
  const width = right - left, height = bottom - top, bits = new Uint8Array(width * height);
  visitStrips(runs, rows, step, (x, start, end) => {
    for (let y = start; y < end; y++) bits[(y - top) * width + x - left] = 1;
  });
  return { left, top, width, height, bits };
}

/**
 * The outline of a bitmap as closed lines, each a list of x, y, x, y, ... in the bitmap's pixels.
 *
 * Marching squares: between the centres of four pixels a line goes from the middle of one side to that of another.
 * Places are counted in half pixels, so that each is an integer.
 */
export function outlines({ width, height, bits }) {
  const at = (x, y) => (x >= 0 && y >= 0 && x < width && y < height ? bits[y * width + x] : 0);
  const stride = 2 * width + 3, next = new Map();
  for (let y = -1; y < height; y++) {
    for (let x = -1; x < width; x++) {
      const a = at(x, y), b = at(x + 1, y), c = at(x + 1, y + 1), d = at(x, y + 1); // clockwise from the top left
      if (a === b && b === c && c === d) continue;
      const middle = (2 * y + 2) * stride + 2 * x + 2; // of the four centres
      const up = middle - stride, down = middle + stride;
      // Lines have the mask on their left: clockwise they enter where it begins, and leave where it ends.
      const enters = [a < b && up, b < c && middle + 1, c < d && down, d < a && middle - 1];
      const leaves = [a > b && up, b > c && middle + 1, c > d && down, d > a && middle - 1];
      enters.forEach((place, i) => {
        if (place === false) return;
        // The nearest way out around the pixel that is set: pixels that touch at a corner stay apart.
        const out = [1, 2, 3].map((turn) => leaves[(i + turn) % 4]).find((leave) => leave !== false);
        next.set(place, out);
      });
    }
  }
  const lines = [];
  while (next.size) {
    const line = [];
    let place = next.keys().next().value;
    while (next.has(place)) {
      line.push((place % stride) / 2, Math.floor(place / stride) / 2);
      const following = next.get(place);
      next.delete(place);
      place = following;
    }
    lines.push(line);
  }
  return lines;
}

/** A bitmap's outline as a path, with rounded steps, where its pixels are `step` wide and high. */
export function outlinePath(found, step = 1) {
  const path = new Path2D();
  for (const line of outlines(found)) {
    const x = (i) => (found.left + line[i % line.length]) * step;
    const y = (i) => (found.top + line[(i + 1) % line.length]) * step;
    path.moveTo((x(0) + x(2)) / 2, (y(0) + y(2)) / 2);
    for (let i = 2; i <= line.length; i += 2) {
      path.quadraticCurveTo(x(i), y(i), (x(i) + x(i + 2)) / 2, (y(i) + y(i + 2)) / 2);
    }
    path.closePath();
  }
  return path;
}

/** A map {width, height, numbers} of a picture in PNG, base64: a pixel's number is red + 256 green + 65536 blue. */
export async function readMap(png) {
  const bytes = Uint8Array.from(atob(png), (letter) => letter.charCodeAt(0));
  const options = { colorSpaceConversion: "none", premultiplyAlpha: "none" };
  const picture = await createImageBitmap(new Blob([bytes], { type: "image/png" }), options);
  const { width, height } = picture, context = new OffscreenCanvas(width, height).getContext("2d");
  context.drawImage(picture, 0, 0);
  const pixels = context.getImageData(0, 0, width, height).data, numbers = new Uint32Array(width * height);
  for (let i = 0; i < numbers.length; i++) {
    numbers[i] = pixels[4 * i] + 256 * pixels[4 * i + 1] + 65536 * pixels[4 * i + 2];
  }
  return { width, height, numbers };
}

/** The pixels of a map that hold a number, as `bitmap` gives those of a mask. */
export function segmentBitmap({ width: columns, height: rows, numbers }, number, step = 1) {
  const width = Math.ceil(columns / step), height = Math.ceil(rows / step), bits = new Uint8Array(width * height);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) bits[y * width + x] = numbers[y * step * columns + x * step] === number;
  }
  return { left: 0, top: 0, width, height, bits };
}

/** By its number, each segment of a map: how many `pixels`, and the one in their `middle`, x and y, for a name. */
export function segmentsOf({ width, numbers }) {
  const pixels = [], found = [];
  for (const number of numbers) pixels[number] = (pixels[number] ?? 0) + 1;
  const left = pixels.map((count) => Math.ceil(count / 2));
  for (let i = 0; i < numbers.length; i++) {
    const number = numbers[i];
    if (--left[number] === 0) found[number] = { pixels: pixels[number], middle: [i % width, Math.floor(i / width)] };
  }
  return found;
}
