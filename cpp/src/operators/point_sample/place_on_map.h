// Where PointSample looks: the place of a point among the cells of a map, in the same way on any device.
#pragma once
#include "kernels/boxes.h"

namespace d2deploy {

/// In cells; the middle of the first one is at 0, 0.
struct PlaceOnMap {
  float x, y;
};

/// `point`: x, y from 0 to 1, over the whole map.
SIMT_HOST_DEVICE inline PlaceOnMap place_on_map(const float* point, std::int64_t height, std::int64_t width) {
  return {point[0] * static_cast<float>(width) - 0.5F, point[1] * static_cast<float>(height) - 0.5F};
}
/// Over a box, in pixels of the image, of which each is `scale` cells.
SIMT_HOST_DEVICE inline PlaceOnMap place_on_map(const float* point, const Box& box, float scale) {
  return {(box.x1 + point[0] * (box.x2 - box.x1)) * scale - 0.5F,
          (box.y1 + point[1] * (box.y2 - box.y1)) * scale - 0.5F};
}

}  // namespace d2deploy
