#include "sim/scenario/work.h"

#include "core/routing/address_rewrite.h"
#include "sim/load/browser.h"
#include "sim/load/bulk.h"
#include "sim/load/site.h"
#include "sim/net/topology.h"

namespace macrovpn::sim {
namespace {

constexpr uint16_t kWebPort = 443;

TcpConfig tcp_of(size_t number, uint16_t mtu) {
  TcpConfig tcp;
  tcp.mtu = mtu;
  tcp.receiver.quick_acks = 2;  // a kernel gets segments merged (GRO) and answers few of the first ones alone
  tcp.sender.control = number % 4 == 3 ? CongestionControl::reno : CongestionControl::cubic;
  return tcp;
}

SiteAddress draw_address(const IpAddress& site, Ppm by_v6, Rng& random) {
  const Endpoint v4{site, kWebPort}, v6{Topology::site6(site), kWebPort};
  return random.below(kAlways) < by_v6 ? SiteAddress(v6, v4) : SiteAddress(v4);
}

std::unique_ptr<Workload> make_bulk(const Crowd& c, BulkConfig config, Rng& random) {
  (c.work == Work::download ? config.down : config.up) = file_bytes(c);
  config.transfers = UINT64_MAX;
  config.pause = c.pause == Duration(0) ? Duration(1s) : c.pause;
  return std::make_unique<Bulk>(config, random);
}

}  // namespace

std::unique_ptr<Workload> make_work(const Crowd& c, size_t number, const std::vector<IpAddress>& sites, Ppm by_v6, Mono begins, Rng& random) {
  const auto& inside = routing::InsideAddresses::get();
  const LocalAddresses local(inside.client4, inside.client6);
  const TcpConfig tcp = tcp_of(number, node::mtu_for(c.hops, IpFamily::v4));
  const Mono soon = begins + random.between(100ms, 3s);
  const IpAddress& one = sites[random.below(sites.size())];
  switch (c.work) {
    case Work::nothing: break;
    case Work::browse: {
      BrowserConfig config{.local = local, .tcp = tcp, .page_bytes = c.bytes, .reading = c.pause, .begins = soon};
      for (const IpAddress& site : sites) config.sites.push_back(draw_address(site, by_v6, random));
      return std::make_unique<Browser>(std::move(config), random);
    }
    case Work::download: case Work::upload:
      return make_bulk(c, {.site = draw_address(one, by_v6, random), .local = local, .tcp = tcp, .begins = soon}, random);
    case Work::call: {
      CallConfig config{.local = {inside.client4, static_cast<uint16_t>(40'000 + random.below(20'000))}, .remote = {one, SiteConfig{}.call_port}, .playout = kPlayout};
      config.lasts = c.call == Duration(0) ? Duration(1min) : c.call;
      config.pause = c.pause == Duration(0) ? Duration(30s) : c.pause;
      config.begins = soon;
      return std::make_unique<Call>(config, random);
    }
  }
  MV_ASSERT(false);
  return nullptr;
}

std::unique_ptr<Workload> make_site(size_t number, Rng& random) {
  SiteConfig config;
  config.playout = kPlayout;
  config.tcp = tcp_of(number, 1500);
  return std::make_unique<Site>(config, random);
}

}  // namespace macrovpn::sim
