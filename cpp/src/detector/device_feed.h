// Pictures on their way to a net on a GPU: their bytes go up, and become its input there.
#pragma once
#include <memory>
#include <vector>

#include "core/device.h"
#include "detector/resize.h"

namespace d2deploy {

/// For one picture at a time. What it holds on the device stays for the next one.
class DeviceFeed {
 public:
  explicit DeviceFeed(Device device) : device_(device) {}

  /// Asks the stream to write what resize_into_planes would into `planes_data`, float32 (1, planes, H, W) on the
  /// device, bit for bit. The picture is to stay until that is done. Throws as resize_into_planes.
  void resize_into_planes(const ImageView& image, Size size, std::span<const PlaneSource> planes,
                          const Tensor& planes_data, const Stream& stream);

  /// Whether the device takes so many planes.
  static bool takes(std::size_t planes);

 private:
  // Memory of the device that grows.
  struct Block {
    std::shared_ptr<void> memory;
    std::size_t bytes = 0;
  };
  void* grow(Block& block, std::size_t bytes) const;

  Device device_;
  Block picture_, between_, tables_;
  std::vector<std::uint8_t> packed_;  // of a picture whose rows do not lie close
  std::vector<std::int32_t> host_tables_;
};

}  // namespace d2deploy
