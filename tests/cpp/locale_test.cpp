// Texts that are data (graphs, meanings of fused operators, headers of files, what the program prints, messages) are
// the same whatever locale the process has set: here one that groups digits and writes a comma for the point.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <locale>
#include <map>
#include <sstream>

#include "cli/report.h"
#include "io/npy.h"
#include "net_builder.h"
#include "net_run.h"
#include "small_detector.h"

namespace d2deploy::testing {
namespace {

class Grouping : public std::numpunct<char> {
  char do_decimal_point() const override { return ','; }
  char do_thousands_sep() const override { return '.'; }
  std::string do_grouping() const override { return "\3"; }
};

/// The process's locale for as long as it lives.
class GlobalLocale {
 public:
  explicit GlobalLocale(const std::locale& locale) : before_(std::locale::global(locale)) {}
  ~GlobalLocale() { std::locale::global(before_); }
  GlobalLocale(const GlobalLocale&) = delete;
  GlobalLocale& operator=(const GlobalLocale&) = delete;

 private:
  std::locale before_;
};

std::locale grouping() { return {std::locale::classic(), new Grouping}; }  // the locale owns the facet

using Texts = std::map<std::string, std::string>;

class Folder {
 public:
  Folder() {
    std::string name = ::testing::TempDir() + "locale-XXXXXX";
    if (mkdtemp(name.data()) != nullptr) path_ = name;
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;

  std::filesystem::path operator/(const char* name) const { return path_ / name; }

 private:
  std::filesystem::path path_;
};

std::string content(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

std::string bits(const Tensors& tensors) {
  std::string text;
  for (const auto& [name, tensor] : tensors) {
    text += name;
    text.append(static_cast<const char*>(tensor.raw()), static_cast<std::size_t>(tensor.bytes()));
  }
  return text;
}

// A net whose file, graph, and fused operators hold numbers of four digits and fractions.
std::string wide_detector() {
  std::string text = small_detector();
  for (const auto& [from, to] : std::map<std::string, std::string>{{"pre_nms_topN=40", "pre_nms_topN=4000"},
                                                                   {"post_nms_topN=10", "post_nms_topN=1000"},
                                                                   {"rpn_post_nms_topN=12", "rpn_post_nms_topN=2000"}})
    for (std::size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size()))
      text.replace(at, from.size(), to);
  return text;
}

void files(Texts& texts) {
  const Folder folder;
  Net init, predict = small_predict_net();
  init.weight("w", {1200}, Floats(1200, 0.5F));
  std::ofstream(folder / "model.pb", std::ios::binary) << predict.bytes();
  std::ofstream(folder / "model_init.pb", std::ios::binary) << init.bytes();
  const auto model = Model::load(folder / "model.pb", folder / "model_init.pb");
  Session session(model);
  write_npy(folder / "y.npy", session.run({{"data", noise({1, 1, 2, 1200})}}).at("y"));
  texts["graph of files"] = model->graph_text();
  texts["npy"] = content(folder / "y.npy");
  texts["message"] = message_of<InvalidArgument>([&] { (void)session.run({{"data", noise({1, 1, 2, 1300})}}); });
}

void detector(Texts& texts) {
  const auto model = model_of(wide_detector());
  Session session(model);
  const Tensors inputs{{"data", noise({1, 2, 16, 18})}, {"im_info", Tensor::of<float>({1, 3}, {16.0F, 18.0F, 1.0F})}};
  texts["outputs"] = bits(session.run(inputs));
  texts["graph"] = model->graph_text();
  ModelOptions plain;
  plain.optimize = false;
  Session by_plain_operators(model_of(wide_detector(), plain));
  texts["plain outputs"] = bits(by_plain_operators.run(inputs));
}

void meanings(Texts& texts) {
  const auto model = model_of(wide_detector());
  for (const auto& node : impl_of(*model).graph.nodes) {
    const Operator& op = *find_operator(node.type);
    texts["meaning of " + node.type] = op.meaning(op.parse(node.args), node.inputs.size());
  }
}

void program(Texts& texts) {
  cli::Detections found;
  found.boxes = Tensor::of<float>({1, 4}, {1234.5F, 0.25F, 2345.75F, 1000000.0F});
  found.scores = Tensor::of<float>({1}, {0.875F});
  found.labels = {1234};
  found.first = {0, 1, 1};
  std::ostringstream out;  // has the global locale
  cli::print_latency(out, std::vector<double>(1500, 1.5), true);
  cli::print_shapes(out, {"y"}, {{"y", Tensor::of<float>({1, 1200}, Floats(1200, 0.0F))}});
  cli::print_predictions(out, found, {"a.png", "b.png"}, 0.5F);
  NodeProfile node;
  node.type = "Conv";
  node.runs = 1;
  node.milliseconds = 1234.5;
  node.flops = 1e15;
  cli::print_profile(out, std::vector<NodeProfile>(1001, node));
  texts["report"] = out.str();
}

Texts everything() {
  Texts texts;
  files(texts);
  detector(texts);
  meanings(texts);
  program(texts);
  texts["shape"] = to_string(Shape{1000, 2000});
  std::ostringstream shape;
  shape << Shape{1000, 2000};
  texts["streamed shape"] = shape.str();
  return texts;
}

TEST(Locale, ChangesNoText) {
  const Texts want = everything();
  ASSERT_NE(want.at("graph").find("4000"), std::string::npos);
  ASSERT_NE(want.at("npy").find("1200"), std::string::npos);
  Texts have;
  {
    const GlobalLocale locale(grouping());
    ASSERT_EQ((std::ostringstream() << 1234.5).str(), "1.234,5");  // it is in force
    have = everything();
  }
  ASSERT_EQ(have.size(), want.size());
  for (const auto& [name, text] : want) EXPECT_EQ(have.at(name), text) << name;
}

}  // namespace
}  // namespace d2deploy::testing
