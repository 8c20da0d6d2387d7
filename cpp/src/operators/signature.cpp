#include "operators/signature.h"

#include <algorithm>
#include <map>

#include "core/check.h"
#include "core/element_type.h"
#include "core/text.h"

namespace d2deploy {

namespace {

Dim parse_dim(std::string_view text) {
  Dim dim;
  dim.found_in_run = text.starts_with('~');
  if (dim.found_in_run) text.remove_prefix(1);
  if (text.find_first_not_of("0123456789|") != std::string_view::npos) {
    dim.symbol = text;
    return dim;
  }
  for (const auto part : split(text, '|')) dim.alternatives.push_back(parse_int(part));
  return dim;
}

Port parse_port(std::string_view text) {
  Port port;
  const auto colon = text.find(':');
  check<InternalError>(colon != std::string_view::npos, "signature: '", text, "' lacks a colon");
  std::string_view name = strip(text.substr(0, colon)), rest = strip(text.substr(colon + 1));
  port.optional = name.ends_with('?');
  port.repeated = name.ends_with('*');
  if (port.optional || port.repeated) name.remove_suffix(1);
  port.name = name;
  port.dtype_text = rest.substr(0, rest.find(' '));
  rest = strip(rest.substr(port.dtype_text.size()));
  if (port.dtype_text != "any")
    for (const auto part : split(port.dtype_text, '|')) {
      if (part == "real") {
        port.real = true;
        port.dtypes.insert(port.dtypes.end(), {DType::float32, DType::bfloat16, DType::float16});
        continue;
      }
      port.dtypes.emplace_back();
      check<InternalError>(parse(part, port.dtypes.back()), "signature: '", part, "' is not an element type");
    }
  port.chosen = port.dtype_text == "real|float32";
  const bool listed = rest.starts_with('(');
  const auto end = listed ? rest.find(')') + 1 : std::min(rest.find(' '), rest.size());
  port.shape_text = rest.substr(0, end);
  port.remark = strip(rest.substr(end));
  port.any_shape = !listed;
  if (listed)
    for (const auto part : split(rest.substr(1, end - 2), ',')) {
      if (part == "...")
        port.open_ended = true;
      else
        port.dims.push_back(parse_dim(part));
    }
  return port;
}

// What a caller may give: in files and inputs, float32 is the one real type.
std::string wanted(const Port& port) {
  std::string text = port.dtype_text;
  if (const auto at = text.find("real"); port.real) text.replace(at, 4, "float32");
  return text;
}

class Matcher {
 public:
  explicit Matcher(std::string_view type) : type_(type) {}

  void match(const Port& port, const TensorType& found) {
    const bool quantised = port.real && is_quantised(found);
    if (!port.dtypes.empty() && !quantised && std::ranges::find(port.dtypes, found.dtype) == port.dtypes.end())
      fail<InvalidArgument>(type_, ": ", port.name, " must be ", wanted(port), ", got ", found.dtype);
    if (port.any_shape) return;
    const auto rank = found.shape.rank();
    if (port.open_ended ? rank < port.dims.size() : rank != port.dims.size()) refuse(port, found.shape, {});
    for (std::size_t i = 0; i < port.dims.size(); ++i) match(port, i, found.shape);
  }

 private:
  void match(const Port& port, std::size_t i, const Shape& shape) {
    const Dim& want = port.dims[i];
    const std::int64_t have = shape[i];
    if (have == kUnknown) return;
    if (want.symbol.empty()) {
      if (std::ranges::find(want.alternatives, have) == want.alternatives.end()) refuse(port, shape, {});
      return;
    }
    const auto [it, fresh] = symbols_.emplace(want.symbol, have);
    if (!fresh && it->second != have) refuse(port, shape, join(" with ", want.symbol, " = ", it->second));
  }

  [[noreturn]] void refuse(const Port& port, const Shape& shape, const std::string& why) const {
    fail<InvalidArgument>(type_, ": ", port.name, " must be ", port.shape_text, why, ", got ", shape);
  }

  std::string_view type_;
  std::map<std::string, std::int64_t> symbols_;
};

[[noreturn]] void refuse_count(std::string_view type, const std::vector<Port>& ports, std::size_t count,
                               const char* kind) {
  std::vector<std::string> names;
  for (const auto& p : ports) names.push_back(p.name + (p.optional ? " (optional)" : p.repeated ? ", ..." : ""));
  fail<InvalidArgument>(type, ": got ", count, ' ', kind, ", wanted ", list_of(names));
}

}  // namespace

std::vector<Port> parse_ports(std::string_view text) {
  std::vector<Port> ports;
  // " | " separates ports; a bare '|' separates alternatives.
  for (std::size_t start = 0; start < text.size();) {
    const auto end = std::min(text.find(" | ", start), text.size());
    ports.push_back(parse_port(strip(text.substr(start, end - start))));
    start = end + 3;
  }
  return ports;
}

std::vector<const Port*> ports_of(const std::vector<Port>& ports, std::size_t count) {
  const auto repeated = static_cast<std::size_t>(std::ranges::count_if(ports, &Port::repeated));
  const auto others = static_cast<std::size_t>(std::ranges::count_if(ports, [](const Port& p) { return !p.repeated; }));
  const std::size_t times = repeated == 0 || count < others ? 0 : (count - others) / repeated;
  std::vector<const Port*> of;
  for (const Port& p : ports)
    for (std::size_t k = 0; k < (p.repeated ? times : 1) && of.size() < count; ++k) of.push_back(&p);
  return of;
}

void check_inputs(std::string_view type, const std::vector<Port>& ports, std::span<const TensorType> types) {
  Matcher matcher(type);
  const auto required =
      static_cast<std::size_t>(std::ranges::count_if(ports, [](const Port& p) { return !p.optional && !p.repeated; }));
  const auto repeated = static_cast<std::size_t>(std::ranges::count_if(ports, &Port::repeated));
  const bool count_fits = repeated ? types.size() > required && (types.size() - required) % repeated == 0
                                   : types.size() >= required && types.size() <= ports.size();
  if (!count_fits) refuse_count(type, ports, types.size(), "inputs");
  const auto of = ports_of(ports, types.size());
  for (std::size_t i = 0; i < of.size(); ++i) matcher.match(*of[i], types[i]);
}

std::optional<DType> real_type(std::string_view type, const std::vector<Port>& ports,
                               std::span<const TensorType> types) {
  std::optional<DType> real;
  const auto of = ports_of(ports, types.size());
  for (std::size_t i = 0; i < of.size(); ++i)
    if (of[i]->real && is_quantised(types[i])) return DType::int8;
  for (std::size_t i = 0; i < of.size(); ++i) {
    if (!of[i]->real || !is_real(types[i].dtype)) continue;
    check(!real || *real == types[i].dtype, type, ": ", of[i]->name, " is ", types[i].dtype, ", another input ",
          real.value_or(types[i].dtype), ", must be the same");
    real = types[i].dtype;
  }
  return real;
}

void check_output_count(std::string_view type, const std::vector<Port>& ports, std::size_t count) {
  const auto required =
      static_cast<std::size_t>(std::ranges::count_if(ports, [](const Port& p) { return !p.optional && !p.repeated; }));
  const bool open = std::ranges::any_of(ports, &Port::repeated);
  if (count < required || (!open && count > ports.size())) refuse_count(type, ports, count, "outputs");
}

}  // namespace d2deploy
