#include "core/fill.h"

#include <algorithm>
#include <array>

namespace d2deploy {

std::optional<DType> given_tensor_dtype(std::string_view type) {
  using Fill = std::pair<std::string_view, DType>;
  static constexpr std::array kFills{
      Fill{"GivenTensorFill", DType::float32}, Fill{"GivenTensorDoubleFill", DType::float32},
      Fill{"GivenTensorIntFill", DType::int32}, Fill{"GivenTensorInt64Fill", DType::int64},
      Fill{"GivenTensorBoolFill", DType::boolean}};
  const auto* const it = std::ranges::find(kFills, type, &Fill::first);
  return it == kFills.end() ? std::nullopt : std::optional(it->second);
}

DType fill_dtype(std::string_view type, std::int64_t number) {
  switch (number) {
    case 1:
    case 13: return DType::float32;
    case 2: return DType::int32;
    case 3:
    case 6: return DType::uint8;
    case 5: return DType::boolean;
    case 10: return DType::int64;
    default:
      fail<Unsupported>(type, ": dtype is ", number,
                        ", wanted 1 FLOAT, 2 INT32, 3 BYTE, 5 BOOL, 6 UINT8, 10 INT64 or 13 DOUBLE");
  }
}

DType constant_fill_dtype(const Arg& value, std::int64_t dtype) {
  const bool whole = std::holds_alternative<std::int64_t>(value);
  check<InvalidModel>(whole || std::holds_alternative<float>(value), "ConstantFill: value is ", to_text(value),
                      ", must be a number");
  if (dtype == 0) return whole ? DType::int64 : DType::float32;
  return fill_dtype("ConstantFill", dtype);
}

}  // namespace d2deploy
