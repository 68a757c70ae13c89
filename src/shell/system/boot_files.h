// What systemd does for us at the start of the computer.
//
//   kill switch   of `up --at-boot`: rules for `nft -f`, and a unit that loads them before there is a network
//   names         of every `up`, until `down`: a unit that gives /etc/resolv.conf back before there is a network
//                 (docs/decisions/0023)
//
// The files of the first are ours and stay in our folder, where `systemctl enable` finds them.  The second is
// written where systemd looks, without asking it: it matters at the next start alone, and asking takes time.
#pragma once
#include <string>
#include <vector>

#include "base/result.h"
#include "shell/config/paths.h"
#include "shell/system/names.h"

namespace macrovpn::shell::system {

struct BootFiles {
  std::string rules, unit;  // names of the files
};
Result<BootFiles> install_at_boot(const Paths&);
// The names of those that were removed.
Result<std::vector<std::string>> remove_at_boot(const Paths&);

// `program`: the path of macrovpn.  Harmless when it is there.
Result<void> install_names_unit(const std::string& systemd_folder, const std::string& program, const Paths&);
// Whether it was there.
Result<bool> remove_names_unit(const std::string& systemd_folder);

}  // namespace macrovpn::shell::system
