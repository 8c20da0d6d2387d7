#include "capi/convert.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <string>

#include "capi/call.h"

namespace d2deploy::capi {

namespace {

// The end of a field, in bytes: structs of that size are those of the first version.
template <class S, class T>
std::size_t end_of(T S::*field) {
  const S value{};
  return static_cast<std::size_t>(reinterpret_cast<const char*>(&(value.*field) + 1) -
                                  reinterpret_cast<const char*>(&value));
}

// The size that a caller knows of a struct that may grow.
template <class S>
std::size_t size_of_struct(const S& given, std::size_t least, const char* name) {
  check(given.struct_size >= least, "struct_size is ", given.struct_size, ", wanted sizeof(", name, "), ", sizeof(S));
  return given.struct_size;
}

// A struct of whatever version, with 0 in what its caller does not know.
template <class S>
S read(const S& given, std::size_t least, const char* name) {
  const std::size_t size = size_of_struct(given, least, name);
  S out{};
  std::memcpy(&out, &given, std::min(size, sizeof(S)));
  if (size > sizeof(S)) {
    constexpr std::size_t kMostUnknown = 4096;
    check(size - sizeof(S) <= kMostUnknown, "struct_size is ", size, ", wanted sizeof(", name, "), ", sizeof(S));
    const auto* rest = reinterpret_cast<const unsigned char*>(&given) + sizeof(S);
    check<Unsupported>(std::all_of(rest, rest + (size - sizeof(S)), [](unsigned char byte) { return byte == 0; }), name,
                       " has fields that are set and that this library, of ABI version ", D2D_ABI_VERSION,
                       ", does not know; a newer one is needed");
  }
  return out;
}

// The inverse: as much of a struct as its caller knows.
template <class S>
void write(S value, S& out, std::size_t least, const char* name) {
  const std::size_t size = size_of_struct(out, least, name), known = std::min(size, sizeof(S));
  value.struct_size = size;
  std::memcpy(&out, &value, known);
}

template <class T>
T one_of(const char* field, std::int32_t value, std::initializer_list<T> values) {
  check(value >= 0 && value < static_cast<std::int32_t>(values.size()), field, " is ", value, ", wanted 0 to ",
        values.size() - 1);
  return values.begin()[value];
}

bool flag(const char* field, std::int32_t value) { return one_of(field, value, {false, true}); }

// Null for "what the struct does not say".
const ChannelOrder* order_of(std::int32_t order) {
  static constexpr std::array kOrders{ChannelOrder::bgr, ChannelOrder::rgb, ChannelOrder::gray, ChannelOrder::as_is};
  return one_of("order", order,
                {static_cast<const ChannelOrder*>(nullptr), &kOrders[0], &kOrders[1], &kOrders[2], &kOrders[3]});
}

std::int32_t code_of(ChannelOrder order) {
  switch (order) {
    case ChannelOrder::bgr: return D2D_BGR;
    case ChannelOrder::rgb: return D2D_RGB;
    case ChannelOrder::gray: return D2D_GRAY;
    case ChannelOrder::as_is: break;
  }
  return D2D_AS_IS;
}

static_assert(static_cast<int>(DType::float32) + 1 == D2D_FLOAT32 && static_cast<int>(DType::int8) + 1 == D2D_INT8 &&
              static_cast<int>(DType::boolean) + 1 == D2D_BOOL && Shape::kMaxRank == D2D_MAX_RANK);
static_assert(static_cast<int>(RowOrder::file) == D2D_AS_IN_FILE &&
              static_cast<int>(Mode::throughput) == D2D_THROUGHPUT &&
              static_cast<int>(LogLevel::warning) == D2D_LOG_WARNING);

std::string text_or(const char* text, const char* otherwise) { return text == nullptr ? otherwise : text; }

d2d_options read(const d2d_options* options) {
  return options == nullptr ? d2d_options{} : read(*options, end_of(&d2d_options::max_size), "d2d_options");
}

ModelOptions model_options_of(const d2d_options& given) {
  ModelOptions options;
  options.device = text_or(given.device, "cpu");
  options.precision = text_or(given.precision, "float32");
  options.calibration = text_or(given.calibration, "");
  options.engine = text_or(given.engine, "native");
  options.caffe2_library = text_or(given.caffe2_library, "");
  options.kernels = text_or(given.kernels, "");
  if (given.log != nullptr)
    options.log = [log = given.log, context = given.log_context](LogLevel level, std::string_view text) {
      log(static_cast<std::int32_t>(level), std::string(text).c_str(), context);
    };
  check(given.max_tensor_bytes >= 0, "max_tensor_bytes is ", given.max_tensor_bytes, ", wanted 0 (4 GiB) or more");
  if (given.max_tensor_bytes > 0) options.max_tensor_bytes = given.max_tensor_bytes;
  options.threads = given.threads;
  options.low_memory = flag("low_memory", given.low_memory);
  options.tune = flag("tune", given.tune);
  options.optimize = !flag("as_in_file", given.as_in_file);
  options.own_class_masks = flag("own_class_masks", given.own_class_masks);
  return options;
}

}  // namespace

ModelOptions model_options(const d2d_options* options) { return model_options_of(read(options)); }

DetectorOptions detector_options(const d2d_options* options) {
  const d2d_options given = read(options);
  DetectorOptions out;
  out.model = model_options_of(given);
  out.mode = one_of("mode", given.mode, {Mode::latency, Mode::throughput});
  if (const ChannelOrder* order = order_of(given.order)) out.order = *order;
  out.row_order = one_of("row_order", given.row_order, {RowOrder::score, RowOrder::file});
  out.pad_with_zero = flag("pad_with_zero", given.pad_with_zero);
  out.caffe2_scale = flag("caffe2_scale", given.caffe2_scale);
  out.sem_seg = flag("sem_seg", given.sem_seg);
  out.keypoint_maps = flag("keypoint_maps", given.keypoint_maps);
  if (given.min_size != 0) out.min_size = given.min_size == D2D_KEEP_SIZE ? 0 : given.min_size;
  if (given.max_size != 0) out.max_size = given.max_size;
  if (given.max_batch != 0) out.max_batch = static_cast<int>(std::clamp<std::int64_t>(given.max_batch, -1, INT32_MAX));
  return out;
}

ImageView view_of(const d2d_image* image) {
  const d2d_image& from = required(image, "image");
  const ChannelOrder* order = order_of(from.order);
  ImageView view{from.data, from.height, from.width};
  view.channels = from.channels;
  if (from.channels == 0) view.channels = order != nullptr && *order == ChannelOrder::gray ? 1 : 3;
  view.order = order != nullptr ? *order : view.channels == 1 ? ChannelOrder::gray : ChannelOrder::bgr;
  if (from.height < 1 || from.width < 1 || view.channels < 1) return view;  // Detector refuses it
  check(from.data != nullptr, "data of the image is NULL");
  std::int64_t row = 0, needed = 0;
  if (__builtin_mul_overflow(from.width, view.channels, &row)) row = INT64_MAX;
  view.row_bytes = from.row_bytes != 0 ? from.row_bytes : row;
  if (view.row_bytes < row) return view;  // likewise
  const bool fits = !__builtin_mul_overflow(from.height - 1, view.row_bytes, &needed) &&
                    !__builtin_add_overflow(needed, row, &needed) && static_cast<std::uint64_t>(needed) <= from.bytes;
  check(fits, "the image has ", from.bytes, " bytes, too few for ", from.height, " rows of ", from.width, " pixels of ",
        view.channels, " channels, ", view.row_bytes, " bytes apart");
  return view;
}

Tensor tensor_of(const d2d_tensor* tensor) {
  const d2d_tensor& from = required(tensor, "the tensor");
  constexpr std::int32_t kFirst = D2D_FLOAT32, kLast = D2D_BOOL;
  check(from.dtype >= kFirst && from.dtype <= kLast, "dtype is ", from.dtype, ", wanted ", kFirst, " to ", kLast);
  check(from.rank >= 0 && from.rank <= D2D_MAX_RANK, "rank is ", from.rank, ", wanted 0 to ", D2D_MAX_RANK);
  TensorType type;
  type.dtype = static_cast<DType>(from.dtype - 1);
  auto bytes = static_cast<std::int64_t>(size_of(type.dtype));
  bool fits = true, empty = false;
  for (std::int32_t i = 0; i < from.rank; ++i) {
    const std::int64_t dim = from.shape[i];
    check(dim >= 0, "dimension ", i, " is ", dim, ", wanted 0 or more");
    type.shape.push_back(dim);
    empty = empty || dim == 0;
    fits = fits && !__builtin_mul_overflow(bytes, std::max<std::int64_t>(dim, 1), &bytes);
  }
  check(fits && (empty || static_cast<std::uint64_t>(bytes) <= from.bytes), "the tensor has ", from.bytes,
        " bytes, too few for ", to_string(type.shape), ' ', type.dtype);
  if (empty) return Tensor::allocate(type);
  check(from.data != nullptr, "data is NULL");
  void* data = const_cast<void*>(from.data);  // inputs are only read
  if (type.dtype == DType::boolean) {
    const auto* values = static_cast<const unsigned char*>(from.data);
    check(std::all_of(values, values + bytes, [](unsigned char value) { return value <= 1; }),
          "a value of type bool is neither 0 nor 1");
  }
  if (reinterpret_cast<std::uintptr_t>(data) % size_of(type.dtype) == 0) return Tensor::view(type, data);
  Tensor copy = Tensor::allocate(type);
  std::memcpy(copy.raw(), data, static_cast<std::size_t>(copy.bytes()));
  return copy;
}

void give(const char* name, const Tensor& from, d2d_tensor* tensor) {
  d2d_tensor& out = required(tensor, "the tensor");
  out = {};
  out.name = name;
  if (from.raw() == nullptr && from.size() > 0) return;  // one that is not there, and not one without elements
  check<InternalError>(from.device() == Device{} && from.layout() == Layout::row_major,
                       "an output that is not in host memory, row by row");
  out.data = from.raw();
  out.bytes = static_cast<std::size_t>(from.bytes());
  out.dtype = static_cast<std::int32_t>(from.dtype()) + 1;
  out.rank = static_cast<std::int32_t>(from.shape().rank());
  std::ranges::copy(from.shape(), out.shape);
}

void give(const Model& from, int streams, d2d_facts* facts) {
  const ModelOptions& options = from.options();
  d2d_facts value{};
  value.device = options.device.c_str();
  value.precision = options.precision.c_str();
  value.engine = options.engine.c_str();
  value.meta_architecture = from.info().meta_architecture.c_str();
  value.threads = options.threads;
  value.streams = streams;
  write(value, required(facts, "facts"), end_of(&d2d_facts::streams), "d2d_facts");
}

void give(const Detector& from, d2d_input* input) {
  const InputRule& rule = from.input();
  d2d_input value{};
  value.pixel_mean = rule.pixel_mean.data();
  value.channels = rule.channels;
  value.min_size = rule.min_size;
  value.max_size = rule.max_size;
  value.size_divisibility = rule.size_divisibility;
  value.order = code_of(rule.order);
  value.takes_proposals = from.takes_proposals() ? 1 : 0;
  value.square_size = rule.square_size;
  write(value, required(input, "input"), end_of(&d2d_input::takes_proposals), "d2d_input");
}

}  // namespace d2deploy::capi
