#include "io/cpu_net.h"

#include <fstream>

#include "caffe2.pb.h"
#include "core/check.h"
#include "io/file.h"

namespace d2deploy {

namespace {

constexpr int kCpu = 0;

// Whether anything was changed.
bool to_cpu(proto::NetDef& net) {
  bool changed = net.has_device_option() && net.device_option().device_type() != kCpu;
  if (changed) net.clear_device_option();
  for (auto& op : *net.mutable_op()) {
    if (op.has_device_option() && op.device_option().device_type() != kCpu) {
      op.clear_device_option();
      changed = true;
    }
    if (op.type() == "CopyCPUToGPU" || op.type() == "CopyGPUToCPU") {
      op.set_type("Copy");
      changed = true;
    }
  }
  return changed;
}

}  // namespace

bool write_cpu_net(const std::filesystem::path& net, const std::filesystem::path& target) {
  const MappedFile file(net);
  proto::NetDef message;
  const bool parsed = file.bytes().size() <= INT32_MAX &&
                      message.ParseFromArray(file.bytes().data(), static_cast<int>(file.bytes().size()));
  check<InvalidModel>(parsed, net.string(), ": is not a NetDef, or one above 2 GiB");
  if (!to_cpu(message)) return false;
  std::ofstream out(target, std::ios::binary);
  check(message.SerializeToOstream(&out) && out.flush().good(), "cannot write ", target.string());
  return true;
}

}  // namespace d2deploy
