// How much ran, for tests of how the work of loading a model grows with its size. Only in builds with
// D2DEPLOY_COUNT_WORK, where the compiler makes every basic block of graph, io, passes, runtime and the definitions of
// operators count itself.
#pragma once
#include <cstdint>

namespace d2deploy {

/// Basic blocks that this thread has run so far. Unlike time it is the same on every machine.
std::uint64_t work_done();

}  // namespace d2deploy
