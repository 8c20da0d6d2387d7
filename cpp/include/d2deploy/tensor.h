// Dense tensors: element type, shape, physical layout, and data in the memory of a device.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <iosfwd>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "d2deploy/dtype.h"

#pragma GCC visibility push(default)
namespace d2deploy {

/// A dimension that is known only once the data is.
inline constexpr std::int64_t kUnknown = -1;

/// Up to eight dimensions, held inline so that shapes never allocate.
class Shape {
 public:
  static constexpr std::size_t kMaxRank = 8;

  Shape() = default;
  Shape(std::initializer_list<std::int64_t> dims);  ///< throws Unsupported above kMaxRank
  explicit Shape(std::span<const std::int64_t> dims);

  std::size_t rank() const { return rank_; }
  std::int64_t operator[](std::size_t i) const { return dims_[i]; }
  std::int64_t& operator[](std::size_t i) { return dims_[i]; }
  const std::int64_t* begin() const { return dims_.data(); }
  const std::int64_t* end() const { return dims_.data() + rank_; }
  void push_back(std::int64_t dim);

  /// Whether no dimension is kUnknown.
  bool known() const;
  /// Number of elements; 1 for a scalar. Throws InvalidModel where the product overflows 63 bits, where a dimension
  /// is 0 that of the others, or a dimension is negative.
  std::int64_t size() const;
  /// Product of the dimensions [first, last), with the same checks.
  std::int64_t size(std::size_t first, std::size_t last) const;

  friend bool operator==(const Shape& a, const Shape& b);

 private:
  std::array<std::int64_t, kMaxRank> dims_{};
  std::size_t rank_ = 0;
};

std::string to_string(const Shape& shape);  ///< "(2, 3, ?)"
std::ostream& operator<<(std::ostream& os, const Shape& shape);

/// Physical order of a tensor's elements. The logical shape of an image is (N, C, H, W) in both.
enum class Layout : std::uint8_t {
  row_major,      ///< last dimension fastest
  channels_last,  ///< rank 4 only: stored as N, H, W, C
};
std::string_view name(Layout layout);
std::ostream& operator<<(std::ostream& os, Layout layout);

/// Everything about a tensor but its data.
struct TensorType {
  DType dtype = DType::float32;
  Shape shape;
  Layout layout = Layout::row_major;
  float scale = 0;  ///< of quantised numbers, int8 or uint8: the real number that 1 stands for; 0: plain numbers

  std::int64_t bytes() const;  ///< throws InvalidModel on overflow
  friend bool operator==(const TensorType&, const TensorType&) = default;
};

/// What holds a tensor and runs a kernel.
struct Device {
  enum Kind : std::uint8_t { cpu, cuda };
  Kind kind = cpu;
  int index = 0;  ///< which of several of this kind

  friend bool operator==(const Device&, const Device&) = default;
};
std::string to_string(Device device);  ///< "cpu", "cuda:0"
std::ostream& operator<<(std::ostream& os, Device device);

/// A typed view of memory that it may share the ownership of. Copying a Tensor copies the view.
class Tensor {
 public:
  Tensor() = default;
  /// Uninitialised memory of its own, aligned to 64 bytes. Throws DeviceError where there is none.
  static Tensor allocate(const TensorType& type);
  /// Memory of somebody else, which must outlive the view.
  static Tensor view(const TensorType& type, void* data, Device device = {});
  /// Memory kept alive by `owner`.
  static Tensor share(const TensorType& type, void* data, std::shared_ptr<const void> owner, Device device = {});
  /// A row-major copy of `values`. Throws InvalidArgument where their number is not the shape's size.
  template <class T>
  static Tensor of(const Shape& shape, std::span<const T> values) {
    return copy_of({kDType<T>, shape, Layout::row_major}, values.data(), values.size());
  }
  template <class T>
  static Tensor of(const Shape& shape, std::initializer_list<T> values) {
    return of<T>(shape, std::span<const T>(values.begin(), values.size()));
  }

  const TensorType& type() const { return type_; }
  const Shape& shape() const { return type_.shape; }
  DType dtype() const { return type_.dtype; }
  Layout layout() const { return type_.layout; }
  std::int64_t dim(std::size_t i) const { return type_.shape[i]; }
  std::int64_t size() const { return type_.shape.size(); }
  std::int64_t bytes() const { return type_.bytes(); }

  Device device() const { return device_; }

  void* raw() { return data_; }  ///< an address on the device
  const void* raw() const { return data_; }
  /// The elements in host memory. Throws InvalidArgument where T is not the tensor's element type, InternalError where
  /// they are in the memory of another device.
  template <class T>
  T* data() {
    require(kDType<T>);
    return static_cast<T*>(data_);
  }
  template <class T>
  const T* data() const {
    require(kDType<T>);
    return static_cast<const T*>(data_);
  }
  template <class T>
  std::span<const T> values() const {
    return {data<T>(), static_cast<std::size_t>(size())};
  }

  /// The same memory under another shape of the same size (or smaller: the first elements).
  Tensor with_type(const TensorType& type) const;
  /// Changes the first dimension to at most what it was planned for: the memory stays.
  void set_rows(std::int64_t rows) { type_.shape[0] = rows; }
  /// A copy with memory of its own, on the same device.
  Tensor clone() const;

 private:
  static Tensor copy_of(const TensorType& type, const void* values, std::size_t count);
  void require(DType wanted) const;

  TensorType type_;
  Device device_;
  void* data_ = nullptr;
  std::shared_ptr<const void> owner_;
};

}  // namespace d2deploy
#pragma GCC visibility pop
