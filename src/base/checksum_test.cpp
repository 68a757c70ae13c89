#include "base/checksum.h"

#include <gtest/gtest.h>

#include "base/rng.h"

namespace macrovpn {
namespace {

uint16_t by_the_book(Bytes data) {
  uint64_t sum = 0;
  for (size_t i = 0; i < data.size(); i++) sum += i % 2 == 0 ? uint64_t{data[i]} << 8 : data[i];
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint16_t>(~sum);
}

TEST(Checksum, OfTheExampleOfRfc1071) {
  const ByteArray<8> data{0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7};
  EXPECT_EQ(Checksum().add(data).folded(), 0xddf2);
}

TEST(Checksum, OfAnySizeAndPlaceIsThatOfTheBook) {
  SeededRng rng(1);
  std::vector<uint8_t> data(3000);
  rng.fill(data);
  for (size_t size = 0; size < 1600; size++) {
    const Bytes part = Bytes(data).subspan(rng.below(64), size);
    ASSERT_EQ(Checksum().add(part).complement(), by_the_book(part)) << size;
  }
}

TEST(Checksum, OfOnesAloneDoesNotOverflow) {
  const std::vector<uint8_t> ones(70'000, 0xff);
  EXPECT_EQ(Checksum().add(ones).complement(), by_the_book(ones));
}

TEST(Checksum, OfPartsIsThatOfTheWhole) {
  SeededRng rng(2);
  std::vector<uint8_t> data(1000);
  rng.fill(data);
  for (size_t cut = 0; cut < data.size(); cut += 2) {
    Checksum parts;
    parts.add(Bytes(data).first(cut)).add(Bytes(data).subspan(cut));
    ASSERT_EQ(parts.folded(), Checksum().add(data).folded());
  }
}

TEST(Checksum, TakesAWordAsItStandsInThePacket) {
  EXPECT_EQ(Checksum().add_word(0x1234).folded(), Checksum().add(ByteArray<2>{0x12, 0x34}).folded());
}

}  // namespace
}  // namespace macrovpn
