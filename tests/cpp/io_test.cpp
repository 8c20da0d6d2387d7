// What the reader makes of nets that are right. Those that are wrong: io_error_test.cpp.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <numeric>

#include "core/check.h"
#include "message_of.h"
#include "net_builder.h"

namespace d2deploy::testing {
namespace {

// The value that an init net of one operator (after `before`) gives to blob "w".
template <class T>
std::vector<T> values_of(const Net& init, const ReadOptions& options = {}) {
  const Tensor w = read(small_predict_net(), init, options).constants.at("w");
  return {w.values<T>().begin(), w.values<T>().end()};
}

Tensor fill(const std::string& type, std::initializer_list<NamedArg> args) {
  Net init;
  init.op(type, {}, {"w"}, args);
  return read(small_predict_net(), init).constants.at("w");
}

template <class T>
std::vector<T> list(const Tensor& t) {
  return {t.values<T>().begin(), t.values<T>().end()};
}

TEST(ReadModel, GivesGraph) {
  Net predict = small_predict_net();
  predict.def.set_name("net");
  predict.inputs({"im_info"});
  const Graph graph = read(predict, small_init_net());
  EXPECT_EQ(to_text(graph),
            "input data float32 ?x?x?x?\n"
            "input im_info float32 ?x3\n"
            "const w float32 2 = 1.0 2.0\n"
            "y = Mul(data, w)\n"
            "output y\n");
  EXPECT_EQ(graph.name, "net");
}

TEST(ReadModel, ArgumentsKeepTheirTypes) {
  Net predict = small_predict_net();
  predict.op("Op", {"y"}, {"z"},
             {{"i", std::int64_t{-7}},
              {"f", 0.25F},
              {"s", std::string("NCHW")},
              {"ints", Ints{1, -2}},
              {"floats", Floats{1.5F}},
              {"strings", Strings{"a", "b"}},
              {"empty", Ints{}}});
  const Graph graph = read(predict, small_init_net());
  const Args want{{"i", std::int64_t{-7}},    {"f", 0.25F},
                  {"s", std::string("NCHW")}, {"ints", Ints{1, -2}},
                  {"floats", Floats{1.5F}},   {"strings", Strings{"a", "b"}},
                  {"empty", Ints{}}};
  EXPECT_EQ(graph.nodes[1].args, want);
  EXPECT_EQ(graph.nodes[1].origin, 1);
}

TEST(ReadModel, NetArgumentsAreAttributes) {
  Net predict = small_predict_net();
  proto::Argument& arg = *predict.def.add_arg();
  arg.set_name("size_divisibility");
  arg.set_i(32);
  EXPECT_EQ(read(predict, small_init_net()).attributes, (Args{{"size_divisibility", std::int64_t{32}}}));
}

TEST(ReadModel, IgnoresDevicesEnginesAndUnknownFields) {
  Net predict = small_predict_net();
  predict.def.mutable_op(0)->mutable_device_option()->set_device_type(1);
  predict.def.mutable_op(0)->set_engine("CUDNN");
  predict.def.set_type("dag");
  predict.def.mutable_op(0)->mutable_unknown_fields()->append("\x42\x01x\xa0\x06\x05");  // control_input, field 100
  const std::string bytes = predict.bytes() + "\x4a\x02\x0a\x01" + "\xa5\x06" + "abcd";  // partition_info, field 100
  EXPECT_EQ(to_text(read(bytes, small_init_net().bytes())), to_text(read(small_predict_net(), small_init_net())));
}

TEST(ReadModel, KeepsOnlyConstantsInUse) {
  Net init = small_init_net();
  init.weight("unused", {3}, {1, 2, 3});
  EXPECT_EQ(read(small_predict_net(), init).constants.size(), 1U);
}

TEST(ReadModel, UnreadInputIsDroppedWithAWarning) {
  std::string warnings;
  Net predict = small_predict_net();
  predict.inputs({"left_over"});
  const Graph graph = read(predict, small_init_net(), {.log = [&](LogLevel, std::string_view m) { warnings += m; }});
  EXPECT_EQ(graph.inputs, Names{"data"});
  EXPECT_EQ(warnings, "model.pb: external input 'left_over' has no value and is not read");
}

TEST(ReadModel, InputMayBeOutput) {
  Net predict = small_predict_net();
  predict.inputs({"im_info"}).outputs({"im_info"});
  EXPECT_EQ(read(predict, small_init_net()).outputs, (Names{"y", "im_info"}));
}

// ---- Single assignment -----------------------------------------------------------------------------

TEST(SingleAssignment, LaterValuesAreNumbered) {
  Net predict;
  predict.op("Mul", {"data", "w"}, {"x"}).op("Relu", {"x"}, {"x"}).op("Relu", {"x"}, {"x"}).op("Neg", {"x"}, {"y"});
  predict.inputs({"data", "w"}).outputs({"y"});
  EXPECT_EQ(to_text(read(predict, small_init_net())),
            "input data float32 ?x?x?x?\n"
            "const w float32 2 = 1.0 2.0\n"
            "x = Mul(data, w)\nx.1 = Relu(x)\nx.2 = Relu(x.1)\ny = Neg(x.2)\n"
            "output y\n");
}

TEST(SingleAssignment, OutputIsTheLastValue) {
  Net predict;
  predict.op("Mul", {"data", "w"}, {"y"}).op("Relu", {"y"}, {"y"}).inputs({"data", "w"}).outputs({"y"});
  EXPECT_EQ(to_text(read(predict, small_init_net())),
            "input data float32 ?x?x?x?\n"
            "const w float32 2 = 1.0 2.0\n"
            "y.1 = Mul(data, w)\ny = Relu(y.1)\n"
            "output y\n");
}

TEST(SingleAssignment, NewNamesAreNew) {
  Net predict;
  predict.op("Mul", {"data", "w"}, {"x"}).op("Relu", {"x"}, {"x"}).op("Relu", {"x"}, {"x.1"});
  predict.op("Add", {"x", "x.1"}, {"y"}).inputs({"data", "w"}).outputs({"y"});
  const Graph graph = read(predict, small_init_net());
  EXPECT_EQ(graph.nodes[1].outputs, Names{"x.2"});
  EXPECT_EQ(graph.nodes[3].inputs, (Names{"x.2", "x.1"}));
}

TEST(SingleAssignment, ConstantsAndInputsMayBeOverwritten) {
  Net predict;
  predict.op("Mul", {"data", "w"}, {"w"}).op("Add", {"w", "data"}, {"data"}).op("Relu", {"data"}, {"y"});
  predict.inputs({"data", "w"}).outputs({"w", "y"});
  EXPECT_EQ(to_text(read(predict, small_init_net())),
            "input data float32 ?x?x?x?\n"
            "const w.1 float32 2 = 1.0 2.0\n"
            "w = Mul(data, w.1)\ndata.1 = Add(w, data)\ny = Relu(data.1)\n"
            "output w\noutput y\n");
}

// ---- Init nets -------------------------------------------------------------------------------------

TEST(InitNet, EveryFillOfValues) {
  EXPECT_EQ(list<float>(fill("GivenTensorFill", {{"values", Floats{1, -2}}, {"shape", Ints{2}}})), (Floats{1, -2}));
  EXPECT_EQ(list<float>(fill("GivenTensorDoubleFill", {{"values", Floats{1, -2}}, {"shape", Ints{2}}})),
            (Floats{1, -2}));
  EXPECT_EQ(list<std::int32_t>(fill("GivenTensorIntFill", {{"values", Ints{1, -2}}, {"shape", Ints{2}}})),
            (std::vector<std::int32_t>{1, -2}));
  EXPECT_EQ(list<std::int64_t>(fill("GivenTensorInt64Fill", {{"values", Ints{1, -(1LL << 40)}}, {"shape", Ints{2}}})),
            (Ints{1, -(1LL << 40)}));
  EXPECT_EQ(list<bool>(fill("GivenTensorBoolFill", {{"values", Ints{1, 0}}, {"shape", Ints{2}}})),
            (std::vector<bool>{true, false}));
  EXPECT_EQ(list<std::int32_t>(
                fill("GivenTensorFill", {{"values", Ints{3}}, {"shape", Ints{1}}, {"dtype", std::int64_t{2}}})),
            (std::vector<std::int32_t>{3}));
}

TEST(InitNet, ScalarsAndEmptyTensors) {
  EXPECT_EQ(fill("GivenTensorFill", {{"values", Floats{2}}}).shape(), Shape());
  EXPECT_EQ(fill("GivenTensorFill", {{"values", Floats{2}}, {"shape", Ints{}}}).shape(), Shape());
  EXPECT_EQ(fill("GivenTensorFill", {{"values", Floats{}}, {"shape", Ints{0, 4}}}).shape(), (Shape{0, 4}));
}

TEST(InitNet, ConstantFill) {
  EXPECT_EQ(list<float>(fill("ConstantFill", {{"shape", Ints{2}}})), (Floats{0, 0}));
  EXPECT_EQ(list<float>(fill("ConstantFill", {{"shape", Ints{2}}, {"value", 1.5F}})), (Floats{1.5F, 1.5F}));
  EXPECT_EQ(list<std::int64_t>(fill("ConstantFill", {{"shape", Ints{1}}, {"value", std::int64_t{7}}})), Ints{7});
  EXPECT_EQ(list<std::uint8_t>(
                fill("ConstantFill", {{"shape", Ints{1}}, {"value", std::int64_t{7}}, {"dtype", std::int64_t{3}}})),
            std::vector<std::uint8_t>{7});
}

TEST(InitNet, ConstantFillTakesItsShapeFromAnInput) {
  Net like;
  like.weight("t", {3, 1}, {1, 2, 3}).op("ConstantFill", {"t"}, {"w"}, {{"extra_shape", Ints{2}}});
  EXPECT_EQ(read(small_predict_net(), like).constants.at("w").shape(), (Shape{3, 1, 2}));
  Net as_shape;
  as_shape.op("GivenTensorInt64Fill", {}, {"t"}, {{"values", Ints{4, 5}}, {"shape", Ints{2}}});
  as_shape.op("ConstantFill", {"t"}, {"w"}, {{"input_as_shape", std::int64_t{1}}});
  EXPECT_EQ(read(small_predict_net(), as_shape).constants.at("w").shape(), (Shape{4, 5}));
}

TEST(InitNet, CopiesAndLaterValuesWin) {
  std::string warnings;
  Net init;
  init.weight("a", {1}, {1}).op("Copy", {"a"}, {"b"}).weight("a", {1}, {2}).op("CopyCPUToGPU", {"b"}, {"w"});
  EXPECT_EQ(values_of<float>(init, {.log = [&](LogLevel, std::string_view m) { warnings += m; }}), Floats{1});
  EXPECT_EQ(warnings, "model_init.pb: node 2 (GivenTensorFill -> a): blob 'a' is made again; the last one counts");
  EXPECT_EQ(values_of<float>(small_init_net().weight("w", {1}, {9})), Floats{9});
}

TEST(InitNet, SameArgumentTwiceIsAWarning) {
  std::string warnings;
  Net init;
  init.op("ConstantFill", {}, {"w"}, {{"shape", Ints{1}}, {"shape", Ints{1}}});
  EXPECT_EQ(values_of<float>(init, {.log = [&](LogLevel, std::string_view m) { warnings += m; }}), Floats{0});
  EXPECT_EQ(warnings, "model_init.pb: node 0 (ConstantFill -> w): argument 'shape' is there twice");
}

// ---- Long lists of floats, however they are written ------------------------------------------------

class LongFloats : public ::testing::Test {
 protected:
  static constexpr std::int64_t kCount = 1001;
  LongFloats() : values_(kCount) { std::iota(values_.begin(), values_.end(), -500.25F); }

