#include "shell/reactor.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

namespace macrovpn::shell {
namespace {

TEST(Reactor, RunsHandlersTimersAndThenAfterRound) {
  Reactor r;
  int pipe_fds[2];
  ASSERT_EQ(pipe(pipe_fds), 0);
  Fd in(pipe_fds[0]), out(pipe_fds[1]);
  std::string story;
  r.add(in.get(), EPOLLIN, [&](uint32_t) {
    char c;
    ASSERT_EQ(read(in.get(), &c, 1), 1);
    story += c;
    r.remove(in.get());
  });
  r.after(Duration::zero(), [&] { story += 't'; });
  r.after_round([&] { story += '.'; });
  ASSERT_EQ(write(out.get(), "xy", 2), 2);
  r.run_once(10ms);
  r.run_once(1ms);
  EXPECT_EQ(story, "xt..");
}

TEST(Reactor, ACancelledTimerDoesNotFire) {
  Reactor r;
  bool fired = false;
  const auto id = r.after(Duration::zero(), [&] { fired = true; });
  r.cancel(id);
  r.run_once(1ms);
  EXPECT_FALSE(fired);
}

// As when a program ends: its device goes, a new connection comes and gets the device's number, all in one round.
TEST(Reactor, AnEventOfAClosedDescriptorDoesNotReachTheNextOneOfItsNumber) {
  Reactor r;
  int first[2], second[2], fresh[2] = {-1, -1};
  ASSERT_EQ(pipe2(first, O_CLOEXEC | O_NONBLOCK), 0);
  ASSERT_EQ(pipe2(second, O_CLOEXEC | O_NONBLOCK), 0);
  bool reached = false;
  r.add(first[0], EPOLLIN, [&](uint32_t) {
    r.remove(first[0]);
    r.remove(second[0]);
    close(second[0]);
    ASSERT_EQ(pipe2(fresh, O_CLOEXEC | O_NONBLOCK), 0);
    ASSERT_EQ(fresh[0], second[0]);
    r.add(fresh[0], EPOLLIN, [&](uint32_t) { reached = true; });
  });
  r.add(second[0], EPOLLIN, [](uint32_t) {});
  ASSERT_EQ(write(first[1], "x", 1), 1);  // ready in this order
  ASSERT_EQ(write(second[1], "x", 1), 1);
  r.run_once(10ms);
  EXPECT_GE(fresh[0], 0);
  EXPECT_FALSE(reached);
  ASSERT_EQ(write(fresh[1], "x", 1), 1);
  r.run_once(10ms);
  EXPECT_TRUE(reached);
  for (const int fd : {first[0], first[1], second[1], fresh[0], fresh[1]}) close(fd);
}

}  // namespace
}  // namespace macrovpn::shell
