// UpnpJob: one question to the UPnP helper (upnp_helper.h), as a child process whose answer is read through a pipe.
#pragma once
#include <sys/types.h>

#include <functional>
#include <optional>
#include <string>

#include "core/discovery/port_mapper.h"
#include "shell/fd.h"
#include "shell/reactor.h"

namespace macrovpn::shell {

inline constexpr const char* kUpnpHelperName = "macrovpn-upnp";  // argv[0] by which this program becomes the helper

// A helper's line; what is none is taken for silence.
discovery::UpnpTold parse_upnp_line(const std::string& line);

class UpnpJob {
 public:
  using Done = std::function<void(const discovery::UpnpTold&)>;
  explicit UpnpJob(Reactor& reactor) : reactor_(reactor) {}
  ~UpnpJob() { stop(); }
  UpnpJob(const UpnpJob&) = delete;
  UpnpJob& operator=(const UpnpJob&) = delete;
  // Ends one that runs.  `done` is called once, from the reactor, unless the job is stopped or gone before.
  void start(const discovery::PortMapper::Config&, const discovery::UpnpWish&, Done done);
  // Waits for one that runs, at most so long; kills it then.
  void finish(Duration longest);
  void stop();

 private:
  void read_some();
  Reactor& reactor_;
  pid_t pid_ = -1;
  Fd out_;
  std::string said_;
  Done done_;
  std::optional<Reactor::TimerId> failed_;  // no process could be made; told from the reactor
};

}  // namespace macrovpn::shell
