// Nets that are wrong: what is said, and that nothing worse happens.
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <limits>

#include "d2deploy/error.h"
#include "io/file.h"
#include "net_builder.h"

namespace d2deploy::testing {
namespace {

// Throws E, and the message has all the parts.
template <class E, class F>
void expect_error(const F& f, std::initializer_list<std::string_view> parts) {
  try {
    f();
    ADD_FAILURE() << "nothing was thrown";
  } catch (const E& e) {
    for (const auto part : parts)
      EXPECT_NE(std::string_view(e.what()).find(part), std::string_view::npos)
          << "wanted: " << part << "\nfound: " << e.what();
  } catch (const std::exception& e) {
    ADD_FAILURE() << "another type was thrown: " << e.what();
  }
}

template <class E>
void expect_predict_error(const Net& predict, std::initializer_list<std::string_view> parts) {
  expect_error<E>([&] { (void)read(predict, small_init_net()); }, parts);
}
template <class E>
void expect_init_error(const Net& init, std::initializer_list<std::string_view> parts,
                       const ReadOptions& options = {}) {
  expect_error<E>([&] { (void)read(small_predict_net(), init, options); }, parts);
}
// An init net of the one operator that makes w.
template <class E>
void expect_fill_error(const std::string& type, std::initializer_list<NamedArg> args,
                       std::initializer_list<std::string_view> parts, const ReadOptions& options = {}) {
  Net init;
  init.op(type, {}, {"w"}, args);
  expect_init_error<E>(init, parts, options);
}

// ---- Files -----------------------------------------------------------------------------------------

class Files : public ::testing::Test {
 protected:
  Files() : folder_(std::filesystem::temp_directory_path() / ("io_error_test_" + std::to_string(::getpid()))) {
    std::filesystem::create_directory(folder_);
    std::ofstream(folder_ / "model.pb", std::ios::binary) << small_predict_net().bytes();
    std::ofstream(folder_ / "model_init.pb", std::ios::binary) << small_init_net().bytes();
  }
  ~Files() override { std::filesystem::remove_all(folder_); }

