#include "shell/reactor.h"

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

}  // namespace
}  // namespace macrovpn::shell
