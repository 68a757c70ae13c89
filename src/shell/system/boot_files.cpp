#include "shell/system/boot_files.h"

#include <unistd.h>

#include <cerrno>
#include <filesystem>

#include "shell/config/atomic_file.h"
#include "shell/system/kill_switch.h"

namespace macrovpn::shell::system {
namespace {

namespace fs = std::filesystem;
constexpr const char* kNamesUnit = "macrovpn-names.service";
// A unit with DefaultDependencies=no is wanted from here, as there is no later target before the network.
constexpr const char* kWants = "sysinit.target.wants";

std::string rules_file(const Paths& p) {
  return p.config + "/kill-switch.nft";
}
std::string unit_file(const Paths& p) {
  return p.config + "/macrovpn-kill-switch.service";
}

std::string kill_switch_unit(const Paths& p) {
  return "# Loads Macro VPN's kill switch before there is a network.\n"
         "[Unit]\nDescription=Macro VPN kill "
         "switch\nDefaultDependencies=no\nAfter=systemd-modules-load.service local-fs.target\n"
         "# Those may flush the whole ruleset.\n"
         "After=nftables.service netfilter-persistent.service ufw.service\n"
         "Before=network-pre.target\nWants=network-pre.target\nConflicts=shutdown.target\n\n"
         "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/usr/sbin/nft -f \"" +
         rules_file(p) + "\"\n\n[Install]\nWantedBy=sysinit.target\n";
}

// For systemd.syntax(7): its own specifiers and variables are not meant.
std::string quoted(const std::string& path) {
  std::string out = "\"";
  for (const char c : path) {
    if (c == '%' || c == '$') out += c;
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + "\"";
}

// Whoever reads or writes /etc/resolv.conf starts after it: otherwise a DHCP client takes ours for its own file,
// and a link that was there is lost.
std::string names_unit(const std::string& program, const Paths& p) {
  return "# If the computer is restarted during `macrovpn up`: gives /etc/resolv.conf back.  `macrovpn down` "
         "removes this file.\n"
         "[Unit]\nDescription=Macro VPN gives the names back after a restart\nDefaultDependencies=no\n"
         "After=local-fs.target\n"
         "Before=network-pre.target systemd-resolved.service resolvconf.service\n"
         "Wants=network-pre.target\nConflicts=shutdown.target\n"
         "ConditionPathExists=" +
         p.state +
         "/system-resolv.conf\n\n"
         "[Service]\nType=oneshot\nExecStart=" +
         quoted(program) + " down --after-restart\n";
}

}  // namespace

Result<BootFiles> install_at_boot(const Paths& p) {
  const std::string rules = kill_switch_rules(), unit = kill_switch_unit(p);
  TRY_VOID(write_file(rules_file(p), as_bytes(rules), FileMode::readable));
  TRY_VOID(write_file(unit_file(p), as_bytes(unit), FileMode::readable));
  return BootFiles{rules_file(p), unit_file(p)};
}

Result<std::vector<std::string>> remove_at_boot(const Paths& p) {
  std::vector<std::string> gone;
  for (const std::string& file : {unit_file(p), rules_file(p)}) {
    if (unlink(file.c_str()) == 0)
      gone.push_back(file);
    else if (errno != ENOENT)
      return file_error("cannot remove " + file, errno);
  }
  return gone;
}

Result<void> install_names_unit(const std::string& folder, const std::string& program, const Paths& p) {
  const std::string unit = folder + "/" + kNamesUnit, wants = folder + "/" + kWants;
  const std::string text = names_unit(program, p);
  TRY_VOID(write_file(unit, as_bytes(text), FileMode::readable));
  std::error_code error;
  fs::create_directories(wants, error);
  const std::string link = wants + "/" + kNamesUnit;
  if (symlink(("../" + std::string(kNamesUnit)).c_str(), link.c_str()) != 0 && errno != EEXIST)
    return file_error("cannot make " + link, errno);
  return {};
}

Result<bool> remove_names_unit(const std::string& folder) {
  bool found = false;
  for (const std::string& file : {folder + "/" + kWants + "/" + kNamesUnit, folder + "/" + kNamesUnit}) {
    if (unlink(file.c_str()) == 0)
      found = true;
    else if (errno != ENOENT && errno != ENOTDIR)
      return file_error("cannot remove " + file, errno);
  }
  return found;
}

}  // namespace macrovpn::shell::system
