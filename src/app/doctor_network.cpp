#include <net/if.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <functional>
#include <future>
#include <set>

#include "app/doctor.h"
#include "app/newcomers.h"
#include "core/peers/guard_set.h"
#include "model/special_purpose.h"
#include "shell/clock.h"
#include "shell/config/atomic_file.h"
#include "shell/config/descriptor_folder.h"
#include "shell/driver/own_addresses.h"
#include "shell/driver/udp_socket.h"
#include "shell/nat/nat_prober.h"
#include "shell/nat/port_keeper.h"
#include "shell/system/names.h"

namespace macrovpn::app {
namespace {

using discovery::NatClass;
using discovery::NatFiltering;
using discovery::NatMapping;
using discovery::NatReport;
using shell::NatQuestion;

// ---- whom to ask

std::vector<PeerId> own_entries(const Home& home) {
  const auto saved = shell::read_own_file(home.paths.state + "/guards", 4096);
  if (!saved) return {};
  const auto set = peers::GuardSet::load(*saved);
  return set ? set->in_order(Mono{}) : std::vector<PeerId>{};
}

// Our entries first, which know our address anyway; then whoever.  At different addresses, or they would see the same.
std::vector<RelayInfo> choose(const Home& home, std::vector<RelayInfo> known, IpFamily family, Rng& rng) {
  for (size_t i = known.size(); i > 1; i--) std::swap(known[i - 1], known[rng.below(i)]);
  const std::vector<PeerId> entries = own_entries(home);
  std::stable_partition(known.begin(), known.end(), [&](const RelayInfo& r) {
    return std::find(entries.begin(), entries.end(), r.id) != entries.end();
  });
  const std::vector<IpAddress> ours = shell::read_own_addresses().addresses;
  std::set<IpAddress> taken(ours.begin(), ours.end());  // a relay does not ask itself
  std::erase_if(known, [&](const RelayInfo& r) {
    const auto e = shell::endpoint_in(r, family);
    return !e || !taken.insert(e->address).second;
  });
  if (known.size() > discovery::NatProbe::kMostServers) known.resize(discovery::NatProbe::kMostServers);
  return known;
}

std::vector<RelayInfo> known_relays(const Home& home, NetworkId& network) {
  const auto n = has_network(home) ? open_network(home) : Result<Network>(fail(""));
  if (!n) return {};
  network = n->id;
  return relays_on_disk(home, *n, shell::read_clocks().wall);
}

// ---- what the answers say

Finding udp_of(const NatReport& r, bool of_relays) {
  const std::string whom = of_relays ? " relays" : " servers";
  const std::string part = std::to_string(r.answered) + " of " + std::to_string(r.asked) + whom;
  if (r.answered == 0)
    return {"UDP", Verdict::problem, "none of " + std::to_string(r.asked) + whom + " answered: this network drops UDP, or they are all down",
            "see transport below; if that is a problem too, try another network"};
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(r.round_trip).count();
  return {"UDP", Verdict::good, "works: " + part + " answered, the first after " + std::to_string(ms) + " ms", ""};
}

std::string words_of(const NatReport& r) {
  return std::string(" (mapping: ") + name_of(r.mapping) + "; filtering: " + name_of(r.filtering) + ")";
}

Finding nat_of(const NatReport& r) {
  const std::string words = words_of(r);
  switch (r.nat) {
    case NatClass::silent:
      return {"NAT", Verdict::untested, "nobody answered that could tell", ""};
    case NatClass::open:
      return {"NAT", Verdict::good, "open: none, and anybody can call this computer" + words, ""};
    case NatClass::mapped:
      return {"NAT", Verdict::good, "mapped: anybody can call this computer through it" + words, ""};
    case NatClass::cone:
      if (r.mapping == NatMapping::none)
        return {"NAT", Verdict::note, "none, but a firewall lets in only answers" + words,
                "nothing, to use the VPN; for a relay let its UDP port in at the firewall"};
      return {"NAT", Verdict::note, "cone: others can call only whom this computer has called" + words,
              "nothing, to use the VPN; for a relay open a port at the router"};
    case NatClass::hard:
      return {"NAT", Verdict::note, "hard: another outside port for each that is called" + words,
              "nothing, to use the VPN; for a relay open a port at the router, since nobody can guess it"};
    case NatClass::unknown:
      break;
  }
  return {"NAT", Verdict::untested, "only in part: too few answered to tell its kind" + words, "try again later, or when more relays are known"};
}

// ---- the checks

using Reached = std::vector<std::optional<Duration>>;

size_t count(const Reached& r) {
  return static_cast<size_t>(std::count_if(r.begin(), r.end(), [](const auto& d) { return d.has_value(); }));
}

// Of those that `should` holds: "; no answer from 1a2b3c4d..., 5e6f7081...".
std::string silent_among(const NatQuestion& q, const Reached& r, const std::function<bool(size_t)>& should) {
  std::string out;
  for (size_t i = 0; i < r.size() && i < q.relays.size(); i++) {
    if (!r[i] && should(i)) out += (out.empty() ? "; no answer from " : ", ") + to_hex(q.relays[i].id.bytes).substr(0, 8) + "...";
  }
  return out;
}

// What most of those say that are there at all: one may stand behind a narrow link of its own.
Finding check_mtu(const NatQuestion& q, const NatReport& r, Rng& rng) {
  if (!q.servers.empty() || r.answered == 0) return {"MTU", Verdict::untested, "no relay answered to try it with", ""};
  const std::string size = std::to_string(1232 + (q.family == IpFamily::v4 ? 28 : 48));
  const auto small = shell::reaches(q, 100, rng), large = shell::reaches(q, 1232, rng);
  if (!small || !large) return {"MTU", Verdict::untested, (small ? large : small).error().message, ""};
  const auto is_there = [&](size_t i) { return (*small)[i] || (*large)[i]; };
  size_t there = 0;
  for (size_t i = 0; i < small->size(); i++) there += is_there(i);
  if (there == 0) return {"MTU", Verdict::untested, "no relay answered to try it with", ""};
  const std::string who = count(*large) == there ? "" : " (" + std::to_string(count(*large)) + " of " + std::to_string(there) + " relays" + silent_among(q, *large, is_there) + ")";
  if (2 * count(*large) <= there)
    return {"MTU", Verdict::problem, "packets of " + size + " bytes do not get through, though small ones do" + who,
            "set a smaller MTU on this computer's network interface; circuits find a smaller size by themselves, but building one needs such packets"};
  return {"MTU", Verdict::good, "packets of " + size + " bytes get through" + who + "; larger ones are tried by each circuit, see `macrovpn status`", ""};
}

Finding check_v6(const Home& home, const std::vector<RelayInfo>& known, NatQuestion q, Rng& rng) {
  if (!shell::outward_address(IpFamily::v6, geteuid() == 0 ? shell::system::kMark : 0))
    return {"IPv6", Verdict::note, "none here", "nothing: relays are called over IPv4, and sites with IPv6 are reached through exits that have it"};
  q.family = IpFamily::v6;
  q.servers.clear();
  q.relays = choose(home, known, IpFamily::v6, rng);
  if (q.relays.empty()) return {"IPv6", Verdict::untested, "there is an address and a route; no relay with IPv6 is known to try it with", ""};
  const auto reached = shell::reaches(q, 100, rng);
  const std::string asked = std::to_string(q.relays.size()) + (q.relays.size() == 1 ? " relay" : " relays");
  if (!reached || count(*reached) == 0)
    return {"IPv6", Verdict::note, "there is an address and a route, but of " + asked + " none answered over it", "nothing, while IPv4 works"};
  const std::string silent = silent_among(q, *reached, [](size_t) { return true; });
  return {"IPv6", Verdict::good, "works: " + std::to_string(count(*reached)) + " of " + asked + " answered over it" + silent, ""};
}

std::optional<Endpoint> first_name_server() {
  std::FILE* f = std::fopen(shell::system::kResolvConf, "re");
  if (f == nullptr) return std::nullopt;
  char line[256], address[64];
  std::optional<Endpoint> out;
  while (!out && std::fgets(line, sizeof line, f) != nullptr) {
    if (std::sscanf(line, "nameserver %63s", address) != 1) continue;
    if (const auto a = IpAddress::parse(address)) out = Endpoint{*a, 53};
  }
  std::fclose(f);
  return out;
}

// Asks for the root: a question that says nothing of anybody.
Finding check_dns(Rng& rng) {
  const auto server = first_name_server();
  if (!server) return {"DNS", Verdict::problem, "no name server is configured in /etc/resolv.conf", "programs under `macrovpn run` do not need one; others do: set one in the system's network settings"};
  std::vector<uint8_t> question;
  const auto id = rng.bytes<2>();
  Writer(question).bytes(id).be16(0x0100).be16(1).be16(0).be16(0).be16(0).u8(0).be16(2).be16(1);
  auto socket = shell::UdpSocket::open({server->address.is_v4() ? IpAddress() : IpAddress::v6(ByteArray<16>{}), 0});
  if (!socket) return {"DNS", Verdict::untested, socket.error().message, ""};
  PacketPool pool;
  for (int i = 0; i < 2; i++) {
    std::vector<node::Datagram> batch;
    batch.push_back({SocketId{}, *server, pool.copy_of(question), {}});
    socket->send(batch);
    pollfd p{socket->fd(), POLLIN, 0};
    poll(&p, 1, 1000);
    batch.clear();
    socket->receive({}, pool, batch);
    for (const node::Datagram& d : batch) {
      if (d.remote == *server && d.packet.size() >= 12 && equal(d.packet.bytes().first(2), id))
        return {"DNS", Verdict::good, "the system's name server answers; names of programs under the VPN are asked at the exit instead", ""};
    }
  }
  return {"DNS", Verdict::problem, "the system's name server does not answer", "choose another in the system's network settings; programs under `macrovpn run` do not need it"};
}

// Opens a port for a moment and closes it again: whether a router would is known only then.
Finding check_port_mapping() {
  using State = discovery::PortMapping::State;
  const auto at = shell::default_router();
  if (!at) return {"port mapping", Verdict::untested, "there is no router to ask", ""};
  shell::OsRng rng;
  shell::Reactor reactor;
  PacketPool pool;
  shell::PortKeeper keeper(reactor, pool, rng, {static_cast<uint16_t>(20'000 + rng.below(20'000))}, {});
  keeper.start();
  const Mono end = shell::read_clocks().mono + 20s;
  const auto asking = [&] { return keeper.has_router() && keeper.mapping().state == State::asking; };
  while (asking() && shell::read_clocks().mono < end) reactor.run_once(200ms);
  const discovery::PortMapping m = keeper.mapping();
  keeper.stop();
  if (m.state != State::open)
    return {"port mapping", Verdict::note, m.refused ? "the router refuses to open ports" : "the router does not speak PCP, NAT-PMP or UPnP",
            "nothing, to use the VPN; for a relay at home allow it in the router's settings, or forward its UDP port by hand"};
  const std::string by = discovery::name_of(m.by);
  if (m.outside_address && !is_global_unicast(*m.outside_address))
    return {"port mapping", Verdict::note, "the router opens ports by " + by + ", but stands behind another NAT itself",
            "nothing, to use the VPN; a relay here would need a public address from the provider"};
  return {"port mapping", Verdict::good, "the router opens ports, by " + by + "; a relay does it with --open-port", ""};
}

Finding transport_of(const Home& home, const NatQuestion& q, const NatReport& r) {
  if (r.answered != 0) return {"transport", Verdict::good, "UDP; so HTTPS, its substitute, was not tried", ""};
  const HttpsAnswers h = ask_by_https(home, q.network, q.relays);
  if (h.works) return {"transport", Verdict::good, "HTTPS: a relay answered on its TCP port, though none does by UDP", "nothing: it is used by itself, a little slower than UDP"};
  if (h.wrong_certificate)
    return {"transport", Verdict::problem, "somebody else answers in a relay's place: this network opens HTTPS connections", "use another network"};
  if (h.asked == 0)
    return {"transport", Verdict::problem, "UDP does not work, and none of the relays asked offers HTTPS", "use a network that lets UDP out"};
  return {"transport", Verdict::problem, "neither UDP nor HTTPS reaches a relay", "use another network; relays may also be down"};
}

std::vector<Finding> untested(const std::string& why, const std::string& advice) {
  std::vector<Finding> out;
  for (const char* what : {"UDP", "NAT", "MTU", "transport"}) out.push_back({what, Verdict::untested, why, what == std::string("UDP") ? advice : ""});
  return out;
}

std::vector<Finding> ask_outside(const Home& home, const NatQuestion& q, Rng& rng) {
  const auto report = shell::probe_nat(q, rng);
  if (!report)
    return {{"UDP", Verdict::problem, report.error().message, "connect this computer to a network"},
            {"NAT", Verdict::untested, "there is no way out", ""},
            {"MTU", Verdict::untested, "there is no way out", ""},
            {"transport", Verdict::problem, "none: there is no way out", ""}};
  return {udp_of(*report, q.servers.empty()), nat_of(*report), check_mtu(q, *report, rng), transport_of(home, q, *report)};
}

}  // namespace

