#include "core/discovery/dht_message.h"

namespace macrovpn::discovery {
namespace {

std::vector<uint8_t> with_number(uint32_t number, Bytes rest) {
  std::vector<uint8_t> out;
  Writer(out).le32(number).bytes(rest);
  return out;
}

}  // namespace

std::vector<uint8_t> encode_dht_put(uint32_t number, Bytes record) { return with_number(number, record); }
std::vector<uint8_t> encode_dht_found(uint32_t number, Bytes record) { return with_number(number, record); }
std::vector<uint8_t> encode_dht_get(uint32_t number, const DhtKey& key) { return with_number(number, key.bytes); }
std::vector<uint8_t> encode_dht_stored(uint32_t number, DhtPut outcome) {
  const ByteArray<1> code{static_cast<uint8_t>(outcome)};
  return with_number(number, code);
}

std::optional<DhtRequest> parse_dht_request(DhtKind kind, Bytes body) {
  MV_ASSERT(kind == DhtKind::put || kind == DhtKind::get);
  Reader r(body);
  DhtRequest out{.number = r.le32()};
  if (kind == DhtKind::put) {
    out.record = r.rest();
    return r.ok() && !out.record.empty() && out.record.size() <= kMaxDhtRecord ? std::optional(out) : std::nullopt;
  }
  out.key.bytes = r.fixed<32>();
  return r.done() ? std::optional(out) : std::nullopt;
}

std::optional<DhtAnswer> parse_dht_answer(DhtKind kind, Bytes body) {
  MV_ASSERT(kind == DhtKind::stored || kind == DhtKind::found);
  Reader r(body);
  DhtAnswer out{.number = r.le32()};
  if (kind == DhtKind::found) {
    out.record = r.rest();
    return r.ok() && out.record.size() <= kMaxDhtRecord ? std::optional(out) : std::nullopt;
  }
  const uint8_t code = r.u8();
  if (!r.done() || code > static_cast<uint8_t>(DhtPut::full)) return std::nullopt;
  out.outcome = static_cast<DhtPut>(code);
  return out;
}

}  // namespace macrovpn::discovery
