#include "core/discovery/sync_message.h"

#include <gtest/gtest.h>

namespace macrovpn::discovery {
namespace {

using Buffer = std::vector<uint8_t>;
using Kind = RangePart::Kind;

TEST(SyncMessage, HasTheLayoutOfTheProtocolPage) {
  const std::vector<Item> have{{{0x0102030405060708}, 0x11223344}};
  EXPECT_EQ(to_hex(encode_have(have)), "010203040506070844332211");
  const std::vector<Wanted> want{{{0x0102030405060708}, 7}};
  EXPECT_EQ(to_hex(encode_want(want)), "010203040506070807000000");
  Buffer data;
  append_data(data, Datum::renewal, Buffer{9, 8});
  EXPECT_EQ(to_hex(data), "0102000908");
  Ranges r;
  r.key[0] = 0xaa;
  r.parts.push_back({Kind::fingerprint, {1}, {2}, {3, {4, 5}}, {}});
  r.parts.push_back({Kind::list, {1}, {9}, {}, {{{7}, 8, 9}}});
  r.parts.push_back({Kind::ask, {1}, {9}, {}, {}});
  EXPECT_EQ(to_hex(encode_ranges(r)),
            "aa000000000000000000000000000000"
            "00" "0000000000000001" "0000000000000002" "03000000" "0400000000000000" "0500000000000000"
            "01" "0000000000000001" "0000000000000009" "01" "0000000000000007" "08000000" "09000000"
            "02" "0000000000000001" "0000000000000009");
  EXPECT_EQ(parse_ranges(encode_ranges(r)), r);
}

TEST(SyncMessage, FitsAsManyAsItSays) {
  const std::vector<Item> items(kMaxItems, Item{{1}, 2});
  EXPECT_LE(encode_have(items).size(), kMaxSyncMessage);
  EXPECT_EQ(parse_have(encode_have(items)), items);
  Ranges r;
  r.parts.push_back({Kind::list, {0}, {1000}, {}, {}});
  for (uint64_t i = 0; i < kMaxListed; i++) r.parts[0].list.push_back({{i}, 1, 1});
  EXPECT_EQ(parse_ranges(encode_ranges(r)), r);
  EXPECT_LE(kDataHeader + kMaxHandedOn, kMaxSyncMessage);
}

TEST(SyncMessage, RefusesWhatIsCutOffEmptyOrTooLarge) {
  EXPECT_FALSE(parse_have({}));
  EXPECT_FALSE(parse_have(Buffer(11)));
  EXPECT_TRUE(parse_have(Buffer(24)));
  EXPECT_FALSE(parse_have(Buffer(12 * (kMaxItems + 1))));
  EXPECT_FALSE(parse_want(Buffer(13)));
  EXPECT_FALSE(parse_data({}));
  EXPECT_FALSE(parse_data(Buffer{0, 0, 0})) << "nothing in it";
  EXPECT_FALSE(parse_data(Buffer{3, 1, 0, 7})) << "no such kind";
  EXPECT_FALSE(parse_data(Buffer{0, 2, 0, 7}));
  EXPECT_EQ(parse_data(Buffer{0, 1, 0, 7, 2, 1, 0, 8})->size(), 2u);
  EXPECT_FALSE(parse_ranges(Buffer(15)));
  EXPECT_TRUE(parse_ranges(Buffer(16))->parts.empty());
  Buffer large(16);
  while (large.size() <= kMaxSyncMessage) Writer(large).u8(2).zeros(16);
  EXPECT_FALSE(parse_ranges(large));
}

TEST(SyncMessage, RefusesListsOutOfOrderOrRange) {
  const auto parses = [](std::vector<ListedItem> list) {
    Ranges r;
    r.parts.push_back({Kind::list, {10}, {20}, {}, std::move(list)});
    return parse_ranges(encode_ranges(r)).has_value();
  };
  EXPECT_TRUE(parses({}));
  EXPECT_TRUE(parses({{{10}, 1, 1}, {{20}, 1, 1}}));
  EXPECT_FALSE(parses({{{9}, 1, 1}}));
  EXPECT_FALSE(parses({{{21}, 1, 1}}));
  EXPECT_FALSE(parses({{{12}, 1, 1}, {{12}, 1, 1}}));
  EXPECT_FALSE(parses({{{13}, 1, 1}, {{12}, 1, 1}}));
  Ranges r;
  r.parts.push_back({Kind::ask, {5}, {4}, {}, {}});
  EXPECT_FALSE(parse_ranges(encode_ranges(r)));
}

}  // namespace
}  // namespace macrovpn::discovery
