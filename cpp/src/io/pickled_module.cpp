#include "io/pickled_module.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>

#include "core/check.h"

namespace d2deploy {

namespace {

using Kind = PickledValue::Kind;

/// Reads numbers and texts, never beyond the end.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : bytes_(bytes) {}

  std::string_view take(std::size_t count) {
    check<InvalidModel>(count <= bytes_.size() - at_, "the saved object ends early");
    at_ += count;
    return bytes_.substr(at_ - count, count);
  }
  /// Little-endian.
  std::uint64_t number(std::size_t count) {
    std::uint64_t value = 0;
    const auto bytes = take(count);
    for (std::size_t i = 0; i < count; ++i) value |= std::uint64_t{static_cast<unsigned char>(bytes[i])} << 8 * i;
    return value;
  }
  std::string_view line() {
    const auto end = bytes_.find('\n', at_);
    check<InvalidModel>(end != std::string_view::npos, "the saved object ends early");
    const auto text = bytes_.substr(at_, end - at_);
    at_ = end + 1;
    return text;
  }
  void seek(std::size_t at) {
    check<InvalidModel>(at <= bytes_.size(), "the saved object ends early");
    at_ = at;
  }

 private:
  std::string_view bytes_;
  std::size_t at_ = 0;
};

/// Interprets one pickle: a machine with a stack and a memory, whose cells are indices of values.
class Unpickler {
 public:
  Unpickler(Reader& reader, std::vector<PickledValue>& values) : reader_(reader), values_(values) {}

  /// Returns: the value of the pickle.
  std::size_t run() {
    for (;;) {
      const char op = reader_.take(1)[0];
      if (op == '.') return pop();
      step(op);
    }
  }

 private:
  std::size_t add(PickledValue value) {
    values_.push_back(std::move(value));
    return values_.size() - 1;
  }
  void push(PickledValue value) { stack_.push_back(add(std::move(value))); }
  void push_number(double number) { push({.kind = Kind::number, .number = number, .text = {}, .items = {}}); }
  void push_text(std::string_view text) {
    push({.kind = Kind::text, .number = 0, .text = std::string(text), .items = {}});
  }
  void push_list(std::vector<std::size_t> items) {
    push({.kind = Kind::list, .number = 0, .text = {}, .items = std::move(items)});
  }
  std::size_t top() const {
    check<InvalidModel>(stack_.size() > (marks_.empty() ? 0 : marks_.back()), "the saved object is damaged");
    return stack_.back();
  }
  std::size_t pop() {
    const std::size_t value = top();
    stack_.pop_back();
    return value;
  }
  std::vector<std::size_t> pop_to_mark() {
    check<InvalidModel>(!marks_.empty(), "the saved object is damaged");
    const auto from = stack_.begin() + static_cast<std::ptrdiff_t>(marks_.back());
    std::vector<std::size_t> items(from, stack_.end());
    stack_.erase(from, stack_.end());
    marks_.pop_back();
    return items;
  }
  std::vector<std::size_t> pop_many(std::size_t count) {
    std::vector<std::size_t> items(count);
    for (std::size_t i = count; i-- > 0;) items[i] = pop();
    return items;
  }
  // At most so many items of a value.
  std::vector<std::size_t> first(std::size_t count, std::size_t value) const {
    const auto& items = values_[value].items;
    return {items.begin(), items.begin() + static_cast<std::ptrdiff_t>(std::min(count, items.size()))};
  }
  void append(std::size_t to, const std::vector<std::size_t>& items) {
    auto& all = values_[to].items;
    all.insert(all.end(), items.begin(), items.end());
  }
  void remember(std::size_t slot) {
    constexpr std::size_t kMost = 1 << 20;
    check<InvalidModel>(slot < kMost, "the saved object is damaged");
    if (memory_.size() <= slot) memory_.resize(slot + 1, kNothing);
    memory_[slot] = top();
  }
  void recall(std::size_t slot) {
    check<InvalidModel>(slot < memory_.size() && memory_[slot] != kNothing, "the saved object is damaged");
    stack_.push_back(memory_[slot]);
  }

