// The graph: its text form and the messages about it, verify, uses and names.
#include "graph/graph.h"

#include <gtest/gtest.h>

#include "d2deploy/error.h"
#include "message_of.h"

using namespace d2deploy;

namespace {

std::string parse_error(const std::string& text) {
  return message_of<InvalidModel>([&] { (void)parse_graph(text); });
}
std::string verify_error(const std::string& text) {
  return message_of<InvalidModel>([&] { verify(parse_graph(text)); });
}

TEST(GraphText, ReadsBackAsTheSameText) {
  const std::string text =
      "input data float32 ?x3x?x?\n"
      "input order int32 ?\n"
      "input map float32 1x2x3x4 channels_last\n"
      "const c uint8 2x2 = 0 1 2 255\n"
      "const d bool 2 = 1 0\n"
      "const e int64 1 = -9000000000\n"
      "const empty float32 0x4 =\n"
      "const l float32 1x2x1x2 channels_last = 1.0 2.0 3.0 4.0\n"
      "const s float32 scalar = -0.25\n"
      "y, z = Some(data, c) {a=1 b=0.5 c=[1,2] d=text e=[0.5,2.0] f=\"7\" g=\"a b\" h=[x,y]}\n"
      "w = None()\n"
      "output y\n"
      "output z\n";
  EXPECT_EQ(to_text(parse_graph(text)), text);
}

TEST(GraphText, SkipsCommentsAndEmptyLinesAndTakesAnySpacing) {
  const Graph g = parse_graph("# a net\n\n  input   x float32 2 \r\n y=Relu( x )\n output y x\n");
  EXPECT_EQ(to_text(g), "input x float32 2\ny = Relu(x)\noutput y\noutput x\n");
}

TEST(GraphText, AConstantWithoutValuesHasZerosAndALargeOneIsWrittenWithoutThem) {
  const Graph g = parse_graph("const w float32 65\nconst v int32 2\n");
  for (const float x : g.constants.at("w").values<float>()) EXPECT_EQ(x, 0.0F);
  EXPECT_EQ(to_text(g), "const v int32 2 = 0 0\nconst w float32 65\n");
}

TEST(GraphText, AStarCarriesArgumentsOver) {
  const Node node = parse_graph("y = Conv(x) {* group=2}").nodes.at(0);
  EXPECT_TRUE(node.args.contains("*"));
  EXPECT_EQ(node.args.at("group"), Arg(std::int64_t{2}));
}

TEST(GraphText, ErrorsNameTheLine) {
  EXPECT_EQ(parse_error("# first\ninput x"), "line 2 'input x': wanted 'name dtype dims'");
  EXPECT_EQ(parse_error("input"), "line 1 'input': wanted 'name dtype dims'");
  EXPECT_EQ(parse_error("const w half 2"), "line 1 'const w half 2': 'half' is not an element type");
  EXPECT_EQ(parse_error("input x float32 2xn"), "line 1 'input x float32 2xn': 'n' is not an integer");
  EXPECT_EQ(parse_error("input x float32 2x-1"),
            "line 1 'input x float32 2x-1': dimension -1 must be 0 or more, or ? where it is not known");
  EXPECT_EQ(parse_error("input x float32 2x3 channel_last"),
            "line 1 'input x float32 2x3 channel_last': 'channel_last' is not known behind the dims");
  EXPECT_EQ(parse_error("input x float32 2x3 channels_last"),
            "line 1 'input x float32 2x3 channels_last': only tensors of rank 4 can be channels_last");
  EXPECT_EQ(parse_error("input x float32 1x1x1x1x1x1x1x1x1"),
            "line 1 'input x float32 1x1x1x1x1x1x1x1x1': a tensor may have at most 8 dimensions");
}

TEST(GraphText, ErrorsOfConstants) {
  EXPECT_EQ(parse_error("const w float32 2x2 = 1 2 3"),
            "line 1 'const w float32 2x2 = 1 2 3': 3 values for shape (2, 2)");
  EXPECT_EQ(parse_error("const w float32 1 = a"), "line 1 'const w float32 1 = a': 'a' is not a number");
  EXPECT_EQ(parse_error("const w int32 1 = 1.5"), "line 1 'const w int32 1 = 1.5': '1.5' is not an integer");
  EXPECT_EQ(parse_error("const w uint8 1 = 256"), "line 1 'const w uint8 1 = 256': 256 does not fit into uint8");
  EXPECT_EQ(parse_error("const w bool 1 = 2"), "line 1 'const w bool 1 = 2': 2 does not fit into bool");
  EXPECT_EQ(parse_error("const w float32 ?x2"),
            "line 1 'const w float32 ?x2': shape (?, 2) has a negative or unknown dimension");
  EXPECT_EQ(parse_error("const w float32 1\nconst w float32 2"), "line 2 'const w float32 2': 'w' is there already");
}

TEST(GraphText, ErrorsOfNodes) {
  const std::string wanted = ": wanted 'y = Type(x, ...) {name=value ...}'";
  for (const std::string line : {"Relu(x)", "y = Relu", "y = Relu(x", "y = Relu)x(", "(y = Relu)", "= Relu(x)",
                                 "y = (x)", "y = Relu(x) twice", "y = Relu(x) twice {a=1}"})
    EXPECT_EQ(parse_error(line), "line 1 '" + line + "'" + wanted);
  EXPECT_EQ(parse_error("y = Relu(x) {a=1"), "line 1 'y = Relu(x) {a=1': '{' without '}' at the end");
  EXPECT_EQ(parse_error("y = Relu(x) {a}"), "line 1 'y = Relu(x) {a}': 'a' is not name=value");
  EXPECT_EQ(parse_error("y = Relu(x) {a=}"), "line 1 'y = Relu(x) {a=}': an argument has no value");
  EXPECT_EQ(parse_error("y = Relu(x) {a=1 a=2}"), "line 1 'y = Relu(x) {a=1 a=2}': argument 'a' is given twice");
  EXPECT_EQ(parse_error("output"), "line 1 'output': wanted 'output name ...'");
}

TEST(Graph, DescribesNodesByTheirPlaceTypeAndOutput) {
  Node node{"RoIAlign", {}, {"x", "rois"}, {"feat"}};
  EXPECT_EQ(describe(node), "node (RoIAlign -> feat)");
  node.origin = 17;
  EXPECT_EQ(describe(node), "node 17 (RoIAlign -> feat)");
  node.outputs.clear();
  EXPECT_EQ(describe(node), "node 17 (RoIAlign)");
}

TEST(Verify, TakesSingleAssignmentInOrder) {
  EXPECT_NO_THROW(
      verify(parse_graph("input x float32 1\nconst w float32 1\na, b = T(x, w)\nc = T(b)\noutput a c x w")));
}

TEST(Verify, NamesWhatIsWrong) {
  EXPECT_EQ(verify_error("input x float32 1\ninput x float32 1"), "an input is listed twice");
  EXPECT_EQ(verify_error("input x float32 1\nconst x float32 1"), "'x' is both an input and a constant");
  EXPECT_EQ(verify_error("y = T(x)\ninput x float32 1\nz = T(q)"),
            "node (T -> z): input 'q' is used before it is assigned");
  EXPECT_EQ(verify_error("input x float32 1\ny = T(y)"), "node (T -> y): input 'y' is used before it is assigned");
  EXPECT_EQ(verify_error("input x float32 1\ny = T(x)\ny = T(x)"), "node (T -> y): 'y' is assigned twice");
  EXPECT_EQ(verify_error("input x float32 1\nx = T()"), "node (T -> x): 'x' is assigned twice");
  EXPECT_EQ(verify_error("input x float32 1\ny, y = T(x)"), "node (T -> y): 'y' is assigned twice");
  EXPECT_EQ(verify_error("input x float32 1\noutput y"), "output 'y' is never assigned");
}

TEST(Uses, NamesProducersReadersAndOutputs) {
  const Graph g = parse_graph("input x float32 1\nconst w float32 1\na, b = T(x, x)\nc = T(b, x, w)\noutput c x");
  const Uses uses(g);
  EXPECT_EQ(uses.producer("x"), -1);
  EXPECT_EQ(uses.producer("w"), -1);
  EXPECT_EQ(uses.producer("nobody"), -1);
  EXPECT_EQ(uses.producer("b"), 0);
  EXPECT_EQ(uses.producer("c"), 1);
  EXPECT_EQ(uses.readers("x"), (std::vector<std::size_t>{0, 0, 1}));
  EXPECT_EQ(uses.readers("a"), std::vector<std::size_t>{});
  EXPECT_EQ(uses.readers("nobody"), std::vector<std::size_t>{});
  EXPECT_TRUE(uses.is_output("c"));
  EXPECT_TRUE(uses.is_output("x"));
  EXPECT_FALSE(uses.is_output("a"));
}

TEST(Graph, MakesUnusedNames) {
  const Graph g = parse_graph("input x float32 1\nconst w float32 1\ny, y_1, z_2 = T(x)");
  UnusedNames names(g);
  EXPECT_EQ(names.make("x"), "x_1");
  EXPECT_EQ(names.make("w"), "w_1");
  EXPECT_EQ(names.make("y"), "y_2");
  EXPECT_EQ(names.make("free"), "free");
  EXPECT_EQ(names.make("free"), "free_1");
  EXPECT_EQ(names.make("z"), "z");
  EXPECT_EQ(names.make("z"), "z_1");
  EXPECT_EQ(names.make("z"), "z_3");
}

}  // namespace
