// What Conv, FC and ConvTranspose have in common where cuDNN computes them: weights on the device, channels filled up
// to what tensor cores take, one run per image.
#pragma once
#include <functional>

#include "kernels/cudnn/conv.h"
#include "operators/operator.h"

namespace d2deploy {

/// A convolution as its operator knows it.
struct CudnnCall {
  cudnn::ConvProblem problem;  ///< of one run
  /// How many runs there are, each of as many images: each image of the net, and the RoIs that one may have, run apart,
  /// so that it gets what it gets alone.
  std::int64_t runs = 1;
  std::string form;  ///< how the weights are read
  /// The weights (k, kernel_h, kernel_w, c / group) from the plain ones.
  std::function<void(const Tensor& plain, float* filters)> filters;
  std::int64_t bias_repeats = 1;  ///< the bias stands for so many runs of channels, one after the other
};

/// The runs of a call with so many images, or rows.
std::int64_t cudnn_runs(const CallSite& site, std::int64_t rows);

/// A call whose input 0 and output 0 are maps, channels last, and input 2, where there is one, the bias: all of it but
/// the window and what is done to the sums. Its problem has as many output channels as Y.
CudnnCall cudnn_maps(const CallSite& site);
/// Why a call cannot be that; empty: it can.
std::string reject_cudnn_maps(const CallSite& site);

/// Weights are input 1, the bias input 2. Throws Unsupported where cuDNN has no way to compute it.
Prepared prepare_cudnn(const CallSite& site, const CudnnCall& call);

/// Runs it from input 0 into `y`; the addend is input 3 where the problem has one.
void run_cudnn(const Call& call, void* y);
/// Where behind cuDNN's own scratch memory the caller's begins, once it has asked for it behind what `prepared` has.
void* own_scratch(const Call& call);

}  // namespace d2deploy
