// Two workloads with a link each way, for tests.
#pragma once
#include <map>

#include "sim/load/workload.h"
#include "sim/net/link.h"

namespace macrovpn::sim {

class LoadWorld {
 public:
  LoadWorld(Workload& client, Workload& site, const LinkModel& model, uint64_t seed = 1)
      : random_(seed), ends_{End{&client, Link(model, random_), {}}, End{&site, Link(model, random_), {}}} {
    for (size_t i = 0; i < 2; i++) ends_[i].sink.world = this, ends_[i].sink.from = i;
  }

  void run_until(Mono then) {
    for (;;) {
      const Mono next = std::max(now, std::min({flights_.empty() ? kNever : flights_.begin()->first.first, ends_[0].load->next_deadline(),
                                                ends_[1].load->next_deadline()}));
      if (next > then) break;
      now = next;
      if (!flights_.empty() && flights_.begin()->first.first <= now) {
        const auto flight = flights_.extract(flights_.begin());
        End& to = ends_[flight.mapped().first];
        to.load->on_packet(now, flight.mapped().second, to.sink);
        continue;
      }
      for (End& e : ends_)
        if (e.load->next_deadline() <= now) e.load->on_deadline(now, e.sink);
    }
    now = then;
  }
  void set(const LinkModel& model) {
    for (End& e : ends_) e.link.set(model);
  }
  // Nothing under way arrives any more.
  void forget_flights() { flights_.clear(); }

  Mono now{};
  uint64_t packets = 0;

 private:
  struct Sink final : PacketSink {
    LoadWorld* world = nullptr;
    size_t from = 0;
    void send(Bytes packet) override { world->offer(from, packet); }
  };
  struct End {
    Workload* load;
    Link link;
    Sink sink;
  };
  void offer(size_t from, Bytes packet) {
    packets++;
    const Sent sent = ends_[from].link.offer(now, packet.size());
    for (size_t i = 0; i < sent.copies; i++)
      flights_.emplace(std::pair(sent.at[i], packets * 2 + i), std::pair(1 - from, std::vector<uint8_t>(packet.begin(), packet.end())));
  }

  SeededRng random_;
  std::array<End, 2> ends_;
  std::map<std::pair<Mono, uint64_t>, std::pair<size_t, std::vector<uint8_t>>> flights_;
};

}  // namespace macrovpn::sim
