#include "core/routing/dns_message.h"

#include <algorithm>
#include <map>

namespace macrovpn::routing {
namespace {

constexpr size_t kHeader = 12, kMaxName = 255, kMaxLabel = 63;

uint8_t lower(uint8_t c) {
  return c >= 'A' && c <= 'Z' ? static_cast<uint8_t>(c + 32) : c;
}

// Walks over a message; names may point back into it.
class Parser {
 public:
  explicit Parser(Bytes message) : all_(message) {}
  size_t at() const { return at_; }
  size_t left() const { return all_.size() - at_; }
  bool skip(size_t n) {
    if (left() < n) return false;
    at_ += n;
    return true;
  }
  std::optional<uint16_t> be16() { return skip(2) ? std::optional(load_be16(&all_[at_ - 2])) : std::nullopt; }
  std::optional<uint32_t> be32() { return skip(4) ? std::optional(load_be32(&all_[at_ - 4])) : std::nullopt; }
  std::optional<Bytes> take(size_t n) {
    return skip(n) ? std::optional(all_.subspan(at_ - n, n)) : std::nullopt;
  }

  // A pointer must lead before the part of the name that it ends, so that there is no loop.
  std::optional<DnsName> name() {
    std::vector<uint8_t> wire;
    size_t at = at_, lowest = at_;
    bool jumped = false;
    while (at < all_.size()) {
      const size_t length = all_[at];
      if (length >= 0xc0) {
        if (at + 1 >= all_.size()) return std::nullopt;
        const size_t target = load_be16(&all_[at]) & 0x3fff;
        if (!jumped) at_ = at + 2;
        jumped = true;
        if (target >= lowest || target < kHeader) return std::nullopt;
        at = lowest = target;
        continue;
      }
      if (length > kMaxLabel || at + 1 + length > all_.size() || wire.size() + 1 + length > kMaxName)
        return std::nullopt;
      wire.insert(wire.end(), all_.begin() + static_cast<ptrdiff_t>(at),
                  all_.begin() + static_cast<ptrdiff_t>(at + 1 + length));
      at += 1 + length;
      if (length == 0) {
        if (!jumped) at_ = at;
        return DnsName::from_wire(wire);
      }
    }
    return std::nullopt;
  }