  template <class E>
  void expect_path_error(const std::string& predict, const std::string& init,
                         std::initializer_list<std::string_view> parts) {
    expect_error<E>([&] { (void)read_model(folder_ / predict, folder_ / init); }, parts);
  }
  std::filesystem::path folder_;
};

TEST_F(Files, Missing) {
  expect_path_error<InvalidArgument>("model.pb", "nowhere.pb", {"nowhere.pb: there is no such file"});
}
TEST_F(Files, Directory) {
  expect_path_error<InvalidArgument>("", "model_init.pb", {"is a directory, wanted a file such as model.pb"});
}
TEST_F(Files, Empty) {
  std::ofstream(folder_ / "empty.pb").flush();
  expect_path_error<InvalidModel>("model.pb", "empty.pb", {"empty.pb: is empty, wanted a Caffe2 net"});
}
TEST_F(Files, Pipe) {
  ASSERT_EQ(::mkfifo((folder_ / "pipe").c_str(), 0600), 0);
  expect_path_error<InvalidArgument>("pipe", "model_init.pb", {"pipe: is not a regular file"});
}
TEST_F(Files, NotADirectory) {
  expect_path_error<InvalidArgument>("model.pb/x", "model_init.pb", {"model.pb/x: cannot be read: Not a directory"});
}
TEST_F(Files, Unreadable) {
  if (::geteuid() == 0) GTEST_SKIP() << "root may read everything";
  ::chmod((folder_ / "model.pb").c_str(), 0);
  expect_path_error<InvalidArgument>("model.pb", "model_init.pb", {"model.pb: cannot be read: Permission denied"});
}
TEST_F(Files, ShortenedWhileInUse) {
  const std::string written = small_init_net().bytes();
  const FileBytes file(folder_ / "model_init.pb");
  std::filesystem::resize_file(folder_ / "model_init.pb", 0);
  EXPECT_EQ(as_text(file.bytes()), written);
}
TEST_F(Files, EndsBeforeItsSize) {
  const std::filesystem::path odd = "/sys/kernel/mm/transparent_hugepage/enabled";  // says a page, has a line
  if (!std::filesystem::exists(odd)) GTEST_SKIP() << odd << " is missing";
  expect_path_error<InvalidArgument>(odd, "model_init.pb", {"enabled: ends after", "was it changed meanwhile?"});
}
TEST_F(Files, TooLarge) {
  std::filesystem::resize_file(folder_ / "model.pb", std::uintmax_t{1} << 40);  // takes no space: a hole
  expect_path_error<Unsupported>("model.pb", "model_init.pb", {"model.pb: has 1099511627776 bytes; a Caffe2 net is"});
}
TEST_F(Files, SameTwice) {
  expect_path_error<InvalidArgument>("model.pb", "model.pb", {"was given as predict net and as init net"});
  std::filesystem::create_symlink("model.pb", folder_ / "link.pb");
  expect_path_error<InvalidArgument>("link.pb", "model.pb", {"link.pb: was given as predict net and as init net"});
}

TEST(Roles, Swapped) {
  expect_error<InvalidArgument>([] { (void)read(small_init_net(), small_predict_net()); },
                                {"the two nets look swapped", "model.pb, given as predict net, holds only weights",
                                 "give them the other way round"});
}
TEST(Roles, TwoOfAKind) {
  expect_error<InvalidArgument>([] { (void)read(small_init_net(), small_init_net()); },
                                {"model.pb: was given as predict net but holds only weights (1 fill)"});
  expect_error<InvalidArgument>([] { (void)read(small_predict_net(), small_predict_net()); },
                                {"model_init.pb: was given as init net but computes (node 0 (Mul -> y), external input "
                                 "'data'): it looks like a predict net"});
}

struct Kind {
  std::string start, name;
};
class WrongKind : public ::testing::TestWithParam<Kind> {};
TEST_P(WrongKind, IsNamed) {
  const std::string bytes = GetParam().start + std::string(300, '\x07');
  expect_error<InvalidModel>([&] { (void)read(bytes, small_init_net().bytes()); },
                             {"model.pb: is " + GetParam().name + ", wanted a Caffe2 net such as model.pb"});
}
INSTANTIATE_TEST_SUITE_P(
    All, WrongKind,
    ::testing::Values(Kind{"\x89PNG\r\n\x1a\n", "a PNG image"}, Kind{"\xff\xd8\xff\xe0", "a JPEG image"},
                      Kind{"GIF89a", "a GIF image"}, Kind{"\x1f\x8b\x08", "a gzip archive"},
                      Kind{"\x89HDF\r\n\x1a\n", "an HDF5 file"},
                      Kind{"PK\x03\x04", "a zip archive, perhaps a PyTorch checkpoint (.pth) or a TorchScript module"},
                      Kind{"\x80\x02}q", "a Python pickle, perhaps a checkpoint (.pkl, .pth)"},
                      Kind{"\x80\x04\x95", "a Python pickle, perhaps a checkpoint (.pkl)"},
                      Kind{"\x08\x07\x12\x07pytorch", "an ONNX model"}, Kind{"\x93NUMPY\x01", "a NumPy array"},
                      Kind{std::string("\x40\0\0\0\0\0\0\0{\"__metadata__\":", 24), "a safetensors file"},
                      Kind{"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer, not the file itself"}));

TEST(WrongKind, Text) {
  const auto expect_kind = [](const std::string& text, std::string_view message) {
    expect_error<InvalidModel>([&] { (void)read(text, small_init_net().bytes()); }, {message});
  };
  expect_kind("<!DOCTYPE html>\n<html>",
              "is an HTML or XML page, wanted a Caffe2 net such as model.pb or "
              "model_init.pb; was a web page saved instead of the file?");
  expect_kind("name: \"net\"\nop {\n", "is a net in text form (.pbtxt), wanted");
  expect_kind("MODEL:\n  META_ARCHITECTURE: RetinaNet\n", "is a text file, wanted");
}

// ---- Damage ----------------------------------------------------------------------------------------

TEST(Damage, TruncatedFile) {
  const std::string init = small_init_net().bytes();
  expect_error<InvalidModel>(
      [&] { (void)read(small_predict_net().bytes(), init.substr(0, init.size() - 3)); },
      {"model_init.pb: the file ends at byte " + std::to_string(init.size() - 3) +
       ", inside of a field that begins at byte 0 and wants 3 bytes more: it is truncated or damaged"});
}
TEST(Damage, NoField) {
  expect_error<InvalidModel>([] { (void)read(small_predict_net().bytes() + "\x07", small_init_net().bytes()); },
                             {"begins no field of a Caffe2 net (tag 7)"});
  expect_error<InvalidModel>([] { (void)read(small_predict_net().bytes() + "\x10\x01", small_init_net().bytes()); },
                             {"the operator is a number"});
  expect_error<InvalidModel>(
      [] { (void)read(small_predict_net().bytes() + "\x20" + std::string(11, '\xff'), small_init_net().bytes()); },
      {"is longer than ten bytes"});
}
TEST(Damage, InsideOfAnOperator) {
  Net predict = small_predict_net();
  predict.def.mutable_op(0)->mutable_unknown_fields()->append("\x2a\x02\x0a\x05");  // an argument whose name is cut
  expect_predict_error<InvalidModel>(predict, {"model.pb: node 0 (Mul -> y): is damaged"});
}
TEST(Damage, NestingIsNeverFollowed) {
  std::string nested;  // Argument.n, a NetDef, of an operator, of an argument, ...
  for (int depth = 0; depth < 12; ++depth) {
    proto::Argument argument;
    argument.set_name("n");
    argument.set_n(nested);
    Net net;
    *net.add("Op", {}, {}).add_arg() = argument;
    nested = net.bytes();
  }
  Net predict = small_predict_net();
  auto& arg = *predict.add("While", {}, {"z"}).add_arg();
  arg.set_name("body");
  arg.set_n(nested);
  expect_predict_error<Unsupported>(predict, {"node 1 (While -> z): argument 'body': holds a net"});
}
TEST(Damage, TooMany) {
  Net predict = small_predict_net();
  for (int i = 0; i < 1001; ++i) predict.def.mutable_op(0)->add_arg();
  expect_predict_error<InvalidModel>(predict, {"model.pb: node 0: more than 1000 arguments"});
  const std::string operators = [] {
    std::string text;
    for (int i = 0; i < 100'001; ++i) text += std::string("\x12\0", 2);
    return text;
  }();
  expect_error<InvalidModel>([&] { (void)read(operators, small_init_net().bytes()); }, {"more than 100000 operators"});
}

TEST(Damage, TooLargeToParse) {
  Net predict = small_predict_net(), init = small_init_net();
  predict.def.set_name(std::string(16 << 20, 'n'));
  init.def.mutable_op(0)->set_engine(std::string(16 << 20, 'n'));
  expect_predict_error<InvalidModel>(predict, {"model.pb: is 167", "at most 16777216 are read of a predict net"});
  expect_init_error<Unsupported>(init, {"node 0 (GivenTensorFill -> w): takes 167", "at most 16777216 are read"});
}

TEST(Damage, TooManyBytesOfNetArguments) {
  Net predict = small_predict_net();
  proto::Argument& arg = *predict.def.add_arg();
  arg.set_name("names");
  for (int i = 0; i < (1 << 19); ++i) arg.add_strings("");  // 1 MiB in the file, 40 times as much in memory
  expect_predict_error<InvalidModel>(
      predict, {"model.pb: the net's arguments take 1048583 bytes, at most 1048576 are read; weights belong into"});
  arg.mutable_strings()->DeleteSubrange(0, 4);
  EXPECT_EQ(std::get<Strings>(read(predict, small_init_net()).attributes.at("names")).size(), (1U << 19) - 4);
}

// Whatever the bytes are, one of our errors or a graph comes out. What a mutation asks for is bounded by the options.
template <class F>
void expect_no_worse_than_error(const F& f) {
  try {
    f();
  } catch (const InternalError& e) {
    ADD_FAILURE() << e.what();
  } catch (const Error&) {
  }
}
TEST(Damage, EveryPrefixAndEveryByte) {
  Net predict_net = small_predict_net(), init_net = small_init_net();
  predict_net.op("Conv", {"y", "w"}, {"z"}, {{"kernels", Ints{3, 3}}, {"scale", 0.5F}, {"order", std::string("NCHW")}});
  init_net.op("ConstantFill", {"w"}, {"v"}).op("Copy", {"v"}, {"w"});
  const std::string predict = predict_net.bytes(), init = init_net.bytes();
  const ReadOptions options{.max_tensor_bytes = 1 << 20, .log = {}};
  for (std::size_t i = 0; i < predict.size(); ++i)
    expect_no_worse_than_error([&] { (void)read(predict.substr(0, i), init, options); });
  for (std::size_t i = 0; i < init.size(); ++i)
    expect_no_worse_than_error([&] { (void)read(predict, init.substr(0, i), options); });
  for (int value = 0; value < 256; ++value) {
    for (std::size_t i = 0; i < predict.size(); ++i) {
      std::string bytes = predict;
      bytes[i] = static_cast<char>(value);
      expect_no_worse_than_error([&] { (void)read(bytes, init, options); });
    }
    for (std::size_t i = 0; i < init.size(); ++i) {
      std::string bytes = init;
      bytes[i] = static_cast<char>(value);
      expect_no_worse_than_error([&] { (void)read(predict, bytes, options); });
    }
  }
}

// ---- Predict nets ----------------------------------------------------------------------------------

TEST(PredictNetErrors, NothingToCompute) {
  Net predict;
  predict.inputs({"data"});
  expect_predict_error<InvalidModel>(predict, {"model.pb: 2 faults: has no operators; has no external outputs"});
}
TEST(PredictNetErrors, MissingBlobsAllAtOnce) {
  Net predict = small_predict_net();
  predict.op("Conv", {"y", "v", "b"}, {"z"}).inputs({"v", "b"});
  expect_predict_error<InvalidModel>(predict, {"model.pb: 2 external inputs 'v', 'b' have no value: model_init.pb does "
                                               "not make them",
                                               "do the two files belong together?"});
}
TEST(PredictNetErrors, MissingBlob) {
  Net init;
  init.weight("other", {1}, {1});
  expect_init_error<InvalidModel>(init, {"model.pb: external input 'w' has no value: model_init.pb does not make it"});
}
TEST(PredictNetErrors, UnknownSources) {
  Net predict = small_predict_net();
  predict.op("Relu", {"later"}, {"z"}).op("Relu", {"never"}, {"later"});
  expect_predict_error<InvalidModel>(
      predict,
      {"model.pb: 2 faults: node 1 (Relu -> z): source for input 'later' is unknown: it is made only later, by "
       "node 2 (Relu -> later); node 2 (Relu -> later): source for input 'never' is unknown: no external input"});
}
TEST(PredictNetErrors, Externals) {
  Net predict = small_predict_net();
  predict.inputs({"data"}).outputs({"y", "never", ""});
  expect_predict_error<InvalidModel>(predict,
                                     {"external input 'data' is listed twice", "external output 'y' is listed twice",
                                      "external output 3 has no name", "model.pb: 3 faults"});
  Net never = small_predict_net();
  never.outputs({"never"});
  expect_predict_error<InvalidModel>(never, {"model.pb: external output 'never' is never made"});
}
TEST(PredictNetErrors, InputOverwrittenAndOutput) {
  Net predict;
  predict.op("Mul", {"data", "w"}, {"data"}).inputs({"data", "w"}).outputs({"data"});
  expect_predict_error<InvalidModel>(predict, {"external input 'data' is overwritten by node 0 (Mul"});
}
TEST(PredictNetErrors, Names) {
  Net predict = small_predict_net();
  predict.op("", {"y"}, {"z"}).op("Relu", {""}, {"a"}).op("Relu", {"y"}, {"b\n"}).op("Split", {"y"}, {"c", "c"});
  predict.op("Relu", {"y"}, {std::string(2000, 'n')});
  expect_predict_error<InvalidModel>(
      predict,
      {"model.pb: 5 faults", "node 1 '': the operator has no type", "node 2 'Relu': input 0 has no name",
       "output 0, 'b\\x0a', has control characters", "has output 'c' twice", "has a name of 2000 bytes, at most 1000"});
}
TEST(PredictNetErrors, ArgumentsAllAtOnce) {
  Net predict = small_predict_net();
  predict.op("Op", {"y"}, {"a"}, {{"x", std::int64_t{1}}, {"x", std::int64_t{2}}});
  predict.add("Op", {"y"}, {"b"}, {{"x", 1.0F}}).mutable_arg(0)->set_i(1);
  predict.op("Op", {"y"}, {"c"}, {{"", 1.0F}});
  expect_predict_error<InvalidModel>(
      predict, {"model.pb: 3 faults", "node 1 (Op -> a): argument 'x': is there twice with different values",
                "node 2 (Op -> b): argument 'x': has values of 2 kinds", "node 3 (Op -> c): an argument has no name"});
}
TEST(PredictNetErrors, NetType) {
  Net predict = small_predict_net();
  predict.def.set_type("rnn");
  expect_predict_error<Unsupported>(predict, {"model.pb: net type 'rnn' is not supported"});
}
TEST(PredictNetErrors, TensorsInArguments) {
  Net predict = small_predict_net();
  auto& arg = *predict.add("Op", {}, {"z"}).add_arg();
  arg.set_name("value");
  arg.set_t("");
  expect_predict_error<Unsupported>(predict, {"node 1 (Op -> z): argument 'value': holds a tensor"});
}
TEST(PredictNetErrors, ManyFaultsAreCounted) {
  Net predict = small_predict_net();
  for (int i = 0; i < 50; ++i) predict.op("", {"y"}, {"z" + std::to_string(i)});
  expect_predict_error<InvalidModel>(predict, {"model.pb: 50 faults", "; and 30 more"});
}

// ---- Init nets -------------------------------------------------------------------------------------

TEST(InitNetErrors, UnsupportedAllAtOnce) {
  Net init = small_init_net();
  init.op("GivenTensorStringFill", {}, {"s"}).op("Int8GivenTensorFill", {}, {"q"}).op("XavierFill", {}, {"x"});
  expect_init_error<Unsupported>(
      init, {"model_init.pb", "3 faults: node 1 (GivenTensorStringFill -> s): strings are not",
             "node 2 (Int8GivenTensorFill -> q): quantised weights are not supported", "node 3 (XavierFill -> x)"});
}
TEST(InitNetErrors, Structure) {
  Net init;
  init.op("GivenTensorFill", {}, {"a", "b"}).op("Copy", {}, {"w"});
  expect_init_error<InvalidModel>(init,
                                  {"model_init.pb: 2 faults: node 0 (GivenTensorFill -> a): has 2 outputs, wanted 1",
                                   "node 1 (Copy -> w): has 0 inputs, wanted 1"});
  Net unknown;
  unknown.op("Copy", {"x"}, {"w"});
  expect_init_error<InvalidModel>(unknown, {"node 0 (Copy -> w): source for input 'x' is unknown"});
}
TEST(InitNetErrors, ValuesAllAtOnce) {
  Net predict = small_predict_net(), init;
  predict.op("Add", {"y", "v"}, {"z"}).inputs({"v"});
  init.weight("w", {2, 2}, {1, 2, 3}).weight("v", {-1}, {1});
  expect_error<InvalidModel>([&] { (void)read(predict, init); },
                             {"model_init.pb: 2 faults: node 0 (GivenTensorFill -> w): shape (2, 2) needs 4 values, "
                              "found 3",
                              "node 1 (GivenTensorFill -> v): GivenTensorFill: shape [-1] holds -1, wanted 0 or more"});
}
TEST(InitNetErrors, Shapes) {
  constexpr std::int64_t kHuge = std::int64_t{1} << 40;
  expect_fill_error<InvalidModel>("GivenTensorFill", {{"values", Floats{1}}, {"shape", Ints(9, 1)}},
                                  {"the shape has 9 dimensions, at most 8"});
  expect_fill_error<InvalidModel>("GivenTensorFill", {{"values", Floats{1}}, {"shape", Ints{kHuge, kHuge}}},
                                  {"has more than 2^63 elements"});
  expect_fill_error<InvalidModel>("GivenTensorFill", {{"values", Floats{1}}, {"shape", 1.0F}},
                                  {"argument 'shape' must hold ints"});
}
// Were the memory asked for before the values are counted, this would be a DeviceError.
TEST(InitNetErrors, NothingIsAllocatedForAClaim) {
  constexpr std::int64_t kClaim = std::int64_t{1} << 58;
  const ReadOptions limitless{.max_tensor_bytes = std::numeric_limits<std::int64_t>::max(), .log = {}};
  expect_fill_error<InvalidModel>("GivenTensorFill", {{"values", Floats{1, 2, 3}}, {"shape", Ints{kClaim}}},
                                  {"needs 288230376151711744 values, found 3"}, limitless);
  expect_fill_error<InvalidModel>("GivenTensorInt64Fill", {{"values", Ints{1}}, {"shape", Ints{kClaim}}},
                                  {"needs 288230376151711744 values, found 1"}, limitless);
}
TEST(InitNetErrors, TooLarge) {
  const ReadOptions small{.max_tensor_bytes = 100, .log = {}};
  expect_fill_error<InvalidModel>("GivenTensorFill", {{"values", Floats(26)}, {"shape", Ints{26}}},
                                  {"shape (26,) takes 104 bytes, at most 100 are allowed; raise max_tensor_bytes"},
                                  small);
  expect_fill_error<InvalidModel>("ConstantFill", {{"shape", Ints{26}}}, {"shape (26,) takes 104 bytes"}, small);
  Net predict = small_predict_net(), init;
  predict.op("Add", {"y", "v"}, {"z"}).inputs({"v"});
  init.op("ConstantFill", {}, {"w"}, {{"shape", Ints{20}}}).op("ConstantFill", {}, {"v"}, {{"shape", Ints{20}}});
  expect_error<InvalidModel>([&] { (void)read(predict, init, small); }, {"the ConstantFills take more bytes together"});
}
TEST(InitNetErrors, Values) {
  expect_fill_error<InvalidModel>("GivenTensorFill", {{"shape", Ints{0}}}, {"has no argument 'values'"});
  expect_fill_error<InvalidModel>("GivenTensorFill", {{"values", Ints{1}}}, {"argument 'values' must hold floats"});
  expect_fill_error<InvalidModel>("GivenTensorIntFill", {{"values", Floats{1}}}, {"argument 'values' must hold ints"});
  expect_fill_error<InvalidModel>("GivenTensorIntFill", {{"values", Floats(1000)}, {"shape", Ints{0}}},
                                  {"argument 'values' must hold ints"});
  expect_fill_error<InvalidModel>("GivenTensorIntFill", {{"values", Ints{std::int64_t{1} << 31}}},
                                  {"value 2147483648 does not fit into int32"});
  expect_fill_error<InvalidModel>("GivenTensorBoolFill", {{"values", Ints{2}}},
                                  {"value 2 is not a bool, wanted 0 or 1"});
  expect_fill_error<InvalidModel>("ConstantFill", {{"value", std::string("x")}},
                                  {"ConstantFill: value is x, must be a number"});
  expect_fill_error<InvalidModel>("ConstantFill", {{"value", 0.5F}, {"dtype", std::int64_t{2}}},
                                  {"ConstantFill: value is 0.5, must be an integer for int32"});
  expect_fill_error<InvalidModel>("GivenTensorFill", {{"values", Floats{1}}, {"values", Floats{2}}},
                                  {"argument 'values': is there twice with different values"});
}
TEST(InitNetErrors, Unsupported) {
  expect_fill_error<Unsupported>(
      "ConstantFill", {{"dtype", std::int64_t{12}}},
      {"model_init.pb: node 0 (ConstantFill -> w): ConstantFill: dtype is 12, wanted 1 FLOAT"});
  Net init;
  init.weight("t", {1}, {1}).op("GivenTensorFill", {"t"}, {"w"}, {{"values", Floats{1}}});
  expect_init_error<Unsupported>(init, {"node 1 (GivenTensorFill -> w): takes its shape from an input"});
}

}  // namespace
}  // namespace d2deploy::testing
