#include "app/system_status.h"

#include <unistd.h>

#include <cstdio>
#include <nlohmann/json.hpp>

#include "core/controller/state.h"
#include "shell/system/kill_switch.h"
#include "shell/system/routes.h"
#include "shell/system/system_vpn.h"

namespace macrovpn::app {

using nlohmann::json;

namespace {

// For root.  Null on a computer that is not to be up.
json missing_kill_switch(const shell::Paths& paths) {
  if (!shell::system::is_wanted(paths)) return {};
  const char* const why =
      shell::system::was_restarted(paths)
          ? "the computer was restarted while up, and is not protected: `macrovpn up` or `macrovpn down`"
          : "the kill switch is missing: another firewall removed it; `macrovpn up` loads it again";
  return {{"loaded", false}, {"missing", why}};
}

// An ordinary user may not ask for rules; the device says it too.
json seen_by_user() {
  if (shell::system::device_exists()) return {{"loaded", true}};
  if (!shell::system::names_are_left_behind()) return {};
  return {{"loaded", false},
          {"missing",
           "/etc/resolv.conf is that of `macrovpn up`, and nothing is up, so names do not resolve; `sudo macrovpn "
           "down` gives back what was there"}};
}

}  // namespace

void give_back_names_after_restart(const shell::Paths& paths) {
  if (geteuid() != 0) return;
  const auto done = shell::system::give_back_names_after_restart(paths);
  if (!done)
    std::fprintf(stderr, "macrovpn: the computer was restarted while up, and names do not resolve: %s\n",
                 done.error().message.c_str());
  else if (*done)
    std::fprintf(stderr, "macrovpn: the computer was restarted while up; /etc/resolv.conf is again as it was before\n");
}

void add_kill_switch(json& s, const shell::Paths& paths) {
  if (geteuid() != 0) {
    if (json seen = seen_by_user(); !seen.is_null()) s["kill_switch"] = std::move(seen);
    return;
  }
  const auto look = shell::system::look_at_kill_switch();
  if (!look) return;
  if (!look->loaded) {
    if (json missing = missing_kill_switch(paths); !missing.is_null()) s["kill_switch"] = std::move(missing);
    return;
  }
  json blocked = json::array();
  for (const auto& b : look->blocked) blocked.push_back({{"what", b.what}, {"packets", b.packets}});
  s["kill_switch"] = {{"loaded", true}, {"blocked", blocked}};
  if (s.value("system", false)) return;
  s["state"] = controller::id_of(controller::State::blocked);
  s["words"] = controller::word_of(controller::State::blocked);
  s["cause"] = s.contains("uptime_ms")
                   ? "the daemon does not serve the whole computer; `macrovpn up` makes it, `macrovpn down` "
                     "opens the network"
                   : "no daemon is running; `macrovpn up` starts one, `macrovpn down` opens the network";
}

void print_kill_switch(const json& s) {
  const json k = s.value("kill_switch", json());
  if (!k.is_object()) return;
  if (k.contains("missing")) {
    std::printf("computer   %s\n", k.value("missing", "").c_str());
    return;
  }
  if (!k.contains("blocked")) {
    std::printf(
        "computer   all of it goes through the VPN of `macrovpn up`; as root, `macrovpn status` says more\n");
    return;
  }
  std::printf("computer   the kill switch lets out nothing but the tunnel\n");
  for (const json& b : k["blocked"])
    std::printf("blocked    %llu packets: %s\n", b.value("packets", 0ull), b.value("what", "").c_str());
}

}  // namespace macrovpn::app
