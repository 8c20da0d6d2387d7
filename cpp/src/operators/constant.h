// A constant of a model: its plain values, and the packed forms that kernels made of it.
#pragma once
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "d2deploy/tensor.h"

namespace d2deploy {

/// Keeps the values and the packed forms of one constant outside of memory.
class ConstantStore {
 public:
  using Memory = std::shared_ptr<void>;

  virtual ~ConstantStore() = default;
  /// The plain values as they were when the constant was made.
  virtual Tensor plain() = 0;
  /// The parts of a form, of exactly these sizes in bytes; none where it has no such form, or a damaged one.
  virtual std::vector<Memory> load(const std::string& form, std::span<const std::size_t> sizes) = 0;
  /// Never throws but for lack of memory: what cannot be kept is made again.
  virtual void save(const std::string& form, std::span<const std::span<const std::byte>> parts) = 0;
};

/// Packed once per model and form, shared by all plans. Once every reader has a packed form the
/// plain values can be dropped; they come back from an exact form should another plan want them, or, where all forms
/// are of a smaller type, from one of those. Thread-safe.
class Constant {
 public:
  struct Packed {
    std::shared_ptr<const void> data;  // what the kernel wants to keep
    std::size_t bytes = 0;
    std::function<Tensor()> unpack;  // the plain values again; empty where the form does not have them
    bool rounded = false;            // those that it gives are not the ones it was made of, but pack to the same form
    std::vector<std::span<const std::byte>> parts{};  // all that a store must keep of `data`
  };
  /// Makes a form of the parts that a store kept. Without sizes: a store does not know it.
  struct Restore {
    std::vector<std::size_t> sizes;
    std::function<Packed(std::vector<ConstantStore::Memory> parts)> make;
  };
  struct Form {
    std::string name, owner;
    std::size_t bytes = 0;
    bool exact = false;  ///< can be unpacked, bit for bit
  };

  explicit Constant(Tensor plain, std::unique_ptr<ConstantStore> store = nullptr)
      : type_(plain.type()), plain_(std::move(plain)), store_(std::move(store)) {}
  /// One whose values the store has.
  Constant(const TensorType& type, std::unique_ptr<ConstantStore> store)
      : type_(type), store_(std::move(store)), dropped_(true) {}

  const TensorType& type() const { return type_; }
  Tensor plain();
  /// The form of that name, made by `pack`, or by `restore` of what the store has, where it is not there. `owner` is
  /// the kernel that knows it. The name says all that the form depends on but the values and the CPU.
  std::shared_ptr<const void> packed(const std::string& form, const std::string& owner,
                                     const std::function<Packed(const Tensor& plain)>& pack,
                                     const Restore& restore = {});
  /// The form that `owner` made first; null where it has made none. A form is chosen once, not once per image size.
  std::shared_ptr<const void> packed_by(const std::string& owner) const;
  std::vector<Form> forms() const;
  /// Forgets the plain values where a form, or the store, can give them back. Views handed out before stay valid.
  void drop_plain();

 private:
  struct Entry {
    Form form;
    Packed packed;
  };

  const Entry* source() const;
  Tensor plain_locked();

  TensorType type_;
  mutable std::mutex mutex_;
  Tensor plain_;
  std::unique_ptr<ConstantStore> store_;  // null: memory alone
  bool dropped_ = false;
  bool read_plain_ = false;     // by a kernel that goes without a form of its own
  std::vector<Entry> entries_;  // few: one for each kernel that the model uses it with
};

}  // namespace d2deploy
