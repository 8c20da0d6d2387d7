#include "case.h"

#include <algorithm>
#include <numeric>

#include "core/element_type.h"
#include "core/text.h"

namespace d2deploy {

namespace {

// SplitMix64 (Steele, Lea, Flood 2014): the same numbers on every machine.
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}
  std::uint64_t next() {
    std::uint64_t z = state_ += 0x9E3779B97F4A7C15U;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9U;
    z = (z ^ z >> 27) * 0x94D049BB133111EBU;
    return z ^ z >> 31;
  }
  float uniform(float lo, float hi) { return lo + (hi - lo) * (static_cast<float>(next() >> 40) * 0x1p-24F); }

 private:
  std::uint64_t state_;
};

void set(Tensor& t, std::int64_t i, float value) {
  with_element_type(t.dtype(), [&]<class T>(T) {
    if constexpr (std::is_same_v<T, bool>)
      t.data<T>()[i] = value != 0.0F;
    else if constexpr (kReal<T>)
      t.data<T>()[i] = static_cast<T>(value);
    else
      t.data<T>()[i] = static_cast<T>(static_cast<std::int64_t>(value));
  });
}

void fill_rois(Tensor& t, Random& random, const std::vector<float>& p) {
  check(p.size() == 3, "rois wants (N,H,W)");
  const std::int64_t rows = t.dim(0), columns = t.dim(1), first = columns % 4;
  for (std::int64_t r = 0; r < rows; ++r) {
    if (first == 1) set(t, r * columns, static_cast<float>(r * static_cast<std::int64_t>(p[0]) / rows));
    for (std::int64_t c = first; c < columns; c += 4) {
      const float x1 = random.uniform(0, p[2] * 0.9F), y1 = random.uniform(0, p[1] * 0.9F);
      const float values[] = {x1, y1, random.uniform(x1 + 0.05F * p[2], p[2]), random.uniform(y1 + 0.05F * p[1], p[1])};
      for (std::int64_t k = 0; k < 4; ++k) set(t, r * columns + c + k, values[k]);
    }
  }
}

void fill_anchors(Tensor& t, const std::vector<float>& p) {
  check(p.size() == 1, "anchors wants (size)");
  for (std::int64_t a = 0; a < t.dim(0); ++a) {
    const float half_w = p[0] * 0.5F / (1.0F + static_cast<float>(a)),
                half_h = p[0] * 0.25F * (1.0F + static_cast<float>(a));
    const float values[] = {-half_w, -half_h, half_w, half_h};
    for (std::int64_t k = 0; k < 4; ++k) set(t, a * t.dim(1) + k, values[k]);
  }
}

void fill_probabilities(Tensor& t, Random& random) {
  const std::int64_t columns = t.dim(t.shape().rank() - 1);
  for (std::int64_t r = 0; columns > 0 && r < t.size() / columns; ++r) {
    std::vector<float> row(static_cast<std::size_t>(columns));
    for (auto& v : row) v = random.uniform(0.0F, 1.0F) * random.uniform(0.0F, 1.0F) + 1e-3F;
    const float sum = std::accumulate(row.begin(), row.end(), 0.0F);
    for (std::int64_t c = 0; c < columns; ++c) set(t, r * columns + c, row[static_cast<std::size_t>(c)] / sum);
  }
}

