// Before a caller has proved that it receives, it is sent no more bytes than came from its address.  A
// property, under thousands of random operations of strangers with forged addresses and a hostile relay that
// helps them.
#include <gtest/gtest.h>

#include "core/node/hostile_world_test.h"

namespace macrovpn::node {
namespace {

struct Amplifier : HostileNet {
  explicit Amplifier(uint64_t seed) : HostileNet({.spare_circuits = 0}, seed), stranger(seed + 1000) {
    relay = hosts["r0"].get();
    relay->config.relay->plain_stun = true;
    relay->config.directory = DirectoryConfig{.measuring = DirectoryConfig::Measuring::on};
    restart(*relay);
    publish();
    keep_a_note();
    helper = hosts["r1"].get();
    helper->dead = true;  // the test answers in its name
    sends = [this](const Host& from, const Datagram& d) {
      if (&from != relay) return;
      if (d.remote.address == helper->address) {
        called.emplace_back(d.packet.bytes().begin(), d.packet.bytes().end());
      } else if (is_victim(d.remote.address)) {
        out[d.remote] += d.packet.size();
      }
    };
  }
  // The relay holds a record, which is larger than the question for it.
  void keep_a_note() {
    announce(*relay);
    const auto owner = crypto::ed25519_generate(rng());
    command(*relay, [&](Node& n, Effects& fx) {
      MV_ASSERT(n.put_record(now, {.name = "note", .value = std::vector<uint8_t>(500), .owner = owner}, fx).ok());
    });
    MV_ASSERT(relay->node->records_kept()->size() == 1);
    const discovery::DhtSlot slot{static_cast<uint8_t>(discovery::DhtService::notes), owner.pub, discovery::dht_name(network.id, "note"), discovery::dht_day(now.wall)};
    noted = discovery::dht_key(network.id, slot);
    note = discovery::sign_dht_record({slot, UINT64_MAX, now.wall + 1h, std::vector<uint8_t>(500)}, network.id, owner);
  }
  static bool is_victim(const IpAddress& a) { return a.bytes()[2] == 2 && a.bytes()[3] >= 200; }
  Endpoint victim() {
    return {IpAddress::v4(0xc0000200u + 200 + static_cast<uint32_t>(rng().below(8))),
            static_cast<uint16_t>(1000 + rng().below(3))};
  }
  Rng& rng() { return stranger.rng(); }