  // What a function gives: as far as it matters, by its name.
  void reduce() {
    const std::size_t arguments = pop(), function = pop();
    const std::string name = values_[function].text;
    PickledValue made{.kind = Kind::object, .number = 0, .text = name, .items = {}};
    if (name == "collections OrderedDict")
      made.kind = Kind::dict;
    else if (name == "torch._utils _rebuild_tensor_v2" && values_[arguments].items.size() >= 4)
      made = {.kind = Kind::tensor, .number = 0, .text = {}, .items = first(4, arguments)};
    push(std::move(made));
  }
  void set_state() {
    const std::size_t state = pop();
    values_[top()].items = {state};
  }
  // ("storage", type, key, device, count, ...) is a storage; anything else is a class, in old files with its source.
  void persistent() {
    const auto id = first(3, pop());
    if (id.size() == 3 && values_[id[0]].text == "storage" && values_[id[2]].kind == Kind::text)
      push({.kind = Kind::storage, .number = 0, .text = values_[id[2]].text, .items = {id[1]}});
    else
      push({.kind = Kind::name, .number = 0, .text = {}, .items = {}});
  }
  void long_number(std::size_t count) {
    const auto bytes = reader_.take(count);
    double value = 0, unit = 1;
    for (const char c : bytes) {
      value += unit * static_cast<unsigned char>(c);
      unit *= 256;
    }
    push_number(!bytes.empty() && static_cast<unsigned char>(bytes.back()) > 127 ? value - unit : value);
  }

  void step(char op) {
    switch (op) {
      case '\x80': (void)reader_.take(1); return;  // the version
      case '}': return push({.kind = Kind::dict, .number = 0, .text = {}, .items = {}});
      case ']':
      case ')': return push_list({});
      case '(': return marks_.push_back(stack_.size());
      case 't': return push_list(pop_to_mark());
      case '\x85': return push_list(pop_many(1));
      case '\x86': return push_list(pop_many(2));
      case '\x87': return push_list(pop_many(3));
      case 'e': {
        const auto items = pop_to_mark();
        return append(top(), items);
      }
      case 'u': {
        const auto items = pop_to_mark();
        return append(top(), items);
      }
      case 'a': {
        const auto item = pop();
        return append(top(), {item});
      }
      case 's': {
        const auto pair = pop_many(2);
        return append(top(), pair);
      }
      case '0': return (void)pop();
      default: return value_step(op);
    }
  }

  void value_step(char op) {
    switch (op) {
      case 'N': return push({});
      case '\x88': return push_number(1);
      case '\x89': return push_number(0);
      case 'K': return push_number(static_cast<double>(reader_.number(1)));
      case 'M': return push_number(static_cast<double>(reader_.number(2)));
      case 'J': return push_number(static_cast<std::int32_t>(reader_.number(4)));
      case '\x8a': return long_number(reader_.number(1));
      case 'G': {  // big-endian
        std::uint64_t bits = 0;
        for (const char c : reader_.take(8)) bits = bits << 8 | static_cast<unsigned char>(c);
        return push_number(std::bit_cast<double>(bits));
      }
      case 'X': return push_text(reader_.take(reader_.number(4)));
      case '\x8c':
      case 'U': return push_text(reader_.take(reader_.number(1)));
      case 'T': return push_text(reader_.take(reader_.number(4)));
      case 'c': {
        const std::string module(reader_.line());
        return push({.kind = Kind::name, .number = 0, .text = module + ' ' + std::string(reader_.line()), .items = {}});
      }
      case 'q': return remember(reader_.number(1));
      case 'r': return remember(reader_.number(4));
      case 'h': return recall(reader_.number(1));
      case 'j': return recall(reader_.number(4));
      case 'R':
      case '\x81': return reduce();
      case 'b': return set_state();
      case 'Q': return persistent();
      default:
        fail<Unsupported>("the saved object has the instruction ", static_cast<int>(static_cast<unsigned char>(op)),
                          ", which torch.save does not write");
    }
  }

  static constexpr std::size_t kNothing = std::numeric_limits<std::size_t>::max();

  Reader& reader_;
  std::vector<PickledValue>& values_;
  std::vector<std::size_t> stack_, marks_, memory_;
};

}  // namespace

PickledModule::PickledModule(std::string_view bytes) {
  constexpr std::size_t kMost = 1 << 24;  // the anchors of a model take some thousand
  check<InvalidModel>(bytes.size() <= kMost, "the saved object has ", bytes.size(), " bytes, wanted at most ", kMost);
  if (bytes.starts_with("PK\x03\x04"))
    read_archive(bytes);
  else
    read_stream(bytes);
}

