// DnsResolver: the caching forwarder that answers at 10.10.0.1:53 and [fd86:ea04:1115::1]:53.  A state
// machine without sockets: the driver opens a fresh socket for each Ask, connected to its upstream, and
// closes it at `done`.
//
// Against forged answers: a fresh source port (the socket), a random id, random letter case
// (draft-vixie-dnsext-dns0x20-00) and the question compared byte by byte; an answer in the wrong case is
// asked for again over TCP. Against rebinding and spying on the exit's network: dns_filter.h, and nothing but
// the answer section is passed on. Each lease has its own cache and shares no query with another.
//
// Learned by upstream: the names that all clients of this exit ask for, not by whom.
#pragma once
#include <map>
#include <set>
#include <vector>

#include "base/rng.h"
#include "core/routing/dns_cache.h"
#include "core/routing/dns_filter.h"

namespace macrovpn::routing {

using DnsTicket = Strong<struct DnsTicketTag, uint64_t>;  // the driver's name for "whom to reply to"
using DnsAskId = Strong<struct DnsAskIdTag, uint64_t>;

enum class DnsTransport : uint8_t { udp, tcp };
enum class DnsTaken : uint8_t { yes, no };

struct DnsLimits {
  size_t flights = 2048;
  size_t flights_per_lease = 64;
  size_t clients_per_flight = 8;  // that wait for the same answer
  unsigned tries = 4;             // over all upstreams
  Duration udp_timeout = 1500ms;
  Duration tcp_timeout = 4s;
  DnsCacheLimits cache;
};

struct DnsCounters {
  uint64_t queries = 0, cached = 0, shared = 0, malformed = 0, refused = 0, local_names = 0, full = 0,
           failed = 0, timeouts = 0, mismatched = 0, private_records = 0;
};

struct DnsEffects {
  struct Ask {
    DnsAskId id;
    Endpoint upstream;
    DnsTransport transport;
    std::vector<uint8_t> message;  // over TCP the driver puts the length in front
  };
  struct Reply {
    DnsTicket ticket;
    std::vector<uint8_t> message;
  };
  std::vector<Ask> asks;
  std::vector<DnsAskId> done;  // close its socket
  std::vector<Reply> replies;
};

class DnsResolver {
 public:
  using MayBeTold = std::function<bool(const IpAddress&)>;
  DnsResolver(Rng& rng, std::vector<Endpoint> upstreams, MayBeTold may_be_told, const DnsLimits& limits = {});
  void set_upstreams(std::vector<Endpoint> upstreams) { upstreams_ = std::move(upstreams); }

  // yes: the ticket gets exactly one reply (perhaps at once), unless its lease is forgotten first; no: it
  // never does.
  DnsTaken on_query(Mono now, LeaseNumber, DnsTicket, DnsTransport, Bytes message, DnsEffects& out);
  void on_answer(Mono now, DnsAskId, Bytes message, DnsEffects& out);
  void on_failure(Mono now, DnsAskId, DnsEffects& out);  // refused, closed, unreachable
  void on_deadline(Mono now, DnsEffects& out);
  Mono next_deadline() const { return deadlines_.empty() ? kNever : deadlines_.begin()->first; }
  void forget(LeaseNumber, DnsEffects& out);  // its cache and what it waits for, without replies

  const DnsCounters& counters() const { return counters_; }
  size_t flights() const { return flights_.size(); }
  const DnsCache& cache() const { return cache_; }
  void check_invariants() const;

 private:
  struct Client {
    DnsTicket ticket;
    DnsMessage query;
    DnsTransport transport = DnsTransport::udp;
  };
  struct Key {
    LeaseNumber lease;
    DnsQuestion question;  // lowered
    auto operator<=>(const Key&) const = default;
  };
  struct Flight {
    Key key;
    std::vector<Client> clients;
    unsigned tries = 0;
    size_t upstream = 0;
    DnsTransport transport = DnsTransport::udp;
    uint16_t id = 0;
    DnsName sent_name;  // with the letter case that we drew
    Mono deadline;
    DnsCode last_code = DnsCode::server_failure;
  };

  void answer_or_ask(Mono now, LeaseNumber, Client client, DnsEffects& out);
  void start(Mono now, Key key, Client client, DnsEffects& out);
  void ask(Mono now, Flight flight, DnsEffects& out);
  Flight land(DnsAskId, DnsEffects& out);  // takes it out of the tables
  void retry(Mono now, DnsAskId, DnsEffects& out);
  void ask_over_tcp(Mono now, DnsAskId, DnsEffects& out);
  void accept(Mono now, DnsAskId, DnsMessage answer, DnsEffects& out);
  void give_up(Mono now, Flight flight, DnsEffects& out);
  static void reply(const Client&, const DnsMessage& answer, DnsEffects& out);
  void reply_code(const Client&, DnsCode, DnsEffects& out);
  DnsName random_case(const DnsName&);

  Rng& rng_;
  std::vector<Endpoint> upstreams_;
  MayBeTold may_be_told_;
  DnsLimits limits_;
  DnsCache cache_;
  DnsCounters counters_;
  std::map<DnsAskId, Flight> flights_;
  std::map<Key, DnsAskId> by_key_;
  std::map<LeaseNumber, size_t> per_lease_;
  std::set<std::pair<Mono, DnsAskId>> deadlines_;
  uint64_t next_ask_ = 1;
  size_t preferred_ = 0;
};

}  // namespace macrovpn::routing
