// How the work of loading a net grows with the net: one twice as large may take twice the work, and a little more for
// the logarithms of ordered maps. Work is counted in basic blocks that run (core/work.h), so that the answers are the
// same on every machine; a scan of all nodes for each node would show as a factor of four.
#include "core/work.h"

#include <gtest/gtest.h>

#include <fstream>
#include <functional>
#include <sstream>

#include "case.h"
#include "io/faults.h"
#include "net_builder.h"
#include "runtime/arena.h"
#include "runtime/model.h"

namespace d2deploy::testing {
namespace {

constexpr int kNodes = 1000;
constexpr double kMostGrowth = 3.3;  // maps and growing lists make up to 3 of it for so few nodes, a scan for each node 4

// The work of f(n) for n = kNodes and twice as many.
double growth(const std::function<void(int)>& f) {
  const auto work = [&](int n) {
    const std::uint64_t before = work_done();
    f(n);
    return static_cast<double>(work_done() - before);
  };
  f(2);  // what is made once
  const double once = work(kNodes), twice = work(2 * kNodes);
  EXPECT_GT(once, 10 * kNodes) << "nothing was counted";
  return twice / once;
}

// Everything that is done to a graph before it runs. Returns: whether it is taken; a refusal must be as quick.
bool load(const Graph& graph, bool optimize = true) {
  ModelOptions options;
  options.threads = 1;
  options.optimize = optimize;
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

enum class Inputs { one, chain, constant };
enum class Outputs { last, all };

struct Form {
  Inputs inputs;
  Outputs outputs;
};

std::vector<Case> cases_of(const Operator& op) {
  for (const auto& entry : std::filesystem::directory_iterator(D2DEPLOY_CASES)) {
    std::ifstream in(entry.path());
    std::ostringstream text;
    text << in.rdbuf();
    auto cases = parse_cases(text.str());
    std::erase_if(cases, [&](const Case& c) { return c.op != &op || c.error; });
    if (!cases.empty()) return cases;
  }
  return {};
}

Types output_types(const Case& c) {
  Types types;
  std::vector<const Tensor*> values;
  for (const auto& t : c.inputs) {
    types.push_back(t.type());
    values.push_back(&t);
  }
  const d2deploy::Inputs in{types, values};
  return infer_all(*c.op, c.op->parse(c.args), in);
}

bool can_follow_itself(const Case& c) { return !c.inputs.empty() && output_types(c)[0] == c.inputs[0].type(); }

// The call of a case `nodes` times: of its own inputs, or the first input is what the call before made.
Graph net_of(const Case& c, const Form& form, int nodes) {
  Graph graph;
  std::vector<std::string> inputs;
  for (std::size_t i = 0; i < c.inputs.size(); ++i) {
    inputs.push_back(join("x", i));
    if (c.constant[i] || form.inputs == Inputs::constant) {
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
    if (form.outputs == Outputs::all || n + 1 == nodes) graph.outputs.push_back(node.outputs[0]);
    if (form.inputs == Inputs::chain) inputs[0] = node.outputs[0];
    graph.nodes.push_back(std::move(node));
  }
  return graph;
}

class OperatorWork : public ::testing::TestWithParam<std::string> {};

TEST_P(OperatorWork, GrowsAsTheNet) {
  const auto cases = cases_of(*find_operator(GetParam()));
  ASSERT_FALSE(cases.empty());
  const auto chained = std::ranges::find_if(cases, can_follow_itself);
  const Case& c = chained == cases.end() ? cases[0] : *chained;
  bool taken = false;
  for (const auto inputs : {Inputs::one, Inputs::chain, Inputs::constant}) {
    if (inputs == Inputs::chain && chained == cases.end()) continue;
    for (const auto outputs : {Outputs::last, Outputs::all}) {
      const auto factor = growth([&](int n) { taken = load(net_of(c, {inputs, outputs}, n)) || taken; });
      EXPECT_LT(factor, kMostGrowth) << c.text << (inputs == Inputs::chain ? ", a chain" : "")
                                     << (inputs == Inputs::constant ? ", of constants" : "")
                                     << (outputs == Outputs::all ? ", all are outputs" : "");
    }
  }
  EXPECT_TRUE(taken) << c.text << " is refused in every form";
}

std::vector<std::string> all_types() {
  std::vector<std::string> types;
  for (const auto& [type, op] : operators()) types.push_back(type);
  return types;
}
INSTANTIATE_TEST_SUITE_P(All, OperatorWork, ::testing::ValuesIn(all_types()), [](const auto& p) { return p.param; });

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
  for (const bool optimize : {true, false})
    EXPECT_LT(growth([&](int n) { EXPECT_TRUE(load(parse_graph(text_of(GetParam(), n)), optimize)); }), kMostGrowth)
        << text_of(GetParam(), 2);
}
INSTANTIATE_TEST_SUITE_P(All, PatternWork, ::testing::ValuesIn(kPatterns),
                         [](const auto& p) { return std::string(p.param.name); });

// ---- Files -----------------------------------------------------------------------------------------

struct Files {
  const char* name;
  void (*make)(Net& predict, Net& init, int n);
};

const std::array kFiles{
    Files{"OneBlobAgainAndAgain",
          [](Net& predict, Net&, int n) {
            predict.inputs({"data"}).outputs({"data"});
            for (int i = 0; i < n; ++i) predict.op("Relu", {"data"}, {"data"});
          }},
    Files{"BlobsWhoseNamesAreTaken",
          [](Net& predict, Net&, int n) {
            predict.inputs({"data"}).outputs({"x"});
            for (int i = 1; i < n; ++i) predict.op("Relu", {"data"}, {join("x.", i)});
            for (int i = 0; i < n; ++i) predict.op("Relu", {"data"}, {"x"});
          }},
    Files{"ManyInputsOfOneNode",
          [](Net& predict, Net&, int n) {
            predict.inputs({"data"}).outputs({"y"}).op("Concat", Names(static_cast<std::size_t>(n), "data"), {"y"});
          }},
    Files{"ManyTermsOfOneSum",
          [](Net& predict, Net&, int n) {
            predict.inputs({"data"}).outputs({"y"}).op("Relu", {"data"}, {"x"});
            predict.op("Sum", Names(static_cast<std::size_t>(n), "x"), {"y"});
          }},
    Files{"ManyPartsOfOneNode",
          [](Net& predict, Net&, int n) {
            Names parts;
            for (int i = 0; i < n; ++i) parts.push_back(join("y", i));
            predict.inputs({"data"}).outputs(parts).op("Split", {"data"}, parts, {{"axis", std::int64_t{0}}});
          }},
    Files{"ManySizesOfOneNode",
          [](Net& predict, Net&, int n) {
            Names parts;
            for (int i = 0; i < n; ++i) parts.push_back(join("y", i));
            predict.inputs({"data"}).outputs(parts);
            predict.op("Split", {"data"}, parts,
                       {{"axis", std::int64_t{0}}, {"split", Ints(static_cast<std::size_t>(n), 1)}});
          }},
    Files{"OneArgumentAgainAndAgain",
          [](Net& predict, Net&, int n) {
            predict.inputs({"data"}).outputs({"y"});
            for (int i = 0; i < n / 500; ++i) {
              auto& op = predict.add("Relu", {"data"}, {i == 0 ? "y" : join("y", i)});
              for (int k = 0; k < 900; ++k) op.add_arg()->set_name(join("a", k / 2));
            }
          }},
    Files{"ALongShape",
          [](Net& predict, Net& init, int n) {
            predict.inputs({"data", "w"}).outputs({"y"}).op("Add", {"data", "w"}, {"y"});
            init.op("ConstantFill", {}, {"w"}, {{"shape", Ints(static_cast<std::size_t>(n), 1)}});
          }},
    Files{"ALongShapeInTheNet",
          [](Net& predict, Net&, int n) {
            predict.inputs({"data"}).outputs({"y"}).op("Relu", {"data"}, {"y"});
            predict.op("ConstantFill", {}, {"w"}, {{"shape", Ints(static_cast<std::size_t>(n), 1)}});
          }},
    Files{"ManyWeights",
          [](Net& predict, Net& init, int n) {
            predict.inputs({"data"}).outputs({join("y", n)}).op("Relu", {"data"}, {"y0"});
            for (int i = 0; i < n; ++i) {
              init.weight(join("v", i), {1}, {1}).op("Copy", {join("v", i)}, {join("w", i)});
              predict.inputs({join("w", i)}).op("Add", {join("y", i), join("w", i)}, {join("y", i + 1)});
            }
          }},
    Files{"FaultsOfEveryKind",
          [](Net& predict, Net&, int n) {
            predict.inputs({"data"});
            for (int i = 0; i < n; ++i) {
              predict.outputs({join("never", i)}).inputs({join("missing", i)});
              predict.op("Relu", {join("later", i)}, {join("y", i)}).op("Relu", {"data"}, {join("later", i)});
            }
          }},
    Files{"UnknownOperators",
          [](Net& predict, Net&, int n) {
            predict.inputs({"data"}).outputs({"y0"});
            for (int i = 0; i < n; ++i) predict.op("Unknown", {"data"}, {join("y", i)});
          }},
    Files{"WrongArguments",
          [](Net& predict, Net&, int n) {
            predict.inputs({"data"}).outputs({"y0"});
            for (int i = 0; i < n; ++i) predict.op("Conv", {"data"}, {join("y", i)}, {{"kernel", 1.5F}});
          }},
    Files{"UnknownArguments",
          [](Net& predict, Net&, int n) {
            predict.inputs({"data"}).outputs({"y0"});
            for (int i = 0; i < n; ++i) predict.op("Relu", {"data"}, {join("y", i)}, {{"a", 1.5F}, {"b", 2.0F}});
          }},
};

void load(const Files& files, int n) {
  Net predict, init;
  files.make(predict, init, n);
  ModelOptions options;
  options.threads = 1;
  try {
    const Model::Impl model(read(predict, init), options);
    (void)model.plan({{"data", f32({2000, 1, 2, 2})}});
  } catch (const Error& e) {
    EXPECT_LT(std::string_view(e.what()).size(), 10'000U) << "a message tells the first faults and how many follow";
  }
}

class FileWork : public ::testing::TestWithParam<Files> {};

TEST_P(FileWork, GrowsAsTheFile) {
  EXPECT_LT(growth([&](int n) { load(GetParam(), n); }), kMostGrowth);
}
INSTANTIATE_TEST_SUITE_P(All, FileWork, ::testing::ValuesIn(kFiles),
                         [](const auto& p) { return std::string(p.param.name); });

// ---- Parts -----------------------------------------------------------------------------------------

TEST(Work, NamesOfOneBase) {
  EXPECT_LT(growth([](int n) {
              UnusedNames names{Graph{}};
              for (int i = 0; i < n; ++i) (void)names.make("x");
            }),
            kMostGrowth);
}

// Beyond the blocks that are placed with a look at all others, whose number is fixed.
TEST(Work, PlacingBlocks) {
  for (const std::size_t life : {1, 1'000'000})
    EXPECT_LT(growth([&](int n) {
                std::vector<Block> blocks;
                for (std::size_t i = 0; i < static_cast<std::size_t>(n) * 50; ++i)
                  blocks.push_back({1 + i % 7 * 100, i, i + life});
                (void)place(blocks);
              }),
              kMostGrowth);
}

}  // namespace
}  // namespace d2deploy::testing
