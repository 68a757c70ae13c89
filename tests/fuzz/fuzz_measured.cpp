// What relays say that they measured: results of anybody about anybody never make a relay count as more than it claims, one that is measured was so by
// three who were drawn, and who samples or echoes what he likes stays within what was agreed.
#include "core/discovery/details.h"
#include "core/discovery/measured.h"

using namespace macrovpn;
using namespace macrovpn::discovery;

namespace {

constexpr size_t kRelays = 12;
constexpr uint32_t kWeek = 5;

void check_values(uint8_t value) {
  const auto decoded = decode_result(value);
  MV_ASSERT(encode_result(decoded) == value);
  if (decoded && decoded->bytes_per_second != 0) MV_ASSERT(encode_result(Bandwidth{decoded->bytes_per_second - 1}) == value - 1);
}

// A file of this relay's own, as well.
void check_saved(Bytes data) {
  const auto m = parse_measured(data);
  if (!m) return;
  MV_ASSERT(equal(encode_measured(*m), data) && !m->now.empty() && m->now.size() + m->before.size() <= kMaxMeasured);
}

MeasuredRelays results_from(Reader& r) {
  MeasuredRelays out;
  out.week = static_cast<uint16_t>(kWeek - r.u8() % 4);
  for (std::vector<MeasuredRelay>* list : {&out.now, &out.before}) {
    for (unsigned n = r.u8() % 13; n > 0 && r.left() > 0; n--) list->push_back({uint64_t{r.u8() % (kRelays + 1)} << 40, r.u8()});
  }
  return out;
}

void judge(Reader r) {
  Network network;
  std::vector<WeighedRelay> relays;
  for (uint32_t n = 0; n < kRelays; n++) {
    auto e = std::make_shared<RelayEntry>();
    e->short_id = {uint64_t{n} << 40};
    store_be64(e->id.bytes.data(), e->short_id.value);
    e->rank = n * 77;
    e->home = IpAddress::v4(0x14000001u + (n << 16));
    e->descriptor.relay.bandwidth = {uint64_t{r.u8()} << r.u8() % 40};
    if (const uint8_t what = r.u8(); (what & 1) != 0) {
      e->descriptor.details.measured = results_from(r);
      e->descriptor.relay.as_number = what >> 6;
    }
    relays.push_back({e, uint64_t{1} << r.u8() % 48});
  }
  const MeasurerDraw draw(network, relays);
  const BandwidthBook book = judge_bandwidths(draw, kWeek);
  for (const WeighedRelay& t : relays) {
    MV_ASSERT(book.counted(*t.relay) <= t.relay->descriptor.relay.bandwidth);
    size_t spoke = 0;
    for (const WeighedRelay& m : relays) {
      bool drawn = false;
      for (const uint32_t week : {kWeek, kWeek - 1}) drawn |= draw.is_drawn(*m.relay, *t.relay, week, MeasurerDraw::Margin::copies_differ);
      spoke += drawn && m.relay->descriptor.details.measured;
    }
    // One of whom a list says something twice counts twice: parse_measured() takes no such list.
    if (book.is_measured(t.relay->short_id)) MV_ASSERT(spoke >= 1);
  }
}

// Both sides of a measurement, with a wire that does what the script says.
void measure(Reader r) {
  SeededRng rng(1);
  Mono now(1h);
  const Bandwidth rate{12'500 + uint64_t{r.u8()} * 100};
  BandwidthTarget target;
  const PeerId us{{1}}, other{{2}};
  MV_ASSERT(target.on_ask(now, {us, kWeek, rate}, kWeek, rate) == BandwidthTarget::Answer::yes);
  BandwidthMeasurer m(rate, now, rng);
  std::vector<std::vector<uint8_t>> kept;
  uint64_t sent = 0, echoed = 0;
  while (r.left() > 0) {
    const uint8_t what = r.u8(), which = r.u8();
    std::vector<std::vector<uint8_t>> samples;
    switch (what % 6) {
      case 0:
        now += 10ms * which;
        m.on_deadline(now, samples);
        MV_ASSERT(samples.size() <= BandwidthMeasurer::kAtOnce);
        sent += samples.size() * kSampleSize;
        for (auto& s : samples) {
          if (kept.size() < 64) kept.push_back(s);
          if (target.on_sample(now, us, s.size())) echoed += s.size(), m.on_echo(now, s);
        }
        break;
      case 1:
        if (!kept.empty()) m.on_echo(now, kept[which % kept.size()]);
        break;
      case 2: {
        std::vector<uint8_t> s = kept.empty() ? std::vector<uint8_t>(which) : kept[which % kept.size()];
        if (!s.empty()) s[r.le16() % s.size()] ^= static_cast<uint8_t>(r.u8() | 1);
        m.on_echo(now, s);
        break;
      }
      case 3:
        m.on_background(uint64_t{which} << which % 57);
        break;
      case 4:
        MV_ASSERT(!target.on_sample(now, other, which));
        break;
      default:
        static_cast<void>(target.on_ask(now, {PeerId{{which}}, kWeek + what / 128u, rate}, kWeek, rate));
    }
  }
  MV_ASSERT(sent <= rate.bytes_per_second * 10 && echoed <= rate.bytes_per_second * 10 * BandwidthTarget::kMostAsks);
  // What came back after the warm-up counts, and a third more.
  MV_ASSERT(m.result().bytes_per_second <= sent / 8 * 4 / 3);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const Bytes rest(data + 1, size - 1);
  switch (data[0] % 4) {
    case 0:
      for (const uint8_t value : rest) check_values(value);
      break;
    case 1:
      check_saved(rest);
      break;
    case 2:
      judge(Reader(rest));
      break;
    default:
      measure(Reader(rest));
  }
  return 0;
}
