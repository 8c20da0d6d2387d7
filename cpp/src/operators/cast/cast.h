#pragma once
#include <algorithm>
#include <utility>

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

  static Types infer(const Params& p, const Inputs& in) { return {{dtype(p), in[0], Layout::row_major}}; }
};

}  // namespace d2deploy
