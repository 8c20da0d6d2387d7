#include "io/cpu_net.h"

#include <fstream>

#include "caffe2.pb.h"
#include "core/check.h"
#include "io/arguments.h"
#include "io/file.h"
#include "io/wire.h"

namespace d2deploy {

namespace {

constexpr int kCpu = 0;

bool is_copy_between_devices(std::string_view type) { return type == "CopyCPUToGPU" || type == "CopyGPUToCPU"; }

bool is_other_device(const WireField& field) {
  proto::DeviceOption option;
  parse(option, field.payload);
  return option.device_type() != kCpu;
}

bool is_for_cpu(Bytes net, Bytes op) {
  for (WireReader reader(net, op, "operator"); !reader.done();) {
    const WireField field = reader.next();
    if (field.number == proto::OperatorDef::kDeviceOptionFieldNumber && is_other_device(field)) return false;
    if (field.number == proto::OperatorDef::kTypeFieldNumber && is_copy_between_devices(field.text())) return false;
  }
  return true;
}

// Found out without parsing, which takes long for a net of weights.
bool is_for_cpu(Bytes net) {
  for (WireReader reader(net, net, "file"); !reader.done();) {
    const WireField field = reader.next();
    if (field.number == proto::NetDef::kDeviceOptionFieldNumber && is_other_device(field)) return false;
    if (field.number == proto::NetDef::kOpFieldNumber && !is_for_cpu(net, field.payload)) return false;
  }
  return true;
}

void to_cpu(proto::NetDef& net) {
  net.clear_device_option();
  for (auto& op : *net.mutable_op()) {
    op.clear_device_option();
    if (is_copy_between_devices(op.type())) op.set_type("Copy");
  }
}

}  // namespace

bool write_cpu_net(const std::filesystem::path& net, const std::filesystem::path& target) {
  const FileBytes file(net);
  if (with_context([&] { return net.string(); }, [&] { return is_for_cpu(file.bytes()); })) return false;
  proto::NetDef message;
  check<InvalidModel>(message.ParseFromArray(file.bytes().data(), static_cast<int>(file.bytes().size())), net.string(),
                      ": is not a NetDef");
  to_cpu(message);
  std::ofstream out(target, std::ios::binary);
  check(message.SerializeToOstream(&out) && out.flush().good(), "cannot write ", target.string());
  return true;
}

}  // namespace d2deploy
