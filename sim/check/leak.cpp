// While a client is on, all that leaves its host goes to relays, and it is no exit itself.
#include "sim/check/checker.h"

namespace macrovpn::sim {
namespace {

class Leak final : public Checker {
 public:
  const char* name() const override { return "leak"; }
  const char* promise() const override { return "while a client is on, nothing leaves its host but datagrams to relays"; }
  std::string looked_at() const override { return std::to_string(datagrams_) + " datagrams of clients"; }

  void leaves(World& w, const Leaving& d) override {
    if (d.from.kind != HostKind::client || d.made_up) return;
    datagrams_++;
    if (w.was_relay_endpoint(d.target)) return;
    broken(w, d.from.name + " sent " + std::to_string(d.bytes.size()) + " bytes to an endpoint that is no relay's", {d.from.id});
  }
  void exit_sent(World& w, const Host& h, Bytes) override {
    if (h.kind == HostKind::exit) return;
    broken(w, h.name + ", a " + to_string(h.kind) + ", let a packet out to the Internet", {h.id});
  }

 private:
  uint64_t datagrams_ = 0;
};

}  // namespace

std::unique_ptr<Checker> make_leak_checker() { return std::make_unique<Leak>(); }

}  // namespace macrovpn::sim
