#include "operators/fc/fc_cpu.h"

#include <algorithm>

#include "core/memory.h"
#include "kernels/fc.h"
#include "kernels/reorder.h"

namespace d2deploy {

namespace {

std::int64_t product(const Shape& shape, std::size_t first, std::size_t last) {
  const bool unknown = std::find(shape.begin() + first, shape.begin() + last, kUnknown) != shape.begin() + last;
  return unknown ? kUnknown : shape.size(first, last);
}

std::size_t bytes_to_reorder(const TensorType& type) {
  return type.layout == Layout::channels_last ? align_up(static_cast<std::size_t>(type.bytes())) : 0;
}

// Row-major values of the tensor: itself, or a copy in scratch, which is then used up to there.
const float* row_major(const Tensor& t, std::byte*& scratch) {
  if (t.layout() == Layout::row_major) return t.data<float>();
  auto* copy = reinterpret_cast<float*>(scratch);
  reorder(t.type(), t.raw(), Layout::row_major, copy);
  scratch += bytes_to_reorder(t.type());
  return copy;
}

}  // namespace

FCSizes FCSizes::of(const char* type, const FCParams& p, const Shape& x, const Shape& w, const Shape& b) {
  const auto axis = canonical_axis(type, p.axis, x.rank()), axis_w = canonical_axis(type, p.axis_w, w.rank());
  FCSizes s{product(x, 0, axis), product(w, 0, axis_w), product(x, axis, x.rank()), axis, axis_w};
  const std::int64_t depth = product(w, axis_w, w.rank());
  check(s.depth == depth || s.depth == kUnknown || depth == kUnknown, type, ": X ", x, " has rows of ", s.depth,
        " values, W ", w, " wants ", depth);
  check(s.columns == b[0] || s.columns == kUnknown || b[0] == kUnknown, type, ": b must be (", s.columns, ",) for W ",
        w, ", got ", b);
  if (s.columns == kUnknown) s.columns = b[0];
  if (s.depth == kUnknown) s.depth = depth;
  return s;
}

Types infer_fc(const char* type, const FCParams& p, const Inputs& in) {
  const auto s = FCSizes::of(type, p, in[0], in[1], in[2]);
  Shape y;
  for (std::size_t d = 0; d < s.axis; ++d) y.push_back(in[0][d]);
  y.push_back(s.columns);
  return {output_type(type, p.dtype, p, in.types[0], y)};
}

std::string reject_packed_product(const char* type, const FCParams& p, const CallSite& site) {
  if (!site.outputs[0].shape.known() || site.outputs[0].shape.size() == 0)
    return "the output is empty or of unknown size";
  const FCSizes s = FCSizes::of(type, p, site);
  if (s.depth <= 0) return "there is nothing to sum";
  if (!fc_reads_in_place(s, site.inputs[0], site.inputs[1])) return "X and W lie in different orders";
  if (site.outputs[0].layout == Layout::channels_last) return "the output is an image that is channels-last";
  if (site.bounded && s.axis != 1) return "the rows of the matrix are not the rows of X";
  return {};
}

double flops_fc(const char* type, const FCParams& p, const Inputs& in) {
  const auto s = FCSizes::of(type, p, in[0], in[1], in[2]);
  if (s.rows < 0 || s.columns < 0 || s.depth < 0) return 0;
  return 2.0 * static_cast<double>(s.rows) * static_cast<double>(s.columns) * static_cast<double>(s.depth);
}

bool fc_reads_in_place(const FCSizes& sizes, const TensorType& x, const TensorType& w) {
  if (x.layout == Layout::row_major && w.layout == Layout::row_major) return true;
  if (x.layout != w.layout || sizes.axis != 1 || sizes.axis_w != 1) return false;
  return std::equal(x.shape.begin() + 1, x.shape.end(), w.shape.begin() + 1, w.shape.end());
}

Prepared prepare_fc(const char* type, const FCParams& p, const CallSite& site) {
  const TensorType &x = site.inputs[0], &w = site.inputs[1], &y = site.outputs[0];
  const auto sizes = FCSizes::of(type, p, site);
  const std::size_t inputs = fc_reads_in_place(sizes, x, w) ? 0 : bytes_to_reorder(x) + bytes_to_reorder(w);
  Prepared prepared;
  prepared.scratch_bytes = inputs + bytes_to_reorder(y);
  return prepared;
}

void run_fc(const char* type, const FCParams& p, const Call& call, bool relu) {
  const Tensor &x = call.input(0), &w = call.input(1);
  const auto s = FCSizes::of(type, p, x.shape(), w.shape(), call.input(2).shape());
  const bool in_place = fc_reads_in_place(s, x.type(), w.type());
  auto* scratch = static_cast<std::byte*>(call.scratch);
  const float* a = in_place ? x.data<float>() : row_major(x, scratch);
  const float* b = in_place ? w.data<float>() : row_major(w, scratch);
  Tensor& y = call.output(0);
  const bool images = y.layout() == Layout::channels_last;  // of rank 4 itself, where axis is 3
  float* out = images ? reinterpret_cast<float*>(scratch) : y.data<float>();
  fully_connected(a, b, call.in<float>(2), s.rows, s.columns, s.depth, relu, out);
  if (images) reorder({y.dtype(), y.shape(), Layout::row_major}, out, y.layout(), y.raw());
}

}  // namespace d2deploy
