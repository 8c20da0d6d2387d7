// In builds without kernels for GPUs, in which nobody comes here: there is no device that one could name.
#include "core/check.h"
#include "kernels/cudnn/conv.h"
#include "kernels/simt/rearrange.h"

namespace d2deploy {

namespace {

[[noreturn]] void refuse() { fail<InternalError>("this build has no kernels for GPUs"); }

}  // namespace

namespace simt {

void widen_bytes(void*, const std::uint8_t*, float*, std::int64_t) { refuse(); }
void copy_rows(void*, const void*, void*, std::int64_t, const std::int32_t*, std::size_t) { refuse(); }

}  // namespace simt

namespace cudnn {

void check_available(Device) { refuse(); }

}  // namespace cudnn

}  // namespace d2deploy