 private:
  Bytes all_;
  size_t at_ = kHeader;
};

bool append_name(Parser& p, std::vector<uint8_t>& out) {
  const auto name = p.name();
  if (name) out.insert(out.end(), name->wire().begin(), name->wire().end());
  return name.has_value();
}

// The data of a record, names written out.  False if it does not fill its length exactly.
bool read_data(Parser& p, uint16_t type, size_t length, std::vector<uint8_t>& out) {
  const size_t end = p.at() + length;
  if (p.left() < length) return false;
  auto copy = [&](size_t n) {
    const auto b = p.take(n);
    if (b) out.insert(out.end(), b->begin(), b->end());
    return b.has_value();
  };
  bool ok = true;
  switch (type) {
    case kDnsNs:
    case kDnsCname:
    case kDnsPtr:
      ok = append_name(p, out);
      break;
    case kDnsMx:
      ok = length > 2 && copy(2) && append_name(p, out);
      break;
    case kDnsSoa:
      ok = append_name(p, out) && append_name(p, out) && copy(20);
      break;
    case kDnsA:
      ok = length == 4 && copy(4);
      break;
    case kDnsAaaa:
      ok = length == 16 && copy(16);
      break;
    default:
      ok = copy(length);
  }
  return ok && p.at() == end;
}

Result<void, DnsDrop> read_record(Parser& p, DnsSection section, DnsMessage& m) {
  DnsRecord r;
  const auto name = p.name();
  if (!name) return Failure{DnsDrop::bad_name};
  r.name = *name;
  const auto type = p.be16(), klass = p.be16();
  const auto ttl = p.be32();
  const auto length = p.be16();
  if (!type || !klass || !ttl || !length) return Failure{DnsDrop::truncated};
  r.type = *type;
  r.klass = *klass;
  r.ttl = *ttl >> 31 != 0 ? 0 : *ttl;  // RFC 2181 §8
  if (!read_data(p, r.type, *length, r.data)) return Failure{DnsDrop::bad_record};
  if (r.type != kDnsOpt) {
    m.section(section).push_back(std::move(r));
    return {};
  }
  if (section != DnsSection::additional || m.edns_udp_size || r.name.wire().size() != 1)
    return Failure{DnsDrop::bad_record};
  m.edns_udp_size = r.klass;
  return {};
}

void read_flags(uint16_t flags, DnsMessage& m) {
  m.is_response = (flags & 0x8000) != 0;
  m.opcode = flags >> 11 & 15;
  m.authoritative = (flags & 0x0400) != 0;
  m.truncated = (flags & 0x0200) != 0;
  m.recursion_desired = (flags & 0x0100) != 0;
  m.recursion_available = (flags & 0x0080) != 0;
  m.code = static_cast<DnsCode>(flags & 15);
}

uint16_t write_flags(const DnsMessage& m) {
  return static_cast<uint16_t>((m.is_response ? 0x8000 : 0) | (m.opcode & 15) << 11 |
                               (m.authoritative ? 0x0400 : 0) | (m.truncated ? 0x0200 : 0) |
                               (m.recursion_desired ? 0x0100 : 0) | (m.recursion_available ? 0x0080 : 0) |
                               (static_cast<unsigned>(m.code) & 15));
}

// Writes names, pointing back to what was written where a tail of it was.
class NameWriter {
 public:
  explicit NameWriter(std::vector<uint8_t>& out) : out_(out) {}
  void write(const DnsName& name) {
    Bytes rest = name.wire();
    while (rest[0] != 0) {
      const std::vector<uint8_t> tail(rest.begin(), rest.end());
      const auto [seen, added] = offsets_.try_emplace(tail, out_.size());
      if (!added) {
        Writer(out_).be16(static_cast<uint16_t>(0xc000 | seen->second));
        return;
      }
      if (out_.size() >= 0x4000) offsets_.erase(seen);  // out of a pointer's reach
      Writer(out_).bytes(rest.first(1 + size_t{rest[0]}));
      rest = rest.subspan(1 + size_t{rest[0]});
    }
    out_.push_back(0);
  }

