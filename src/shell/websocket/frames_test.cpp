#include "shell/websocket/frames.h"

#include <gtest/gtest.h>

namespace macrovpn::shell::websocket {
namespace {

struct Frames : testing::Test {
  PacketPool pool;
  SeededRng rng{1};
  FrameReader of_client{Role::client, pool}, of_server{Role::server, pool};
  std::vector<Message> got;

  std::vector<uint8_t> written(Role from, Kind kind, Bytes payload) {
    std::vector<uint8_t> out;
    write_frame(from, kind, payload, rng, out);
    return out;
  }
  std::optional<Broken> read(FrameReader& reader, const char* hex) {
    const auto bytes = from_hex(hex);
    EXPECT_TRUE(bytes.has_value());
    return reader.read(*bytes, got);
  }
  std::string text(size_t i) const { return {got[i].payload.bytes().begin(), got[i].payload.bytes().end()}; }
};

// RFC 6455 §5.7, where the text messages are binary ones here.
TEST_F(Frames, ReadsTheExamplesOfTheStandard) {
  EXPECT_FALSE(read(of_server, "820548656c6c6f"));
  EXPECT_FALSE(read(of_client, "828537fa213d7f9f4d5158"));
  EXPECT_FALSE(read(of_server, "020348656c80026c6f"));  // "Hel" and "lo"
  EXPECT_FALSE(read(of_server, "890548656c6c6f"));
  EXPECT_FALSE(read(of_client, "8a8537fa213d7f9f4d5158"));
  ASSERT_EQ(got.size(), 5u);
  for (size_t i = 0; i < 5; i++) EXPECT_EQ(text(i), "Hello");
  EXPECT_EQ(got[2].kind, Kind::datagram);
  EXPECT_EQ(got[3].kind, Kind::ping);
  EXPECT_EQ(got[4].kind, Kind::pong);
}

TEST_F(Frames, Writes256BytesAsTheStandardDoes) {
  const std::vector<uint8_t> payload(256, 7);
  const auto frame = written(Role::server, Kind::datagram, payload);
  EXPECT_EQ(to_hex(Bytes(frame).first(4)), "827e0100");
  EXPECT_EQ(frame.size(), 260u);
}

TEST_F(Frames, WhatIsWrittenIsReadWhateverPiecesItComesIn) {
  std::vector<uint8_t> stream;
  const size_t sizes[] = {0, 1, 125, 126, 127, 1452, kPacketMax};
  for (const size_t n : sizes) {
    std::vector<uint8_t> payload(n);
    rng.fill(payload);
    write_frame(Role::client, Kind::datagram, payload, rng, stream);
  }
  std::vector<Message> whole;
  ASSERT_FALSE(of_client.read(stream, whole));
  ASSERT_EQ(whole.size(), std::size(sizes));
  for (size_t piece = 1; piece < 20; piece++) {
    FrameReader reader(Role::client, pool);
    got.clear();
    for (Bytes left = stream; !left.empty(); left = left.subspan(std::min(piece, left.size())))
      ASSERT_FALSE(reader.read(left.first(std::min(piece, left.size())), got));
    ASSERT_EQ(got.size(), whole.size());
    for (size_t i = 0; i < got.size(); i++) {
      EXPECT_EQ(got[i].payload.size(), sizes[i]);
      EXPECT_TRUE(equal(got[i].payload.bytes(), whole[i].payload.bytes()));
    }
  }
}

TEST_F(Frames, AControlFrameMayStandBetweenTheFragmentsOfAMessage) {
  EXPECT_FALSE(read(of_server, "020248658900800000"));
  // 02 "He", ping, final continuation of nothing, and one byte too few of the next header.
  ASSERT_EQ(got.size(), 2u);
  EXPECT_EQ(got[0].kind, Kind::ping);
  EXPECT_EQ(text(1), "He");
}

TEST_F(Frames, TheLongestMessageIsOneThatAPacketHolds) {
  const std::vector<uint8_t> longest(kPacketMax), longer(kPacketMax + 1);
  EXPECT_FALSE(of_server.read(written(Role::server, Kind::datagram, longest), got));
  EXPECT_EQ(of_server.read(written(Role::server, Kind::datagram, longer), got), Broken::too_big);
  FrameReader other(Role::server, pool);
  EXPECT_EQ(read(other, "827f0000000000010000"), Broken::too_big);
}

TEST_F(Frames, FragmentsTogetherAreNoLongerThanAMessage) {
  std::vector<uint8_t> stream = written(Role::server, Kind::datagram, std::vector<uint8_t>(kPacketMax));
  stream[0] = 0x02;
  EXPECT_FALSE(of_server.read(stream, got));
  EXPECT_EQ(read(of_server, "800100"), Broken::too_big);
}

TEST_F(Frames, WhatBreaksTheProtocolEndsIt) {
  const struct {
    const char* hex;
    Role from;
    Broken why;
  } cases[] = {
      {"8100", Role::server, Broken::not_binary},          // text
      {"c200", Role::server, Broken::protocol_error},      // a reserved bit
      {"8300", Role::server, Broken::protocol_error},      // an opcode that is kept for later
      {"8b00", Role::server, Broken::protocol_error},      //
      {"8f00", Role::server, Broken::protocol_error},      //
      {"828000000000", Role::server, Broken::protocol_error},  // a server masks nothing
      {"8200", Role::client, Broken::protocol_error},      // a client masks everything
      {"8000", Role::server, Broken::protocol_error},      // goes on with nothing
      {"02018082018000", Role::server, Broken::protocol_error},  // begins another in the middle of one
      {"0900", Role::server, Broken::protocol_error},      // a control frame in fragments
      {"897e0080", Role::server, Broken::protocol_error},  // or a long one
      {"827e007d", Role::server, Broken::protocol_error},  // 125 needs no two bytes
  };
  for (const auto& c : cases) {
    FrameReader reader(c.from, pool);
    EXPECT_EQ(read(reader, c.hex), c.why) << c.hex;
    EXPECT_EQ(read(reader, "8200"), c.why) << "after " << c.hex;
  }
}

TEST_F(Frames, AClientMasksEachFrameAnew) {
  const std::vector<uint8_t> payload(32);
  const auto one = written(Role::client, Kind::datagram, payload), two = written(Role::client, Kind::datagram, payload);
  EXPECT_FALSE(equal(Bytes(one).subspan(6), Bytes(two).subspan(6)));
}

}  // namespace
}  // namespace macrovpn::shell::websocket
