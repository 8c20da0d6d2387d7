// Prints docs/operators.md from the operators' definitions, and what they compute from the comments above them.
//
//   operators_page cpp/src/operators                      prints the page
//   operators_page cpp/src/operators docs/operators.md    exit status 1 where that file is not the page
#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <optional>
#include <sstream>

#include "core/text.h"
#include "operators/operator.h"

using namespace d2deploy;

namespace {

struct TraitText {
  Trait trait;
  const char* text;
};
constexpr std::array<TraitText, 6> kTraits{{{commutative, "the two inputs may be swapped"},
                                            {in_place, "may write into the memory of an input"},
                                            {view, "costs nothing: the same memory under another shape"},
                                            {keeps_range, "takes quantised numbers as they are"},
                                            {data_dependent, "how many rows some outputs have depends on the data"},
                                            {internal, "made by passes; in a file it is an unknown operator"}}};

const char* text_of(LayoutRule rule) {
  switch (rule) {
    case LayoutRule::row_major: return "";
    case LayoutRule::any:
      return "takes images row-major and channels-last; the output has the layout of the first input";
    case LayoutRule::same:
      return "takes images row-major and channels-last; all of them, weights too, must share one layout";
    case LayoutRule::follow: return "takes images row-major and channels-last; all of them must share one layout";
    case LayoutRule::own: return "decides the layout of its outputs";
  }
  return "";
}

std::string read(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  check(in.good(), path.string(), ": cannot be read");
  return {std::istreambuf_iterator<char>(in), {}};
}

// The `///` comment above `struct <type> {` in one of the operators' headers; empty where there is none.
std::string description(const std::filesystem::path& folder, const std::string& type) {
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    if (entry.path().extension() != ".h") continue;
    std::istringstream in(read(entry.path()));
    std::string comment;
    for (std::string line; std::getline(in, line);) {
      if (line == "struct " + type + " {" || line.starts_with("struct " + type + " :")) return comment;
      const bool documents = line.starts_with("///");
      comment = documents ? comment + std::string(strip(line.substr(3))) + '\n' : std::string();
    }
  }
  return {};
}

// In a cell of a table a bar would end the cell.
std::string cell(std::string text) {
  for (std::size_t i = 0; (i = text.find('|', i)) != std::string::npos; i += 2) text.insert(i, "\\");
  return text;
}

void print_ports(std::ostream& out, const char* title, const std::vector<Port>& ports) {
  out << "\n| " << title << " | Type | Shape | |\n|---|---|---|---|\n";
  for (const Port& p : ports)
    out << "| `" << p.name << '`'
        << (p.optional   ? ", optional"
            : p.repeated ? ", one or more"
                         : "")
        << " | " << cell(p.dtype_text) << " | " << cell(p.shape_text) << " | " << cell(p.remark) << " |\n";
}

const char* text_of(Bound bound) {
  switch (bound) {
    case Bound::any: return "";
    case Bound::unlimited: return "64 bits";
    case Bound::non_negative: return "at least 0";
    case Bound::positive: return "positive";
  }
  return "";
}

void print_arguments(std::ostream& out, const std::vector<FieldInfo>& fields) {
  if (fields.empty()) return;
  out << "\n| Argument | Type | Default | Bound | |\n|---|---|---|---|---|\n";
  for (const FieldInfo& f : fields) {
    if (f.internal) continue;
    out << "| `" << f.name << "` | " << f.type_name << " | `" << (f.default_text.empty() ? "\"\"" : f.default_text)
        << "` | " << text_of(f.bound) << " | " << cell(f.doc) << " |\n";
  }
}

void print_kernels(std::ostream& out, const Operator& op) {
  if (op.is(view)) return;
  out << "\nKernels, best first:";
  const char* separator = " ";
  for (const Kernel& k : op.kernels) {
    out << separator << '`' << k.name << "` (" << name(k.backend) << ')';
    separator = ", ";
  }
  out << ".\n";
}

// The defaults, and two levels where an operator takes a pyramid: it has no meaning without any.
Args example_arguments(const Operator& op) {
  Args args;
  for (const FieldInfo& f : op.fields) {
    const std::string_view name = f.name;
    if (name == "spatial_scales") args[f.name] = Floats{0.25F, 0.125F};
    if (name.ends_with("_max_level")) args[f.name] = std::int64_t{3};  // from 2
  }
  return args;
}

// The plain operators that a fused one stands for.
std::optional<std::string> meaning(const Operator& op) {
  std::size_t inputs = 0;
  for (const Port& p : op.inputs) inputs += p.optional ? 0 : p.repeated ? 2 : 1;
  const auto text = op.meaning(op.parse(example_arguments(op)), inputs);
  return text.empty() ? std::nullopt : std::optional(std::string(strip(text)));
}

void print_operator(std::ostream& out, const Operator& op, const std::filesystem::path& folder) {
  out << "\n## " << op.type << '\n';
  if (const auto text = description(folder, op.type); !text.empty()) out << '\n' << text;
  if (!op.aliases.empty()) out << "\nOther names in files: " << list_of(op.aliases) << ".\n";
  if (const auto text = meaning(op))
    out << "\nFused, made by the passes and never in a file. It stands for (`{*}`: with all its arguments)\n\n```\n"
        << *text << "\n```\n";
  print_ports(out, "Input", op.inputs);
  print_ports(out, "Output", op.outputs);
  print_arguments(out, op.fields);
  std::string traits;
  if (op.layout != LayoutRule::row_major) traits += join("- ", text_of(op.layout), '\n');
  for (const auto& [trait, text] : kTraits)
    if (op.is(trait)) traits += join("- ", text, '\n');
  if (!traits.empty()) out << '\n' << traits;
  print_kernels(out, op);
}

std::string page(const std::filesystem::path& folder) {
  std::ostringstream out;
  out << "# Operators\n\nWritten by `operators_page` from the definitions in `cpp/src/operators`; do not edit.\n\n"
         "Equal letters in shapes are equal numbers; `4|5` is one or the other, `...` any further dimensions, `~m` as "
         "many rows "
         "as the\nrun finds. The kernels are those of a build with all backends; each call takes the best that accepts "
         "it, "
         "and\n`D2DEPLOY_KERNELS` can choose another.\nAn argument that is not listed is an error in our own texts; in "
         "a "
         "file it is left out with a warning.\n";
  for (const auto& [type, op] : operators()) print_operator(out, op, folder);
  return out.str();
}

}  // namespace

int main(int argc, char** argv) try {
  check(argc == 2 || argc == 3, "usage: operators_page FOLDER [FILE]");
  const std::string text = page(argv[1]);
  if (argc == 2) {
    std::cout << text;
    return 0;
  }
  if (std::filesystem::exists(argv[2]) && read(argv[2]) == text) return 0;
  std::cerr << argv[2] << " is not what the definitions say; write it anew: operators_page " << argv[1] << " > "
            << argv[2] << '\n';
  return 1;
} catch (const std::exception& e) {
  std::cerr << e.what() << '\n';
  return 2;
}
