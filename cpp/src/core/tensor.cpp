#include "d2deploy/tensor.h"

#include <algorithm>
#include <cstring>
#include <ostream>

#include "core/check.h"
#include "core/memory.h"

namespace d2deploy {

std::string to_string(Device device) {
  return device.kind == Device::cpu ? "cpu" : "cuda:" + std::to_string(device.index);
}
std::ostream& operator<<(std::ostream& os, Device device) { return os << to_string(device); }

Shape::Shape(std::initializer_list<std::int64_t> dims)
    : Shape(std::span<const std::int64_t>(dims.begin(), dims.size())) {}

Shape::Shape(std::span<const std::int64_t> dims) {
  for (const auto d : dims) push_back(d);
}

void Shape::push_back(std::int64_t dim) {
  check<Unsupported>(rank_ < kMaxRank, "a tensor may have at most ", kMaxRank, " dimensions");
  dims_[rank_++] = dim;
}

bool Shape::known() const { return std::find(begin(), end(), kUnknown) == end(); }

std::int64_t Shape::size() const { return size(0, rank_); }

std::int64_t Shape::size(std::size_t first, std::size_t last) const {
  std::int64_t product = 1;
  bool overflow = false, zero = false;
  for (std::size_t i = first; i < last; ++i) {
    check<InvalidModel>(dims_[i] >= 0, "shape ", *this, " has a negative or unknown dimension");
    zero = zero || dims_[i] == 0;
    if (dims_[i] != 0) overflow = __builtin_mul_overflow(product, dims_[i], &product) || overflow;
  }
  if (zero) return 0;
  check<InvalidModel>(!overflow, "shape ", *this, " has more than 2^63 elements");
  return product;
}

bool operator==(const Shape& a, const Shape& b) { return std::ranges::equal(a, b); }

std::string to_string(const Shape& shape) {
  return guarded([&] {
    std::string text = "(";
    for (std::size_t i = 0; i < shape.rank(); ++i)
      text += join(i == 0 ? "" : ", ", shape[i] == kUnknown ? "?" : std::to_string(shape[i]));
    return text + (shape.rank() == 1 ? ",)" : ")");
  });
}
std::ostream& operator<<(std::ostream& os, const Shape& shape) { return os << to_string(shape); }

std::string_view name(Layout layout) { return layout == Layout::row_major ? "row_major" : "channels_last"; }
std::ostream& operator<<(std::ostream& os, Layout layout) { return os << name(layout); }

std::int64_t TensorType::bytes() const {
  std::int64_t total = 0;
  check<InvalidModel>(!__builtin_mul_overflow(shape.size(), static_cast<std::int64_t>(size_of(dtype)), &total),
                      "shape ", shape, " takes more than 2^63 bytes");
  return total;
}

Tensor Tensor::allocate(const TensorType& type) {
  auto memory = d2deploy::allocate(static_cast<std::size_t>(type.bytes()));
  void* data = memory.get();
  return share(type, data, std::move(memory));
}

Tensor Tensor::view(const TensorType& type, void* data, Device device) { return share(type, data, nullptr, device); }

Tensor Tensor::share(const TensorType& type, void* data, std::shared_ptr<const void> owner, Device device) {
  Tensor t;
  t.type_ = type;
  t.device_ = device;
  t.data_ = data;
  t.owner_ = std::move(owner);
  return t;
}

Tensor Tensor::with_type(const TensorType& type) const {
  check<InternalError>(type.bytes() <= bytes(), "cannot view ", shape(), " as ", type.shape);
  return share(type, data_, owner_, device_);
}

Tensor Tensor::clone() const {
  check<InternalError>(device_.kind == Device::cpu, "clone: tensor ", shape(), " is in the memory of ", device_);
  return copy_of(type_, data_, static_cast<std::size_t>(size()));
}

Tensor Tensor::copy_of(const TensorType& type, const void* values, std::size_t count) {
  check(static_cast<std::size_t>(type.shape.size()) == count, "shape ", type.shape, " needs ", type.shape.size(),
        " values, got ", count);
  Tensor t = allocate(type);
  if (count != 0) std::memcpy(t.raw(), values, static_cast<std::size_t>(type.bytes()));
  return t;
}

void Tensor::require(DType wanted) const {
  check<InternalError>(device_.kind == Device::cpu, "tensor ", shape(), " is in the memory of ", device_,
                       ", the host cannot read it");
  check(dtype() == wanted, "tensor ", shape(), " holds ", dtype(), ", wanted ", wanted);
}

}  // namespace d2deploy
