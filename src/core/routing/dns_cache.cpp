#include "core/routing/dns_cache.h"

#include <algorithm>

namespace macrovpn::routing {
namespace {

// What an entry costs us, roughly: the bytes of its names and data, and the containers around them.
size_t cost(const DnsMessage& m) {
  size_t n = 256;
  for (const auto& section : m.records)
    for (const DnsRecord& r : section) n += 128 + r.name.wire().size() + r.data.size();
  return n;
}

}  // namespace

Duration DnsCache::lifetime(const DnsMessage& m) const {
  if (m.code != DnsCode::no_error && m.code != DnsCode::name_error) return limits_.failure;
  const auto& answers = m.section(DnsSection::answer);
  uint32_t ttl = UINT32_MAX;
  for (const auto& section : m.records)
    for (const DnsRecord& r : section) ttl = std::min(ttl, r.ttl);
  const bool negative = m.code == DnsCode::name_error || answers.empty();
  if (!negative) return std::min<Duration>(std::chrono::seconds(ttl), limits_.longest);
  for (const DnsRecord& r : m.section(DnsSection::authority)) {
    if (r.type != kDnsSoa || r.data.size() < 20) continue;
    const uint32_t minimum = load_be32(&r.data[r.data.size() - 4]);
    return std::min<Duration>(std::chrono::seconds(std::min(ttl, minimum)), limits_.longest_negative);
  }
  return Duration::zero();  // RFC 2308 §5: without SOA, not at all
}

std::optional<DnsMessage> DnsCache::find(Mono now, LeaseNumber lease, const DnsQuestion& question) {
  const auto l = leases_.find(lease);
  if (l == leases_.end()) return std::nullopt;
  const auto e = l->second.entries.find(question);
  if (e == l->second.entries.end()) return std::nullopt;
  if (e->second.expires <= now) {
    drop(l->second, e);
    if (l->second.entries.empty()) leases_.erase(l);
    return std::nullopt;
  }
  DnsMessage m = e->second.message;
  const auto age = static_cast<uint64_t>((now - e->second.stored) / 1s);
  const auto left = static_cast<uint64_t>((e->second.expires - now + 999ms) / 1s);
  for (auto& section : m.records)
    for (DnsRecord& r : section)
      r.ttl = static_cast<uint32_t>(std::min<uint64_t>(r.ttl > age ? r.ttl - age : 0, left));
  return m;
}

void DnsCache::insert(Mono now, LeaseNumber lease, const DnsQuestion& question, const DnsMessage& m) {
  const Duration life = lifetime(m);
  const size_t size = cost(m) + question.name.wire().size();
  if (life <= Duration::zero() || size > limits_.bytes_per_lease / 8 || bytes_ + size > limits_.bytes) return;
  LeaseCache& l = leases_[lease];
  if (const auto old = l.entries.find(question); old != l.entries.end()) drop(l, old);
  make_room(now, l, size);
  l.entries[question] = {m, now, now + life, size};
  l.bytes += size;
  bytes_ += size;
}

void DnsCache::drop(LeaseCache& l, std::map<DnsQuestion, Entry>::iterator e) {
  l.bytes -= e->second.size;
  bytes_ -= e->second.size;
  l.entries.erase(e);
}

// What lapsed goes first, then what would lapse next.
void DnsCache::make_room(Mono now, LeaseCache& l, size_t size) {
  const auto full = [&] {
    return l.entries.size() >= limits_.entries_per_lease || l.bytes + size > limits_.bytes_per_lease;
  };
  if (!full()) return;
  for (auto e = l.entries.begin(); e != l.entries.end();) {
    const auto next = std::next(e);
    if (e->second.expires <= now) drop(l, e);
    e = next;
  }
  while (full())
    drop(l, std::min_element(l.entries.begin(), l.entries.end(), [](const auto& a, const auto& b) {
           return a.second.expires < b.second.expires;
         }));
}

void DnsCache::forget(LeaseNumber lease) {
  const auto l = leases_.find(lease);
  if (l == leases_.end()) return;
  bytes_ -= l->second.bytes;
  leases_.erase(l);
}

size_t DnsCache::entries() const {
  size_t n = 0;
  for (const auto& [lease, l] : leases_) n += l.entries.size();
  return n;
}

void DnsCache::check_invariants() const {
  size_t all = 0;
  for (const auto& [lease, l] : leases_) {
    size_t bytes = 0;
    for (const auto& [q, e] : l.entries) bytes += e.size;
    MV_ASSERT(bytes == l.bytes && l.entries.size() <= limits_.entries_per_lease &&
              bytes <= limits_.bytes_per_lease);
    all += bytes;
  }
  MV_ASSERT(all == bytes_ && bytes_ <= limits_.bytes);
}

}  // namespace macrovpn::routing
