// DnsCache: answers that an exit keeps, for each lease apart: nobody learns from its speed what another
// client asked.
#pragma once
#include <map>

#include "base/time.h"
#include "core/routing/dns_message.h"
#include "core/routing/lease_table.h"

namespace macrovpn::routing {

struct DnsCacheLimits {
  size_t entries_per_lease = 256;
  size_t bytes_per_lease = 128 << 10;
  size_t bytes = 16 << 20;  // beyond that nothing is added until something lapses
  Duration longest = 1h;
  Duration longest_negative = 5min;  // RFC 2308 allows 3 h; people fix their zones sooner
  Duration failure = 5s;
};

class DnsCache {
 public:
  explicit DnsCache(const DnsCacheLimits& limits) : limits_(limits) {}

  // `question` is lowered.  The TTLs of what comes back have been counted down.
  std::optional<DnsMessage> find(Mono now, LeaseNumber, const DnsQuestion& question);
  // For how long is read from the records (RFC 2308 for negative answers); TTL 0 is not kept.
  void insert(Mono now, LeaseNumber, const DnsQuestion& question, const DnsMessage&);
  void forget(LeaseNumber);
  size_t bytes() const { return bytes_; }
  size_t entries() const;
  void check_invariants() const;

 private:
  struct Entry {
    DnsMessage message;
    Mono stored, expires;
    size_t size = 0;
  };
  struct LeaseCache {
    std::map<DnsQuestion, Entry> entries;
    size_t bytes = 0;
  };
  Duration lifetime(const DnsMessage&) const;
  void drop(LeaseCache&, std::map<DnsQuestion, Entry>::iterator);
  void make_room(Mono now, LeaseCache&, size_t size);

  DnsCacheLimits limits_;
  std::map<LeaseNumber, LeaseCache> leases_;
  size_t bytes_ = 0;
};

}  // namespace macrovpn::routing
