// Convolutions of feature maps on a GPU, channels last, with bias, addend and ReLU in the same pass: by cuDNN, or,
// where the host stands in for the GPU, by portable loops.
#pragma once
#include <cstdint>
#include <memory>
#include <string>

#include "d2deploy/tensor.h"
#include "kernels/window.h"

namespace d2deploy::cudnn {

/// Y (n, k, out_h, out_w) = relu(conv(X (n, c, h, w), W (k, kernel_h, kernel_w, c / group)) + bias (k) + A), where A is
/// laid out like Y. X, W and A have one type, Y has it or float32; the bias is float32, and so are the sums.
struct ConvProblem {
  DType x = DType::float32, y = DType::float32;
  std::int64_t n = 1, c = 1, h = 1, w = 1, k = 1, group = 1;
  Window window;
  bool bias = false, add = false, relu = false;
  bool tf32 = false;            ///< float32 numbers may be rounded to 10 bits before they are multiplied
  std::int64_t alignment = 16;  ///< what addresses of maps are multiples of

  std::string text() const;  ///< all of it, on one line
};

/// Addresses in the memory of the device; those of filters and bias are multiples of 16.
struct ConvArguments {
  const void *x = nullptr, *w = nullptr;
  const float* bias = nullptr;
  const void* addend = nullptr;
  void *y = nullptr, *scratch = nullptr;
};

/// A convolution made ready for a device. Immutable: many threads share it.
class Conv {
 public:
  virtual ~Conv() = default;
  virtual std::size_t scratch_bytes() const = 0;
  virtual std::string detail() const = 0;  ///< which way of computing it was chosen, for profiles
  virtual void run(void* stream, const ConvArguments& arguments) const = 0;
};

/// Those of equal problems share one. Null where there is no way to compute it. `tune`: some of the best are timed, and
/// the fastest is taken. Throws DeviceError where there is no cuDNN, or one that is too old.
std::shared_ptr<const Conv> make_conv(Device device, const ConvProblem& problem, bool tune);

/// Throws as make_conv where nothing could be made at all.
void check_available(Device device);

}  // namespace d2deploy::cudnn
