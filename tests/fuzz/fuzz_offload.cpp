// Superpackets: any header over any bytes is refused or cut into packets that stand on any wire; any batch that is put
// together gives its packets again when cut, in the order of each flow (src/shell/offload).
#include "shell/offload/coalesce.h"
#include "shell/offload/naive_twin_test.h"
#include "shell/offload/segment.h"

namespace macrovpn::shell {
namespace {

using testing::InFlow;
using testing::Kind;
using Bytestring = std::vector<uint8_t>;

std::vector<Bytestring> cut(const VirtioHeader& h, Bytes super) {
  const auto plan = Segmenter::plan(h, super.first(std::min(super.size(), kMaxHeaders)), super.size());
  if (!plan) return {};
  std::vector<Bytestring> out;
  size_t payload = plan->header_size();
  for (size_t i = 0; i < plan->segments(); i++) {
    const size_t n = plan->size_of(i) - plan->header_size();
    Bytestring s(super.begin(), super.begin() + static_cast<ptrdiff_t>(plan->header_size()));
    s.insert(s.end(), super.begin() + static_cast<ptrdiff_t>(payload), super.begin() + static_cast<ptrdiff_t>(payload + n));
    payload += n;
    plan->finish(i, s);
    out.push_back(std::move(s));
  }
  MV_ASSERT(payload == super.size());
  return out;
}

void cut_anything(Bytes input) {
  if (input.size() < VirtioHeader::kSize) return;
  const VirtioHeader h = VirtioHeader::read(input.data());
  const Bytes packet = input.subspan(VirtioHeader::kSize);
  for (const Bytestring& s : cut(h, packet)) {
    // The twin knows no options and no extensions.
    const bool plain = s[0] == 0x45 ? h.checksum_start == 20 && s[9] == ((h.type & 5) == 5 ? 17 : 6)
                                    : s[0] >> 4 == 6 && h.checksum_start == 40 && s[6] == ((h.type & 5) == 5 ? 17 : 6);
    if (plain && s.size() >= 28) MV_ASSERT(testing::read_packet(s).has_value());
  }
  Bytestring copy(packet.begin(), packet.end());
  static_cast<void>(complete_checksum(h, copy));
}

// RFC 6864: of a packet that may not be fragmented the identification means nothing.
void forget_id(Bytestring& p) {
  if (p.size() < 20 || p[0] != 0x45 || (p[6] & 0x40) == 0) return;
  p[4] = p[5] = p[10] = p[11] = 0;
}

// Whether it says of itself which flow it is of, so that its order counts.
bool has_flow(const Bytestring& p) {
  const bool v4 = p.size() >= 28 && p[0] == 0x45 && load_be16(&p[2]) == p.size() && (load_be16(&p[6]) & 0xbfff) == 0;
  const bool v6 = p.size() >= 48 && p[0] >> 4 == 6 && load_be16(&p[4]) + 40u == p.size();
  if (!v4 && !v6) return false;
  const uint8_t protocol = v4 ? p[9] : p[6];
  return protocol == 17 || (protocol == 6 && p.size() >= (v4 ? 40u : 60u));
}

// Packets of a few flows, most of them in sequence, some changed.
std::vector<Bytestring> packets_of(Bytes input) {
  std::vector<Bytestring> out;
  ByteArray<4> sent{};
  std::array<uint32_t, 4> next{};
  std::array<uint16_t, 4> ids{};
  while (input.size() >= 5 && out.size() < 200) {
    const uint8_t what = input[0], change = input[3];
    const size_t flow = what % 4;
    InFlow f{.kind = static_cast<Kind>(what >> 2 & 3), .port = static_cast<uint16_t>(1000 + flow)};
    const size_t payload = (what & 0x40) != 0 ? input[1] : 100u + (what >> 2 & 3) * 50;
    f.sequence = next[flow];
    f.id = ids[flow]++;
    f.flags = (what & 0x80) != 0 ? static_cast<uint8_t>(input[2]) : uint8_t{0x10};
    f.salt = sent[flow]++;
    next[flow] += static_cast<uint32_t>(payload);
    Bytestring p = testing::make_packet(f, payload);
    if (change % 8 == 1) p[input[4] % p.size()] ^= static_cast<uint8_t>(change | 1);
    if (change % 8 == 2) p.resize(input[4] % p.size());
    if (change % 8 == 3 && p[0] == 0x45) {  // DF, with a right checksum
      p[6] = 0x40;
      p[10] = p[11] = 0;
      store_be16(&p[10], static_cast<uint16_t>(~testing::slow_sum(Bytes(p).first(20))));
    }
    out.push_back(std::move(p));
    input = input.subspan(5);
  }
  return out;
}

void put_together(Bytes input, Coalescer::Udp udp) {
  const std::vector<Bytestring> made = packets_of(input);
  PacketPool pool;
  std::vector<Packet> batch;
  for (const Bytestring& p : made) batch.push_back(pool.copy_of(p));
  Coalescer c(udp);
  c.plan(batch);
  std::vector<Bytestring> again;
  for (size_t i = 0; i < c.writes(); i++) {
    const Bytestring written = testing::joined(c.write(i));
    const VirtioHeader h = VirtioHeader::read(written.data());
    const Bytes packet = Bytes(written).subspan(VirtioHeader::kSize);
    if (c.packets_of(i) == 1) {
      MV_ASSERT(h.type == VirtioHeader::kNone && h.flags == 0);
      again.emplace_back(packet.begin(), packet.end());
      continue;
    }
    const auto pieces = cut(h, packet);
    MV_ASSERT(pieces.size() == c.packets_of(i) && packet.size() <= 0xffff);
    again.insert(again.end(), pieces.begin(), pieces.end());
  }
  MV_ASSERT(again.size() == made.size());
  // The same packets; of each flow, in the same order.
  std::map<Bytestring, std::vector<Bytestring>> before, after;
  const auto sort = [](const std::vector<Bytestring>& packets, auto& into) {
    for (Bytestring p : packets) {
      forget_id(p);
      Bytestring key = p;
      if (has_flow(p)) {  // version, protocol, addresses, ports
        const bool v4 = p[0] >> 4 == 4;
        key.assign({p[0], v4 ? p[9] : p[6]});
        key.insert(key.end(), p.begin() + (v4 ? 12 : 8), p.begin() + (v4 ? 24 : 44));
        if (!v4) key[0] = 0x60;
      }
      into[key].push_back(std::move(p));
    }
  };
  sort(made, before);
  sort(again, after);
  MV_ASSERT(before == after);
}

}  // namespace
}  // namespace macrovpn::shell

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace macrovpn;
  if (size == 0) return 0;
  const Bytes input(data + 1, size - 1);
  if (data[0] % 3 == 0) shell::cut_anything(input);
  if (data[0] % 3 == 1) shell::put_together(input, shell::Coalescer::Udp::together);
  if (data[0] % 3 == 2) shell::put_together(input, shell::Coalescer::Udp::apart);
  return 0;
}
