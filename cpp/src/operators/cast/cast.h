#pragma once
#include <algorithm>
#include <limits>
#include <utility>

#include "kernels/simt/host_device.h"
#include "operators/operator.h"

namespace d2deploy {

/// Y = X as another element type. Floats lose their fraction; those beyond the range of an integer
/// become its end (uint8: the low 8 bits of the integer), NaN becomes 0. A bool is 1 or 0.
struct Cast {
  struct Params {
    Arg to = std::int64_t{0};
  };
  static constexpr auto fields = std::array{field<&Params::to>(
      "to", Bound::any, "Caffe2's number or name of Y's type: 1 FLOAT, 2 INT32, 5 BOOL, 6 UINT8, 10 INT64")};
  static constexpr Signature signature{"Cast", "X: any any", "Y: any any like X", LayoutRule::follow, in_place};

  static DType dtype(const Params& p) {
    struct Type {
      std::int64_t number;
      const char* name;
      DType dtype;
    };
    constexpr Type kTypes[] = {{1, "FLOAT", DType::float32},
                               {2, "INT32", DType::int32},
                               {5, "BOOL", DType::boolean},
                               {6, "UINT8", DType::uint8},
                               {10, "INT64", DType::int64}};
    const auto* number = std::get_if<std::int64_t>(&p.to);
    const auto* text = std::get_if<std::string>(&p.to);
    check<InvalidModel>(number != nullptr || text != nullptr, "Cast: to is ", to_text(p.to),
                        ", must be a type's number or name");
    std::string upper = text != nullptr ? *text : "";
    for (char& c : upper)
      if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
    for (const Type& t : kTypes)
      if (number != nullptr ? *number == t.number : upper == t.name) return t.dtype;
    check<InvalidModel>(number == nullptr || *number != 0, "Cast: to is not given");
    fail<Unsupported>("Cast: to is ", to_text(p.to), ", wanted 1 FLOAT, 2 INT32, 5 BOOL, 6 UINT8 or 10 INT64");
  }

  /// One element; real numbers come and go as float.
  template <class To, class From>
  SIMT_HOST_DEVICE static To convert(From x) {
    if constexpr (std::is_same_v<To, From>)
      return x;
    else if constexpr (std::is_same_v<To, float>)
      return static_cast<float>(x);
    else if constexpr (std::is_same_v<To, bool>)
      return x != From{0};
    else if constexpr (std::is_same_v<From, float> && sizeof(To) == 1)
      return static_cast<To>(integer<std::int32_t>(x));
    else if constexpr (std::is_same_v<From, float>)
      return integer<To>(x);
    else
      return static_cast<To>(x);
  }

  static Types infer(const Params& p, const Inputs& in) { return {{dtype(p), in[0], Layout::row_major}}; }

 private:
  // A float that is beyond the range of an integer has no defined conversion in C++.
  template <class T>
  SIMT_HOST_DEVICE static T integer(float x) {
    constexpr auto kLow = static_cast<float>(std::numeric_limits<T>::min());
    constexpr auto kHigh = -kLow;  // one past the largest: that itself is no float
    if (x >= kHigh) return std::numeric_limits<T>::max();
    if (x < kLow) return std::numeric_limits<T>::min();
    return x == x ? static_cast<T>(x) : T{0};
  }
};

}  // namespace d2deploy
