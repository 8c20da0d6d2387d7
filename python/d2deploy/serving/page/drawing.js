// Draws a picture and what was found in it. Places are in its pixels; lines and letters have the screen's size.

const LIMBS = [ // of COCO's 17 keypoints of persons
  [15, 13], [13, 11], [16, 14], [14, 12], [11, 12], [5, 11], [6, 12], [5, 6], [5, 7], [6, 8], [7, 9], [8, 10],
  [0, 1], [0, 2], [1, 3], [2, 4], [3, 5], [4, 6],
];
const probe = new OffscreenCanvas(1, 1).getContext("2d");
const LEAST_POINT = 0.05; // probability of a keypoint that is drawn

/** A colour for each number; those of any first numbers are far apart, since hues go on by the golden angle. */
export function colour(number) {
  return `oklch(0.76 0.18 ${(160 + number * 137.508) % 360})`;
}

/** The corners of a box x1 y1 x2 y2, or of a rotated one: centre, width, height, degrees counter-clockwise. */
export function corners(box) {
  if (box.length === 4) {
    const [left, top, right, bottom] = box;
    return [[left, top], [right, top], [right, bottom], [left, bottom]];
  }
  const [x, y, width, height, angle] = box, c = Math.cos(angle * Math.PI / 180), s = Math.sin(angle * Math.PI / 180);
  return [[-1, -1], [1, -1], [1, 1], [-1, 1]].map(([i, j]) => {
    const right = i * width / 2, down = j * height / 2;
    return [x + c * right + s * down, y - s * right + c * down];
  });
}

function polygon(points) {
  const path = new Path2D();
  points.forEach(([x, y]) => path.lineTo(x, y));
  path.closePath();
  return path;
}

/** The area of a polygon. */
export function extent(points) {
  return Math.abs(points.reduce((sum, [x, y], i) => {
    const [nextX, nextY] = points[(i + 1) % points.length];
    return sum + (x * nextY - nextX * y) / 2;
  }, 0));
}

/** The outline of an item's mask or segment, traced when it is first wanted; undefined where it has none. */
const outline = (item) => (item.path ??= item.trace?.());

/** Whether a place is on an item: inside of its outline, or else in its box. */
export function touches(item, x, y) {
  return probe.isPointInPath(outline(item) ?? polygon(corners(item.box)), x, y);
}

/**
 * Draws into a canvas, at the size that it has.
 *
 * @param canvas its `width` and `height` are set, in the picture's proportion
 * @param scene {picture, width, height: of the picture, items: to draw, the best first, active: the item to point out,
 *   show: a set of masks, boxes, keypoints, names}
 * @param unit pixels of the canvas in one of the page
 */
export function draw(canvas, { picture, width, height, items, active, show }, unit = 1) {
  const context = canvas.getContext("2d"), scale = canvas.width / width, line = 2 * unit / scale;
  context.setTransform(scale, 0, 0, scale, 0, 0);
  context.imageSmoothingQuality = "high";
  context.lineJoin = context.lineCap = "round";
  context.fillStyle = "#888";
  if (picture) context.drawImage(picture, 0, 0, width, height);
  else context.fillRect(0, 0, width, height);

  const lit = (item) => !active || active === item;
  for (const item of [...items].reverse()) { // the best on top
    context.fillStyle = context.strokeStyle = item.colour;
    const strong = lit(item) ? 1 : 0.3;
    if (item.trace && show.has("masks")) {
      context.globalAlpha = 0.45 * strong;
      context.fill(outline(item));
      context.globalAlpha = strong;
      context.lineWidth = line * 0.75;
      context.stroke(outline(item));
    }
    context.globalAlpha = strong;
    context.lineWidth = line;
    if (item.box && show.has("boxes")) context.stroke(polygon(corners(item.box)));
    if (item.keypoints && show.has("keypoints")) drawKeypoints(context, item.keypoints, line);
  }
  context.globalAlpha = 1;
  if (show.has("names")) drawLabels(context, items.filter(lit), scale, unit, canvas);
}

function drawKeypoints(context, points, line) {
  const seen = points.map(([, , score]) => score >= LEAST_POINT);
  for (const [a, b] of points.length === 17 ? LIMBS : []) {
    if (!seen[a] || !seen[b]) continue;
    context.beginPath();
    context.moveTo(points[a][0], points[a][1]);
    context.lineTo(points[b][0], points[b][1]);
    context.stroke();
  }
  points.filter((_, i) => seen[i]).forEach(([x, y]) => {
    context.beginPath();
    context.arc(x, y, line * 2, 0, 2 * Math.PI);
    context.fillStyle = "#fff";
    context.fill();
    context.stroke();
  });
}

/** Names on their colours, the best first: above an item's place, or on it, or near it; none where there is no room. */
function drawLabels(context, items, scale, unit, canvas) {
  const size = 13 * unit, high = 20 * unit, margin = 6 * unit, taken = [];
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.font = `600 ${size}px Inter, system-ui, sans-serif`;
  context.textBaseline = "middle";
  for (const { label, place, centred, colour: paint } of items) {
    if (!label || !place) continue;
    const wide = context.measureText(label).width + 2 * margin, [left, top] = place.map((at) => at * scale);
    const x = Math.max(0, Math.min(centred ? left - wide / 2 : left - unit, canvas.width - wide));
    const start = centred ? top - high / 2 : top >= high ? top - high : top;
    const free = (y) => !taken.some((t) => x < t.x + t.wide && t.x < x + wide && y < t.y + high && t.y < y + high);
    const rows = [0, 1, -1, 2, -2, 3, -3].map((n) => Math.max(0, Math.min(start + n * high, canvas.height - high)));
    const y = rows.find(free);
    if (y === undefined) continue;
    taken.push({ x, y, wide });
    context.fillStyle = paint;
    context.beginPath();
    context.roundRect(x, y, wide, high, 4 * unit);
    context.fill();
    context.fillStyle = "#111";
    context.fillText(label, x + margin, y + high / 2 + unit / 2);
  }
}
