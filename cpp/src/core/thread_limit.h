// How many threads a run gets, of what its caller wants.
#pragma once

namespace d2deploy {

/// More are refused: OpenMP ends the process where it cannot have the threads that it is told.
inline constexpr int kMostThreads = 4096;

/// `wanted`; of 0 as many as the process may use. Throws InvalidArgument where it is below 0, or above kMostThreads.
int threads_for(int wanted);

}  // namespace d2deploy
