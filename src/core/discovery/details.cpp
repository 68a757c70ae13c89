#include "core/discovery/details.h"

#include <algorithm>

namespace macrovpn::discovery {
namespace {

constexpr uint8_t kMaxExponent = 63;

bool valid(const ProtocolVersions& v) { return v.lowest >= 1 && v.lowest <= v.highest; }

bool valid(const ExitPorts& p) {
  if (p.kind != ExitPorts::Kind::listed) return p.ranges.empty();
  if (p.ranges.empty() || p.ranges.size() > kMaxPortRanges) return false;
  unsigned last = 0;  // the first range begins at port 1 at the earliest
  for (const PortRange& r : p.ranges) {
    if (r.low > r.high || r.low < last + (last == 0 ? 1 : 2)) return false;
    last = r.high;
  }
  return true;
}

bool all_different(const std::vector<PeerId>& ids) {
  for (auto i = ids.begin(); i != ids.end(); ++i) {
    if (std::find(ids.begin(), i, *i) != i) return false;
  }
  return true;
}

bool parse_introducers(Bytes value, RelayDetails& out) {
  const size_t size = sizeof(PeerId);
  if (value.empty() || value.size() % size != 0 || value.size() / size > kMaxIntroducers) return false;
  Reader r(value);
  while (r.left() > 0) out.introducers.push_back({r.fixed<20>()});
  return all_different(out.introducers);
}

bool parse_exit_ports(Bytes value, RelayDetails& out) {
  Reader r(value);
  const uint8_t kind = r.u8();
  if (!r.ok() || kind > static_cast<uint8_t>(ExitPorts::Kind::web) || r.left() % 4 != 0) return false;
  out.exit_ports.kind = static_cast<ExitPorts::Kind>(kind);
  while (r.left() > 0) {
    const uint16_t low = r.le16();
    out.exit_ports.ranges.push_back({low, r.le16()});
  }
  return valid(out.exit_ports) && out.exit_ports != ExitPorts{};
}

bool parse_tls(Bytes value, RelayDetails& out) {
  Reader r(value);
  TlsEntry tls;
  tls.port = r.le16();
  tls.certificate = r.fixed<32>();
  if (!r.ok()) return false;
  const Bytes name = r.rest();
  tls.server_name.assign(name.begin(), name.end());
  if (tls.port == 0 || !is_server_name(tls.server_name)) return false;
  out.tls = std::move(tls);
  return true;
}

bool ascends(const std::vector<MeasuredRelay>& list) {
  return std::adjacent_find(list.begin(), list.end(), [](const auto& a, const auto& b) { return a.target >= b.target; }) == list.end();
}

bool valid(const MeasuredRelays& m) {
  return !m.now.empty() && m.now.size() + m.before.size() <= kMaxMeasured && ascends(m.now) && ascends(m.before);
}

using Buffer = std::vector<uint8_t>;

void put(Buffer& out, DetailTag tag, const Buffer& value) {
  MV_ASSERT(value.size() <= 255);
  Writer(out).u8(static_cast<uint8_t>(tag)).u8(static_cast<uint8_t>(value.size())).bytes(value);
}

Buffer encode(const std::vector<PeerId>& introducers) {
  MV_ASSERT(introducers.size() <= kMaxIntroducers && all_different(introducers));
  Buffer out;
  for (const PeerId& id : introducers) Writer(out).bytes(id.bytes);
  return out;
}

Buffer encode(const ExitPorts& p) {
  MV_ASSERT(valid(p));
  Buffer out{static_cast<uint8_t>(p.kind)};
  for (const PortRange& r : p.ranges) Writer(out).le16(r.low).le16(r.high);
  return out;
}

Buffer encode(const TlsEntry& tls) {
  MV_ASSERT(tls.port != 0 && is_server_name(tls.server_name));
  Buffer out;
  Writer(out).le16(tls.port).bytes(tls.certificate).bytes(as_bytes(tls.server_name));
  return out;
}

}  // namespace

// week 2 | how many are of it 1 | short id 8 | value 1 | …
Buffer encode_measured(const MeasuredRelays& m) {
  MV_ASSERT(valid(m));
  Buffer out;
  Writer w(out);
  w.le16(m.week).u8(static_cast<uint8_t>(m.now.size()));
  for (const auto* list : {&m.now, &m.before}) {
    for (const MeasuredRelay& r : *list) w.be64(r.target).u8(r.value);
  }
  return out;
}

std::optional<MeasuredRelays> parse_measured(Bytes value) {
  Reader r(value);
  MeasuredRelays m;
  m.week = r.le16();
  const size_t of_now = r.u8();
  while (r.ok() && r.left() > 0) {
    auto& list = m.now.size() < of_now ? m.now : m.before;
    const uint64_t target = r.be64();
    list.push_back({target, r.u8()});
  }
  return r.ok() && m.now.size() == of_now && valid(m) ? std::optional(std::move(m)) : std::nullopt;
}

bool is_server_name(std::string_view s) {
  return !s.empty() && s.size() <= kMaxServerName && s.front() != '.' && s.back() != '.' &&
         std::all_of(s.begin(), s.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.';
         });
}

void encode_details(const RelayDetails& d, Buffer& out) {
  MV_ASSERT(valid(d.protocols));
  if (d.protocols != ProtocolVersions{}) put(out, DetailTag::protocols, {d.protocols.lowest, d.protocols.highest});
  if (!d.introducers.empty()) put(out, DetailTag::introducers, encode(d.introducers));
  if (d.price) {
    MV_ASSERT(d.price->exponent >= 1 && d.price->exponent <= kMaxExponent);
    put(out, DetailTag::price, {d.price->exponent});
  }
  if (d.exit_ports != ExitPorts{}) put(out, DetailTag::exit_ports, encode(d.exit_ports));
  if (d.tls) put(out, DetailTag::tls, encode(*d.tls));
  if (d.work) {
    Buffer value;
    Writer(value).le16(d.work->epoch).le64(d.work->nonce).be64(d.work->rank);
    put(out, DetailTag::work, value);
  }
  if (d.measured) put(out, DetailTag::measured, encode_measured(*d.measured));
}

bool parse_detail(DetailTag tag, Bytes value, RelayDetails& out) {
  Reader r(value);
  switch (tag) {
    case DetailTag::protocols:
      out.protocols.lowest = r.u8();
      out.protocols.highest = r.u8();
      return r.done() && valid(out.protocols) && out.protocols != ProtocolVersions{};
    case DetailTag::introducers:
      return parse_introducers(value, out);
    case DetailTag::price:
      out.price = PriceClass{r.u8()};
      return r.done() && out.price->exponent >= 1 && out.price->exponent <= kMaxExponent;
    case DetailTag::exit_ports:
      return parse_exit_ports(value, out);
    case DetailTag::tls:
      return parse_tls(value, out);
    case DetailTag::work:
      out.work.emplace();
      out.work->epoch = r.le16();
      out.work->nonce = r.le64();
      out.work->rank = r.be64();
      return r.done();
    case DetailTag::measured:
      out.measured = parse_measured(value);
      return out.measured.has_value();
  }
  return false;
}

}  // namespace macrovpn::discovery
