#include "images.h"

#include <algorithm>

namespace nb = nanobind;

namespace d2deploy::bindings {

ChannelOrder channel_order(const char* option, const std::string& name) {
  const auto found = std::ranges::find(kChannelOrders, name);
  if (found == kChannelOrders.end())
    throw InvalidArgument(std::string(option) + " is '" + name + "', available: BGR, RGB, L, as is");
  return static_cast<ChannelOrder>(found - kChannelOrders.begin());
}

Inputs::Array to_image(nb::handle value) {
  Inputs::Array array;
  const bool is_array = nb::try_cast(value, array);
  if (!is_array || array.dtype() != nb::dtype<std::uint8_t>())
    throw InvalidArgument("image is " + description(value) + ", wanted an array of uint8");
  if (array.ndim() != 2 && array.ndim() != 3)
    throw InvalidArgument("image must be (H, W) or (H, W, C), got " + std::to_string(array.ndim()) + " dimensions");
  return array;
}

ImageView view_of(const Inputs::Array& image, ChannelOrder order) {
  const auto side = [&](std::size_t i) { return static_cast<std::int64_t>(image.shape(i)); };
  ImageView view{static_cast<const std::uint8_t*>(image.data()), side(0), side(1)};
  view.channels = image.ndim() == 3 ? side(2) : 1;
  view.row_bytes = view.width * view.channels;
  view.order = view.channels == 1 && order != ChannelOrder::as_is ? ChannelOrder::gray : order;
  return view;
}

}  // namespace d2deploy::bindings
