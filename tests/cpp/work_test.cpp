// How the work of loading a net grows with the net: in proportion, apart from the logarithms of ordered maps. Work is
// counted in basic blocks that run (core/work.h), so the answers are the same on every machine.
#include "core/work.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <functional>
#include <sstream>

#include "case.h"
#include "io/faults.h"
#include "net_builder.h"
#include "runtime/model.h"

namespace d2deploy::testing {
namespace {

// With w(n) = a + b n + c n log n + d n^2 the three terms but the last vanish from w(4n) - 4 w(2n) + 4 w(n) - a, which
// then is 4 d n^2.
constexpr int kNodes = 150;

// The part of the work of f(kNodes), of 1, that grows with the square of the nodes.
double quadratic_part(const std::function<void(int)>& f) {
  const auto work = [&](int n) {
    const std::uint64_t before = work_done();
    f(n);
    return static_cast<double>(work_done() - before);
  };
  f(1);  // what is made once
  const double none = work(1), once = work(kNodes), twice = work(2 * kNodes), four_times = work(4 * kNodes);
  EXPECT_GT(once, kNodes) << "nothing was counted";
  return (four_times - 4 * twice + 4 * once - none) / 4 / once;
}

// A look at all nodes for each node is some percent; what the model above leaves out is less.
constexpr double kMostQuadratic = 0.02;

// Everything that is done to a graph before it runs. Returns: whether it is taken.
bool load(const Graph& graph, ModelOptions options = {}) {
  options.threads = 1;
  try {
    verify(parse_graph(to_text(graph)));
    const Model::Impl model(graph, options);
    (void)model.plan(graph.input_types);
    return true;
  } catch (const Error& e) {
    std::cout << "  refused: " << std::string_view(e.what()).substr(0, 300) << '\n';
    return false;
  }
}

// ---- Nets of one type of operator ------------------------------------------------------------------

struct Form {
  const char* name;
  bool chain, constant, all_are_outputs;
};
constexpr std::array kForms{Form{"each of the same inputs", false, false, false},
                            Form{"all are outputs", false, false, true}, Form{"a chain", true, false, false},
                            Form{"of constants", false, true, false}};

// Those that are right, by operator.
const std::map<const Operator*, std::vector<Case>>& cases() {
  static const auto all = [] {
    std::map<const Operator*, std::vector<Case>> found;
    for (const auto& entry : std::filesystem::directory_iterator(D2DEPLOY_CASES)) {
      std::ifstream in(entry.path());
      std::ostringstream text;
      text << in.rdbuf();
      for (auto& c : parse_cases(text.str()))
        if (!c.error) found[c.op].push_back(std::move(c));
    }
    return found;
  }();
  return all;
}

Types output_types(const Case& c) {
  Types types;
  std::vector<const Tensor*> values;
  for (const auto& t : c.inputs) {
    types.push_back(t.type());
    values.push_back(&t);
  }
  const Inputs in{types, values};
  return infer_all(*c.op, c.op->parse(c.args), in);
}

bool can_follow_itself(const Case& c) { return !c.inputs.empty() && output_types(c)[0] == c.inputs[0].type(); }

// The call of a case `nodes` times: of its own inputs, or the first input is what the call before made.
Graph net_of(const Case& c, const Form& form, int nodes) {
  Graph graph;
  std::vector<std::string> inputs;
  for (std::size_t i = 0; i < c.inputs.size(); ++i) {
    inputs.push_back(join("x", i));
    if (c.constant[i] || form.constant) {
      graph.constants[inputs.back()] = c.inputs[i];
    } else {
      graph.inputs.push_back(inputs.back());
      graph.input_types[inputs.back()] = c.inputs[i].type();
    }
  }
  const std::size_t outputs = output_types(c).size();
  for (int n = 0; n < nodes; ++n) {
    Node node{c.op->type, c.args, inputs, {}, n};
    for (std::size_t i = 0; i < outputs; ++i) node.outputs.push_back(i == 0 ? join("y", n) : join("y", n, '_', i));
    if (form.all_are_outputs || n + 1 == nodes) graph.outputs.push_back(node.outputs[0]);
    if (form.chain) inputs[0] = node.outputs[0];
    graph.nodes.push_back(std::move(node));
  }
  return graph;
}

class OperatorWork : public ::testing::TestWithParam<std::string> {};

TEST_P(OperatorWork, GrowsAsTheNet) {
  const auto& of_type = cases().at(find_operator(GetParam()));
  const auto chained = std::ranges::find_if(of_type, can_follow_itself);
  const Case& c = chained == of_type.end() ? of_type[0] : *chained;
  for (const Form& form : kForms) {
    if (form.chain && chained == of_type.end()) continue;
    EXPECT_LT(quadratic_part([&](int n) { EXPECT_TRUE(load(net_of(c, form, n))); }), kMostQuadratic)
        << c.text << ", " << form.name;
  }
}

std::vector<std::string> types_in_files() {
  std::vector<std::string> types;
  for (const auto& [type, op] : operators())
    if (!op.is(internal)) types.push_back(type);
  return types;
}
INSTANTIATE_TEST_SUITE_P(All, OperatorWork, ::testing::ValuesIn(types_in_files()),
                         [](const auto& p) { return p.param; });

// ---- Nets of what the passes look for --------------------------------------------------------------

struct Pattern {
  const char* name;
  const char* head;    // inputs and constants
  const char* repeat;  // lines; '#' is the number of the repetition, '@' the one before
};

constexpr std::array kPatterns{
    Pattern{"Copies", "input v0 float32 2", "a# = Relu(v@)\nb# = Copy(a#)\nv# = Copy(b#)"},
    Pattern{"CopiesAsOutputs", "input v0 float32 2", "a# = Relu(v@)\nv# = Copy(a#)\noutput v#"},
    Pattern{"CopiesOfOneValue", "input x float32 2\nv0 = Relu(x)", "v# = Copy(v0)\nb# = Sigmoid(v#)\noutput b#"},
    Pattern{"Convolutions", "input v0 float32 1x1x2x2\nconst w float32 1x1x1x1 = 2",
            "a# = Conv(v@, w) {kernel=1}\nv# = Relu(a#)"},
    Pattern{"Scales", "input v0 float32 1x1x2x2\nconst w float32 1x1x1x1 = 2\nconst s float32 1 = 2",
            "a# = Conv(v@, w) {kernel=1}\nb# = AffineChannel(a#, s, s)\nv# = Relu(b#)"},
    Pattern{"ScalesOfOneConvolution",
            "input x float32 1x1x2x2\nconst w float32 1x1x1x1 = 2\nconst s float32 1 = 2\nv0 = Conv(x, w) {kernel=1}",
            "v# = AffineChannel(v@, s, s)"},
    Pattern{"Residuals", "input v0 float32 1x1x2x2\nconst w float32 1x1x1x1 = 2",
            "a# = Conv(v@, w) {kernel=1}\nb# = Add(v@, a#)\nv# = Relu(b#)"},
    Pattern{"Heads", "input x float32 1x1x2x2\nconst w float32 3x4 = 1 2 3 4 5 6 7 8 9 10 11 12\nconst b float32 3",
            "f# = Flatten(x)\na# = FC(f#, w, b)\nv# = Relu(a#)\noutput v#"},
    Pattern{"Shapes", "input v0 float32 2x2", "s# = Shape(v@)\nv#, o# = Reshape(v@, s#)"},
    Pattern{"Layouts", "input v0 float32 1x2x2x2",
            "a# = MaxPool(v@) {kernel=1}\nb# = Softmax(a#)\nv# = MaxPool(b#) {kernel=1}\noutput a# v#"},
    Pattern{"ConstantsOfEach", "input v0 float32 2", "const c# float32 2 = 1 2\nd# = Add(c#, c#)\nv# = Add(v@, d#)"},
    Pattern{"Boxes",
            "input x float32 1x1x4x4\ninput scores float32 4x3\ninput boxes float32 4x12\nconst n float32 1 = 4",
            "a#, b#, c# = BoxWithNMSLimit(scores, boxes, n)\nv# = RoIAlign(x, b#)\noutput v#"},
    Pattern{"MaskHead",
            "input x float32 1x1x4x4\ninput scores float32 4x3\ninput boxes float32 4x12\nconst n float32 1 = 4\n"
            "const w float32 3x1x1x1\nconst b float32 3\n"
            "s, boxes_nms, class_nms, splits = BoxWithNMSLimit(scores, boxes, n)\nv0 = RoIAlign(x, boxes_nms)\n"
            "logits = Conv(v0, w, b) {kernel=1}\nmask_fcn_probs = Sigmoid(logits)\noutput class_nms mask_fcn_probs",
            "v# = Relu(v@)"},
    Pattern{"Proposals",
            "input s2 float32 1x1x4x4\ninput s3 float32 1x1x2x2\ninput d2 float32 1x4x4x4\ninput d3 float32 1x4x2x2\n"
            "const im_info float32 1x3 = 32 32 1\nconst a2 float32 1x4 = -4 -4 4 4\ninput x float32 1x1x4x4",
            "r#, p# = GenerateProposals(s2, d2, im_info, a2)\nq#, t# = GenerateProposals(s3, d3, im_info, a2)\n"
            "o# = CollectRpnProposals(r#, q#, p#, t#) {rpn_min_level=2 rpn_max_level=3}\n"
            "l#, m#, k# = DistributeFpnProposals(o#) {roi_min_level=2 roi_max_level=3}\n"
            "e# = RoIAlign(x, l#)\nf# = RoIAlign(x, m#)\ng#, h# = Concat(e#, f#) {axis=0}\n"
            "v# = BatchPermutation(g#, k#)\noutput v#"},
};

// More outputs are added by the last line; without `output` in the pattern the last value is the only one.
std::string text_of(const Pattern& pattern, int times) {
  std::string text = std::string(pattern.head) + '\n';
  for (int i = 1; i <= times; ++i) {
    for (const char* c = pattern.repeat; *c != 0; ++c)
      text += *c == '#' ? std::to_string(i) : *c == '@' ? std::to_string(i - 1) : std::string(1, *c);
    text += '\n';
  }
  return text + join("output last\nlast = Negative(v", times, ")\n");
}

class PatternWork : public ::testing::TestWithParam<Pattern> {};

TEST_P(PatternWork, GrowsAsTheNet) {
  ModelOptions plain, reduced;
  plain.optimize = false;
  ASSERT_EQ(setenv("D2DEPLOY_EMULATE", "bfloat16", 1), 0);
  reduced.precision = "bfloat16";
  for (ModelOptions options : {ModelOptions(), plain, reduced}) {
    options.own_class_masks = true;
    EXPECT_LT(quadratic_part([&](int n) { EXPECT_TRUE(load(parse_graph(text_of(GetParam(), n)), options)); }),
              kMostQuadratic)
        << text_of(GetParam(), 2);
  }
}
INSTANTIATE_TEST_SUITE_P(All, PatternWork, ::testing::ValuesIn(kPatterns),
                         [](const auto& p) { return std::string(p.param.name); });

// ---- Files -----------------------------------------------------------------------------------------

struct Files {
  const char* name;
  const char* error;  // part of it; empty: the files are right
  void (*make)(Net& predict, Net& init, int n);
};

constexpr std::int64_t kRows = 2000;  // of `data`

const std::array kFiles{
    Files{"OneBlobAgainAndAgain", "",
          [](Net& predict, Net&, int n) {
            predict.inputs({"data"}).outputs({"x"}).op("Relu", {"data"}, {"x"});
            for (int i = 0; i < n; ++i) predict.op("Relu", {"x"}, {"x"});
          }},
    Files{"BlobsWhoseNamesAreTaken", "",
          [](Net& predict, Net&, int n) {
            predict.inputs({"data"}).outputs({"x"});
            for (int i = 1; i < n; ++i) predict.op("Relu", {"data"}, {join("x.", i)});
            for (int i = 0; i < n; ++i) predict.op("Relu", {"data"}, {"x"});
          }},
    Files{"ManyInputsOfOneNode", "",
          [](Net& predict, Net&, int n) {
            predict.inputs({"data"}).outputs({"y"}).op("Concat", Names(static_cast<std::size_t>(n), "data"), {"y"});
          }},
    Files{"ManyTermsOfOneSum", "",
          [](Net& predict, Net&, int n) {
            predict.inputs({"data"}).outputs({"y"}).op("Relu", {"data"}, {"x"});
            predict.op("Sum", Names(static_cast<std::size_t>(n), "x"), {"y"});
          }},
    Files{"ManyPartsOfOneNode", "",
          [](Net& predict, Net&, int n) {
            Names parts;
            for (int i = 0; i < n; ++i) parts.push_back(join("y", i));
            predict.inputs({"data"}).outputs(parts).op("Split", {"data"}, parts, {{"axis", std::int64_t{0}}});
          }},
    Files{"ManySizesOfOneNode", "",
          [](Net& predict, Net&, int n) {
            Names parts;
            for (int i = 0; i < n; ++i) parts.push_back(join("y", i));
            predict.inputs({"data"}).outputs(parts);
            Ints sizes(static_cast<std::size_t>(n), 1);
            sizes[0] = kRows - n + 1;
            predict.op("Split", {"data"}, parts, {{"axis", std::int64_t{0}}, {"split", sizes}});
          }},
    Files{"OneArgumentAgainAndAgain", "",
          [](Net& predict, Net&, int n) {
            predict.inputs({"data"}).outputs({"y"});
            auto& op = predict.add("Relu", {"data"}, {"y"});
            for (int i = 0; i < n; ++i) op.add_arg()->set_name(join("a", i / 2));
          }},
    Files{"ALongShape", "dimensions, at most 8 are supported",
          [](Net& predict, Net& init, int n) {
            predict.inputs({"data", "w"}).outputs({"y"}).op("Add", {"data", "w"}, {"y"});
            init.op("ConstantFill", {}, {"w"}, {{"shape", Ints(static_cast<std::size_t>(n + 9), 1)}});
          }},
    Files{"ALongShapeInTheNet", "dimensions, at most 8 are supported",
          [](Net& predict, Net&, int n) {
            predict.inputs({"data"}).outputs({"y"}).op("Relu", {"data"}, {"y"});
            predict.op("ConstantFill", {}, {"w"}, {{"shape", Ints(static_cast<std::size_t>(n + 9), 1)}});
          }},
    Files{"ManyWeights", "",
          [](Net& predict, Net& init, int n) {
            predict.inputs({"data"}).outputs({join("y", n)}).op("Relu", {"data"}, {"y0"});
            for (int i = 0; i < n; ++i) {
              init.weight(join("v", i), {1}, {1}).op("Copy", {join("v", i)}, {join("w", i)});
              predict.inputs({join("w", i)}).op("Add", {join("y", i), join("w", i)}, {join("y", i + 1)});
            }
          }},
    Files{"FaultsOfEveryKind", "is unknown: it is made only later",
          [](Net& predict, Net&, int n) {
            predict.inputs({"data"});
            for (int i = 0; i < n; ++i) {
              predict.outputs({join("never", i)});
              predict.op("Relu", {join("later", i)}, {join("y", i)}).op("Relu", {"data"}, {join("later", i)});
            }
          }},
    Files{"MissingInputs", "have no value",
          [](Net& predict, Net&, int n) {
            predict.outputs({"y0"});
            for (int i = 0; i <= n; ++i) predict.inputs({join("x", i)}).op("Relu", {join("x", i)}, {join("y", i)});
          }},
    Files{"UnknownOperators", "not supported: Unknown",
          [](Net& predict, Net&, int n) {
            predict.inputs({"data"}).outputs({"y0"});
            for (int i = 0; i < n; ++i) predict.op("Unknown", {"data"}, {join("y", i)});
          }},
    Files{"WrongArguments", "argument 'kernel' is 1.5",
          [](Net& predict, Net&, int n) {
            predict.inputs({"data"}).outputs({"y0"});
            for (int i = 0; i < n; ++i) predict.op("Conv", {"data"}, {join("y", i)}, {{"kernel", 1.5F}});
          }},
    Files{"UnknownArguments", "",
          [](Net& predict, Net&, int n) {
            predict.inputs({"data"}).outputs({"y0"});
            for (int i = 0; i < n; ++i) predict.op("Relu", {"data"}, {join("y", i)}, {{"a", 1.5F}, {"b", 2.0F}});
          }},
};

void load(const Files& files, int n) {
  Net predict, init;
  init.weight("unread", {1}, {1});
  files.make(predict, init, n);
  ModelOptions options;
  options.threads = 1;
  std::string error;
  try {
    const Model::Impl model(read(predict, init), options);
    (void)model.plan({{"data", f32({kRows, 1, 2, 2})}});
  } catch (const Error& e) {
    error = e.what();
  }
  EXPECT_TRUE(error.find(files.error) != std::string::npos && error.empty() == (*files.error == 0))
      << error.substr(0, 300);
  EXPECT_LT(error.size(), 10'000U) << "a message tells the first faults and how many follow";
}

class FileWork : public ::testing::TestWithParam<Files> {};

TEST_P(FileWork, GrowsAsTheFile) {
  EXPECT_LT(quadratic_part([&](int n) { load(GetParam(), n); }), kMostQuadratic);
}
INSTANTIATE_TEST_SUITE_P(All, FileWork, ::testing::ValuesIn(kFiles),
                         [](const auto& p) { return std::string(p.param.name); });

// ---- Parts -----------------------------------------------------------------------------------------

TEST(Work, NamesOfOneBase) {
  EXPECT_LT(quadratic_part([](int n) {
              UnusedNames names{Graph{}};
              for (int i = 0; i < n; ++i) (void)names.make("x");
            }),
            kMostQuadratic);
}

TEST(Work, RowsOfManyNodesInOne) {
  EXPECT_LT(quadratic_part([](int n) {
              std::string text =
                  "input s float32 1x1x4x4\ninput d float32 1x4x4x4\nconst im_info float32 1x3 = 32 32 1\n"
                  "const a float32 1x4 = -4 -4 4 4\n";
              std::string all = "r0";
              for (int i = 0; i <= n; ++i) {
                text += join('r', i, ", p", i, " = GenerateProposals(s, d, im_info, a)\n");
                if (i != 0) all += join(", r", i);
              }
              EXPECT_TRUE(load(parse_graph(text + "y = Concat(" + all + ") {axis=0}\noutput y\n")));
            }),
            kMostQuadratic);
}

TEST(Work, RunsOfManyOutputs) {
  EXPECT_LT(quadratic_part([](int n) {
              std::string text = "input x float32 2\n";
              for (int i = 0; i <= n; ++i) text += join('y', i, " = Relu(x)\noutput y", i, '\n');
              Session session(Model::Impl::make(parse_graph(text), {}));
              EXPECT_EQ(std::ssize(session.run({{"x", Tensor::of<float>({2}, {1, 2})}})), n + 1);
            }),
            kMostQuadratic);
}

}  // namespace
}  // namespace d2deploy::testing
