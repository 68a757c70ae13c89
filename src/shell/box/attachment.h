// Attachment: keeps a box's packet device with whichever daemon runs.
//
// The device's descriptor is ours, so it survives a daemon that dies; each time one is there again it gets a
// copy.  In between the box has no network and no other way out.
#pragma once
#include <functional>
#include <optional>
#include <string>

#include "base/result.h"
#include "base/time.h"
#include "shell/box/inside_network.h"
#include "shell/control/client.h"
#include "shell/packet_device.h"

namespace macrovpn::shell {

class Attachment {
 public:
  using Connect = std::function<Result<control::Client, control::NoDaemon>(control::Patience)>;
  // `device` outlives this.  `sources`: whether the daemon is to take packets from the addresses of isolation
  // groups too, each with a circuit of its own.
  Attachment(Connect connect, std::string group, const PacketDevice& device, Sources sources = Sources::one)
      : connect_(std::move(connect)), group_(std::move(group)), device_(device), sources_(sources) {}
  Attachment(std::string socket, std::string group, const PacketDevice& device)
      : Attachment([s = std::move(socket)](control::Patience p) {
          return control::Client::connect(s, control::Client::Events::none, std::move(p));
        }, std::move(group), device) {}

  Result<void, control::NoDaemon> attach(control::Patience = {});
  // -1: not attached now.  Readable: call on_readable().
  int fd() const { return client_ ? client_->fd() : -1; }
  void on_readable(Mono now);
  // When detached: tries again once it is time, for a second at most, as the caller has others to look after.  True if
  // that attached it.
  bool retry(Mono now);
  Mono next_retry() const { return client_ ? kNever : next_retry_; }
  control::Client& client() { return *client_; }  // only while attached
  size_t most_groups() const { return most_groups_; }  // beside the device's own, as the daemon said last

 private:
  static constexpr Duration kFirstRetry = std::chrono::milliseconds(200);
  static constexpr Duration kLongestTry = std::chrono::seconds(1);
  static constexpr Duration kLongestRetry = std::chrono::seconds(1);
  Connect connect_;
  std::string group_;
  const PacketDevice& device_;
  Sources sources_;
  std::optional<control::Client> client_;
  size_t most_groups_ = 0;
  Mono next_retry_ = kNever;
  Duration wait_ = kFirstRetry;
};

}  // namespace macrovpn::shell