  void send(Bytes d, SocketId at = kListenSocket) {
    const Endpoint from = victim();
    in[from] += d.size();
    sent.emplace_back(from, Buffer(d.begin(), d.end()));
    if (sent.size() > 50) sent.erase(sent.begin());
    send_forged(from, *relay, at, d);
  }
  Buffer wish() {
    switch (rng().below(4)) {
      case 0:
        return routing::write_lease({.mtu = 1280});
      case 1:
        return {};
      default: {
        const bool helped = rng().below(2) == 0;
        const auto next = stranger.call(now, helped ? *helper : *hosts["e0"]);
        const Buffer early =
            stranger.early(now, next, hosts["e0"]->prekey, routing::write_lease({.mtu = 1280}));
        const auto element = routing::write_element(next.initiation.message,
                                                    {1 + static_cast<uint32_t>(rng().below(1000))}, early);
        stranger.forget(next);
        return routing::write_extend(id_of(helped ? *helper : *hosts["e0"]), 0, element);
      }
    }
  }
  void call() {
    // Some keys call again and again, from whatever address.
    const bool known = !kept.empty() && rng().below(2) == 0;
    Stranger::Call c = known ? kept[rng().below(kept.size())] : stranger.call(now, *relay);
    if (known) c = stranger.again(now, c);
    const Buffer early = rng().below(5) == 0 ? Buffer{} : stranger.early(now, c, relay->prekey, wish());
    Buffer d = stranger.datagram(c, early, rng().below(1300));
    if (rng().below(8) == 0) d[rng().below(d.size())] ^= static_cast<uint8_t>(1 + rng().below(255));
    if (rng().below(8) == 0) d.resize(std::max<size_t>(32, rng().below(d.size())));
    if (rng().below(10) == 0) d.resize(148);  // plain, as stock WireGuard
    send(d.size() == 148 ? d : masked(*relay, d));
    if (known) return;
    kept.push_back(c);
    if (kept.size() <= 6) return;
    stranger.forget(kept.front());
    kept.erase(kept.begin());
  }
  void again() {  // a replay, from the same or another forged address
    if (sent.empty()) return;
    const Buffer d = sent[rng().below(sent.size())].second;
    send(d);
  }
  // The hostile next relay answers what it got, as often as it likes, with whatever fits the leg.
  void help() {
    if (called.empty()) return;
    Buffer got = called[rng().below(called.size())];
    if (!mask_of(*helper).unmask(got) || got[0] != 1) return;
    const uint8_t type = static_cast<uint8_t>(2 + rng().below(3));
    const size_t size = type == 2 ? 92 : type == 3 ? 64 : 32 + 16 * rng().below(70);
    Buffer d(size);
    rng().fill(d);
    store_le32(d.data(), type);
    std::copy_n(&got[4], 4, &d[type == 2 ? 8 : 4]);
    if (type == 4) {
      encryption::PairKeys::derive(network.id.bytes, helper->config.wireguard, relay->config.wireguard.pub)
          ->mask_transport(d.data());
    } else {
      d = masked(*helper, d);
    }
    send_forged({helper->address, 51820}, *relay, kEgressSocket, d);
  }
  void noise() {
    Buffer d(rng().below(1300));
    rng().fill(d);
    send(d);
  }
  // STUN, masked and plain, of every size and kind; what the relay tells another about it counts too.
  void ask() {
    Buffer d = rng().below(3) == 0 ? discovery::stun::write_padded_request(rng().bytes<12>(), 24 + 4 * rng().below(40))
                                   : discovery::stun::write_request(
                                         rng().bytes<12>(),
                                         {rng().below(2) == 0 ? discovery::stun::From::other_port : discovery::stun::From::same,
                                          rng().below(2) == 0 ? std::optional(id_of(*helper)) : std::nullopt});
    const bool plain = rng().below(2) == 0;
    if (!plain) d.resize(std::max(d.size(), static_cast<size_t>(rng().below(300))), 0x5a);
    asked++;
    send(plain ? d : masked(*relay, d));
  }
  void step() {
    switch (rng().below(9)) {
      case 8:
        return ask();
      case 0:
      case 1:
      case 2:
        return call();
      case 3:
        return again();
      case 4:
      case 5:
        return help();
      case 6:
        return noise();
      default:
        run_for(rng().between(0s, rng().below(20) == 0 ? Duration(20s) : Duration(200ms)));
    }
  }
  void check() const {
    for (const auto& [to, bytes] : out) {
      const auto from = in.find(to);
      ASSERT_TRUE(from != in.end() && bytes <= from->second)
          << bytes << " sent for " << (from == in.end() ? 0 : from->second);
    }
  }

