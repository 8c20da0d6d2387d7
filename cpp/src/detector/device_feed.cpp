#include "detector/device_feed.h"

#include <algorithm>

#include "core/check.h"
#include "kernels/simt/pictures.h"

namespace d2deploy {

namespace {

void append(std::vector<std::int32_t>& all, const ResizeAxis& axis) {
  for (const auto* part : {&axis.first, &axis.taps, &axis.weights}) all.insert(all.end(), part->begin(), part->end());
}

// An axis whose table begins at `table`, which is moved behind it.
simt::PictureAxis at(const std::int32_t*& table, const ResizeAxis& axis) {
  const auto size = static_cast<std::int64_t>(axis.first.size());
  const simt::PictureAxis there{table, table + size, table + 2 * size, axis.stride, size};
  table += (2 + axis.stride) * size;
  return there;
}

}  // namespace

bool DeviceFeed::takes(std::size_t planes) { return planes <= simt::PictureTargets::kMost; }

void* DeviceFeed::grow(Block& block, std::size_t bytes) const {
  if (bytes > block.bytes) {
    block = {};
    block = {allocate(device_, bytes), bytes};
  }
  return block.memory.get();
}

void DeviceFeed::resize_into_planes(const ImageView& image, Size size, std::span<const PlaneSource> planes,
                                    const Tensor& planes_data, const Stream& stream) {
  check_resize(image, size);
  check<InternalError>(takes(planes.size()), "a device feed takes at most ", simt::PictureTargets::kMost, " planes");
  const std::int64_t row = image.width * image.channels;
  const std::uint8_t* bytes = image.data;
  if (image.row_bytes != row) {
    packed_.resize(static_cast<std::size_t>(image.height * row));
    for (std::int64_t y = 0; y < image.height; ++y)
      std::copy_n(image.data + y * image.row_bytes, row, packed_.data() + y * row);
    bytes = packed_.data();
  }
  const auto picture_bytes = static_cast<std::size_t>(image.height * row);
  void* picture = grow(picture_, picture_bytes);
  stream.copy(picture, device_, bytes, {}, picture_bytes);

  const ResizeAxis columns = resize_axis(image.width, size.width), rows = resize_axis(image.height, size.height);
  host_tables_.clear();
  append(host_tables_, columns);
  append(host_tables_, rows);
  const std::size_t table_bytes = host_tables_.size() * sizeof(std::int32_t);
  const auto* table = static_cast<const std::int32_t*>(grow(tables_, table_bytes));
  stream.copy(tables_.memory.get(), device_, host_tables_.data(), {}, table_bytes);
  const simt::PictureAxis across = at(table, columns), down = at(table, rows);

  const bool columns_first = resizes_columns_first(image, size);
  const std::int64_t height = columns_first ? size.height : image.height,
                     width = columns_first ? image.width : size.width;
  auto* between = static_cast<std::uint8_t*>(grow(between_, static_cast<std::size_t>(height * width * image.channels)));
  simt::resample(stream.handle(),
                 {static_cast<const std::uint8_t*>(picture), image.height, image.width, image.channels},
                 columns_first ? down : across, columns_first, between);
  simt::PictureTargets targets{const_cast<float*>(static_cast<const float*>(planes_data.raw())),
                               static_cast<std::int64_t>(planes.size()),
                               planes_data.dim(2),
                               planes_data.dim(3),
                               {},
                               {}};
  for (std::size_t p = 0; p < planes.size(); ++p) {
    targets.channel[p] = static_cast<std::int32_t>(planes[p].channel);
    targets.padding[p] = planes[p].padding;
  }
  simt::resample_into_planes(stream.handle(), {between, height, width, image.channels}, columns_first ? across : down,
                             !columns_first, targets);
}

}  // namespace d2deploy
