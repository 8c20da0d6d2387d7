// What an answer of the server holds, as one kind of list: items that are drawn, counted, switched and listed alike.

import { corners, extent } from "./drawing.js";
import { area, bitmap, outlinePath, segmentBitmap, segmentsOf } from "./masks.js";

const LONGEST_OUTLINE = 1600; // pixels of a picture's longer side that outlines follow one by one
const number = new Intl.NumberFormat("en");

/** Columns of the table by the property of items that they show: title, and text of an item. */
export const COLUMNS = {
  score: ["Score", (item) => item.score.toFixed(2)],
  box: ["x, y, width, height", ({ box }) => (box.length === 4
    ? [box[0], box[1], box[2] - box[0], box[3] - box[1]] : box).map(Math.round).join(", ")],
  kind: ["Kind", (item) => item.kind],
  share: ["Part", (item) => `${(100 * item.share).toFixed(1)} %`],
  pixels: ["Pixels", (item) => number.format(item.pixels)],
};

/**
 * What a view shows: instances, the best first, or the segments of a map, the largest first.
 *
 * @param view instances, panoptic or sem_seg
 * @param answer of the server
 * @param map what `readMap` gives of the answer's map
 * @param things how many classes instances may have; stuff is numbered behind them
 */
export function itemsOf(view, answer, map, things) {
  const step = Math.ceil(Math.max(answer.width, answer.height) / LONGEST_OUTLINE);
  if (view === "instances") {
    return answer.instances.map((instance) => instanceItem(instance, step)).sort((a, b) => b.score - a.score);
  }
  const found = segmentsOf(map);
  return answer[view].segments.filter(({ id }) => found[id]).map((source) => {
    const { id, class_id, class_name, isthing } = source, { pixels, middle } = found[id];
    return {
      source, name: class_name, label: class_name, place: middle, centred: true, pixels, extent: pixels,
      class_id: class_id + (isthing || view === "sem_seg" ? 0 : things), // stuff has numbers of its own
      kind: isthing ? "thing" : "stuff", share: pixels / map.numbers.length,
      trace: () => outlinePath(segmentBitmap(map, id, step), step),
    };
  }).sort((a, b) => b.pixels - a.pixels);
}

function instanceItem(instance, step) {
  const { class_id, class_name: name, score, box, mask } = instance, points = corners(box);
  const proposal = class_id === null;
  return {
    ...instance, source: instance, name, proposal, class_id: class_id ?? 0,
    label: proposal ? "" : `${name} ${score.toFixed(2)}`, // there are too many of them for names
    place: [Math.min(...points.map(([x]) => x)), Math.min(...points.map(([, y]) => y))], extent: extent(points),
    ...(mask && { pixels: area(mask), trace: () => outlinePath(bitmap(mask, step), step) }),
  };
}
