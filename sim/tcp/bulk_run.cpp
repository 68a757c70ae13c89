#include "sim/tcp/bulk_run.h"

#include "sim/tcp/exchange.h"

namespace macrovpn::sim {
namespace {

using Side = TcpPath::Side;
constexpr uint16_t kPort = 5201;
constexpr size_t kEthernet = 14;
// Linux sends timestamps (RFC 7323) with every segment, the model does not: so much less fits, and as much goes over the wire.
constexpr uint16_t kTimestamps = 12;

}  // namespace

BulkFigures run_bulk(const BulkRun& run, uint64_t seed) {
  const LinkModel back{.latency = run.delay, .rate = run.rate, .queue = bytes_in(run.rate, run.queue)};
  LinkModel data = back;
  data.loss = run.loss;
  TcpConfig config;
  config.sender.control = run.control;
  config.mtu = 1500 - kTimestamps;
  TcpPath path(data, back, config, seed, kEthernet + kTimestamps);

  ExchangeTotals totals;
  path.host(Side::right).listen(kPort, [&](const Endpoint&) { return std::make_unique<ExchangeServer>(totals); });
  auto client = std::make_unique<ExchangeClient>(seed);
  ExchangeClient& asking = *client;
  const auto id = path.host(Side::left).connect(path.now(), path.address(Side::left), {path.address(Side::right), kPort}, std::move(client),
                                                path.sink(Side::left));
  TcpEndpoint& tcp = *path.host(Side::left).find(*id);
  asking.ask(path.now(), tcp, uint64_t{1} << 39, 0);
  path.run_until(path.now() + run.omitted);
  const SenderCounters before = tcp.sender().counters();
  const uint64_t carried = tcp.acknowledged();
  path.run_until(path.now() + run.measured);
  const SenderCounters& c = tcp.sender().counters();
  return {(tcp.acknowledged() - carried) * 8 / static_cast<uint64_t>(run.measured / 1ms), c.pieces - before.pieces,
          c.retransmitted - before.retransmitted, c.recoveries - before.recoveries, c.timeouts - before.timeouts, c.probes - before.probes};
}

}  // namespace macrovpn::sim
