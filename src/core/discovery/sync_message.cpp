#include "core/discovery/sync_message.h"

namespace macrovpn::discovery {
namespace {

using Buffer = std::vector<uint8_t>;
constexpr size_t kItem = 12, kListed = 16, kPart = 1 + 8 + 8;

template <class T>
Buffer encode_pairs(std::span<const T> items, uint32_t T::* number) {
  MV_ASSERT(items.size() <= kMaxItems);
  Buffer out;
  Writer w(out);
  for (const T& i : items) w.be64(i.id.value).le32(i.*number);
  return out;
}

template <class T>
std::optional<std::vector<T>> parse_pairs(Bytes body) {
  if (body.empty() || body.size() % kItem != 0 || body.size() > kMaxSyncMessage) return std::nullopt;
  std::vector<T> out;
  Reader r(body);
  while (r.left() > 0) {
    const ShortId id{r.be64()};
    out.push_back({id, r.le32()});
  }
  return out;
}

bool parse_list(Reader& r, RangePart& part) {
  const size_t n = r.u8();
  if (n > kMaxListed) return false;
  for (size_t i = 0; i < n && r.ok(); i++) {
    const ShortId id{r.be64()};
    const uint32_t seq = r.le32();
    if (id < part.low || part.high < id || (i > 0 && id <= part.list.back().id)) return false;
    part.list.push_back({id, seq, r.le32()});
  }
  return r.ok();
}

bool parse_part(Reader& r, RangePart& part) {
  const uint8_t kind = r.u8();
  part.low = {r.be64()};
  part.high = {r.be64()};
  if (!r.ok() || kind > static_cast<uint8_t>(RangePart::Kind::divide) || part.high < part.low) return false;
  part.kind = static_cast<RangePart::Kind>(kind);
  if (part.kind == RangePart::Kind::list) return parse_list(r, part);
  if (part.kind != RangePart::Kind::fingerprint) return true;
  part.fingerprint.count = r.le32();
  part.fingerprint.sum.low = r.le64();
  part.fingerprint.sum.high = r.le64();
  return r.ok();
}

}  // namespace

Buffer encode_have(std::span<const Item> items) { return encode_pairs(items, &Item::seq); }
Buffer encode_want(std::span<const Wanted> items) { return encode_pairs(items, &Wanted::body_time); }
std::optional<std::vector<Item>> parse_have(Bytes body) { return parse_pairs<Item>(body); }
std::optional<std::vector<Wanted>> parse_want(Bytes body) { return parse_pairs<Wanted>(body); }

size_t encoded_size(const RangePart& part) {
  if (part.kind == RangePart::Kind::fingerprint) return kPart + 4 + 16;
  return part.kind == RangePart::Kind::list ? kPart + 1 + kListed * part.list.size() : kPart;
}

Buffer encode_ranges(const Ranges& ranges) {
  Buffer out;
  Writer w(out);
  w.bytes(ranges.key);
  for (const RangePart& p : ranges.parts) {
    w.u8(static_cast<uint8_t>(p.kind)).be64(p.low.value).be64(p.high.value);
    if (p.kind == RangePart::Kind::fingerprint) {
      w.le32(p.fingerprint.count).le64(p.fingerprint.sum.low).le64(p.fingerprint.sum.high);
    } else if (p.kind == RangePart::Kind::list) {
      MV_ASSERT(p.list.size() <= kMaxListed);
      w.u8(static_cast<uint8_t>(p.list.size()));
      for (const ListedItem& i : p.list) w.be64(i.id.value).le32(i.seq).le32(i.tag);
    }
  }
  MV_ASSERT(out.size() <= kMaxSyncMessage);
  return out;
}

std::optional<Ranges> parse_ranges(Bytes body) {
  if (body.size() > kMaxSyncMessage) return std::nullopt;
  Reader r(body);
  Ranges out;
  out.key = r.fixed<16>();
  if (!r.ok()) return std::nullopt;
  while (r.left() > 0) {
    RangePart part;
    if (!parse_part(r, part)) return std::nullopt;
    out.parts.push_back(std::move(part));
  }
  return out;
}

void append_data(Buffer& message, Datum kind, Bytes bytes) {
  MV_ASSERT(message.size() + kDataHeader + bytes.size() <= kMaxSyncMessage);
  Writer(message).u8(static_cast<uint8_t>(kind)).le16(static_cast<uint16_t>(bytes.size())).bytes(bytes);
}

std::optional<std::vector<DataItem>> parse_data(Bytes body) {
  if (body.empty() || body.size() > kMaxSyncMessage) return std::nullopt;
  std::vector<DataItem> out;
  Reader r(body);
  while (r.left() > 0) {
    const uint8_t kind = r.u8();
    const Bytes bytes = r.take(r.le16());
    if (!r.ok() || kind > static_cast<uint8_t>(Datum::half) || bytes.empty()) return std::nullopt;
    out.push_back({static_cast<Datum>(kind), bytes});
  }
  return out;
}

}  // namespace macrovpn::discovery
