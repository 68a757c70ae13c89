// Box: a program in a private network whose only way out is our packet device, without root.
//
// What is inside: loopback, the device with the inside addresses that are the same for everybody (DESIGN §5),
// default routes through it, its own resolv.conf, no way to the daemon or to resolvers of the host
// (privacy_mounts.h).  The program keeps its user, terminal, environment and files, and has no capability, so
// that it can neither change the network nor leave. Fail closed: with no daemon behind the device, packets go
// nowhere.
//
// It keeps programs from leaking; it is no jail: a hostile program of the same user can ask other processes
// of that user (over the session bus, or a terminal) to talk for it.  It sees no process of outside and can signal
// none; ptrace and /proc/PID/root stop at the border of its user namespace.
//
// What the program leaves behind ends with it.
//
//   TRY(Box box, Box::create({...}));     made, the program waits
//   ... give box.device() to the daemon ...
//   TRY_VOID(box.start());                the program runs
#pragma once
#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "shell/packet_device.h"

namespace macrovpn::shell {

struct BoxOptions {
  std::vector<std::string> argv;             // the program (looked up in PATH) and its arguments
  std::vector<std::string> hidden_folders;   // the daemon's runtime folder
  unsigned mtu = 1376;                       // three hops over IPv4
  std::optional<PacketDevice::Kind> device;  // what must be used; else a TUN if there can be one
};

class Box {
 public:
  static Result<Box> create(const BoxOptions&);
  Box(Box&&) noexcept;
  Box& operator=(Box&&) = delete;
  ~Box();  // a program that was not started never is

  PacketDevice& device() { return device_; }
  // Executes the program.  Fails if it cannot be executed; exec_errno() then says why.
  Result<void> start();
  int exec_errno() const { return exec_errno_; }
  // Of the box's first process, which ends with the program's status (128 + N if signal N ended it) and passes signals on.
  pid_t pid() const { return pid_; }

 private:
  Box(pid_t pid, Fd channel) : pid_(pid), channel_(std::move(channel)) {}
  Result<void> await_device();
  pid_t pid_ = -1;
  Fd channel_;
  PacketDevice device_;
  bool started_ = false;
  int exec_errno_ = 0;
};

}  // namespace macrovpn::shell
