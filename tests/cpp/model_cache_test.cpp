// The cache on disk: what is loaded out of it computes the same bits, and nothing that is odd in it does harm.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <thread>

#include "core/cache_file.h"
#include "net_files.h"
#include "runtime/model.h"
#include "small_detector.h"

namespace d2deploy {
namespace {

namespace fs = std::filesystem;
using testing::NetFiles;

constexpr std::size_t kHeader = 40, kEntry = 16;  // bytes, as core/cache_file.cpp writes them

// A convolution that Winograd takes, and an FC layer whose weights oneDNN packs.
std::string net(const std::string& bias = "0.5") {
  std::string biases;
  for (int i = 0; i < 64; ++i) biases += ' ' + bias;
  return "input data float32 ?x1x?x?\ninput im_info float32 ?x3\n" + testing::weights("w0", "64x1x3x3", 576) +
         testing::weights("w1", "64x64x3x3", 64 * 64 * 9) + "const b1 float32 64 =" + biases + '\n' +
         testing::weights("wf", "8x64", 512) + testing::weights("bf", "8", 8) + R"(
a = Conv(data, w0) {kernels=[3,3] pads=[1,1,1,1]}
ar = Relu(a)
b = Conv(ar, w1, b1) {kernels=[3,3] pads=[1,1,1,1]}
br = Relu(b)
p = AveragePool(br) {global_pooling=1}
y = FC(p, wf, bf)
output y br
)";
}

class ModelCacheTest : public ::testing::Test {
 protected:
  ModelCacheTest() : files_(net()), cache_(files_.folder / "cache") { setenv("D2DEPLOY_CACHE", cache_.c_str(), 1); }
  ~ModelCacheTest() override {
    unsetenv("D2DEPLOY_CACHE");
    fs::permissions(files_.folder, fs::perms::owner_all);
  }

  // Loads and runs; `said_` has the messages.
  Tensors run(ModelOptions options = {}, std::int64_t side = 40) {
    said_.clear();
    options.log = [this](LogLevel level, std::string_view text) {
      said_ += std::string(level == LogLevel::warning ? "warning: " : "debug: ") + std::string(text) + '\n';
    };
    Session session(Model::load(files_.predict, files_.init, options));
    return run(session, side);
  }
  static Tensors run(Session& session, std::int64_t side = 40) {
    Tensor data = Tensor::allocate({DType::float32, {1, 1, side, side}, Layout::row_major});
    for (std::int64_t i = 0; i < data.size(); ++i) data.data<float>()[i] = static_cast<float>(i % 23) - 11;
    const auto size = static_cast<float>(side);
    Tensors outputs = session.run({{"data", data}, {"im_info", Tensor::of<float>({1, 3}, {size, size, 1.0F})}});
    for (auto& [name, tensor] : outputs) tensor = tensor.clone();
    return outputs;
  }
  static bool equal(const Tensors& a, const Tensors& b) {
    return std::ranges::equal(a, b, [](const auto& x, const auto& y) {
      return x.first == y.first && x.second.type() == y.second.type() &&
             std::memcmp(x.second.raw(), y.second.raw(), static_cast<std::size_t>(x.second.bytes())) == 0;
    });
  }
  Tensors without_cache() {
    unsetenv("D2DEPLOY_CACHE");
    const Tensors outputs = run();
    setenv("D2DEPLOY_CACHE", cache_.c_str(), 1);
    return outputs;
  }
  // What the system says of files is believed once they are some seconds old.
  void settle() const { std::this_thread::sleep_for(std::chrono::milliseconds(2100)); }