  static std::string field(int number, const std::string& payload) {
    std::string out(1, static_cast<char>(number << 3 | 2));
    std::size_t n = payload.size();
    for (; n > 0x7F; n >>= 7) out += static_cast<char>((n & 0x7F) | 0x80);
    return out + static_cast<char>(n) + payload;
  }
  std::string packed(std::size_t begin, std::size_t end) const {
    return field(5, {reinterpret_cast<const char*>(values_.data() + begin), (end - begin) * sizeof(float)});
  }
  std::string unpacked(std::size_t begin, std::size_t end) const {
    std::string out;
    for (std::size_t i = begin; i < end; ++i)
      out += '\x2d' + std::string(reinterpret_cast<const char*>(&values_[i]), sizeof(float));
    return out;
  }
  // The values that are read where argument `values` is made of `argument`.
  static Floats read_back(const std::string& argument) {
    proto::Argument shape;
    shape.set_name("shape");
    shape.add_ints(kCount);
    const std::string op = field(2, "w") + field(4, "GivenTensorFill") + field(5, argument) +
                           field(5, shape.SerializeAsString()) + field(6, "\x08\x01");
    return list<float>(read(small_predict_net().bytes(), field(2, op)).constants.at("w"));
  }

  Floats values_;
};

TEST_F(LongFloats, Unpacked) { EXPECT_EQ(read_back(field(1, "values") + unpacked(0, kCount)), values_); }
TEST_F(LongFloats, Packed) { EXPECT_EQ(read_back(field(1, "values") + packed(0, kCount)), values_); }
TEST_F(LongFloats, NameLast) { EXPECT_EQ(read_back(unpacked(0, kCount) + field(1, "values")), values_); }
TEST_F(LongFloats, PackedInParts) {
  EXPECT_EQ(read_back(field(1, "values") + packed(0, 500) + packed(500, kCount)), values_);
}
TEST_F(LongFloats, HalfPacked) {
  EXPECT_EQ(read_back(field(1, "values") + unpacked(0, 500) + packed(500, kCount)), values_);
}
TEST_F(LongFloats, WithAnUnknownField) {
  EXPECT_EQ(read_back(field(1, "values") + unpacked(0, 500) + "\xa0\x06\x05" + unpacked(500, kCount)), values_);
}

// ---- Files -----------------------------------------------------------------------------------------

class ReadFiles : public ::testing::Test {
 protected:
  ReadFiles() { std::filesystem::create_directory(folder_); }
  ~ReadFiles() override { std::filesystem::remove_all(folder_); }

