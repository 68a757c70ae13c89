#include "core/discovery/stun.h"

namespace macrovpn::discovery::stun {
namespace {

enum Attribute : uint16_t {
  kChangeRequest = 0x0003,
  kPeerAddress = 0x0012,
  kMappedAddress = 0x0020,
  kPadding = 0x0026,
  kCallBack = 0xc0f0,
  kVouch = 0xc0f1,
  kCalled = 0xc0f2,
};
constexpr uint16_t kOptional = 0x8000;  // what need not be understood
constexpr uint32_t kChangeAddress = 4, kChangePort = 2;
constexpr size_t kMacSize = 16, kVouchSize = 20 + 8 + kMacSize;

size_t padded(size_t n) {
  return (n + 3) & ~size_t{3};
}

// RFC 8489 §14.2: the port under the cookie's first bytes, the address under cookie and transaction id.
void xor_address(MutBytes address, const TransactionId& id) {
  ByteArray<16> key;
  store_be32(key.data(), kCookie);
  std::copy(id.begin(), id.end(), key.begin() + 4);
  for (size_t i = 0; i < address.size(); i++) address[i] ^= key[i];
}

std::optional<Endpoint> read_address(Bytes value, const TransactionId& id) {
  Reader r(value);
  r.u8();
  const uint8_t family = r.u8();
  const auto port = static_cast<uint16_t>(r.be16() ^ (kCookie >> 16));
  if (family == 1 && r.left() == 4) {
    auto a = r.fixed<4>();
    xor_address(a, id);
    return Endpoint{IpAddress::v4(a), port};
  }
  if (family != 2 || r.left() != 16) return std::nullopt;
  auto a = r.fixed<16>();
  xor_address(a, id);
  return Endpoint{IpAddress::v6(a), port};
}

bool read_change(Bytes value, Message& m) {
  if (value.size() != 4) return false;
  const uint32_t flags = load_be32(value.data());
  if ((flags & kChangePort) != 0) m.answer_from = From::other_port;
  if ((flags & kChangeAddress) != 0) m.answer_from = From::other_address;
  return true;
}

bool read_vouch(Bytes value, Message& m) {
  if (value.size() != kVouchSize) return false;
  Reader r(value);
  Vouch v;
  v.relay.bytes = r.fixed<20>();
  v.number = r.be64();
  v.mac = r.fixed<kMacSize>();
  m.vouch = v;
  return true;
}

// False: the message cannot be used.
bool read_attribute(uint16_t type, Bytes value, Message& m) {
  switch (type) {
    case kMappedAddress:
      m.mapped = read_address(value, m.id);
      return m.mapped.has_value();
    case kPeerAddress:
      m.peer = read_address(value, m.id);
      return m.peer.has_value();
    case kChangeRequest:
      return read_change(value, m);
    case kCallBack:
      if (value.size() != 20) return false;
      m.call_back = PeerId{*to_array<20>(value)};
      return true;
    case kVouch:
      return read_vouch(value, m);
    case kCalled:
      m.called = true;
      return true;
    case kPadding:
      return true;
    default:
      // An answer's other attributes (MAPPED-ADDRESS of older servers, ERROR-CODE) say nothing that we need.
      return (type & kOptional) != 0 || m.kind == Kind::answer || m.kind == Kind::refusal;
  }
}

std::optional<Message> read_header(Reader& r) {
  Message m;
  m.kind = Kind{r.be16()};
  const size_t size = r.be16();
  const uint32_t cookie = r.be32();
  m.id = r.fixed<12>();
  m.size = kHeader + size;
  const bool known = m.kind == Kind::request || m.kind == Kind::indication || m.kind == Kind::answer || m.kind == Kind::refusal;
  if (!r.ok() || !known || cookie != kCookie || size % 4 != 0) return std::nullopt;
  return m;
}

void write_header(Writer& w, Kind kind, const TransactionId& id) {
  w.be16(static_cast<uint16_t>(kind)).be16(0).be32(kCookie).bytes(id);
}

void write_address(Writer& w, Attribute type, const Endpoint& e, const TransactionId& id) {
  const Bytes plain = e.address.bytes();
  std::vector<uint8_t> hidden(plain.begin(), plain.end());
  xor_address(hidden, id);
  w.be16(type).be16(static_cast<uint16_t>(4 + hidden.size()));
  w.u8(0).u8(e.address.is_v4() ? 1 : 2).be16(static_cast<uint16_t>(e.port ^ (kCookie >> 16))).bytes(hidden);
}

std::vector<uint8_t> finished(std::vector<uint8_t> message) {
  store_be16(&message[2], static_cast<uint16_t>(message.size() - kHeader));
  return message;
}

}  // namespace

std::optional<Message> read(Bytes datagram, Extent extent) {
  if (datagram.size() < kHeader || datagram.size() > kMaxMessage) return std::nullopt;
  Reader header(datagram);
  auto m = read_header(header);
  if (!m || m->size > datagram.size() || (extent == Extent::exact && m->size != datagram.size())) return std::nullopt;
  Reader r(datagram.first(m->size).subspan(kHeader));
  for (size_t n = 0; r.left() != 0; n++) {
    // Nothing behind a vouch: its MAC would not cover that.
    if (n == kMaxAttributes || m->vouch) return std::nullopt;
    const uint16_t type = r.be16();
    const size_t length = r.be16();
    const Bytes value = r.take(padded(length));
    if (!r.ok() || !read_attribute(type, value.first(length), *m)) return std::nullopt;
  }
  return m;
}

std::vector<uint8_t> write_request(const TransactionId& id, const Question& q) {
  std::vector<uint8_t> out;
  Writer w(out);
  write_header(w, Kind::request, id);
  if (q.answer_from != From::same)
    w.be16(kChangeRequest).be16(4).be32(q.answer_from == From::other_port ? kChangePort : kChangePort | kChangeAddress);
  if (q.call_back) w.be16(kCallBack).be16(20).bytes(q.call_back->bytes);
  return finished(std::move(out));
}

std::vector<uint8_t> write_padded_request(const TransactionId& id, size_t total) {
  MV_ASSERT(total % 4 == 0 && total >= kHeader + 4 && total <= kMaxMessage);
  std::vector<uint8_t> out;
  Writer w(out);
  write_header(w, Kind::request, id);
  const size_t zeros = total - kHeader - 4;
  w.be16(kPadding).be16(static_cast<uint16_t>(zeros)).zeros(zeros);
  return finished(std::move(out));
}

std::vector<uint8_t> write_answer(const TransactionId& id, const Endpoint& seen, Called called) {
  std::vector<uint8_t> out;
  Writer w(out);
  write_header(w, Kind::answer, id);
  write_address(w, kMappedAddress, seen, id);
  if (called == Called::yes) w.be16(kCalled).be16(0);
  return finished(std::move(out));
}

std::vector<uint8_t> write_indication(const TransactionId& id, const Endpoint& peer, const PeerId& self, uint64_t number) {
  std::vector<uint8_t> out;
  Writer w(out);
  write_header(w, Kind::indication, id);
  write_address(w, kPeerAddress, peer, id);
  w.be16(kVouch).be16(kVouchSize).bytes(self.bytes).be64(number).zeros(kMacSize);
  return finished(std::move(out));
}

Bytes signed_part(Bytes indication, const Message& m) {
  MV_ASSERT(m.vouch && m.size <= indication.size());
  return indication.first(m.size - kMacSize);
}

void set_mac(MutBytes indication, const crypto::Mac16& mac) {
  std::copy(mac.begin(), mac.end(), indication.end() - kMacSize);
}

}  // namespace macrovpn::discovery::stun
