#include "shell/offload/scatter.h"

#include <gtest/gtest.h>

namespace macrovpn::shell {
namespace {

std::vector<uint8_t> numbered(size_t n) {
  std::vector<uint8_t> out;
  for (size_t i = 0; i < n; i++) out.push_back(static_cast<uint8_t>(i + i / 251));
  return out;
}

// As readv(2) does.
void fill(const Scatter& s, Bytes run) {
  std::vector<iovec> parts;
  s.append_to(parts);
  for (const iovec& v : parts) {
    const size_t n = std::min(run.size(), v.iov_len);
    std::copy_n(run.data(), n, static_cast<uint8_t*>(v.iov_base));
    run = run.subspan(n);
  }
  ASSERT_TRUE(run.empty());
}

struct Guess {
  size_t slots, header, segment;
};

TEST(Scatter, CutsEveryRunRightWhateverWasGuessed) {
  PacketPool pool;
  std::vector<uint8_t> spill(Scatter::kSpill);
  for (const Guess g : {Guess{1, 0, kPacketMax}, Guess{48, 0, 1400}, Guess{48, 40, 1360}, Guess{3, 52, 500}}) {
    for (const Guess is : {Guess{0, 0, 1400}, Guess{0, 40, 1360}, Guess{0, 52, 500}, Guess{0, 60, 1}, Guess{0, 40, 1500}}) {
      for (const size_t payload : {0u, 1u, 499u, 500u, 501u, 1360u, 1400u, 2800u, 4081u, 65'000u}) {
        if (is.segment == 1 && payload > 3000) continue;
        const auto run = numbered(is.header + payload);
        Scatter s;
        s.offer(pool, g.slots, g.header, g.segment, spill.data());
        fill(s, run);
        EXPECT_TRUE(equal(s.front(run.size()), Bytes(run).first(std::min(run.size(), g.header + g.segment))));
        std::vector<Packet> out;
        s.cut(pool, run.size(), is.header, is.segment, out);
        ASSERT_EQ(out.size(), payload == 0 ? 1 : (payload + is.segment - 1) / is.segment);
        for (size_t i = 0; i < out.size(); i++) {
          const Bytes piece = Bytes(run).subspan(is.header).subspan(i * is.segment, std::min(is.segment, payload - i * is.segment));
          ASSERT_EQ(out[i].size(), is.header + piece.size());
          ASSERT_TRUE(equal(out[i].bytes().subspan(is.header), piece)) << i;
        }
        EXPECT_TRUE(equal(out[0].bytes().first(is.header), Bytes(run).first(is.header)));
      }
    }
  }
}

TEST(Scatter, DropsWhatNoPacketHolds) {
  PacketPool pool;
  std::vector<uint8_t> spill(Scatter::kSpill);
  Scatter s;
  s.offer(pool, 1, 0, kPacketMax, spill.data());
  const auto run = numbered(9000);
  fill(s, run);
  std::vector<Packet> out;
  s.cut(pool, run.size(), 0, 9000, out);
  EXPECT_TRUE(out.empty());
}

TEST(Scatter, GivesBackTheSlotsThatWereNotNeeded) {
  PacketPool pool;
  std::vector<uint8_t> spill(Scatter::kSpill);
  Scatter s;
  std::vector<Packet> out;
  for (int i = 0; i < 100; i++) {
    s.offer(pool, 48, 0, 1400, spill.data());
    fill(s, numbered(3000));
    s.cut(pool, 3000, 0, 1400, out);
    out.clear();
  }
  EXPECT_EQ(pool.slots(), 48u);
}

}  // namespace
}  // namespace macrovpn::shell
