#include <sys/timex.h>
#include <sys/wait.h>
#include <unistd.h>

#include "app/doctor.h"
#include "app/home_keeper.h"
#include "app/region_watch.h"
#include "app/start_daemon.h"
#include "shell/box/box.h"
#include "shell/clock.h"
#include "shell/config/descriptor_folder.h"
#include "shell/config/key_store.h"
#include "shell/control/client.h"
#include "shell/namespace.h"

namespace macrovpn::app {
namespace {

constexpr int64_t kOldDatabaseDays = 400;

Finding of(const char* what, const Result<std::string>& found) {
  if (found) return {what, Verdict::good, *found, ""};
  return {what, Verdict::problem, found.error().message, ""};
}

Result<std::string> check_box() {
  TRY(shell::Box box, shell::Box::create({{"true"}, {}, 1376, {}}));
  TRY_VOID(box.start());
  int status = 0;
  waitpid(box.pid(), &status, 0);
  if (status != 0)
    return fail("a program in a box did not run; the system may be out of processes or memory");
  return std::string(box.device().kind() == shell::PacketDevice::Kind::tun ? "works, with a TUN device"
                                                                           : "works, with a veth device");
}

Result<std::string> check_tool(const std::string& name, const std::string& package) {
  if (shell::run_tool({name, "-V"}, "").ok()) return std::string("installed");
  return fail("the program '" + name + "' is missing: install " + package);
}

Result<std::string> check_network(const Home& home) {
  TRY(const Network n, open_network(home));
  return "\"" + n.name + "\"" + (n.is_lab() ? ", a lab" : "");
}

Result<std::string> check_keys(const Home& home) {
  if (access(home.paths.key_file().c_str(), F_OK) != 0)
    return std::string("none yet; they are made on first use");
  TRY_VOID(shell::load_keys(home.paths.key_file()));
  return std::string("good");
}

Result<std::string> check_daemon(const Home& home) {
  const auto client = reach_daemon(home.paths.control_socket());
  if (client) return std::string("running");
  if (client.error().why == shell::control::NoDaemon::Why::not_running)
    return std::string("not running; `run` starts one");
  return Failure{client.error().error};
}

// There is nobody whose time could be trusted; but a relay's descriptor that seems to come from the future, or all of them expired,
// speak against our clock, and the kernel knows whether somebody sets it.
Finding check_clock(const Home& home) {
  timex t{};
  const bool kept = adjtimex(&t) != TIME_ERROR && (t.status & STA_UNSYNC) == 0;
  const std::string who = kept ? "the system keeps it in step" : "nobody says that it is kept in step";
  const auto network = has_network(home) ? open_network(home) : Result<Network>(fail(""));
  if (!network) return {"clock", Verdict::untested, who + "; there are no relays to compare it with", ""};
  shell::DescriptorFolder folder(home.descriptor_folder(), network->id);
  const auto seen = folder.scan(shell::read_clocks().wall);
  if (!seen) return {"clock", Verdict::untested, who + "; the folder of relays cannot be read", ""};
  size_t future = 0, expired = 0;
  for (const auto& r : seen->refused) {
    future += r.why.message.find("future") != std::string::npos;
    expired += r.why.message.find("expired") != std::string::npos;
  }
  const std::string set = "set it, for example by `timedatectl set-ntp true`";
  if (future > seen->found.size())
    return {"clock", Verdict::problem, "behind by more than ten minutes: most relays seem to come from the future", set};
  if (seen->found.empty() && expired != 0)
    return {"clock", Verdict::problem, "every relay known here has expired: the clock is ahead, or none was heard of for 36 hours", set};
  if (seen->found.empty()) return {"clock", Verdict::untested, who + "; no relay is known to compare it with", ""};
  return {"clock", Verdict::good, "within the time of the relays known here (36 hours); " + who, ""};
}

// Without it everything works, and regions are relays' own words.
Finding check_regions(const Home& home) {
  const RegionWatch regions(home.settings, home.paths);
  const std::string advice = "put a country database there: geo-whois-asn-country.mmdb of the npm package @ip-location-db/geo-whois-asn-country-mmdb (CC0) fits";
  if (!regions.trouble().empty()) return {"regions", Verdict::problem, regions.trouble(), advice};
  if (!regions.has_database())
    return {"regions", Verdict::note, "there is no " + regions.file() + ", so what relays say of their country is compared with nothing", advice};
  const auto days = std::chrono::floor<std::chrono::hours>(shell::read_clocks().wall - regions.made()).count() / 24;
  if (days > kOldDatabaseDays)
    return {"regions", Verdict::note, "the country database is " + std::to_string(days) + " days old, and addresses move", advice};
  return {"regions", Verdict::good, "a country database is here", ""};
}

// A relay at home behind a hard NAT opens many sockets for a moment, so that one behind a cone can find it (core/discovery/port_guess.h).
Finding check_descriptors() {
  const size_t sockets = guess_part(discovery::NatClass::hard).sockets;
  if (sockets == discovery::kGuessSockets) return {"open files", Verdict::good, "enough may be open at once, also for a relay at home", ""};
  const std::string how = "raise the limit, `ulimit -Hn`, to " + std::to_string(kDescriptorsForOthers + 2 * discovery::kGuessSockets) + " or more";
  if (sockets < discovery::kFewestGuessSockets)
    return {"open files", Verdict::note, "too few may be open at once: a relay here behind a hard NAT would be reached through other relays only", how};
  return {"open files", Verdict::note, "only " + std::to_string(sockets) + " sockets of " + std::to_string(discovery::kGuessSockets) +
          " that a relay here behind a hard NAT would open to be found: it is found less often", how};
}

}  // namespace

std::vector<Finding> examine_computer(const Home& home) {
  return {of("private network", check_box()),
          of("ip", check_tool("ip", "iproute2")),
          of("nft (for exits)", check_tool("nft", "nftables")),
          of("network", check_network(home)),
          of("keys", check_keys(home)),
          of("daemon", check_daemon(home)),
          check_descriptors(),
          check_clock(home),
          check_regions(home)};
}

}  // namespace macrovpn::app