std::vector<Finding> examine_network(const Home& home, const NetworkQuestions& questions) {
  shell::OsRng rng;
  NatQuestion q;
  q.servers = questions.servers;
  if (!q.servers.empty()) q.family = q.servers.front().address.family();
  const std::vector<RelayInfo> known = known_relays(home, q.network);
  q.relays = choose(home, known, IpFamily::v4, rng);
  std::vector<Finding> out;
  if (geteuid() != 0 && if_nametoindex(shell::system::kDevice) != 0) {
    out = untested("the whole computer is behind `macrovpn up`, so this would show the exit's network", "run it as root, which looks past the VPN");
    for (const char* what : {"port mapping", "IPv6"}) out.push_back({what, Verdict::untested, "for the same reason", ""});
  } else {
    // A silent router takes its time; meanwhile the others are asked.
    auto ports = std::async(std::launch::async, check_port_mapping);
    out = q.relays.empty() && q.servers.empty() ? untested("no relay is known that could be asked", "join a network, or name an ordinary server: `macrovpn doctor --stun ADDRESS:PORT`")
                                                : ask_outside(home, q, rng);
    Finding v6 = check_v6(home, known, q, rng);
    out.insert(std::next(std::find_if(out.begin(), out.end(), [](const Finding& f) { return f.what == "NAT"; })), ports.get());
    out.push_back(std::move(v6));
  }
  out.push_back(check_dns(rng));
  return out;
}

}  // namespace macrovpn::app