  std::vector<fs::path> kept(const std::string& extension) const {
    std::vector<fs::path> found;
    if (fs::exists(cache_))
      for (const auto& entry : fs::recursive_directory_iterator(cache_))
        if (entry.is_regular_file() && entry.path().extension() == extension) found.push_back(entry.path());
    std::ranges::sort(found);
    return found;
  }
  fs::path model_file() const {
    for (const auto& path : kept(""))
      if (path.filename() == "model") return path;
    return {};
  }
  bool out_of_cache() const { return said_.find("the model is read from here") != std::string::npos; }
  NetFiles files_;
  fs::path cache_;
  std::string said_;
};

void flip(const fs::path& path, std::streamoff at) {
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekg(at);
  const char byte = static_cast<char>(file.get() ^ 0x20);
  file.seekp(at);
  file.put(byte);
}

TEST_F(ModelCacheTest, TheSecondLoadIsOutOfTheCacheAndGivesEqualBits) {
  const Tensors wanted = without_cache();
  EXPECT_TRUE(equal(run(), wanted));
  EXPECT_FALSE(out_of_cache());
  EXPECT_FALSE(kept(".form").empty());
  EXPECT_TRUE(equal(run(), wanted));
  EXPECT_TRUE(out_of_cache()) << said_;
  EXPECT_TRUE(kept(".tmp").empty());
  EXPECT_TRUE(equal(run({}, 9), [&] {  // a size for which other kernels are right, so plain weights are wanted
    unsetenv("D2DEPLOY_CACHE");
    return run({}, 9);
  }()));
}

TEST_F(ModelCacheTest, FormsAreReadAndNotMadeAgain) {
  (void)run();
  const auto forms = kept(".form");
  std::vector<fs::file_time_type> written;
  for (const auto& form : forms) written.push_back(fs::last_write_time(form));
  (void)run();
  ASSERT_EQ(kept(".form"), forms);
  for (std::size_t i = 0; i < forms.size(); ++i) EXPECT_EQ(fs::last_write_time(forms[i]), written[i]) << forms[i];
}

TEST_F(ModelCacheTest, WhatAModelSaysIsKept) {
  const auto first = Model::load(files_.predict, files_.init), second = Model::load(files_.predict, files_.init);
  EXPECT_EQ(second->graph_text(), first->graph_text());
  EXPECT_EQ(second->inputs(), first->inputs());
  EXPECT_EQ(second->outputs(), first->outputs());
  EXPECT_EQ(second->info().arguments, first->info().arguments);
  EXPECT_EQ(second->info().pixel_mean, first->info().pixel_mean);
}

TEST_F(ModelCacheTest, OptionsHaveCachesOfTheirOwn) {
  const Tensors wanted = without_cache();
  (void)run();
  ModelOptions plain;
  plain.optimize = false;
  (void)run(plain);
  EXPECT_FALSE(out_of_cache());
  ModelOptions small;
  small.max_tensor_bytes = 100;
  EXPECT_THROW((void)run(small), Error);
  EXPECT_TRUE(equal(run(), wanted));
  EXPECT_TRUE(out_of_cache());
}

// Another file of equal size under the same name, with the times of the old one.
TEST_F(ModelCacheTest, AReplacedFileIsSeenWhateverItsTimesSay) {
  settle();
  const Tensors before = run();
  (void)run();
  ASSERT_TRUE(out_of_cache());
  const auto time = fs::last_write_time(files_.init);
  {
    const NetFiles other(net("0.75"));
    ASSERT_EQ(fs::file_size(other.init), fs::file_size(files_.init));
    fs::copy_file(other.init, files_.init, fs::copy_options::overwrite_existing);
  }
  fs::last_write_time(files_.init, time);
  const Tensors after = run();
  EXPECT_FALSE(out_of_cache());
  EXPECT_FALSE(equal(after, before));
  EXPECT_TRUE(equal(after, without_cache()));
  EXPECT_TRUE(equal(run(), after));
  EXPECT_TRUE(out_of_cache());
}

TEST_F(ModelCacheTest, ACopyOfTheFilesIsKnownByItsBytes) {
  settle();
  const Tensors wanted = run();
  const fs::path copy = files_.folder / "copy";
  fs::copy_file(files_.init, copy);
  fs::rename(copy, files_.init);
  EXPECT_TRUE(equal(run(), wanted));
  EXPECT_TRUE(out_of_cache());
}

// Every byte of heads and tables, and some of what follows.
TEST_F(ModelCacheTest, DamagedFilesAreMadeAnew) {
  settle();
  const Tensors wanted = run();
  auto all = kept(".form");
  for (const auto& path : kept("")) all.push_back(path);
  ASSERT_GE(all.size(), 4U);
  for (const auto& path : all) {
    const auto size = static_cast<std::streamoff>(fs::file_size(path));
    for (const std::streamoff at :
         {std::streamoff{0}, std::streamoff{17}, std::streamoff{25}, std::streamoff{33}, std::streamoff{41},
          std::streamoff{49}, std::streamoff{64}, std::streamoff{130}, size / 2}) {
      if (at >= size) continue;
      flip(path, at);
      EXPECT_TRUE(equal(run(), wanted)) << path << " at " << at << '\n' << said_;
      EXPECT_TRUE(equal(run(), wanted)) << path << " at " << at << '\n' << said_;
    }
    for (const std::uintmax_t left : {std::uintmax_t{0}, std::uintmax_t{39}, fs::file_size(path) - 1}) {
      fs::resize_file(path, left);
      EXPECT_TRUE(equal(run(), wanted)) << path << " with " << left << " bytes\n" << said_;
      EXPECT_NE(said_.find("warning: " + path.string()), std::string::npos) << said_;
      EXPECT_TRUE(equal(run(), wanted)) << path;
      EXPECT_EQ(said_.find("warning: "), std::string::npos) << said_;
    }
  }
}

TEST_F(ModelCacheTest, DamagedWeightsAreReadFromTheModelAgain) {
  const Tensors wanted = run();
  for (const auto& form : kept(".form")) fs::remove(form);
  Session session(Model::load(files_.predict, files_.init));
  std::ofstream(model_file(), std::ios::in | std::ios::out | std::ios::binary).seekp(-64, std::ios::end)
      << std::string(64, 'x');
  for (auto at = static_cast<std::streamoff>(fs::file_size(model_file()) / 3); at > 0; at -= 4096)
    flip(model_file(), static_cast<std::streamoff>(fs::file_size(model_file())) - at);
  EXPECT_TRUE(equal(run(session), wanted));
}

TEST_F(ModelCacheTest, ForeignFilesAreNotTaken) {
  const Tensors wanted = run();
  const fs::path model = model_file();
  const auto forms = kept(".form");
  // Sound files of another key, and one that claims more parts than there is room for.
  const std::string text = "not a graph";
  const std::array<Bytes, 1> parts{std::as_bytes(std::span(text))};
  ASSERT_EQ(write_cache_file(model, 1, parts), "");
  for (const auto& form : forms) ASSERT_EQ(write_cache_file(form, 1, parts), "");
  EXPECT_TRUE(equal(run(), wanted)) << said_;
  EXPECT_NE(said_.find(model.string() + ": is of another version, or of other model files"), std::string::npos);
  EXPECT_TRUE(equal(run(), wanted));
  EXPECT_TRUE(out_of_cache());
  for (const std::string& content : {std::string("PK\3\4 something else"), std::string(5000, '\xff')}) {
    std::ofstream(model, std::ios::binary) << content;
    EXPECT_TRUE(equal(run(), wanted)) << said_;
  }
  fs::remove(model);
  fs::create_directory(model);
  EXPECT_TRUE(equal(run(), wanted)) << said_;
  EXPECT_NE(said_.find("warning: "), std::string::npos);
}

// What somebody may have made on purpose: checksums and key are right, the graph is not.
TEST_F(ModelCacheTest, HostileGraphsAreErrorsAtMost) {
  ModelOptions bounded;
  bounded.max_tensor_bytes = 64 << 20;
  const Tensors wanted = run(bounded);
  const fs::path model = model_file();
  std::ifstream file(model, std::ios::binary);
  std::string whole((std::istreambuf_iterator<char>(file)), {});
  std::uint64_t key = 0, count = 0, bytes = 0;
  std::memcpy(&key, whole.data() + 16, sizeof key);
  std::memcpy(&count, whole.data() + 24, sizeof count);
  std::vector<std::string> parts;
  std::size_t at = (kHeader + count * kEntry + 63) / 64 * 64;
  for (std::uint64_t i = 0; i < count; ++i) {
    std::memcpy(&bytes, whole.data() + kHeader + i * kEntry, sizeof bytes);
    parts.push_back(whole.substr(at, bytes));
    at += (bytes + 63) / 64 * 64;
  }
  ASSERT_EQ(at, whole.size());
  const auto write = [&] {
    std::vector<Bytes> views;
    for (const auto& part : parts) views.push_back(std::as_bytes(std::span(part)));
    ASSERT_EQ(write_cache_file(model, key, views), "");
  };
  write();
  EXPECT_TRUE(equal(run(bounded), wanted));
  ASSERT_TRUE(out_of_cache()) << "the test writes another format";
  const std::string graph = parts[0];
  constexpr std::array<char, 3> kBytes{'\xff', '\x7f', '\0'};
  for (std::size_t i = 0; i < graph.size(); i += 5) {
    parts[0] = graph;
    parts[0][i] = kBytes[i % kBytes.size()];
    write();
    try {
      (void)run(bounded);
    } catch (const Error&) {
    }
  }
  for (const auto& form : kept(".form")) fs::remove(form);  // who names constants anew names their forms too
  for (std::size_t i = 0; i < graph.size(); i += 61) {
    parts[0] = graph.substr(0, i);
    write();
    EXPECT_TRUE(equal(run(bounded), wanted)) << i;  // it ends early: the model's own files are read
  }
}

TEST_F(ModelCacheTest, AKilledWriterIsWrittenOver) {
  const Tensors wanted = run();
  const fs::path model = model_file();
  const auto forms = kept(".form");
  for (const auto& path : kept("")) fs::remove(path);
  for (const auto& form : forms) fs::remove(form);
  std::ofstream(model.string() + ".tmp") << std::string(100'000, 'x');
  std::ofstream(forms[0].string() + ".tmp") << "half";
  EXPECT_TRUE(equal(run(), wanted));
  EXPECT_TRUE(equal(run(), wanted));
  EXPECT_TRUE(out_of_cache());
  EXPECT_TRUE(kept(".tmp").empty());
}

TEST_F(ModelCacheTest, NobodyWaitsForAnotherWriter) {
  const Tensors wanted = run();
  const fs::path model = model_file();
  for (const auto& path : kept("")) fs::remove(path);
  const int busy = ::open((model.string() + ".tmp").c_str(), O_WRONLY | O_CREAT, 0644);
  ASSERT_EQ(::flock(busy, LOCK_EX), 0);
  EXPECT_TRUE(equal(run(), wanted));
  EXPECT_FALSE(fs::exists(model));
  EXPECT_EQ(said_.find("warning: "), std::string::npos) << said_;
  ::close(busy);
  EXPECT_TRUE(equal(run(), wanted));
  EXPECT_TRUE(fs::exists(model));
}

// In a child, so that the limit is its own. Returns whether it did well.
template <class F>
bool in_child(const F& f) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(f() ? 0 : 1);
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

TEST_F(ModelCacheTest, AFullDiskIsNoError) {
  const Tensors wanted = without_cache();
  for (const rlim_t most : {rlim_t{0}, rlim_t{1000}, rlim_t{100'000}}) {
    EXPECT_TRUE(in_child([&] {
      const rlimit limit{most, most};
      return ::setrlimit(RLIMIT_FSIZE, &limit) == 0 && equal(run(), wanted) &&
             said_.find("cannot be written: File too large") != std::string::npos;
    })) << most;
    EXPECT_TRUE(kept(".tmp").empty());
  }
  EXPECT_TRUE(equal(run(), wanted));
  EXPECT_TRUE(equal(run(), wanted));
  EXPECT_TRUE(out_of_cache());
}

TEST_F(ModelCacheTest, AFolderThatCannotBeWrittenIsNoError) {
  const Tensors wanted = without_cache();
  std::ofstream(cache_) << "a file where a folder should be";
  EXPECT_TRUE(equal(run(), wanted));
  EXPECT_NE(said_.find("cannot be written: "), std::string::npos) << said_;
  fs::remove(cache_);
  if (::geteuid() == 0) return;  // may write everywhere
  fs::create_directory(cache_);
  fs::permissions(cache_, fs::perms::owner_read | fs::perms::owner_exec);
  EXPECT_TRUE(equal(run(), wanted));
  EXPECT_NE(said_.find("cannot be written: "), std::string::npos) << said_;
}

TEST_F(ModelCacheTest, ManyProcessesAtOnceAllDoWell) {
  const Tensors wanted = without_cache();
  std::vector<pid_t> children;
  for (int i = 0; i < 4; ++i) {
    const pid_t child = ::fork();
    if (child == 0) {
      bool well = true;
      for (int k = 0; k < 3; ++k) well = equal(run(), wanted) && well;
      ::_exit(well ? 0 : 1);
    }
    children.push_back(child);
  }
  for (const pid_t child : children) {
    int status = 0;
    ::waitpid(child, &status, 0);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  }
  EXPECT_TRUE(equal(run(), wanted));
  EXPECT_TRUE(out_of_cache());
  EXPECT_EQ(said_.find("warning: "), std::string::npos) << said_;
}

TEST_F(ModelCacheTest, AKilledProcessLeavesACacheThatIsMended) {
  const Tensors wanted = without_cache();
  for (int milliseconds = 0; milliseconds < 40; milliseconds += 4) {
    fs::remove_all(cache_);
    const pid_t child = ::fork();
    if (child == 0) {
      (void)run();
      ::_exit(0);
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds));
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    EXPECT_TRUE(equal(run(), wanted)) << said_;
    EXPECT_TRUE(equal(run(), wanted)) << said_;
    EXPECT_TRUE(out_of_cache());
  }
}

TEST_F(ModelCacheTest, LowMemoryKeepsNoLargerWeights) {
  ModelOptions low;
  low.low_memory = true;
  (void)run(low);
  EXPECT_EQ(said_.find("winograd_3x3_f32 has rank"), std::string::npos);
  EXPECT_NE(said_.find("kernel winograd_3x3_f32 refused: low_memory"), std::string::npos) << said_;
  const auto bytes_of = [&](bool low_memory) {
    ModelOptions options;
    options.low_memory = low_memory;
    const auto model = Model::load(files_.predict, files_.init, options);
    Session session(model);
    (void)run(session);
    std::size_t bytes = 0;
    for (const auto& form : impl_of(*model).constants.at("w1")->forms()) bytes += form.bytes;
    return bytes;
  };
  constexpr std::size_t kPlain = 64 * 64 * 9 * sizeof(float);
  EXPECT_LE(bytes_of(true), kPlain + kPlain / 8);
  EXPECT_GE(bytes_of(false), 3 * kPlain);
}

}  // namespace
}  // namespace d2deploy
