// Where things are on this computer.
//
//                 a user (XDG base directory specification)        root               --state DIR
//   config        $XDG_CONFIG_HOME/macrovpn  (~/.config)           /etc/macrovpn      DIR
//   state         $XDG_STATE_HOME/macrovpn   (~/.local/state)      /var/lib/macrovpn  DIR
//   data          $XDG_DATA_HOME/macrovpn    (~/.local/share)      /var/lib/macrovpn  DIR
//   runtime       $XDG_RUNTIME_DIR/macrovpn, else /tmp/macrovpn-UID  /run/macrovpn    DIR/run
//
// XDG variables that are no absolute path count as unset, as the specification asks; so does an
// XDG_RUNTIME_DIR that is not a folder of ours (after `su` it is often another user's).  Folders are made
// with mode 0700 on first use; one that belongs to somebody else is refused: in /tmp anybody could have put
// it there.
#pragma once
#include <sys/types.h>

#include <optional>
#include <string>

#include "base/result.h"

namespace macrovpn::shell {

struct Environment {
  uid_t uid = 0;
  std::string home;
  std::string config_home, state_home, data_home, runtime_dir;  // the XDG variables; empty: unset
};
Environment read_environment();

struct Paths {
  std::string config, state, data, runtime;

  std::string settings_file() const { return config + "/settings.toml"; }    // the user's own
  std::string overlay_file() const { return state + "/settings-set.toml"; }  // what `config set` writes
  std::string key_file() const { return state + "/keys"; }
  std::string record_key_file() const { return state + "/records.key"; }  // signs what `macrovpn dht put` puts
  std::string network_key_file() const { return state + "/network.key"; }  // only where a network was made
  std::string network_file() const { return data + "/network.toml"; }
  std::string invited_file() const { return data + "/invited"; }  // relays of the invite by which we joined
  std::string directory_file() const { return state + "/directory.db"; }  // DirectoryStore's
  std::string descriptor_folder() const { return data + "/descriptors"; }
  std::string measured_file() const { return state + "/measured"; }  // by this relay (core/discovery/details.h)
  std::string liveness_file() const { return state + "/liveness"; }  // what relays said of who answers (core/discovery/liveness_map.h)
  std::string observations_file() const { return state + "/observations"; }  // of relays (core/peers/observations.h)
  std::string control_socket() const { return runtime + "/control.sock"; }
};

Result<Paths> find_paths(const Environment&, const std::optional<std::string>& state_override);
// Makes the four folders; see make_private_folder.
Result<void> make_folders(const Paths&);
// Makes a folder and those above it; it ends up ours, with nobody else able to write to it.
Result<void> make_private_folder(const std::string& path);

}  // namespace macrovpn::shell