  Graph through_files(const Net& predict, const Net& init) const {
    std::ofstream(folder_ / "model.pb", std::ios::binary) << predict.bytes();
    std::ofstream(folder_ / "model_init.pb", std::ios::binary) << init.bytes();
    return read_model(folder_ / "model.pb", folder_ / "model_init.pb");
  }

  // What a file of these bytes is read to, and what its bytes are read to from memory.
  void expect_equal_memory(const std::string& predict, const std::string& init) const {
    std::ofstream(folder_ / "model.pb", std::ios::binary) << predict;
    std::ofstream(folder_ / "model_init.pb", std::ios::binary) << init;
    const Graph want = read(predict, init), have = read_model(folder_ / "model.pb", folder_ / "model_init.pb");
    EXPECT_TRUE(list<float>(have.constants.at("w")) == list<float>(want.constants.at("w")));
  }

  std::filesystem::path folder_ = std::filesystem::temp_directory_path() / ("io_test_" + std::to_string(::getpid()));
};

TEST_F(ReadFiles, EqualMemory) {
  EXPECT_EQ(to_text(through_files(small_predict_net(), small_init_net())),
            to_text(read(small_predict_net(), small_init_net())));
}

// Large weights stay where the file was read to, wherever in it they begin, and give their memory back one by one.
TEST_F(ReadFiles, ManyMegabytes) {
  constexpr int kWeights = 80;
  Net predict, init;
  std::vector<Floats> values;
  for (int i = 0; i < kWeights; ++i) {
    const std::string w = "w" + std::to_string(i);
    predict.op("Mul", {"data", w}, {"y" + std::to_string(i)}).inputs({w}).outputs({"y" + std::to_string(i)});
    Floats& v = values.emplace_back(i % 40 == 0 ? 1'500'000 : 12'000 + 101 * i);  // on both sides of what is large
    std::iota(v.begin(), v.end(), static_cast<float>(i));
    init.weight(w, {static_cast<std::int64_t>(v.size())}, v);
  }
  Graph graph = through_files(predict.inputs({"data"}), init);
  for (const int parity : {0, 1}) {
    for (int i = 0; i < kWeights; ++i) {
      const auto it = graph.constants.find("w" + std::to_string(i));
      if (it == graph.constants.end()) continue;
      EXPECT_TRUE(list<float>(it->second) == values[static_cast<std::size_t>(i)]) << i;
      EXPECT_EQ(reinterpret_cast<std::uintptr_t>(it->second.raw()) % 64, 0U) << i;
    }
    std::erase_if(graph.constants, [&](const auto& item) { return std::stoi(item.first.substr(1)) % 2 == parity; });
  }
  EXPECT_TRUE(graph.constants.empty());
}

// Long enough that their values alone are stored, as far as they can be; whatever stands about them.
class LongFiles : public ReadFiles {
 protected:
  static constexpr std::int64_t kCount = 50'000;

  static std::string field(int number, const std::string& payload) {
    std::string out(1, static_cast<char>(number << 3 | 2));
    std::size_t n = payload.size();
    for (; n > 0x7F; n >>= 7) out += static_cast<char>((n & 0x7F) | 0x80);
    return out + static_cast<char>(n) + payload;
  }
  static std::string floats(std::int64_t begin, std::int64_t end) {
    std::string out;
    for (std::int64_t i = begin; i < end; ++i) {
      const auto value = static_cast<float>(i) - 0.25F;
      out += '\x2d' + std::string(reinterpret_cast<const char*>(&value), sizeof value);
    }
    return out;
  }
  static std::string fill(const std::string& arguments) {
    proto::Argument shape;
    shape.set_name("shape");
    shape.add_ints(kCount);
    return field(2, field(2, "w") + field(4, "GivenTensorFill") + arguments + field(5, shape.SerializeAsString()));
  }
};

class LongFloatsInFiles : public LongFiles, public ::testing::WithParamInterface<int> {};
TEST_P(LongFloatsInFiles, EqualMemory) {
  const std::string name = field(1, "values"), all = name + floats(0, kCount);
  const std::string odd = "\xa0\x06\x05";  // a field that nobody knows, where a tag is wanted
  const std::string middle = name + floats(0, kCount / 2) + odd + floats(kCount / 2, kCount);
  const std::string five = "\xa2\x06\x02xy";  // the same, five bytes long: only the tags show it
  const std::string inits[] = {
      fill(field(5, all)),
      fill(field(5, floats(0, kCount) + name)),
      fill(field(5, middle)),
      fill(field(5, name + floats(0, kCount / 2) + five + floats(kCount / 2, kCount))),
      fill(field(5, field(1, "other") + floats(0, 40'000)) + field(5, all)),
      fill(field(5, field(1, "other") + floats(0, 1'000)) + field(5, all)),
      field(1, std::string(100'000, 'n')) + fill(field(5, all)),
  };
  expect_equal_memory(small_predict_net().bytes(), inits[static_cast<std::size_t>(GetParam())]);
}
INSTANTIATE_TEST_SUITE_P(All, LongFloatsInFiles, ::testing::Range(0, 7));

TEST_F(LongFiles, CutAnywhereIsTheSameError) {
  const std::string whole = fill(field(5, field(1, "values") + floats(0, kCount)));
  for (const std::size_t length : {std::size_t{1}, std::size_t{3}, std::size_t{20}, std::size_t{40},
                                   std::size_t{70'000}, whole.size() - 20, whole.size() - 1}) {
    const std::string init = whole.substr(0, length), predict = small_predict_net().bytes();
    std::ofstream(folder_ / "model.pb", std::ios::binary) << predict;
    std::ofstream(folder_ / "model_init.pb", std::ios::binary) << init;
    const auto from_file =
        message_of<InvalidModel>([&] { (void)read_model(folder_ / "model.pb", folder_ / "model_init.pb"); });
    const auto from_memory = message_of<InvalidModel>([&] { (void)read(predict, init); });
    EXPECT_EQ(from_file.substr(from_file.rfind("model_init.pb")),
              from_memory.substr(from_memory.rfind("model_init.pb")))
        << length;
  }
}

TEST(ReadModel, ExportedMaskRcnn) {
  std::ifstream in(D2DEPLOY_TEST_DATA "/shapes_mask_rcnn.pb", std::ios::binary);
  const std::string predict{std::istreambuf_iterator<char>(in), {}};
  proto::NetDef def;
  ASSERT_TRUE(def.ParseFromString(predict));
  Net init;
  for (const auto& blob : def.external_input())
    if (blob != "data" && blob != "im_info") init.op("ConstantFill", {}, {blob}, {{"shape", Ints{1}}});
  const Graph graph = read(predict, init.bytes());
  EXPECT_EQ(graph.inputs, (Names{"data", "im_info"}));
  EXPECT_EQ(graph.outputs, (Names{"bbox_nms", "score_nms", "class_nms", "mask_fcn_probs"}));
  EXPECT_EQ(graph.nodes.size(), 199U);
  EXPECT_EQ(graph.constants.size(), 155U);
  EXPECT_EQ(std::get<std::int64_t>(graph.attributes.at("size_divisibility")), 32);
  EXPECT_EQ(std::get<std::string>(graph.attributes.at("meta_architecture")), "GeneralizedRCNN");
  EXPECT_EQ(to_text(graph.nodes[0]), "402 = Sub(data, 401)");
}

}  // namespace
}  // namespace d2deploy::testing
