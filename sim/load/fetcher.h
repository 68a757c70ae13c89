// Fetcher: connections of one computer to sites, each with one exchange at a time, as a browser's pool has them. Below Browser and Bulk.
#pragma once
#include "sim/load/workload.h"
#include "sim/tcp/exchange.h"
#include "sim/tcp/host.h"

namespace macrovpn::sim {

class Fetcher {
 public:
  // `random` outlives it.
  Fetcher(const TcpConfig& config, const LocalAddresses& local, Rng& random) : host_(config, random), local_(local), random_(&random) {}

  struct Line {
    ConnectionId id;
    std::shared_ptr<ExchangeClient> client;
    Endpoint site;
    uint64_t counted_down = 0, counted_up = 0, counted_wrong = 0;  // what is in the report already
  };
  // Opens a line and asks. False: this computer has too many connections.
  bool open(Mono now, const Endpoint& site, uint64_t body, uint64_t answer, PacketSink& out);
  // Asks on a line that is idle. False: it is over.
  bool ask(Mono now, Line& line, uint64_t body, uint64_t answer, PacketSink& out);
  // Ends lines, politely or by a reset.
  void close_all(Mono now, PacketSink& out);
  void abort_all(Mono now, PacketSink& out);
  void forget_all();

  void on_packet(Mono now, Bytes packet, PacketSink& out) { host_.on_packet(now, packet, out); }
  void on_deadline(Mono now, PacketSink& out) { host_.on_deadline(now, out); }
  Mono next_deadline() const { return host_.next_deadline(); }
  std::vector<Line>& lines() { return lines_; }
  const std::vector<Line>& lines() const { return lines_; }
  // Adds what came since the last time. True: something did.
  bool count(LoadReport& report);
  const TcpHost& host() const { return host_; }
  TcpHost& host() { return host_; }

 private:
  TcpHost host_;
  LocalAddresses local_;
  Rng* random_;
  std::vector<Line> lines_;
};

}  // namespace macrovpn::sim
