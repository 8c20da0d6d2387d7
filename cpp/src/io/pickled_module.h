// Objects that torch.save wrote: looked at, never run.
#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace d2deploy {

/// One value of a pickle.
struct PickledValue {
  enum class Kind : std::uint8_t {
    other,   ///< None, and what is of no interest here
    number,  ///< an integer, a float or a bool
    text,
    list,     ///< or a tuple, or a set
    dict,     ///< items are its keys and values in turn
    object,   ///< of a class, or what a function would give; items are its state, once it has one
    storage,  ///< of tensors; text is its key
    tensor,   ///< items are its storage, offset, size and stride
    name,     ///< of a class or a function
  };

  Kind kind = Kind::other;
  double number = 0;
  std::string text;
  std::vector<std::size_t> items;  ///< indices of other values
};

/// What a pickle holds, as a graph of values, and the bytes of the storages beside it.
///
/// The pickle is a list of instructions, which are interpreted here as far as they make values; no class is looked up
/// and no function called. Work and memory are in proportion to the bytes.
class PickledModule {
 public:
  /// Args: `bytes` as torch.save writes them: since PyTorch 1.6 a ZIP archive, before that a stream.
  /// Throws InvalidModel where they are damaged; Unsupported where an instruction is none of those of torch.save.
  explicit PickledModule(std::string_view bytes);

  const PickledValue& root() const { return values_[root_]; }
  /// The attribute of an object, or the value of a dict's key. Throws InvalidModel where there is none.
  const PickledValue& at(const PickledValue& parent, std::string_view name) const;
  const PickledValue& item(const PickledValue& parent, std::size_t i) const { return values_[parent.items[i]]; }
  /// The numbers of a list. Throws InvalidModel where it is none, or has something else.
  std::vector<double> numbers(const PickledValue& list) const;
  /// A float32 tensor's numbers, row-major, and its shape. Throws InvalidModel where it is none, or leaves its storage.
  struct Array {
    std::vector<std::int64_t> shape;
    std::vector<float> values;
  };
  Array array(const PickledValue& tensor) const;

 private:
  void read_archive(std::string_view bytes);
  void read_stream(std::string_view bytes);

  std::vector<PickledValue> values_;
  std::size_t root_ = 0;
  std::map<std::string, std::string_view, std::less<>> storages_;
};

}  // namespace d2deploy
