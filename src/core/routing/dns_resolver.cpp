#include "core/routing/dns_resolver.h"

#include <algorithm>

namespace macrovpn::routing {
namespace {

constexpr size_t kMaxTcp = 65535;

size_t reply_limit(const DnsMessage& query, DnsTransport transport) {
  if (transport == DnsTransport::tcp) return kMaxTcp;
  return std::clamp<size_t>(query.edns_udp_size.value_or(kDnsPlainUdp), kDnsPlainUdp, kDnsSafeUdp);
}

// Only what a client needs: the answers, and of a negative answer the SOA that says for how long.
void keep_answers(DnsMessage& m) {
  auto& authority = m.section(DnsSection::authority);
  const bool negative = m.section(DnsSection::answer).empty() || m.code == DnsCode::name_error;
  std::erase_if(authority, [&](const DnsRecord& r) { return !negative || r.type != kDnsSoa; });
  m.section(DnsSection::additional).clear();
  for (auto& section : m.records)
    std::erase_if(section, [](const DnsRecord& r) { return r.klass != kDnsClassIn; });
  m.authoritative = m.truncated = false;
}

bool is_final(DnsCode c) {
  return c == DnsCode::no_error || c == DnsCode::name_error;
}

}  // namespace

DnsResolver::DnsResolver(Rng& rng, std::vector<Endpoint> upstreams, MayBeTold may_be_told,
                         const DnsLimits& limits)
    : rng_(rng),
      upstreams_(std::move(upstreams)),
      may_be_told_(std::move(may_be_told)),
      limits_(limits),
      cache_(limits.cache) {}

DnsTaken DnsResolver::on_query(Mono now, LeaseNumber lease, DnsTicket ticket, DnsTransport transport,
                               Bytes message, DnsEffects& out) {
  counters_.queries++;
  auto parsed = parse_dns(message);
  Client client{ticket, {}, transport};
  if (parsed && !parsed->is_response && parsed->question) {
    client.query = std::move(parsed).value();
    answer_or_ask(now, lease, std::move(client), out);
    return DnsTaken::yes;
  }
  counters_.malformed++;
  // Answering a response could bounce between two servers for ever.
  if (message.size() < 12 || (message[2] & 0x80) != 0) return DnsTaken::no;
  client.query.id = load_be16(message.data());
  reply_code(client, DnsCode::form_error, out);
  return DnsTaken::yes;
}

void DnsResolver::answer_or_ask(Mono now, LeaseNumber lease, Client client, DnsEffects& out) {
  if (client.query.opcode != 0) return reply_code(client, DnsCode::not_implemented, out);
  switch (judge_question(*client.query.question, may_be_told_)) {
    case DnsAsk::refuse:
      counters_.refused++;
      return reply_code(client, DnsCode::refused, out);
    case DnsAsk::name_error:
      counters_.local_names++;
      return reply_code(client, DnsCode::name_error, out);
    case DnsAsk::forward:
      break;
  }
  Key key{lease, *client.query.question};
  key.question.name = key.question.name.lowered();
  if (const auto known = cache_.find(now, lease, key.question)) {
    counters_.cached++;
    return reply(client, *known, out);
  }
  start(now, std::move(key), std::move(client), out);
}

void DnsResolver::start(Mono now, Key key, Client client, DnsEffects& out) {
  if (const auto same = by_key_.find(key); same != by_key_.end()) {
    Flight& f = flights_.at(same->second);
    if (f.clients.size() >= limits_.clients_per_flight) {
      counters_.full++;
      return reply_code(client, DnsCode::server_failure, out);
    }
    counters_.shared++;
    f.clients.push_back(std::move(client));
    return;
  }
  const auto count = per_lease_.find(key.lease);
  const bool lease_full = count != per_lease_.end() && count->second >= limits_.flights_per_lease;
  if (lease_full || flights_.size() >= limits_.flights || upstreams_.empty()) {
    counters_.full++;
    return reply_code(client, DnsCode::server_failure, out);
  }
  Flight f;
  f.key = std::move(key);
  f.clients.push_back(std::move(client));
  f.upstream = preferred_;
  ask(now, std::move(f), out);
}

DnsName DnsResolver::random_case(const DnsName& name) {
  std::vector<uint8_t> wire(name.wire().begin(), name.wire().end());
  std::vector<uint8_t> coins((wire.size() + 7) / 8);
  rng_.fill(coins);
  for (size_t i = 0; i < wire.size(); i++)
    if (wire[i] >= 'a' && wire[i] <= 'z' && (coins[i / 8] >> i % 8 & 1) != 0)
      wire[i] = static_cast<uint8_t>(wire[i] - 32);
  return *DnsName::from_wire(wire);
}

void DnsResolver::ask(Mono now, Flight f, DnsEffects& out) {
  const DnsAskId id{next_ask_++};
  f.id = static_cast<uint16_t>(rng_.u32());
  f.sent_name = random_case(f.key.question.name);
  f.deadline = now + (f.transport == DnsTransport::udp ? limits_.udp_timeout : limits_.tcp_timeout);
  f.upstream %= upstreams_.size();
  DnsMessage query;
  query.id = f.id;
  query.question = DnsQuestion{f.sent_name, f.key.question.type, kDnsClassIn};
  if (f.tries < 2) query.edns_udp_size = kDnsSafeUdp;  // later tries do without, for servers that choke on it
  out.asks.push_back({id, upstreams_[f.upstream], f.transport, encode_dns(query, kMaxTcp)});
  deadlines_.emplace(f.deadline, id);
  by_key_[f.key] = id;
  per_lease_[f.key.lease]++;
  flights_.emplace(id, std::move(f));
}

DnsResolver::Flight DnsResolver::land(DnsAskId id, DnsEffects& out) {
  auto node = flights_.extract(id);
  Flight& f = node.mapped();
  deadlines_.erase({f.deadline, id});
  by_key_.erase(f.key);
  if (const auto n = per_lease_.find(f.key.lease); --n->second == 0) per_lease_.erase(n);
  out.done.push_back(id);
  return std::move(f);
}

void DnsResolver::on_answer(Mono now, DnsAskId id, Bytes message, DnsEffects& out) {
  const auto it = flights_.find(id);
  if (it == flights_.end()) return;
  const Flight& f = it->second;
  auto answer = parse_dns(message);
  const bool ours = answer && answer->is_response && answer->id == f.id && answer->opcode == 0 &&
                    answer->question && answer->question->type == f.key.question.type &&
                    answer->question->klass == kDnsClassIn &&
                    answer->question->name.lowered() == f.key.question.name;
  if (!ours) {
    counters_.mismatched++;
    // Over UDP it may be forged: the true one may still come.  A TCP peer that talks nonsense will not get
    // better.
    if (f.transport == DnsTransport::tcp) retry(now, id, out);
    return;
  }
  const bool udp = f.transport == DnsTransport::udp;
  if (udp && (answer->truncated || answer->question->name != f.sent_name)) return ask_over_tcp(now, id, out);
  if (!is_final(answer->code)) {
    it->second.last_code = answer->code;
    return retry(now, id, out);
  }
  accept(now, id, std::move(answer).value(), out);
}

void DnsResolver::on_failure(Mono now, DnsAskId id, DnsEffects& out) {
  if (flights_.contains(id)) retry(now, id, out);
}

void DnsResolver::on_deadline(Mono now, DnsEffects& out) {
  while (!deadlines_.empty() && deadlines_.begin()->first <= now) {
    counters_.timeouts++;
    retry(now, deadlines_.begin()->second, out);
  }
}

void DnsResolver::retry(Mono now, DnsAskId id, DnsEffects& out) {
  Flight f = land(id, out);
  if (++f.tries >= limits_.tries || upstreams_.empty()) return give_up(now, std::move(f), out);
  f.upstream++;
  f.transport = DnsTransport::udp;
  ask(now, std::move(f), out);
}

void DnsResolver::ask_over_tcp(Mono now, DnsAskId id, DnsEffects& out) {
  Flight f = land(id, out);
  f.transport = DnsTransport::tcp;
  ask(now, std::move(f), out);
}

void DnsResolver::accept(Mono now, DnsAskId id, DnsMessage answer, DnsEffects& out) {
  const Flight f = land(id, out);
  preferred_ = f.upstream;
  keep_answers(answer);
  counters_.private_records += remove_private(answer, may_be_told_);
  cache_.insert(now, f.key.lease, f.key.question, answer);
  for (const Client& c : f.clients) reply(c, answer, out);
}

void DnsResolver::give_up(Mono now, Flight f, DnsEffects& out) {
  counters_.failed++;
  DnsMessage failure;
  failure.code = f.last_code == DnsCode::refused ? DnsCode::refused : DnsCode::server_failure;
  cache_.insert(now, f.key.lease, f.key.question, failure);
  for (const Client& c : f.clients) reply_code(c, failure.code, out);
}

void DnsResolver::reply(const Client& c, const DnsMessage& answer, DnsEffects& out) {
  DnsMessage m = answer;
  m.id = c.query.id;
  m.is_response = m.recursion_available = true;
  m.recursion_desired = c.query.recursion_desired;
  m.opcode = c.query.opcode;
  m.question = c.query.question;
  m.edns_udp_size = c.query.edns_udp_size ? std::optional<uint16_t>(kDnsSafeUdp) : std::nullopt;
  if (m.question) {
    // The client may check its own letter case.
    const DnsName asked = m.question->name.lowered();
    for (auto& section : m.records)
      for (DnsRecord& r : section)
        if (r.name.lowered() == asked) r.name = m.question->name;
  }
  out.replies.push_back({c.ticket, encode_dns(m, reply_limit(c.query, c.transport))});
}

void DnsResolver::reply_code(const Client& c, DnsCode code, DnsEffects& out) {
  DnsMessage m;
  m.code = code;
  reply(c, m, out);
}

void DnsResolver::forget(LeaseNumber lease, DnsEffects& out) {
  cache_.forget(lease);
  std::vector<DnsAskId> mine;
  for (auto it = by_key_.lower_bound({lease, {}}); it != by_key_.end() && it->first.lease == lease; ++it)
    mine.push_back(it->second);
  for (const DnsAskId id : mine) land(id, out);
}

void DnsResolver::check_invariants() const {
  cache_.check_invariants();
  MV_ASSERT(flights_.size() == by_key_.size() && flights_.size() == deadlines_.size() &&
            flights_.size() <= limits_.flights);
  size_t n = 0;
  for (const auto& [lease, count] : per_lease_) {
    MV_ASSERT(count > 0 && count <= limits_.flights_per_lease);
    n += count;
  }
  MV_ASSERT(n == flights_.size());
  for (const auto& [id, f] : flights_)
    MV_ASSERT(by_key_.at(f.key) == id && deadlines_.contains({f.deadline, id}) && !f.clients.empty() &&
              f.tries < limits_.tries);
}

}  // namespace macrovpn::routing
