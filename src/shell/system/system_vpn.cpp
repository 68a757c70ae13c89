#include "shell/system/system_vpn.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "shell/config/atomic_file.h"
#include "shell/fd.h"
#include "shell/namespace.h"
#include "shell/system/json_value.h"
#include "shell/system/kill_switch.h"
#include "shell/system/names.h"
#include "shell/system/resolv_conf.h"
#include "shell/system/routes.h"

namespace macrovpn::shell::system {
namespace {

using nlohmann::json;
// With a strict rp_filter the kernel asks whether answers would go back the way a packet came; so it may look
// at the mark.
constexpr const char* kMarkSetting = "/proc/sys/net/ipv4/conf/all/src_valid_mark";

std::string wanted_file(const Paths& p) {
  return p.state + "/system-up";
}
std::string kept_names(const Paths& p) {
  return p.state + "/system-resolv.conf";
}

std::string first_word(const std::string& path) {
  std::ifstream in(path);
  std::string word;
  in >> word;
  return word;
}

Result<void> remember(const Paths& p) {
  if (file_exists(wanted_file(p))) return {};
  const std::string text = json{{"src_valid_mark", first_word(kMarkSetting)}}.dump();
  return write_file(wanted_file(p), as_bytes(text));
}

Result<bool> restore_settings(const Paths& p) {
  if (!file_exists(wanted_file(p))) return false;
  TRY(const auto bytes, read_file(wanted_file(p), 4096));
  const json j = json::parse(bytes.begin(), bytes.end(), nullptr, false);
  const std::string before = text_in(j, "src_valid_mark").value_or("");
  const bool changed = before == "0" && first_word(kMarkSetting) == "1";
  if (changed) TRY_VOID(write_setting(kMarkSetting, before));
  unlink(wanted_file(p).c_str());
  return changed;
}

// One process at a time changes the computer.  Without it a daemon that is held up between looking and writing
// could write ours after `down` has restored what was there.
class Turn {
 public:
  explicit Turn(const Paths& p)
      : file_(open((p.state + "/system-lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600)) {}
  bool try_it() const { return !file_ || flock(file_.get(), LOCK_EX | LOCK_NB) == 0; }
  Result<void> wait() const {
    for (int n = 0; n < 500; n++) {
      if (try_it()) return {};
      usleep(10'000);
    }
    return fail("another macrovpn is changing the network and does not get on; end it, then do this again");
  }

 private:
  Fd file_;  // none without a folder: then nothing is up
};

class Undoing {
 public:
  explicit Undoing(Removed& r) : r_(r) {}
  void step(const Result<bool>& done, const char* line) {
    if (!done) return failed(done.failure());
    if (*done) r_.lines.push_back(line);
  }
  void failed(const Failure<Error>& f) {
    if (r_.outcome) r_.outcome = f;
  }

 private:
  Removed& r_;
};

}  // namespace

Result<void> bring_up(const Paths& p, unsigned mtu) {
  const Turn turn(p);
  TRY_VOID(turn.wait());
  TRY_VOID(remember(p));
  TRY_VOID(load_kill_switch());
  if (first_word(kMarkSetting) == "0") TRY_VOID(write_setting(kMarkSetting, "1"));
  TRY_VOID(make_device(mtu));
  TRY_VOID(add_rules());
  return ResolvConf(kResolvConf, kept_names(p)).take();
}

bool is_wanted(const Paths& p) {
  return file_exists(wanted_file(p));
}

bool was_restarted(const Paths& p) {
  return is_wanted(p) && !device_exists();
}

Result<bool> give_back_names_after_restart(const Paths& p) {
  if (!was_restarted(p)) return false;
  const Turn turn(p);
  // Asked again: `up` makes the device while it has the turn.
  if (!turn.try_it() || !was_restarted(p)) return false;
  TRY(const auto gave, ResolvConf(kResolvConf, kept_names(p)).give_back());
  if (gave == ResolvConf::Gave::original_unknown)
    return fail("nothing tells what /etc/resolv.conf was before; write it by hand, or start your network again");
  return gave == ResolvConf::Gave::restored;
}

bool names_are_left_behind() {
  return !device_exists() && ResolvConf(kResolvConf, {}).is_ours();
}

Result<LookedAfter> look_after(const Paths& p) {
  const Turn turn(p);
  if (!turn.try_it() || !is_wanted(p)) return LookedAfter{};
  LookedAfter done;
  const auto loaded = kill_switch_is_loaded();
  if (loaded && !*loaded) {
    TRY_VOID(load_kill_switch());
    done.kill_switch_was_gone = true;
  }
  TRY_VOID(ResolvConf(kResolvConf, kept_names(p)).take());
  if (!loaded) return loaded.failure();
  return done;
}

Removed take_down(const Paths& p) {
  Removed r;
  Undoing undo(r);
  const Turn turn(p);
  if (const auto ours = turn.wait(); !ours) {
    undo.failed(ours.failure());
    return r;
  }
  // First, so that a daemon does not write resolv.conf once more.
  undo.step(restore_settings(p), "restored   net.ipv4.conf.all.src_valid_mark");
  const auto names = ResolvConf(kResolvConf, kept_names(p)).give_back();
  if (!names)
    undo.failed(names.failure());
  else if (*names == ResolvConf::Gave::restored)
    r.lines.push_back("restored   /etc/resolv.conf as it was");
  else if (*names == ResolvConf::Gave::original_unknown)
    r.lines.push_back(
        "left       /etc/resolv.conf, as nothing tells what it was before; write it by hand, or start your "
        "network again");
  else if (*names == ResolvConf::Gave::left_to_others)
    r.lines.push_back("left       /etc/resolv.conf, which another program has written meanwhile");
  undo.step(remove_rules(), "removed    the routing rules and their table");
  undo.step(remove_device(), "removed    the device macrovpn0");
  // If anything above is still there, what it would let out stays shut in.
  if (r.outcome)
    undo.step(unload_kill_switch(), "removed    the kill switch: programs use the network directly again");
  return r;
}

std::vector<std::string> resolvers_to_know() {
  struct Resolver {
    const char *socket, *words;
  };
  constexpr Resolver kResolvers[] = {
      {"/run/nscd/socket",
       "nscd answers programs here: it may still know names from before; what it asks goes through the "
       "tunnel"},
      {"/run/systemd/resolve/io.systemd.Resolve",
       "systemd-resolved answers programs here: what it asks the servers of your network is blocked.  If "
       "names fail, "
       "take `resolve` out of the line hosts: in /etc/nsswitch.conf"},
      {"/run/avahi-daemon/socket",
       "avahi is here: names ending in .local are blocked, as is the rest of your LAN"},
  };
  std::vector<std::string> out;
  for (const Resolver& r : kResolvers) {
    if (file_exists(r.socket)) out.push_back(r.words);
  }
  return out;
}

}  // namespace macrovpn::shell::system
