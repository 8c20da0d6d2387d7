// Child processes by fork: they run models whatever their parent ran before, on several threads too.
#include <gtest/gtest.h>

#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <thread>

#include "core/threads.h"
#include "d2deploy/detector.h"
#include "net_run.h"

namespace d2deploy {
namespace {

/// What `body` says in a child process, the message of what it throws, or that it hangs.
std::string in_child(const std::function<std::string()>& body) {
  int ends[2];
  if (pipe(ends) != 0) return "no pipe";
  const pid_t child = fork();
  if (child == 0) {
    std::string answer;
    try {
      answer = body();
    } catch (const DeviceError& e) {
      answer = std::string("DeviceError: ") + e.what();
    } catch (const std::exception& e) {
      answer = std::string("another error: ") + e.what();
    }
    _exit(write(ends[1], answer.data(), answer.size()) == static_cast<ssize_t>(answer.size()) ? 0 : 1);
  }
  close(ends[1]);
  std::string answer;
  pollfd from{ends[0], POLLIN, 0};
  constexpr int kMilliseconds = 30000;
  if (child < 0 || poll(&from, 1, kMilliseconds) != 1) {
    answer = "hangs";
    if (child > 0) kill(child, SIGKILL);
  } else {
    char buffer[4096];
    const auto count = read(ends[0], buffer, sizeof buffer);
    answer.assign(buffer, count > 0 ? static_cast<std::size_t>(count) : 0);
  }
  close(ends[0]);
  if (child > 0) waitpid(child, nullptr, 0);
  return answer;
}

/// Runs `body` in a thread that has run no loop yet: whether a process can be forked depends on what its thread ran.
void in_fresh_thread(const std::function<void()>& body) { std::thread(body).join(); }

constexpr const char* kNet = R"(input data float32 ?x?x?x?
const w float32 8x3x3x3
c = Conv(data, w) {kernels=[3,3] pads=[1,1,1,1]}
s = Sigmoid(c)
y = Exp(s)
output y
)";

std::shared_ptr<const Model> model_with(int threads) {
  ModelOptions options;
  options.threads = threads;
  return model_of(kNet, options);
}

Tensors inputs() { return {{"data", noise({2, 3, 96, 128})}}; }

std::string run(Session& session, const Tensors& want) {
  return same_bits(session.run(inputs()), want) ? "the same" : "another answer";
}

std::string load_and_run(int threads, const Tensors& want) {
  Session session(model_with(threads));
  return run(session, want);
}

class Fork : public ::testing::Test {
 protected:
  const Tensors want = [] {
    Tensors outputs;
    in_fresh_thread([&] {
      Session session(model_with(1));
      outputs = cloned(session.run(inputs()));
    });
    return outputs;
  }();
};

TEST_F(Fork, ChildRunsTheSessionThatItsParentRan) {
  in_fresh_thread([&] {
    Session session(model_with(2));
    EXPECT_EQ(run(session, want), "the same");
    EXPECT_EQ(in_child([&] { return run(session, want); }), "the same");
    EXPECT_EQ(run(session, want), "the same") << "in the parent, after the fork";
    EXPECT_EQ(in_child([&] { return run(session, want); }), "the same") << "in the second child";
  });
}

TEST_F(Fork, ChildLoadsAModelOfItsOwn) {
  in_fresh_thread([&] {
    EXPECT_EQ(load_and_run(2, want), "the same");
    EXPECT_EQ(in_child([&] { return load_and_run(2, want); }), "the same");
    EXPECT_EQ(in_child([&] { return load_and_run(1, want); }), "the same") << "with one thread";
  });
}

TEST_F(Fork, ParentThatRanNothing) {
  in_fresh_thread([&] {
    EXPECT_EQ(in_child([&] { return load_and_run(2, want); }), "the same");
    EXPECT_EQ(load_and_run(1, want), "the same");
    EXPECT_EQ(in_child([&] { return load_and_run(2, want); }), "the same") << "after a run with one thread";
  });
}

TEST_F(Fork, ChildOfAChild) {
  in_fresh_thread([&] {
    EXPECT_EQ(load_and_run(2, want), "the same");
    EXPECT_EQ(in_child([&] { return load_and_run(2, want) + ", " + in_child([&] { return load_and_run(2, want); }); }),
              "the same, the same");
  });
}

TEST_F(Fork, AThreadForksThatAnotherOneOutlives) {
  const auto model = model_with(2);
  Session first(model), second(model);
  EXPECT_EQ(run(first, want), "the same");  // the team of this thread stays
  in_fresh_thread([&] {
    EXPECT_EQ(run(second, want), "the same");
    EXPECT_EQ(in_child([&] { return run(first, want) + ", " + run(second, want); }), "the same, the same");
  });
  EXPECT_EQ(run(first, want), "the same");
}

TEST_F(Fork, PicturesBecomeInputs) {
  const std::vector<std::uint8_t> pixels(std::size_t{3} * 200 * 300, 7);
  const ImageView image{pixels.data(), 200, 300, 900};
  const auto sum = [&] {
    const NetInputs made = to_net_inputs({&image, 1}, 32);
    double total = 0;
    for (const float v : made.data.values<float>()) total += v;
    return std::to_string(total);
  };
  in_fresh_thread([&] {
    const ThreadScope threads(4);
    const std::string all = sum();
    EXPECT_EQ(in_child(sum), all);
  });
}

#ifdef _OPENMP

// There the team cannot be let go, so the child must not wait for it.
TEST_F(Fork, InsideOfALoopTheChildIsRefused) {
  in_fresh_thread([&] {
    const ThreadScope threads(2);
    const auto master = std::this_thread::get_id();
    std::atomic<bool> forked = false;
    std::string several, one;
    parallel_for(8, 1, [&](std::int64_t, std::int64_t) {
      if (std::this_thread::get_id() == master && !forked.exchange(true)) {
        several = in_child([&] { return load_and_run(2, want); });
        one = in_child([&] { return load_and_run(1, want); });
      }
      while (!forked) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    });
    EXPECT_EQ(several,
              "DeviceError: this process was forked inside of a loop on several threads, which it does not have; start "
              "it anew instead (spawn), or load the model with threads = 1");
    EXPECT_EQ(one, "the same");
  });
}

#endif

}  // namespace
}  // namespace d2deploy
