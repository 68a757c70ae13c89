// PhoneKeeper: the devices of `macrovpn device`: their file, the port that they call, their peers in the node
// (core/node/phone_side.h).  The port is open while there are devices and no longer.
#pragma once
#include <nlohmann/json_fwd.hpp>

#include "app/daemon.h"
#include "shell/control/server.h"
#include "shell/driver/driver.h"
#include "shell/phone/phone_file.h"

namespace macrovpn::app {

class PhoneKeeper {
 public:
  // All outlive it.
  PhoneKeeper(const shell::Reactor& reactor, shell::Driver& driver, const DaemonOptions& options);

  // Those of the file.  A port that is taken is complained of and tried again: the circuits of programs do not need it.
  Result<void> start();
  void try_again();
  // The methods device.add, device.list and device.remove.
  void serve(shell::control::Server& server);

  bool empty() const { return phones_.empty(); }
  std::string name_of(TunId tun) const;  // empty: none of ours
  nlohmann::json port_json() const;      // for `status`

 private:
  struct Kept {
    shell::SavedPhone saved;
    TunId tun;
  };
  Result<nlohmann::json> add(const nlohmann::json& params);
  Result<nlohmann::json> remove(const nlohmann::json& params);
  nlohmann::json list() const;
  Result<void> open_port();
  void close_port_if_unused();
  Result<void> store() const;
  std::string file() const { return options_.paths.state + "/devices"; }
  uint16_t port() const { return options_.settings.device_port; }

  const shell::Reactor& reactor_;
  shell::Driver& driver_;
  const DaemonOptions& options_;
  uint32_t mark_;
  std::vector<Kept> phones_;  // in the order in which they were added
  bool open_ = false;
};

}  // namespace macrovpn::app
