// In place of cuDNN where the host stands in for the GPU: the portable loops, at once.
#include <vector>

#include "core/check.h"
#include "core/emulated_stream.h"
#include "kernels/conv.h"
#include "kernels/convert.h"
#include "kernels/cudnn/conv.h"

namespace d2deploy::cudnn {

namespace {

std::vector<float> widened(DType dtype, const void* x, std::int64_t count) {
  std::vector<float> y(static_cast<std::size_t>(count));
  convert(dtype, x, DType::float32, y.data(), count);
  return y;
}

MapView channels_last(float* data, std::int64_t c, std::int64_t h, std::int64_t w) {
  return {data, c, h, w, h * w * c, 1, w * c, c};
}

class EmulatedConv : public Conv {
 public:
  explicit EmulatedConv(const ConvProblem& problem) : p_(problem) {}
  std::size_t scratch_bytes() const override { return 0; }
  std::string detail() const override { return "emulated"; }
  void run(void* stream, const ConvArguments& arguments) const override {
    submit_launch(stream, {"convolution", {p_.n, p_.c, p_.h, p_.w, p_.k, p_.window.out_h, p_.window.out_w}},
                  [p = p_, arguments] { compute(p, arguments); });
  }

 private:
  static void compute(const ConvProblem& p, const ConvArguments& a) {
    const std::int64_t depth = p.c / p.group, sums = p.n * p.k * p.window.out_h * p.window.out_w;
    auto x = widened(p.x, a.x, p.n * p.c * p.h * p.w);
    auto w = widened(p.x, a.w, p.k * depth * p.window.kernel_h * p.window.kernel_w);
    const auto addend = p.add ? widened(p.x, a.addend, sums) : std::vector<float>();
    std::vector<float> packed(w.size()), y(static_cast<std::size_t>(sums));
    pack_filters(channels_last(w.data(), depth, p.window.kernel_h, p.window.kernel_w), p.k, p.group, packed.data());
    convolve(p.window, p.group, p.n, channels_last(x.data(), p.c, p.h, p.w), packed.data(),
             {p.bias ? a.bias : nullptr, p.add ? addend.data() : nullptr, p.relu},
             channels_last(y.data(), p.k, p.window.out_h, p.window.out_w));
    convert(DType::float32, y.data(), p.y, a.y, sums);
  }

  ConvProblem p_;
};

}  // namespace

std::string ConvProblem::text() const { return join(x, ' ', n, ' ', c, ' ', h, ' ', w, ' ', k, " to ", y); }

std::shared_ptr<const Conv> make_conv(Device, const ConvProblem& problem, bool) {
  return std::make_shared<EmulatedConv>(problem);
}

void check_available(Device) {}

}  // namespace d2deploy::cudnn
