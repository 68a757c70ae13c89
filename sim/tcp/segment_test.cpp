#include "sim/tcp/segment.h"

#include <gtest/gtest.h>

namespace macrovpn::sim {
namespace {

TcpSegment sample(std::string_view from, std::string_view to) {
  return {.source = *Endpoint::parse(from), .destination = *Endpoint::parse(to), .sequence = 0x01020304, .acknowledged = 0xfffffff0,
          .flags = routing::kTcpAck | routing::kTcpPsh, .window = 4711};
}

std::vector<uint8_t> packet_of(const TcpSegment& s, size_t payload) {
  std::vector<uint8_t> buffer(2048);
  const MutBytes packet = start_segment(s, payload, buffer);
  for (size_t i = 0; i < payload; i++) packet[packet.size() - payload + i] = static_cast<uint8_t>(i);
  finish_segment(packet);
  buffer.resize(packet.size());
  return buffer;
}

// A SYN worked out by hand: both checksums are those of RFC 1071 over these bytes.
TEST(TcpSegment, IsTheBytesThatRfc9293Draws) {
  TcpSegment s{.source = *Endpoint::parse("198.18.0.1:1000"), .destination = *Endpoint::parse("198.18.0.2:80"), .sequence = 1,
               .flags = routing::kTcpSyn, .window = 65535, .mss = 1460, .scale = 7, .sack_permitted = true};
  EXPECT_EQ(to_hex(packet_of(s, 0)),
            "45000034000040004006ae9cc6120001c6120002"
            "03e8005000000001000000008002ffffdeb00000"
            "020405b4" "01030307" "01010402");
}

TEST(TcpSegment, ReadsWhatItWrites) {
  for (const auto& [from, to] : {std::pair("198.18.0.1:1000", "198.18.0.2:80"), std::pair("[3fff::1]:1000", "[3fff::2]:80")}) {
    TcpSegment s = sample(from, to);
    s.sacks = {{{1, 2}, {3, 4}, {5, 6}, {7, 8}}};
    s.sack_count = 4;
    const auto bytes = packet_of(s, 333);
    const auto got = read_segment(bytes);
    ASSERT_TRUE(got);
    EXPECT_EQ(got->source, s.source);
    EXPECT_EQ(got->destination, s.destination);
    EXPECT_EQ(got->sequence, s.sequence);
    EXPECT_EQ(got->acknowledged, s.acknowledged);
    EXPECT_EQ(got->flags, s.flags);
    EXPECT_EQ(got->window, s.window);
    ASSERT_EQ(got->sack_count, 4);
    EXPECT_EQ(got->sacks[3].end, 8u);
    EXPECT_EQ(got->payload.size(), 333u);
    EXPECT_EQ(got->payload[300], uint8_t{300 % 256});
  }
}

TEST(TcpSegment, EveryChangedBitIsRefused) {
  const auto bytes = packet_of(sample("198.18.0.1:1000", "198.18.0.2:80"), 64);
  for (size_t i = 0; i < bytes.size() * 8; i++) {
    auto broken = bytes;
    broken[i / 8] = static_cast<uint8_t>(broken[i / 8] ^ 1 << i % 8);
    EXPECT_FALSE(read_segment(broken)) << "bit " << i;
  }
}

TEST(TcpSegment, OptionsThatRunOverTheEndAreRefused) {
  TcpSegment s = sample("198.18.0.1:1000", "198.18.0.2:80");
  s.mss = 1460;
  auto bytes = packet_of(s, 0);
  for (const uint8_t length : {0, 1, 3, 5, 255}) {
    bytes[41] = length;
    finish_segment(bytes);
    EXPECT_EQ(read_segment(bytes).error(), SegmentDrop::bad_options) << int{length};
  }
}

TEST(TcpSegment, OtherProtocolsAreNotTcp) {
  auto bytes = packet_of(sample("198.18.0.1:1000", "198.18.0.2:80"), 0);
  bytes[9] = 17;
  store_be16(&bytes[24], 20);  // a UDP length that fits
  routing::seal_ipv4_header(bytes);
  EXPECT_EQ(read_segment(bytes).error(), SegmentDrop::not_tcp);
  EXPECT_EQ(read_segment(Bytes(bytes).first(10)).error(), SegmentDrop::not_ip);
}

}  // namespace
}  // namespace macrovpn::sim