// A ZIP archive without compression: NAME/data.pkl and NAME/data/KEY for each storage.
void PickledModule::read_archive(std::string_view bytes) {
  const auto end = bytes.rfind("PK\x05\x06");
  check<InvalidModel>(end != std::string_view::npos, "the saved object is an archive without an end");
  Reader reader(bytes);
  reader.seek(end + 10);
  const std::uint64_t count = reader.number(2);
  (void)reader.number(4);
  std::size_t at = reader.number(4);
  std::string_view pickle;
  for (std::uint64_t i = 0; i < count; ++i) {
    reader.seek(at);
    check<InvalidModel>(reader.take(4) == "PK\x01\x02", "the saved object is a damaged archive");
    reader.seek(at + 10);
    check<Unsupported>(reader.number(2) == 0, "the saved object is a compressed archive");
    reader.seek(at + 20);
    const std::size_t size = reader.number(4);
    reader.seek(at + 28);
    const std::size_t name_size = reader.number(2), extra = reader.number(2), comment = reader.number(2);
    reader.seek(at + 42);
    const std::size_t header = reader.number(4);
    const auto name = reader.take(name_size);
    at += 46 + name_size + extra + comment;
    reader.seek(header + 26);
    const std::size_t local = reader.number(2) + reader.number(2);
    reader.seek(header + 30 + local);
    const auto content = reader.take(size);
    if (name.ends_with("/data.pkl")) pickle = content;
    if (const auto folder = name.find("/data/"); folder != std::string_view::npos)
      storages_.emplace(name.substr(folder + 6), content);
  }
  Reader of_pickle(pickle);
  root_ = Unpickler(of_pickle, values_).run();
}

// Five pickles: a magic number, a version, sizes of types, the object, the keys of the storages; then for each key the
// number of elements and these.
void PickledModule::read_stream(std::string_view bytes) {
  Reader reader(bytes);
  const auto next = [&] { return Unpickler(reader, values_).run(); };
  constexpr double kMagic = 119547037146038801333356.0;
  check<InvalidModel>(values_[next()].number == kMagic, "the saved object is not what torch.save writes");
  (void)next();
  (void)next();
  root_ = next();
  const std::size_t keys = next();
  for (const std::size_t key : values_[keys].items) {
    const std::uint64_t count = reader.number(8);
    check<InvalidModel>(count <= bytes.size() / 4, "the saved object ends early");
    storages_.emplace(values_[key].text, reader.take(count * 4));
  }
}

const PickledValue& PickledModule::at(const PickledValue& parent, std::string_view name) const {
  const PickledValue* dict = &parent;
  if (parent.kind == Kind::object && !parent.items.empty()) dict = &values_[parent.items[0]];
  for (std::size_t i = 0; dict->kind == Kind::dict && i + 1 < dict->items.size(); i += 2)
    if (values_[dict->items[i]].kind == Kind::text && values_[dict->items[i]].text == name)
      return values_[dict->items[i + 1]];
  fail<InvalidModel>("the saved object has no '", name, "'");
}

std::vector<double> PickledModule::numbers(const PickledValue& list) const {
  std::vector<double> numbers;
  check<InvalidModel>(list.kind == Kind::list, "the saved object has something else in place of a list");
  for (const std::size_t i : list.items) {
    check<InvalidModel>(values_[i].kind == Kind::number, "the saved object has something else in place of a number");
    numbers.push_back(values_[i].number);
  }
  return numbers;
}

PickledModule::Array PickledModule::array(const PickledValue& tensor) const {
  check<InvalidModel>(tensor.kind == Kind::tensor, "the saved object has something else in place of a tensor");
  const PickledValue& storage = item(tensor, 0);
  const auto bytes = storages_.find(storage.text);
  check<InvalidModel>(storage.kind == Kind::storage && bytes != storages_.end() && !storage.items.empty(),
                      "the saved object has a tensor without its numbers");
  check<Unsupported>(values_[storage.items[0]].text == "torch FloatStorage", "the saved object has a tensor of ",
                     values_[storage.items[0]].text, ", wanted float32");
  Array array;
  std::int64_t size = 1, dense = 1;
  constexpr double kMost = 1 << 20;
  const auto shape = numbers(item(tensor, 2)), stride = numbers(item(tensor, 3));
  for (const double dim : shape) {
    check<InvalidModel>(dim >= 0 && dim <= kMost && static_cast<double>(size) * dim <= kMost,
                        "the saved object has a tensor of ", dim, " rows");
    array.shape.push_back(static_cast<std::int64_t>(dim));
    size *= static_cast<std::int64_t>(dim);
  }
  check<Unsupported>(stride.size() == shape.size(), "the saved object has a tensor with strides that do not fit");
  for (std::size_t i = shape.size(); i-- > 0;) {
    check<Unsupported>(array.shape[i] <= 1 || stride[i] == static_cast<double>(dense),
                       "the saved object has a tensor that is not contiguous");
    dense *= array.shape[i];
  }
  const double offset = item(tensor, 1).number;
  const auto available = static_cast<double>(bytes->second.size() / sizeof(float));
  check<InvalidModel>(offset >= 0 && offset + static_cast<double>(size) <= available,
                      "the saved object has a tensor that leaves its storage");
  array.values.resize(static_cast<std::size_t>(size));
  if (size > 0)
    std::memcpy(array.values.data(), bytes->second.data() + static_cast<std::size_t>(offset) * sizeof(float),
                array.values.size() * sizeof(float));
  return array;
}

}  // namespace d2deploy
