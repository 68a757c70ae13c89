// All clients have the same inside address; who is meant is known by the exit's leases alone.
#include <unordered_set>

#include "core/routing/address_rewrite.h"
#include "core/routing/ip_packet.h"
#include "sim/check/checker.h"

namespace macrovpn::sim {
namespace {

class Answers final : public Checker {
 public:
  const char* name() const override { return "answers"; }
  const char* promise() const override { return "a program gets packets only from whom it has written to, at the port that it wrote from"; }
  std::string looked_at() const override { return std::to_string(got_) + " packets that programs got"; }

  void program_sent(World&, const Host& client, Bytes ip) override {
    const auto h = routing::parse_ip(ip);
    if (h.ok() && h->has_transport()) flows_.insert({client.id, {h->destination, h->destination_port}, h->source_port});
  }
  void program_got(World& w, const Host& client, Bytes ip) override {
    const auto h = routing::parse_ip(ip);
    if (!h.ok() || !h->has_transport()) return;
    got_++;
    // Of the tunnel's own router, which the client's node plays: what does not fit, or has no way.
    const bool icmp = h->protocol == routing::IpProtocol::icmp || h->protocol == routing::IpProtocol::icmpv6;
    if (icmp && routing::InsideAddresses::get().is_dns(h->source)) return;
    if (flows_.contains({client.id, {h->source, h->source_port}, h->destination_port})) return;
    broken(w, client.name + " got a packet of a server to which it had not written from that port", {client.id});
  }

 private:
  struct Flow {
    HostId client;
    Endpoint remote;
    uint16_t port;
    bool operator==(const Flow&) const = default;
  };
  struct Hash {
    size_t operator()(const Flow& f) const noexcept {
      return std::hash<Endpoint>{}(f.remote) ^ (size_t{f.client.value} << 16 | f.port) * 0x9e3779b97f4a7c15;
    }
  };
  std::unordered_set<Flow, Hash> flows_;
  uint64_t got_ = 0;
};

}  // namespace

std::unique_ptr<Checker> make_answers_checker() { return std::make_unique<Answers>(); }

}  // namespace macrovpn::sim
