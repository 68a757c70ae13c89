#include "shell/proxy/host_helper.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include "shell/exit/socket_address.h"

namespace macrovpn::shell {
namespace {

using control::NoDaemon;
const IpAddress kLoopback = *IpAddress::parse("127.0.0.1");

// A child that starts daemons when it is let: it reads a byte of standard input first, which Helper leaves open.
class LateHelper : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(pipe(pipe_), 0);
    saved_ = dup(STDIN_FILENO);
    dup2(pipe_[0], STDIN_FILENO);
  }
  void TearDown() override {
    dup2(saved_, STDIN_FILENO);
    for (const int fd : {saved_, pipe_[0], pipe_[1]}) close(fd);
  }
  static HostHelper::Services services() {
    return {[]() -> Result<void> {
              char c;
              if (read(STDIN_FILENO, &c, 1) != 1) return fail("nobody lets it");
              return {};
            },
            []() -> Result<Fd, NoDaemon> {
              return Failure{NoDaemon{NoDaemon::Why::not_ours, Error{"it is somebody else's"}}};
            }};
  }
  void let() const { ASSERT_EQ(write(pipe_[1], "x", 1), 1); }

  int pipe_[2] = {-1, -1}, saved_ = -1;
};

TEST_F(LateHelper, AnAnswerThatComesTooLateIsNotTakenForThatToTheNextQuestion) {
  auto impatient = HostHelper::start(services(), Duration::zero());
  ASSERT_TRUE(impatient.ok());
  const auto started = impatient->start_daemon();
  ASSERT_FALSE(started.ok());
  EXPECT_NE(started.error().message.find("does not answer"), std::string::npos);
  let();
  impatient->be_patient(HostHelper::kPatience);
  const auto socket = impatient->udp_socket(kLoopback);
  ASSERT_TRUE(socket.ok()) << socket.error().message;
  EXPECT_EQ(local_of(socket->get())->address, kLoopback);
  let();
  EXPECT_TRUE(impatient->start_daemon().ok());
}

TEST_F(LateHelper, TellsWhyThereIsNoDaemon) {
  auto helper = HostHelper::start(services());
  ASSERT_TRUE(helper.ok());
  const auto dialled = helper->dial_daemon();
  ASSERT_FALSE(dialled.ok());
  EXPECT_EQ(dialled.error().why, NoDaemon::Why::not_ours);
  EXPECT_EQ(dialled.error().error.message, "it is somebody else's");
}

}  // namespace
}  // namespace macrovpn::shell
