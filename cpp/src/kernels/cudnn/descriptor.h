// The objects of cuDNN's graph API, by its C interface.
#pragma once
#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "kernels/cudnn/library.h"

namespace d2deploy::cudnn {

/// Owns one object. `set` takes values of the types that cuDNN names.
class Descriptor {
 public:
  explicit Descriptor(cudnnBackendDescriptorType_t type) {
    check(functions().BackendCreateDescriptor(type, &descriptor_), "descriptor");
  }
  Descriptor(Descriptor&& other) noexcept : descriptor_(std::exchange(other.descriptor_, nullptr)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(descriptor_, other.descriptor_);
    return *this;
  }
  ~Descriptor() {
    if (descriptor_ != nullptr) functions().BackendDestroyDescriptor(descriptor_);
  }
  cudnnBackendDescriptor_t get() const { return descriptor_; }

  template <class T>
  Descriptor& set(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, const std::vector<T>& values) {
    check(functions().BackendSetAttribute(descriptor_, name, type, static_cast<std::int64_t>(values.size()),
                                          values.data()),
          "attribute");
    return *this;
  }
  template <class T>
  Descriptor& set(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, T value) {
    check(functions().BackendSetAttribute(descriptor_, name, type, 1, &value), "attribute");
    return *this;
  }
  Descriptor& set(cudnnBackendAttributeName_t name, const Descriptor& value) {
    return set(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, value.get());
  }
  Descriptor& set(cudnnBackendAttributeName_t name, std::int64_t value) { return set(name, CUDNN_TYPE_INT64, value); }
  Descriptor& set(cudnnBackendAttributeName_t name, const std::vector<std::int64_t>& values) {
    return set(name, CUDNN_TYPE_INT64, values);
  }

  bool try_finalize() { return functions().BackendFinalize(descriptor_) == CUDNN_STATUS_SUCCESS; }
  Descriptor&& finalize() && {
    check(functions().BackendFinalize(descriptor_), "finalize");
    return std::move(*this);
  }

  std::int64_t integer(cudnnBackendAttributeName_t name) const {
    std::int64_t value = 0, count = 0;
    check(functions().BackendGetAttribute(descriptor_, name, CUDNN_TYPE_INT64, 1, &count, &value), "attribute");
    return value;
  }
  /// As many values as there are, at most `most`; none where the object does not have them.
  template <class T>
  std::vector<T> values(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, std::size_t most) const {
    std::vector<T> all(most);
    std::int64_t count = 0;
    if (functions().BackendGetAttribute(descriptor_, name, type, static_cast<std::int64_t>(most), &count, all.data()) !=
        CUDNN_STATUS_SUCCESS)
      count = 0;
    all.resize(std::min(most, static_cast<std::size_t>(count)));
    return all;
  }
  /// Empty where the object does not have it.
  std::string text(cudnnBackendAttributeName_t name) const {
    std::int64_t count = 0;
    if (functions().BackendGetAttribute(descriptor_, name, CUDNN_TYPE_CHAR, 0, &count, nullptr) != CUDNN_STATUS_SUCCESS)
      return {};
    const auto all = values<char>(name, CUDNN_TYPE_CHAR, static_cast<std::size_t>(std::max<std::int64_t>(count, 0)));
    return {all.begin(), all.end()};
  }

 private:
  cudnnBackendDescriptor_t descriptor_ = nullptr;
};

}  // namespace d2deploy::cudnn
