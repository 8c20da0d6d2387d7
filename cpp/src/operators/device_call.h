// How kernels for GPUs, which the host must not read for, reach the arguments of a call.
#pragma once
#include "kernels/simt/simt.h"
#include "operators/operator.h"

namespace d2deploy {

template <class T>
const T* device_in(const Call& call, std::size_t i) {
  const Tensor& x = call.input(i);
  check<InternalError>(x.device().kind == Device::cuda && x.dtype() == kDType<T>, "input ", i, " holds ", x.dtype(),
                       " on ", x.device(), ", the kernel reads ", kDType<T>, " on a GPU");
  return static_cast<const T*>(x.raw());
}

/// Null where the call has no such output.
template <class T>
T* device_out(const Call& call, std::size_t i) {
  if (!call.has_output(i)) return nullptr;
  Tensor& y = call.output(i);
  check<InternalError>(y.device().kind == Device::cuda && y.dtype() == kDType<T>, "output ", i, " holds ", y.dtype(),
                       " on ", y.device(), ", the kernel writes ", kDType<T>, " on a GPU");
  return static_cast<T*>(y.raw());
}

/// For what only moves elements, whatever they are.
inline const std::byte* device_bytes_in(const Call& call, std::size_t i) {
  const Tensor& x = call.input(i);
  check<InternalError>(x.device().kind == Device::cuda, "input ", i, " is on ", x.device(), ", wanted on a GPU");
  return static_cast<const std::byte*>(x.raw());
}
inline std::byte* device_bytes_out(const Call& call, std::size_t i) {
  Tensor& y = call.output(i);
  check<InternalError>(y.device().kind == Device::cuda, "output ", i, " is on ", y.device(), ", wanted on a GPU");
  return static_cast<std::byte*>(y.raw());
}

inline simt::Stream stream_of(const Call& call) { return static_cast<simt::Stream>(call.context.stream); }

/// Rows of a tensor: the most there may be, and on the device how many there are, where that is less.
struct DeviceRows {
  std::int64_t most = 0;
  const std::int32_t* slot = nullptr;

  SIMT_DEVICE std::int64_t count() const { return slot == nullptr ? most : *slot; }
};

inline DeviceRows rows_of_input(const Call& call, std::size_t i) {
  return {call.input(i).dim(0), i < call.input_rows.size() ? call.input_rows[i] : nullptr};
}

/// Null where nobody asks for it.
inline std::int32_t* slot_of_output(const Call& call, std::size_t i) {
  return i < call.output_rows.size() ? call.output_rows[i] : nullptr;
}

}  // namespace d2deploy
