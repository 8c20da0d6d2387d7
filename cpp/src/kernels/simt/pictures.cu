#include "kernels/simt/pictures.h"

#include "kernels/resample.h"
#include "kernels/simt/simt.h"

namespace d2deploy::simt {

namespace {

constexpr unsigned kThreads = 256;

struct Job {
  Picture x;
  PictureAxis axis;
  bool down_columns;

  SIMT_HOST_DEVICE std::int64_t height() const { return down_columns ? axis.size : x.height; }
  SIMT_HOST_DEVICE std::int64_t width() const { return down_columns ? x.width : axis.size; }

  // Channel c of pixel (row, column) of the result.
  SIMT_DEVICE int value(std::int64_t row, std::int64_t column, std::int64_t c) const {
    const std::int64_t i = down_columns ? row : column;
    const std::int64_t step = (down_columns ? x.width : 1) * x.channels;
    const std::uint8_t* from = x.data + (down_columns ? column : row * x.width) * x.channels + c + axis.first[i] * step;
    const std::int32_t* weights = axis.weights + i * axis.stride;
    int sum = 1 << (kWeightBits - 1);
    for (int t = 0; t < axis.taps[i]; ++t) sum += weights[t] * static_cast<int>(from[t * step]);
    sum >>= kWeightBits;
    return sum < 0 ? 0 : sum > 255 ? 255 : sum;
  }
};

SIMT_KERNEL into_bytes(Job job, std::uint8_t* y) {
  const std::int64_t width = job.width(), count = job.height() * width * job.x.channels;
  for (std::int64_t i = first_item(); i < count; i += item_step()) {
    const std::int64_t pixel = i / job.x.channels, row = pixel / width;
    y[i] = static_cast<std::uint8_t>(job.value(row, pixel - row * width, i - pixel * job.x.channels));
  }
}

SIMT_KERNEL into_planes(Job job, PictureTargets planes) {
  const std::int64_t height = job.height(), width = job.width();
  for (std::int64_t line = blockIdx.x; line < planes.count * planes.height; line += gridDim.x) {
    const std::int64_t plane = line / planes.height, row = line - plane * planes.height;
    float* y = planes.data + line * planes.width;
    for (std::int64_t column = threadIdx.x; column < planes.width; column += blockDim.x)
      y[column] = row < height && column < width ? static_cast<float>(job.value(row, column, planes.channel[plane]))
                                                 : planes.padding[plane];
  }
}

}  // namespace

void resample(void* stream, const Picture& x, const PictureAxis& axis, bool down_columns, std::uint8_t* y) {
  const Job job{x, axis, down_columns};
  launch("resample", into_bytes,
         {blocks_for(job.height() * job.width() * x.channels, kThreads), kThreads, 0, static_cast<Stream>(stream)}, job,
         y);
}

void resample_into_planes(void* stream, const Picture& x, const PictureAxis& axis, bool down_columns,
                          const PictureTargets& planes) {
  launch("resample_into_planes", into_planes,
         {blocks_for(planes.count * planes.height, 1), kThreads, 0, static_cast<Stream>(stream)},
         Job{x, axis, down_columns}, planes);
}

}  // namespace d2deploy::simt
