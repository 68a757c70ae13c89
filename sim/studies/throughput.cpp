#include "sim/studies/throughput.h"

#include "sim/load/bulk.h"
#include "sim/load/site.h"
#include "sim/programs/load_program.h"
#include "sim/studies/lab.h"
#include "sim/tcp/path.h"

namespace macrovpn::sim {
namespace {

constexpr size_t kHops = 3, kLayers = 32 * kHops, kPacket = 1500 - node::kCarriedHeaders - kLayers, kHeaders = 40;
constexpr Duration kQueue = 100ms;
constexpr uint64_t kEndless = uint64_t{1} << 39;
constexpr uint32_t kWindow = 64 << 20;  // of the receiver: not what this is about

TcpConfig tcp_of(const Transfer& t) {
  TcpConfig c;
  c.sender.control = t.control;
  c.receiver.window = kWindow;
  c.mtu = kPacket;
  return c;
}

LinkModel line_of(const Transfer& t) {
  return {.rate = t.rate, .queue = bytes_in(t.rate, kQueue)};
}

}  // namespace

uint64_t Carried::bits_per_second(Duration omitted) const {
  const auto first = std::min(bytes.size(), static_cast<size_t>(omitted / kStep));
  uint64_t sum = 0;
  for (size_t i = first; i < bytes.size(); i++) sum += bytes[i];
  return bytes.size() == first ? 0 : sum * 8 * 1000 / ((bytes.size() - first) * static_cast<uint64_t>(kStep / 1ms));
}

Bandwidth bound_of(const Transfer& t) {
  return {t.rate.bytes_per_second * (kPacket - kHeaders) / 1500};
}

Carried through_a_circuit(const Transfer& t, uint64_t seed, Study& study) {
  SeededRng random = Streams(seed).of("tcp");
  SiteConfig site;
  site.tcp = tcp_of(t);
  Lab lab({.seed = seed, .link = t.link, .loss = t.loss}, std::make_unique<LoadProgram>(std::make_unique<Site>(site, random)));
  World& w = lab.world();
  const Mono begins = w.now().mono + 3s + 20 * t.link;  // its circuit is there
  auto load = std::make_unique<Bulk>(
      BulkConfig{.site = Endpoint{lab.site(), 443}, .local = Lab::inside(), .tcp = tcp_of(t), .down = kEndless, .begins = begins}, random);
  const LoadReport& report = load->report();
  const HostId client = lab.add_client({.hops = kHops}, std::make_unique<LoadProgram>(std::move(load)), line_of(t));
  w.run_for(begins - w.now().mono);
  Carried out;
  uint64_t before = 0;
  for (Duration at{0}; at < t.lasts; at += Carried::kStep) {
    w.run_for(Carried::kStep);
    out.bytes.push_back(report.bytes_down - before);
    before = report.bytes_down;
  }
  out.wrong = report.wrong_bytes;
  out.at_queue = w.host(client).down.counters().dropped_for(LinkDrop::queue_full);
  out.moved = w.host(client).counters.moved + w.host(client).counters.lost_leases;
  study.count(w.trace_hash(), w.counters().events);
  return out;
}

Carried over_one_wire(const Transfer& t, size_t links, uint64_t seed) {
  using Side = TcpPath::Side;
  LinkModel way = line_of(t);
  way.latency = t.link * static_cast<int64_t>(links) / 2;
  uint64_t through = kAlways;  // of a million
  for (size_t i = 0; i < links; i++) through = through * (kAlways - t.loss) / kAlways;
  way.loss = LossModel::independent(kAlways - static_cast<Ppm>(through));
  TcpPath path(way, way, tcp_of(t), seed, kLayers + node::kCarriedHeaders);
  ExchangeTotals totals;
  path.host(Side::right).listen(443, [&](const Endpoint&) { return std::make_unique<ExchangeServer>(totals); });
  auto content = std::make_unique<ExchangeClient>(seed);
  ExchangeClient& client = *content;
  const auto id = path.host(Side::left).connect(path.now(), path.address(Side::left), {path.address(Side::right), 443}, std::move(content),
                                                path.sink(Side::left));
  client.ask(path.now(), *path.host(Side::left).find(*id), 0, kEndless);
  Carried out;
  uint64_t before = 0;
  for (Duration at{0}; at < t.lasts; at += Carried::kStep) {
    path.run_until(path.now() + Carried::kStep);
    out.bytes.push_back(client.answered() - before);
    before = client.answered();
  }
  out.wrong = client.wrong();
  out.at_queue = path.link_from(Side::right).counters().dropped_for(LinkDrop::queue_full);
  return out;
}

}  // namespace macrovpn::sim