  Stranger stranger;
  discovery::DhtKey noted;
  Buffer note;
  Host *relay = nullptr, *helper = nullptr;
  uint64_t asked = 0;
  std::map<Endpoint, uint64_t> in, out;
  std::vector<std::pair<Endpoint, Buffer>> sent;
  std::vector<Buffer> called;
  std::vector<Stranger::Call> kept;
};

TEST(Amplification, NobodyUnconfirmedIsSentMoreThanCameFromItsAddress) {
  uint64_t answered = 0;
  for (uint64_t seed = 1; seed <= 6; seed++) {
    Amplifier a(seed);
    for (int i = 0; i < 1'000; i++) {
      a.step();
      a.check();
      if (testing::Test::HasFatalFailure()) FAIL() << "seed " << seed << ", step " << i;
      if (i % 100 == 0) a.relay->node->check_invariants();
    }
    a.run_for(30s);
    a.check();
    for (const auto& [to, bytes] : a.out) answered += bytes;
    EXPECT_GT(a.called.size(), 20u);
    EXPECT_GT(a.relay->node->stun()->counters().answered, 20u);
  }
  EXPECT_GT(answered, 100'000u);  // else nothing was tried
}

// One key calls from its own address with a large datagram, then from the victim's with a small one.
TEST(Amplification, WhatOneAddressSentIsNoCreditForAnother) {
  Amplifier a(60);
  const Endpoint own = *Endpoint::parse("192.0.2.201:1000"), victim = *Endpoint::parse("192.0.2.202:1000");
  auto c = a.stranger.call(a.now, *a.relay);
  const auto send_from = [&](const Endpoint& from, const Buffer& d) {
    a.in[from] += d.size();
    a.send_forged(from, *a.relay, kListenSocket, a.masked(*a.relay, d));
    a.run_for(100ms);
    a.check();
  };
  const auto next = a.stranger.call(a.now, *a.helper);
  const auto extend = routing::write_extend(a.id_of(*a.helper), 0,
                                            routing::write_element(next.initiation.message, {7}, {}));
  send_from(own, a.stranger.datagram(c, a.stranger.early(a.now, c, a.relay->prekey, extend), 1232));
  c = a.stranger.again(a.now, c);
  send_from(victim, a.stranger.datagram(c, {}, 160));
  ASSERT_EQ(a.called.size(), 1u);
  for (int i = 0; i < 200; i++) {
    a.help();
    a.run_for(10ms);
    a.check();
  }
}

// The same with one caller, and a helper who sends up its leg as much as it can.
TEST(Amplification, AnswersOfAHelperStayWithinWhatTheCallerSent) {
  Amplifier a(50);
  const auto c = a.stranger.call(a.now, *a.relay);
  const auto next = a.stranger.call(a.now, *a.helper);
  const auto extend =
      routing::write_extend(a.id_of(*a.helper), 0, routing::write_element(next.initiation.message, {7}, {}));
  const Buffer d = a.stranger.datagram(c, a.stranger.early(a.now, c, a.relay->prekey, extend), 1232);
  a.send(a.masked(*a.relay, d));
  a.run_for(100ms);
  ASSERT_EQ(a.called.size(), 1u);
  for (int i = 0; i < 500; i++) {
    a.help();
    a.run_for(10ms);
    a.check();
  }
  ASSERT_EQ(a.out.size(), 1u);
  EXPECT_GT(a.out.begin()->second, 600u);
}

// ---- every kind of request that needs no session

// Each kind of datagram has its case; a new one does not compile until somebody has thought of it here.
const char* tried_by(encryption::MessageType t) {
  using T = encryption::MessageType;
  switch (t) {
    case T::initiation:
      return "a handshake of a stranger, with every frame as early data";
    case T::response:
    case T::cookie_reply:
    case T::transport:
      return "noise of that type, plain and masked";
  }
  return nullptr;
}
const char* tried_by(discovery::stun::Kind k) {
  using K = discovery::stun::Kind;
  switch (k) {
    case K::request:
    case K::indication:
    case K::answer:
    case K::refusal:
      return "all message types of STUN, with every attribute that is known";
  }
  return nullptr;
}

// Frames that come as early data: all types that there can be, whether they mean something or not yet.
TEST(Amplification, EveryFrameOfEarlyDataIsAnsweredByNoMoreThanCame) {
  Amplifier a(70);
  EXPECT_NE(tried_by(encryption::MessageType::initiation), nullptr);
  for (unsigned type = 0x10; type <= 0x3f; type++) {
    std::vector<Buffer> bodies = {{}, Buffer(1), Buffer(20), Buffer(600)};
    for (Buffer& b : bodies) a.rng().fill(b);
    const auto next = a.stranger.call(a.now, *a.helper);
    const Buffer known[] = {routing::write_extend(a.id_of(*a.helper), 0, routing::write_element(next.initiation.message, {7}, {})),
                            routing::write_lease({.mtu = 1280}), routing::write_bind(a.rng().bytes<32>()),
                            routing::write_ping(routing::FrameType::ping, {1, 500}),
                            routing::write_measure({1, 2, 100'000, {}}), routing::write_measure_ok({}),
                            routing::write_frame(routing::FrameType::sample, Buffer(discovery::kSampleSize)),
                            routing::write_frame(routing::FrameType::dht_get, discovery::encode_dht_get(1, a.noted)),
                            routing::write_frame(routing::FrameType::dht_put, discovery::encode_dht_put(1, a.note))};
    for (const Buffer& k : known) bodies.emplace_back(k.begin() + routing::kFrameHeader, k.end());
    for (const Buffer& body : bodies) {
      Buffer frame{static_cast<uint8_t>(type), static_cast<uint8_t>(body.size()), static_cast<uint8_t>(body.size() >> 8)};
      frame.insert(frame.end(), body.begin(), body.end());
      const auto c = a.stranger.call(a.now, *a.relay);
      a.send(a.masked(*a.relay, a.stranger.datagram(c, a.stranger.early(a.now, c, a.relay->prekey, frame))));
      a.run_for(50ms);
      a.check();
      a.stranger.forget(c);
      if (HasFatalFailure()) FAIL() << "frame type " << type << " of " << body.size() << " bytes";
    }
  }
  a.run_for(30s);
  a.check();
  EXPECT_GT(a.out.size(), 5u) << "else nothing was answered";
}

TEST(Amplification, EveryFirstByteAndSizeIsAnsweredByNoMoreThanCame) {
  Amplifier a(71);
  for (const auto t : {encryption::MessageType::response, encryption::MessageType::cookie_reply, encryption::MessageType::transport})
    EXPECT_NE(tried_by(t), nullptr);
  for (unsigned first = 0; first < 256; first++) {
    for (const size_t size : {1, 4, 16, 20, 28, 32, 48, 64, 92, 148, 150, 192, 1232}) {
      Buffer d(size);
      a.rng().fill(d);
      d[0] = static_cast<uint8_t>(first);
      if (first <= 4 && size >= 4) d[1] = d[2] = d[3] = 0;
      a.send(d);
      a.send(size >= 32 && size <= 1232 ? a.masked(*a.relay, d) : d);
    }
    a.run_for(20ms);
    a.check();
    if (testing::Test::HasFatalFailure()) FAIL() << "first byte " << first;
  }
}

// The other sockets that a node may have: for its own calls, HTTPS, and a client's, for its user's phones.
TEST(Amplification, EverySocketAnswersNoMoreThanCame) {
  Amplifier a(73);
  a.relay->config.relay->introducer = true;
  a.restart(*a.relay);
  a.publish();
  const KeyPair phone = crypto::x25519_generate(a.rng());
  a.command(a.client(), [&](Node& n, Effects& fx) { ASSERT_TRUE(n.add_phone(a.now, {phone.pub, {}}, fx).ok()); });
  PacketPool pool;
  encryption::Tunnels app(phone, {}, ShardId{0}, pool, a.rng());
  encryption::ConfiguredPeer peer;
  peer.key = a.client().config.wireguard.pub;
  peer.route = Route::udp(SocketId{0}, a.listens(a.client()), kPlain);
  peer.mtu = kPhoneMtu;
  const PeerRef ref = *app.add_configured(a.now.mono, peer);
  TestWorld::Host* const relay = a.relay;
  const auto counted = a.sends;
  for (const auto& [who, at] : {std::pair{relay, kListenSocket}, {relay, SocketId{254}}, {relay, kEgressSocket}, {&a.client(), kPhoneSocket}, {&a.client(), kEgressSocket}}) {
    a.relay = who;
    size_t answered = 0;
    a.sends = [&, at = at](const TestWorld::Host& h, const Datagram& d) {
      answered += &h == a.relay && d.socket == at && Amplifier::is_victim(d.remote.address);
      counted(h, d);
    };
    for (unsigned first = 0; first < 256; first++) {
      for (const size_t size : {1, 20, 32, 64, 92, 148, 192, 1232}) {
        Buffer d(size);
        a.rng().fill(d);
        d[0] = static_cast<uint8_t>(first);
        if (first <= 4 && size >= 4) d[1] = d[2] = d[3] = 0;
        a.send(d, at);
        if (size >= 32) a.send(a.masked(*a.relay, d), at);
      }
      // A call of a stranger, and of the phone: whoever has heard one can send it from anywhere.
      const auto c = a.stranger.call(a.now, *a.relay);
      a.send(a.masked(*a.relay, a.stranger.datagram(c, {}, a.rng().below(1200))), at);
      a.stranger.forget(c);
      const auto called = app.start_handshake(a.now, ref);
      for (int i = 0; called.ok() && i < 2; i++) a.send(called->message, at);
      // A punch of an introduction that nobody made.
      discovery::PunchMessage m{first % 2 == 0 ? discovery::PunchMessage::Kind::probe : discovery::PunchMessage::Kind::answer};
      a.rng().fill(m.nonce), a.rng().fill(m.mac);
      m.from = a.id_of(*a.helper);
      a.send(a.masked(*a.relay, discovery::write_punch(m)), at);
      a.send(discovery::write_punch(m), at);
      a.run_for(20ms);
      a.check();
      if (testing::Test::HasFatalFailure()) FAIL() << "socket " << int{at.value} << " first byte " << first;
    }
    a.run_for(10s);
    a.check();
    EXPECT_GT(answered, 0u) << "what answers at socket " << int{at.value};  // a handshake, at whatever socket it comes in
  }
}

TEST(Amplification, EveryTypeOfStunIsAnsweredByNoMoreThanCame) {
  Amplifier a(72);
  EXPECT_NE(tried_by(discovery::stun::Kind::request), nullptr);
  const uint64_t before = a.relay->node->stun()->counters().answered;
  // Attributes of ours and of RFC 5389, 5766 and 5780.
  const uint16_t attributes[] = {0, 0x0001, 0x0003, 0x0006, 0x0008, 0x0009, 0x0012, 0x0014, 0x0015, 0x0020, 0x0025, 0x0026, 0x0027, 0x8022, 0x8028, 0xc0f0, 0xc0f1, 0xc0f2};
  for (unsigned method = 0; method < 16; method++) {
    for (unsigned kind = 0; kind < 4; kind++) {
      for (const uint16_t attribute : attributes) {
        const size_t body = attribute == 0 ? 0 : attribute == 0xc0f0 ? 24 : 4 + 20 + 4 * a.rng().below(60);
        Buffer d(20 + body);
        a.rng().fill(d);
        store_be16(&d[0], static_cast<uint16_t>((method & 0xf) | (kind & 1) << 4 | (kind & 2) << 7));
        store_be16(&d[2], static_cast<uint16_t>(body));
        store_be32(&d[4], 0x2112a442);
        if (attribute != 0) {
          store_be16(&d[20], attribute);
          store_be16(&d[22], static_cast<uint16_t>(body - 4));
          if (attribute == 0x0003) store_be32(&d[24], static_cast<uint32_t>(a.rng().below(8)));
          if (attribute == 0xc0f0) std::copy_n(a.id_of(*a.helper).bytes.begin(), 20, &d[24]);
        }
        a.send(d);
        d.resize(std::max<size_t>(d.size(), (attribute == 0xc0f0 ? 192 : 32) + a.rng().below(200)));
        a.send(a.masked(*a.relay, d));
        a.run_for(150ms);
        a.check();
        if (testing::Test::HasFatalFailure()) FAIL() << "method " << method << " class " << kind << " attribute " << attribute;
      }
    }
  }
  EXPECT_GT(a.relay->node->stun()->counters().answered, before + 5) << "else nothing was tried";
  EXPECT_FALSE(a.called.empty()) << "nobody was called back";
}

}  // namespace
}  // namespace macrovpn::node