 private:
  std::vector<uint8_t>& out_;
  std::map<std::vector<uint8_t>, size_t> offsets_;
};

void write_record(std::vector<uint8_t>& out, NameWriter& names, const DnsRecord& r) {
  names.write(r.name);
  Writer(out).be16(r.type).be16(r.klass).be32(r.ttl).be16(static_cast<uint16_t>(r.data.size())).bytes(r.data);
}

std::vector<uint8_t> encode_all(const DnsMessage& m) {
  std::vector<uint8_t> out;
  Writer w(out);
  const auto count = [&](DnsSection s) { return static_cast<uint16_t>(m.section(s).size()); };
  w.be16(m.id).be16(write_flags(m)).be16(m.question ? 1 : 0).be16(count(DnsSection::answer));
  w.be16(count(DnsSection::authority));
  w.be16(static_cast<uint16_t>(count(DnsSection::additional) + (m.edns_udp_size ? 1 : 0)));
  NameWriter names(out);
  if (m.question) {
    names.write(m.question->name);
    w.be16(m.question->type).be16(m.question->klass);
  }
  for (const auto& section : m.records)
    for (const DnsRecord& r : section) write_record(out, names, r);
  if (m.edns_udp_size) w.u8(0).be16(kDnsOpt).be16(*m.edns_udp_size).be32(0).be16(0);
  return out;
}

}  // namespace

std::optional<DnsName> DnsName::parse(std::string_view text) {
  if (!text.empty() && text.back() == '.') text.remove_suffix(1);
  std::vector<uint8_t> wire;
  while (!text.empty()) {
    const size_t dot = text.find('.');
    const std::string_view part = text.substr(0, dot);
    if (part.empty() || part.size() > kMaxLabel) return std::nullopt;
    wire.push_back(static_cast<uint8_t>(part.size()));
    wire.insert(wire.end(), part.begin(), part.end());
    text.remove_prefix(dot == std::string_view::npos ? text.size() : dot + 1);
  }
  wire.push_back(0);
  return from_wire(wire);
}

std::optional<DnsName> DnsName::from_wire(Bytes wire) {
  size_t at = 0;
  if (wire.empty() || wire.size() > kMaxName) return std::nullopt;
  while (at < wire.size() && wire[at] != 0) {
    if (wire[at] > kMaxLabel) return std::nullopt;
    at += 1 + size_t{wire[at]};
  }
  if (at + 1 != wire.size()) return std::nullopt;
  return DnsName(std::vector<uint8_t>(wire.begin(), wire.end()));
}

size_t DnsName::labels() const {
  size_t n = 0;
  for (size_t at = 0; wire_[at] != 0; at += 1 + size_t{wire_[at]}) n++;
  return n;
}

std::string_view DnsName::label(size_t i) const {
  size_t at = 0;
  while (i-- > 0) at += 1 + size_t{wire_[at]};
  return {reinterpret_cast<const char*>(&wire_[at + 1]), wire_[at]};
}

DnsName DnsName::lowered() const {
  // Lengths are at most 63, below 'A', so they can be treated as letters.
  std::vector<uint8_t> out = wire_;
  std::transform(out.begin(), out.end(), out.begin(), lower);
  return DnsName(std::move(out));
}

bool DnsName::ends_in(std::string_view suffix) const {
  const auto end = parse(suffix);
  if (!end || end->labels() > labels()) return false;
  const size_t skip = labels() - end->labels();
  for (size_t i = 0; i < end->labels(); i++) {
    const std::string_view a = label(skip + i), b = end->label(i);
    const auto same = [](char x, char y) {
      return lower(static_cast<uint8_t>(x)) == lower(static_cast<uint8_t>(y));
    };
    if (!std::equal(a.begin(), a.end(), b.begin(), b.end(), same)) return false;
  }
  return true;
}

Result<DnsMessage, DnsDrop> parse_dns(Bytes message) {
  if (message.size() < kHeader) return Failure{DnsDrop::truncated};
  DnsMessage m;
  m.id = load_be16(&message[0]);
  read_flags(load_be16(&message[2]), m);
  const size_t questions = load_be16(&message[4]);
  size_t total = 0;
  for (size_t i = 0; i < 3; i++) total += load_be16(&message[6 + 2 * i]);
  if (questions > 1 || total > kMaxDnsRecords) return Failure{DnsDrop::bad_counts};
  Parser p(message);
  if (questions == 1) {
    const auto name = p.name();
    if (!name) return Failure{DnsDrop::bad_name};
    const auto type = p.be16(), klass = p.be16();
    if (!type || !klass) return Failure{DnsDrop::truncated};
    m.question = DnsQuestion{*name, *type, *klass};
  }
  for (size_t s = 0; s < 3; s++)
    for (size_t i = load_be16(&message[6 + 2 * s]); i > 0; i--)
      TRY_VOID(read_record(p, static_cast<DnsSection>(s), m));
  if (p.left() != 0) return Failure{DnsDrop::trailing};
  return m;
}

std::vector<uint8_t> encode_dns(const DnsMessage& m, size_t limit) {
  std::vector<uint8_t> out = encode_all(m);
  if (out.size() <= limit) return out;
  DnsMessage cut = m;
  cut.truncated = true;
  for (auto& section : cut.records) section.clear();
  return encode_all(cut);
}

}  // namespace macrovpn::routing
