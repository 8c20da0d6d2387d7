// Arguments as text: what is written reads back as the same value, and the messages about what cannot be read.
#include "core/args.h"

#include <gtest/gtest.h>

#include <limits>

#include "d2deploy/error.h"

using namespace d2deploy;

namespace {

template <class F>
std::string message_of(const F& f) {
  try {
    f();
  } catch (const InvalidArgument& e) {
    return e.what();
  }
  return "nothing was thrown";
}

TEST(ArgText, WritesTheShortestText) {
  EXPECT_EQ(to_text(Arg(std::int64_t{7})), "7");
  EXPECT_EQ(to_text(Arg(1.0F)), "1.0");
  EXPECT_EQ(to_text(Arg(0.1F)), "0.1");
  EXPECT_EQ(to_text(Arg(1e-10F)), "1e-10");
  EXPECT_EQ(to_text(Arg(std::string("NCHW"))), "NCHW");
  EXPECT_EQ(to_text(Arg(std::string("7"))), "\"7\"");
  EXPECT_EQ(to_text(Arg(std::string(""))), "\"\"");
  EXPECT_EQ(to_text(Arg(Ints{3, -3})), "[3,-3]");
  EXPECT_EQ(to_text(Arg(Floats{10, 5})), "[10.0,5.0]");
  EXPECT_EQ(to_text(Arg(Strings{"a", "b c"})), "[a,\"b c\"]");
  EXPECT_EQ(to_text(Args{}), "");
  EXPECT_EQ(to_text(Args{{"b", std::int64_t{1}}, {"a", Ints{2, 3}}}), "{a=[2,3] b=1}");
}

TEST(ArgText, ReadsBackTheSameValue) {
  const std::vector<Arg> args{std::int64_t{0},
                              std::numeric_limits<std::int64_t>::min(),
                              std::numeric_limits<std::int64_t>::max(),
                              0.0F,
                              -0.1F,
                              std::numeric_limits<float>::max(),
                              std::numeric_limits<float>::denorm_min(),
                              std::numeric_limits<float>::infinity(),
                              -std::numeric_limits<float>::infinity(),
                              std::string("a"),
                              std::string(""),
                              std::string("1e3"),
                              std::string("nan"),
                              std::string("a b"),
                              std::string("a=b"),
                              std::string("[a]"),
                              std::string("{a}"),
                              std::string("a(b"),
                              std::string("a)b"),
                              std::string("tab\tand, comma"),
                              std::string("*"),
                              Ints{1},
                              Floats{0.5F},
                              Strings{"a b", "", "7", "c,d"}};
  for (const auto& arg : args) {
    EXPECT_EQ(parse_arg(to_text(arg)), arg) << to_text(arg);
    const Args both{{"first", arg}, {"last", std::int64_t{1}}};  // text that ends too late would take the other in
    const std::string text = to_text(both);
    EXPECT_EQ(parse_args(text.substr(1, text.size() - 2)), both) << text;
  }
}

TEST(ArgText, ListsTakeTheTypeThatHoldsAllTheirItems) {
  EXPECT_EQ(parse_arg("[1,2.0]"), Arg(Floats{1, 2}));
  EXPECT_EQ(parse_arg("[1,a]"), Arg(Strings{"1", "a"}));
  EXPECT_EQ(parse_arg("[]"), Arg(Ints{}));
  EXPECT_EQ(parse_arg(" [ 1 , 2 ] "), Arg(Ints{1, 2}));
}

TEST(ArgText, NamesWhatCannotBeRead) {
  EXPECT_EQ(message_of([] { (void)parse_arg("  "); }), "an argument has no value");
  EXPECT_EQ(message_of([] { (void)parse_arg("[1,2"); }), "'[1,2' lacks its closing bracket");
  EXPECT_EQ(message_of([] { (void)parse_arg("["); }), "'[' lacks its closing bracket");
  EXPECT_EQ(message_of([] { (void)parse_arg("9223372036854775808"); }), "'9223372036854775808' is not an integer");
  EXPECT_EQ(message_of([] { (void)parse_args("a=1 b"); }), "'b' is not name=value");
  EXPECT_EQ(message_of([] { (void)parse_args("=1"); }), "'=1' is not name=value");
  EXPECT_EQ(message_of([] { (void)parse_args("a="); }), "an argument has no value");
  EXPECT_EQ(message_of([] { (void)parse_args("a=1 a=1"); }), "argument 'a' is given twice");
}

}  // namespace
