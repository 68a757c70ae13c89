#include "shell/workers/parking.h"

#include <gtest/gtest.h>

#include <array>
#include <thread>

namespace macrovpn::shell {
namespace {

// Threads that count without end, each in a reactor of its own; the numbers are theirs and no atomics.
struct Runners {
  static constexpr size_t kThreads = 3;
  struct Runner {
    Reactor reactor;
    Bell again;
    uint64_t count = 0;
    std::thread thread;
  };
  Parking parking{kThreads};
  std::array<Runner, kThreads> runners;

  Runners() {
    for (size_t i = 0; i < kThreads; i++) {
      Runner& r = runners[i];
      r.again.hang_in(r.reactor, [&r] {
        r.count++;
        r.again.ring();
      });
      r.again.ring();
      parking.enter(i, r.reactor);
      r.thread = std::thread([&r] { r.reactor.run(); });
    }
  }
  ~Runners() {
    {
      const Parking::Halt standing(parking);
      for (Runner& r : runners) r.reactor.stop();
    }
    for (size_t i = 0; i < kThreads; i++) {
      runners[i].thread.join();
      parking.leave(i, runners[i].reactor);
      runners[i].again.take_from(runners[i].reactor);
    }
  }
  std::array<uint64_t, kThreads> counts() const {
    std::array<uint64_t, kThreads> out{};
    for (size_t i = 0; i < kThreads; i++) out[i] = runners[i].count;
    return out;
  }
};

TEST(Parking, StandingThreadsDoNothingAndMayBeTouched) {
  Runners all;
  std::array<uint64_t, Runners::kThreads> before{};
  for (int round = 0; round < 100; round++) {
    const Parking::Halt standing(all.parking);
    const auto first = all.counts();
    for (int i = 0; i < 20; i++) std::this_thread::yield();
    EXPECT_EQ(all.counts(), first);
    for (size_t i = 0; i < Runners::kThreads; i++) {
      EXPECT_GE(first[i], before[i]);
      all.runners[i].count += 1'000'000;  // seen by its thread
      before[i] = first[i] + 1'000'000;
    }
  }
}

TEST(Parking, ThreadsGoOnAfterwards) {
  Runners all;
  const auto now = [&] {
    const Parking::Halt standing(all.parking);
    return all.counts();
  };
  const auto before = now();
  auto after = now();
  for (int i = 0; i < 100'000 && after[0] == before[0]; i++) after = now();
  EXPECT_GT(after[0], before[0]);
}

TEST(Parking, AHaltInsideOfAnotherChangesNothing) {
  Runners all;
  const Parking::Halt outer(all.parking);
  {
    const Parking::Halt inner(all.parking);
  }
  const auto first = all.counts();
  for (int i = 0; i < 1000; i++) std::this_thread::yield();
  EXPECT_EQ(all.counts(), first);
}

TEST(Parking, WithoutThreadsNobodyIsWaitedFor) {
  Parking nobody(0);
  const Parking::Halt standing(nobody);
}

}  // namespace
}  // namespace macrovpn::shell
