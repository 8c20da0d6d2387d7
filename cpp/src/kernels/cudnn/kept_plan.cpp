#include "kernels/cudnn/kept_plan.h"

#include <array>
#include <cstring>
#include <span>

#include "core/cache_file.h"
#include "core/checksum.h"
#include "core/text.h"

namespace d2deploy::cudnn {

namespace {

// The file's parts: the key, since others might share its checksum, the engine, the plan.
constexpr std::size_t kParts = 3;
constexpr std::size_t kMostBytes = std::size_t{16} << 20;  // of a part; plans have some thousands

std::optional<std::filesystem::path> path_of(std::uint64_t key) {
  const auto folder = cache_folder();
  if (!folder) return std::nullopt;
  return *folder / "cudnn" / (hexadecimal(key) + ".plan");
}

bool read(const CacheFile& file, std::size_t part, std::string& text) {
  if (file.bytes(part) > kMostBytes) return false;
  text.resize(file.bytes(part));
  return file.read(part, text.data());
}

}  // namespace

std::optional<KeptPlan> read_plan(const std::string& key) {
  const std::uint64_t number = checksum(key);
  const auto path = path_of(number);
  if (!path) return std::nullopt;
  std::string why;
  const auto file = CacheFile::open(*path, number, why);
  if (!file || file->parts() != kParts) return std::nullopt;
  std::string of, engine;
  KeptPlan plan;
  if (!read(*file, 0, of) || of != key || !read(*file, 1, engine) || engine.size() != sizeof plan.engine ||
      !read(*file, 2, plan.json))
    return std::nullopt;
  std::memcpy(&plan.engine, engine.data(), sizeof plan.engine);
  return plan;
}

void keep_plan(const std::string& key, const KeptPlan& plan) {
  const std::uint64_t number = checksum(key);
  const auto path = path_of(number);
  if (!path || plan.json.empty() || plan.json.size() > kMostBytes) return;
  std::error_code error;
  std::filesystem::create_directories(path->parent_path(), error);
  const std::array<std::span<const std::byte>, kParts> parts{
      std::as_bytes(std::span(key)), std::as_bytes(std::span(&plan.engine, 1)), std::as_bytes(std::span(plan.json))};
  if (!error) (void)write_cache_file(*path, number, parts);
}

}  // namespace d2deploy::cudnn
