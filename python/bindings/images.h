// Images in NumPy arrays.
#pragma once
#include <array>
#include <string>

#include "arrays.h"
#include "d2deploy/image.h"

namespace d2deploy::bindings {

/// Names of ChannelOrder, by its value.
constexpr std::array<const char*, 4> kChannelOrders{"BGR", "RGB", "L", "as is"};
/// Throws InvalidArgument, with the name of the option, where there is none of that name.
ChannelOrder channel_order(const char* option, const std::string& name);

/// An array (H, W) or (H, W, C) of uint8. Throws InvalidArgument where it is another.
Inputs::Array to_image(nanobind::handle value);
ImageView view_of(const Inputs::Array& image, ChannelOrder order);

}  // namespace d2deploy::bindings
