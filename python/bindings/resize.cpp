#include "resize.h"

#include "images.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace d2deploy::bindings {

namespace {

constexpr const char* kResizeDoc =
    R"(Resizes an image with Pillow's bilinear filter, bit for bit, each channel by itself. Other threads of Python run
meanwhile.

Args:
    image: (H, W) or (H, W, C). One that is not contiguous is copied.
    height: of the result, in pixels.
    width: of the result, in pixels.
    threads: 0: as many as the process may use; their number does not change the result.

Returns:
    (height, width) or (height, width, C), as many dimensions as `image` has.

Raises:
    InvalidArgument: another type or shape, no pixels, or a side above 2**24.
    DeviceError: the memory does not suffice.)";

nb::object resize_array(nb::handle image, std::int64_t height, std::int64_t width, int threads) {
  const Inputs::Array array = to_image(image);
  const ImageView pixels = view_of(array, ChannelOrder::as_is);
  const Size size{height, width};
  check_resize(pixels, size);
  TensorType type{DType::uint8, {height, width}};
  if (array.ndim() == 3) type.shape.push_back(pixels.channels);
  nb::object out = empty_array("the resized image", type);
  auto* data = static_cast<std::uint8_t*>(nb::cast<nb::ndarray<nb::c_contig>>(out).data());
  const nb::gil_scoped_release released;
  resize(pixels, size, data, width * pixels.channels, threads);
  return out;
}

}  // namespace

void bind_resize(nb::module_& module) {
  module.def("resize", resize_array, "image"_a.none(), "height"_a, "width"_a, "threads"_a = 0, kResizeDoc,
             nb::sig("def resize(image: numpy.typing.NDArray[numpy.uint8], height: int, width: int, threads: int = 0) "
                     "-> numpy.typing.NDArray[numpy.uint8]"));
}

}  // namespace d2deploy::bindings
