// Runs a fuzzer on files, without libFuzzer, so that it is built and its corpus is tested everywhere.
//
//   <harness>_fuzzer FILE|FOLDER...      exit status 0: every file was answered in time
#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <string>
#include <vector>

#include "fuzz.h"

namespace {

std::vector<std::filesystem::path> files_of(int count, char** names) {
  std::vector<std::filesystem::path> files;
  for (int i = 0; i < count; ++i) {
    if (std::filesystem::is_directory(names[i]))
      for (const auto& entry : std::filesystem::directory_iterator(names[i])) files.push_back(entry.path());
    else
      files.emplace_back(names[i]);
  }
  std::ranges::sort(files);
  return files;
}

}  // namespace

int main(int argc, char** argv) {
  using Clock = std::chrono::steady_clock;
  constexpr std::chrono::seconds kMost(10);  // under sanitizers, on a busy machine; the fuzzers have the same limit
  int slow = 0;
  const auto files = files_of(argc - 1, argv + 1);
  for (const auto& file : files) {
    std::cout << file.string() << std::endl;  // seen even where the next line ends the process
    std::ifstream in(file, std::ios::binary);
    if (!in) {
      std::cerr << file.string() << ": cannot be read\n";
      return 2;
    }
    const std::string bytes{std::istreambuf_iterator<char>(in), {}};
    const auto start = Clock::now();
    (void)LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
    if (Clock::now() - start <= kMost) continue;
    std::cerr << file.string() << ": took more than " << kMost.count() << " seconds\n";
    ++slow;
  }
  std::cout << files.size() << " inputs, " << slow << " too slow\n";
  return slow != 0 || files.empty() ? 1 : 0;  // nothing collected is a failure
}