void generate(Tensor& t, std::string_view text, std::uint64_t seed) {
  Random random(seed);
  const auto open = text.find('(');
  const std::string_view kind = text.substr(0, open);
  std::vector<float> p;
  if (open != std::string_view::npos)
    for (const auto v : split(text.substr(open + 1, text.size() - open - 2), ',')) p.push_back(parse_float(v));
  if (kind == "uniform") {
    check(p.size() == 2, "uniform wants (lo,hi)");
    for (std::int64_t i = 0; i < t.size(); ++i) set(t, i, random.uniform(p[0], p[1]));
  } else if (kind == "iota") {
    for (std::int64_t i = 0; i < t.size(); ++i) set(t, i, static_cast<float>(i));
  } else if (kind == "fill") {
    check(p.size() == 1, "fill wants (value)");
    for (std::int64_t i = 0; i < t.size(); ++i) set(t, i, p[0]);
  } else if (kind == "permutation") {
    std::vector<std::int64_t> order(static_cast<std::size_t>(t.size()));
    std::iota(order.begin(), order.end(), 0);
    for (std::size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[random.next() % i]);
    for (std::size_t i = 0; i < order.size(); ++i) set(t, static_cast<std::int64_t>(i), static_cast<float>(order[i]));
  } else if (kind == "probabilities") {
    fill_probabilities(t, random);
  } else if (kind == "anchors") {
    fill_anchors(t, p);
  } else if (kind == "rois") {
    fill_rois(t, random, p);
  } else {
    fail<InvalidArgument>("unknown generator '", text, "'");
  }
}

Tensor parse_input(std::string_view word, std::uint64_t seed) {
  TensorType type;
  const auto values_at = word.find_first_of("=~");
  std::string_view head = word.substr(0, values_at);
  if (const auto colon = head.find(':'); colon != std::string_view::npos) {
    check(parse(head.substr(0, colon), type.dtype), "'", head, "' has no known element type");
    head = head.substr(colon + 1);
  }
  if (head != "scalar")
    for (const auto d : split(head, 'x')) type.shape.push_back(parse_int(d));
  Tensor t = Tensor::allocate(type);
  if (values_at == std::string_view::npos) {
    generate(t, is_real(type.dtype) ? "uniform(-1,1)" : "iota", seed);
  } else if (word[values_at] == '~') {
    generate(t, word.substr(values_at + 1), seed);
  } else {
    const auto values = split(word.substr(values_at + 1), ',');
    check(static_cast<std::int64_t>(values.size()) == t.size(), "'", word, "' has ", values.size(), " values");
    for (std::size_t i = 0; i < values.size(); ++i) set(t, static_cast<std::int64_t>(i), parse_float(values[i]));
  }
  return t;
}

void parse_expected(Case& c, std::string_view text) {
  if (text.starts_with("error:")) {
    c.error = std::string(strip(text.substr(6)));
    return;
  }
  for (std::size_t start = 0; start <= text.size();) {
    const auto end = std::min(text.find('|', start), text.size());
    c.expected.emplace_back();
    for (const auto v : split(text.substr(start, end - start), ' ')) c.expected.back().push_back(parse_float(v));
    start = end + 1;
  }
}

}  // namespace

Case parse_case(std::string_view line) {
  Case c;
  c.text = strip(line);
  return with_context([&] { return "case '" + c.text + "'"; },
                      [&] {
                        const auto arrow = line.find("->");
                        const std::string_view call = line.substr(0, arrow);
                        const auto colon = call.find(" :");
                        check(colon != std::string_view::npos, "wanted 'Type args : inputs'");
                        const auto space = std::min(call.find(' '), colon);
                        c.op = find_operator(strip(call.substr(0, space)));
                        check(c.op != nullptr, "unknown operator");
                        c.args = parse_args(call.substr(space, colon - space));
                        std::uint64_t seed = 1;
                        for (auto word : split(call.substr(colon + 2), ' ')) {
                          c.constant.push_back(word.starts_with('!'));
                          if (c.constant.back()) word.remove_prefix(1);
                          c.inputs.push_back(parse_input(word, seed++));
                        }
                        if (arrow != std::string_view::npos) parse_expected(c, strip(line.substr(arrow + 2)));
                        return c;
                      });
}

std::vector<Case> parse_cases(std::string_view text) {
  std::vector<Case> cases;
  for (const auto line : lines(text))
    if (!strip(line).empty() && strip(line).front() != '#') cases.push_back(parse_case(line));
  return cases;
}

}  // namespace d2deploy
