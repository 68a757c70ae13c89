// Whether HTTPS reaches a relay, for where UDP does not pass.
#include <unistd.h>

#include <csignal>

#include "app/doctor.h"
#include "core/discovery/details.h"
#include "shell/clock.h"
#include "shell/config/descriptor_folder.h"
#include "shell/https/client.h"
#include "shell/system/names.h"

namespace macrovpn::app {
namespace {

namespace https = shell::https;
constexpr Duration kPatience = 5s;

std::optional<https::Address> https_of(const shell::DescriptorFolder& folder, const NetworkId& network, const RelayInfo& relay) {
  const auto bytes = folder.read(relay.id);
  if (!bytes) return std::nullopt;
  const auto d = discovery::open_descriptor(*bytes, network);
  if (!d || !d->details.tls) return std::nullopt;
  const auto& t = *d->details.tls;
  return https::Address{{relay.endpoints.front().address, t.port}, t.server_name, t.certificate, relay.wireguard};
}

}  // namespace

HttpsAnswers ask_by_https(const Home& home, const NetworkId& network, std::span<const RelayInfo> relays) {
  HttpsAnswers out;
  std::signal(SIGPIPE, SIG_IGN);  // who resets a connection must not end the report
  const shell::DescriptorFolder folder(home.descriptor_folder(), network);
  const auto context = shell::tls::Context::client();
  if (!context) return out;
  shell::OsRng rng;
  shell::Reactor reactor;
  PacketPool pool;
  bool over = false;
  std::vector<std::unique_ptr<https::Client>> clients;
  for (const RelayInfo& r : relays) {
    const auto address = https_of(folder, network, r);
    if (!address) continue;
    out.asked++;
    const auto ended = [&](https::Client::Why why) { out.wrong_certificate |= why == https::Client::Why::wrong_certificate; };
    clients.push_back(std::make_unique<https::Client>(reactor, pool, rng, *context, network, *address, geteuid() == 0 ? shell::system::kMark : 0,
                                                      https::Client::Events{[&] { over = true; }, [](std::span<Packet>) {}, ended}));
    if (!clients.back()->start().ok()) clients.pop_back();
  }
  const Mono end = shell::read_clocks().mono + kPatience;
  while (!over && !clients.empty() && shell::read_clocks().mono < end) reactor.run_once(100ms);
  out.works = over;
  return out;
}

}  // namespace macrovpn::app
