// Everything that a prediction holds, to compare it bit for bit.
#pragma once
#include <string>
#include <vector>

#include "d2deploy/detector.h"

namespace d2deploy::testing {

template <class T>
inline void append(std::string& text, const std::vector<T>& values) {
  text.append(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T));
}
inline void append(std::string& text, const Tensor& tensor) {
  if (tensor.raw() != nullptr)
    text.append(static_cast<const char*>(tensor.raw()), static_cast<std::size_t>(tensor.bytes()));
}

inline std::string bits(const Prediction& found) {
  std::string text;
  append(text, found.boxes);
  append(text, found.scores);
  append(text, found.classes);
  append(text, found.masks);
  append(text, found.keypoints);
  append(text, found.keypoint_maps);
  append(text, found.sem_seg);
  append(text, found.panoptic_map);
  for (const Segment& segment : found.segments) text += std::to_string(segment.area) + ' ';
  return text;
}

}  // namespace d2deploy::testing
