// Pictures as the server reads them: upright. Browsers obey EXIF's orientation in JPEG and PNG, but not all do in WebP.

const ORIENTATION = 0x0112; // the tag, a number from 1, upright, to 8
const TURNS = { // as `setTransform` takes them, for a picture of w by h pixels as it is stored
  2: (w) => [-1, 0, 0, 1, w, 0],
  3: (w, h) => [-1, 0, 0, -1, w, h],
  4: (w, h) => [1, 0, 0, -1, 0, h],
  5: () => [0, 1, 1, 0, 0, 0],
  6: (w, h) => [0, 1, -1, 0, h, 0],
  7: (w, h) => [0, -1, -1, 0, h, w],
  8: (w) => [0, -1, 1, 0, 0, w],
};

/** Something to draw, with `width` and `height`, or null where the browser cannot read the file. */
export async function readPicture(file) {
  const data = await file.arrayBuffer(), turn = TURNS[takeOrientation(new DataView(data))];
  const picture = await createImageBitmap(turn ? new Blob([data], { type: file.type }) : file).catch(() => null);
  if (!turn || !picture) return picture;
  const { width, height } = picture, matrix = turn(width, height);
  const upright = matrix[0] ? new OffscreenCanvas(width, height) : new OffscreenCanvas(height, width);
  const context = upright.getContext("2d");
  context.setTransform(...matrix);
  context.drawImage(picture, 0, 0);
  return upright;
}

/** The orientation of a WebP file, 1 where it has none. In its bytes it is 1 afterwards: no browser turns them then. */
function takeOrientation(bytes) {
  const word = (at) => String.fromCharCode(...[0, 1, 2, 3].map((i) => bytes.getUint8(at + i)));
  try {
    if (word(0) !== "RIFF" || word(8) !== "WEBP") return 1;
    let chunk = 12;
    while (word(chunk) !== "EXIF") chunk += 8 + bytes.getUint32(chunk + 4, true) + bytes.getUint32(chunk + 4, true) % 2;
    const start = word(chunk + 8) === "Exif" ? chunk + 14 : chunk + 8, little = word(start).startsWith("II");
    const table = start + bytes.getUint32(start + 4, little);
    for (let i = 0; i < bytes.getUint16(table, little); i++) {
      const entry = table + 2 + 12 * i;
      if (bytes.getUint16(entry, little) !== ORIENTATION) continue;
      const orientation = bytes.getUint16(entry + 8, little);
      bytes.setUint16(entry + 8, 1, little);
      return orientation;
    }
  } catch { /* a RangeError: there is no such chunk, or it is damaged */ }
  return 1;
}
