// Writes the seeds of the model fuzzer: small nets, and a whole net from files whose large weights become fills, so
// that it is small too.
//
//   model_seeds FOLDER MODEL.pb MODEL_INIT.pb
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>

#include "core/check.h"
#include "net_builder.h"

using namespace d2deploy;
using d2deploy::testing::Net;

namespace {

std::string read_bytes(const char* path) {
  std::ifstream in(path, std::ios::binary);
  check(in.good(), path, ": cannot be read");
  return {std::istreambuf_iterator<char>(in), {}};
}

void write_seed(const std::filesystem::path& file, const Net& predict, const Net& init) {
  const std::string first = predict.bytes(), second = init.bytes();
  std::ofstream out(file, std::ios::binary);
  for (int shift = 24; shift >= 0; shift -= 8) out.put(static_cast<char>(first.size() >> shift & 0xFF));
  out << first << second;
  check(out.good(), file.string(), ": cannot be written");
}

// The same blobs; those of more than 64 values become a ConstantFill of the same shape.
Net shrunk(const Net& init) {
  Net out;
  for (const auto& op : init.def.op()) {
    const proto::Argument* shape = nullptr;
    int values = 0;
    for (const auto& arg : op.arg()) {
      if (arg.name() == "shape") shape = &arg;
      if (arg.name() == "values") values = std::max(arg.floats_size(), arg.ints_size());
    }
    constexpr int kMostValues = 64;
    if (values <= kMostValues || shape == nullptr) {
      *out.def.add_op() = op;
      continue;
    }
    out.op("ConstantFill", {}, {op.output(0)}, {{"shape", Ints(shape->ints().begin(), shape->ints().end())}});
  }
  return out;
}

Net convolution_net() {
  Net net;
  net.op("Conv", {"data", "w", "b"}, {"c"}, {{"kernels", Ints{3, 3}}, {"pads", Ints{1, 1, 1, 1}}, {"group", 1L}})
      .op("Relu", {"c"}, {"c"})
      .op("MaxPool", {"c"}, {"p"}, {{"kernel", 2L}, {"stride", 2L}})
      .op("ResizeNearest", {"p"}, {"u"}, {{"width_scale", 2.0F}, {"height_scale", 2.0F}})
      .op("Add", {"c", "u"}, {"s"})
      .op("ReduceMean", {"s"}, {"m"}, {{"axes", Ints{2, 3}}, {"keepdims", 0L}})
      .op("Softmax", {"m"}, {"y"}, {{"axis", 1L}});
  return net.inputs({"data", "w", "b"}).outputs({"y", "u"});
}

Net folded_net() {
  Net net;
  net.op("MaxPool", {"w"}, {"p"}, {{"kernels", Ints{2, 2}}})
      .op("ResizeNearest", {"p"}, {"u"}, {{"width_scale", 2.0F}, {"height_scale", 2.0F}})
      .op("Mul", {"u", "b"}, {"v"}, {{"broadcast", 1L}})
      .op("Conv", {"data", "v", "b"}, {"y"}, {{"kernels", Ints{4, 4}}});
  return net.inputs({"data", "w", "b"}).outputs({"y"});
}

}  // namespace

int main(int argc, char** argv) try {
  check(argc == 4, "usage: model_seeds FOLDER MODEL.pb MODEL_INIT.pb");
  const std::filesystem::path folder = argv[1];
  Net weights;
  weights.weight("w", {4, 3, 3, 3}, Floats(108, 0.5F)).weight("b", {4}, {1, 2, 3, 4});
  write_seed(folder / "mul", d2deploy::testing::small_predict_net(), d2deploy::testing::small_init_net());
  write_seed(folder / "convolution", convolution_net(), weights);
  write_seed(folder / "folded", folded_net(), weights);
  Net predict, init;
  check(predict.def.ParseFromString(read_bytes(argv[2])), argv[2], ": is no net");
  check(init.def.ParseFromString(read_bytes(argv[3])), argv[3], ": is no net");
  write_seed(folder / "mask_rcnn", predict, shrunk(init));
  return 0;
} catch (const std::exception& e) {
  std::cerr << e.what() << '\n';
  return 1;
}
