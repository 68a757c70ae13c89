// Everything that another relay or a client can say about the directory: messages that parse are written back the same, and
// a copy that hears any of them in any order keeps its bounds and invariants, asks in bounded messages and answers no message with more
// than kMaxReplyMessages comparisons.
#include "core/discovery/gossip.h"

using namespace macrovpn;
using namespace macrovpn::discovery;

namespace {

const Wall kWall = wall_from_unix(1'790'000'000);

void check_round_trips(Bytes b) {
  if (const auto have = parse_have(b)) MV_ASSERT(equal(encode_have(*have), b));
  if (const auto want = parse_want(b)) MV_ASSERT(equal(encode_want(*want), b));
  if (const auto ranges = parse_ranges(b)) MV_ASSERT(equal(encode_ranges(*ranges), b));
  if (const auto data = parse_data(b)) {
    std::vector<uint8_t> again;
    for (const DataItem& d : *data) append_data(again, d.kind, d.bytes);
    MV_ASSERT(equal(again, b));
  }
}

Network network() {
  Network n;
  n.max_per_v4_24 = n.max_per_v4_16 = 3;
  return n;
}

EntryPtr entry(uint64_t id, uint32_t seq) {
  auto e = std::make_shared<RelayEntry>();
  store_be64(e->id.bytes.data(), id);
  e->short_id = {id};
  e->rank = id * 0x9e3779b97f4a7c15;
  e->seq = seq;
  e->expiry = wall_from_unix(seq) + kDescriptorLife;
  e->home = IpAddress::v4(static_cast<uint32_t>(id));
  e->digest[0] = static_cast<uint8_t>(id);
  store_le32(e->digest.data() + 1, seq);
  e->descriptor.relay.identity.bytes[0] = static_cast<uint8_t>(id);
  e->descriptor.relay.signed_at = e->descriptor.body_signed_at = wall_from_unix(seq);
  e->descriptor.body_hash[0] = static_cast<uint8_t>(seq >> 8);
  e->descriptor.bytes.assign(2 + kBlockSize + kRenewalSize, 1);
  e->descriptor.bytes[0] = e->descriptor.bytes[1] = 0;
  return e;
}

void play(Reader script, Answers answers) {
  SeededRng rng(1);
  Exchange x(RelaySet(network()), rng, answers);
  for (uint64_t i = 0; i < 40; i++) x.publish(entry(i << 58 | i << 9, 1'789'990'000 + static_cast<uint32_t>(i)));
  Now now{Mono(std::chrono::hours(1)), kWall};
  std::vector<uint64_t> checks;
  SyncKey asked{};  // of the last comparison that was begun: nobody guesses it
  for (int step = 0; step < 64 && script.left() > 0; step++) {
    SyncOut out;
    const uint8_t what = script.u8(), which = script.u8();
    const SyncSession s{which % 4u};
    switch (what % 8) {
      case 0:
        x.open(now.mono, s, which & 4 ? SyncRole::client : SyncRole::relay);
        break;
      case 1:
        x.close(s);
        break;
      case 2:
        now = {now.mono + 100ms * which, now.wall + 100ms * which};
        x.on_deadline(now, out);
        break;
      case 3:
        x.begin_round(now, s, out);
        break;
      case 4:
        if (checks.empty()) break;
        if (which & 4) {
          x.on_checked(now, checks.back(), entry(uint64_t{which} << 55, 1'790'000'000), out);
        } else {
          x.on_checked(now, checks.back(), Failure{which & 8 ? CheckFailure::forged : CheckFailure::stale}, out);
        }
        checks.pop_back();
        break;
      default: {
        const Bytes said = script.take(std::min<size_t>(script.le16() % 1300, script.left()));
        std::vector<uint8_t> body(said.begin(), said.end());
        const auto kind = static_cast<SyncKind>(which / 4 % 4);
        if (kind == SyncKind::ranges && what & 0x80 && body.size() >= asked.size()) std::copy(asked.begin(), asked.end(), body.begin());
        x.on_message(now, s, kind, body, out);
      }
    }
    size_t ranges = 0;
    for (const SyncMessage& m : out.messages) {
      MV_ASSERT(m.body.size() <= kMaxSyncMessage);
      ranges += m.kind == SyncKind::ranges;
      if (const auto own = m.kind == SyncKind::ranges && what % 8 == 3 ? parse_ranges(m.body) : std::nullopt) asked = own->key;
    }
    MV_ASSERT(ranges <= kMaxReplyMessages + 4);
    for (const SyncCheck& c : out.checks) {
      checks.push_back(c.id);
      static_cast<void>(run_check(c, network(), CheckDepth::signatures, now.wall).ok());
    }
    x.check_invariants();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  check_round_trips({data, size});
  if (size < 2) return 0;
  play(Reader({data + 1, size - 1}), data[0] & 1 ? Answers::with_lists : Answers::by_asking);
  return 0;
}
