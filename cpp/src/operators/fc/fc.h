#pragma once
#include "operators/axis.h"
#include "operators/output_type.h"

namespace d2deploy {

struct FCParams : OutputTypeParams {
  std::int64_t axis = 1;
  std::int64_t axis_w = 1;
  std::string dtype;
};
inline constexpr auto kFCFields = joined(
    inherited<FCParams, OutputTypeParams>(kOutputTypeFields),
    std::array{
        field<&FCParams::axis>("axis", Bound::any, "first dimension of X that goes into the columns of its matrix"),
        field<&FCParams::axis_w>("axis_w", Bound::any, "the same for W"), sum_type_field<&FCParams::dtype>()});
inline constexpr const char* kFCInputs = "X: real (M, ...) | W: float32 (O, ...) | b: float32 (N)";

/// The matrices of a call: X is (rows, depth), W is (columns, depth). An unknown dimension makes unknown sizes.
struct FCSizes {
  std::int64_t rows, columns, depth;
  std::size_t axis, axis_w;

  static FCSizes of(const char* type, const FCParams& p, const Shape& x, const Shape& w, const Shape& b);
  static FCSizes of(const char* type, const FCParams& p, const CallSite& site) {
    return of(type, p, site.inputs[0].shape, site.inputs[1].shape, site.inputs[2].shape);
  }
};

Types infer_fc(const char* type, const FCParams& p, const Inputs& in);
double flops_fc(const char* type, const FCParams& p, const Inputs& in);

/// Whether X and W can be read as matrices in the order in which they lie in memory: both row-major, or both
/// channels-last images of one shape, whose elements then meet in another order, but the same ones.
bool fc_reads_in_place(const FCSizes& sizes, const TensorType& x, const TensorType& w);

/// Why no product with packed weights can be this call, whatever computes it; empty: one can.
std::string reject_packed_product(const char* type, const FCParams& p, const CallSite& site);

/// Y = X W^T + b on matrices; inputs of more dimensions are read as matrices, split at an axis.
struct FC {
  using Params = FCParams;
  static constexpr bool relu = false;
  static constexpr auto fields = kFCFields;
  static constexpr Signature signature{"FC", kFCInputs, "Y: real|float32 (M, ..., N)", LayoutRule::same, heavy};
  static Types infer(const Params& p, const Inputs& in) { return infer_fc(signature.type, p, in); }
  static double flops(const Params& p, const Inputs& in, const Types&) { return flops_fc(signature.type, p, in); }
};

}  // namespace d2deploy
