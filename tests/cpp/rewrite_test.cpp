// The engine of rewrites: what one rewrite opens is rewritten too, wherever it stands.
#include "passes/rewrite.h"

#include <gtest/gtest.h>

#include "message_of.h"

using namespace d2deploy;

namespace {

std::string rewritten(const Rewrite& rewrite, const std::string& text, int places) {
  Graph graph = parse_graph(text);
  EXPECT_EQ(apply(rewrite, graph), places);
  verify(graph);
  return to_text(graph);
}

const Rewrite kOneRelu{"one-relu", "a = Relu(x)\ny = Relu(a)", "y = Relu(x)"};

TEST(Rewrite, GoesOnFromWhatItMade) {
  EXPECT_EQ(rewritten(kOneRelu,
                      "input x float32 2\na = Relu(x)\nb = Relu(a)\nc = Relu(b)\nd = Sigmoid(c)\ne = Relu(d)\n"
                      "y = Relu(e)\noutput y",
                      3),
            "input x float32 2\nc = Relu(x)\nd = Sigmoid(c)\ny = Relu(d)\noutput y\n");
}

// Not equal in numbers: only the engine is tested. The place of `r` opens when that of `h`, behind it, is rewritten,
// since `d` then has one reader.
TEST(Rewrite, GoesBackToWhatHasOneReaderLeft) {
  const Rewrite forget{"forget", "a = Add(x, w)\ny = Negative(a)", "y = Negative(w)"};
  EXPECT_EQ(rewritten(forget,
                      "input e float32 2\ninput f float32 2\ninput q float32 2\nd = Add(e, f)\nr = Negative(d)\n"
                      "g = Add(d, q)\nh = Negative(g)\noutput r h",
                      2),
            "input e float32 2\ninput f float32 2\ninput q float32 2\nr = Negative(f)\nh = Negative(q)\n"
            "output r\noutput h\n");
}

TEST(Rewrite, ADeadReaderHidesNothingForLong) {
  EXPECT_EQ(
      rewritten(kOneRelu, "input x float32 2\na = Relu(x)\nb = Relu(a)\ndead = Sigmoid(b)\nc = Relu(b)\noutput c", 2),
      "input x float32 2\nc = Relu(x)\noutput c\n");
}

TEST(Rewrite, KeepsNodesInTheirOrderAndTheirPlaceInTheFile) {
  Graph graph = parse_graph("input x float32 2\na = Relu(x)\ns = Sigmoid(x)\nb = Relu(a)\nc = Add(s, b)\noutput c");
  for (std::size_t i = 0; i < graph.nodes.size(); ++i) graph.nodes[i].origin = static_cast<std::int64_t>(i);
  EXPECT_EQ(apply(kOneRelu, graph), 1);
  EXPECT_EQ(to_text(graph), "input x float32 2\ns = Sigmoid(x)\nb = Relu(x)\nc = Add(s, b)\noutput c\n");
  EXPECT_EQ(describe(graph.nodes[1]), "node 2 (Relu -> b)");
}

TEST(Rewrite, APictureWithSeveralOutputsIsABug) {
  Graph graph = parse_graph("input x float32 2\na, b = Concat(x, x)\noutput a");
  const Rewrite two{"two", "y, z = Concat(a, b)", "y = Concat(a, b)"};
  EXPECT_EQ(message_of<InternalError>([&] { (void)apply(two, graph); }),
            "two: the picture has a node of several outputs");
}

}  // namespace
