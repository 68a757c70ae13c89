// Records, places, holders and askers of the one-hop DHT.
#include <gtest/gtest.h>

#include <set>

#include "core/discovery/dht_lookup.h"
#include "core/discovery/dht_store.h"

namespace macrovpn::discovery {
namespace {

class DhtTest : public ::testing::Test {
 protected:
  DhtTest() : relays_(network_), places_(network_) { network_.id = {{1, 2, 3, 4, 5, 6, 7, 8}}; }
  void many(size_t n) {
    relays_ = RelaySet(network_);
    places_ = DhtPlaces(network_);
    for (size_t i = 0; i < n; i++) add_relay(crypto::ed25519_generate(rng_).pub);
  }
  PeerId add_relay(const IdentityKey& identity) {
    auto e = std::make_shared<RelayEntry>();
    e->id = peer_id_of(identity);
    e->short_id = short_id_of(e->id);
    e->rank = rng_.u64();
    e->expiry = now_.wall + std::chrono::hours(30);
    e->home = IpAddress::v4(0x0a000001 + (static_cast<uint32_t>(relays_.size()) << 12));
    SetChanges changes;
    EXPECT_EQ(relays_.insert(e, changes), Inserted::added);
    places_.apply(changes);
    return e->id;
  }
  DhtSlot slot(const crypto::SigningKey& owner, std::string_view name = "a") const {
    return {0, owner.pub, dht_name(network_.id, name), dht_day(now_.wall)};
  }
  std::vector<uint8_t> record(const crypto::SigningKey& owner, uint64_t seq, std::string_view name = "a", Duration life = std::chrono::hours(20)) {
    return sign_dht_record({slot(owner, name), seq, now_.wall + life, {1, 2, static_cast<uint8_t>(seq)}}, network_.id, owner);
  }
  // A store that is asked to keep everything.
  DhtStore anywhere() {
    many(kHolders);
    return {network_, relays_.all()[0]->id};
  }
  DhtPut put(DhtStore& s, Bytes r) { return s.put(now_.wall, r, places_, relays_); }
  void pass(Duration d) { now_ = {now_.mono + d, now_.wall + d}; }

  SeededRng rng_{3};
  Network network_;
  Now now_{Mono(std::chrono::hours(1)), wall_from_unix(1'800'000'000)};
  RelaySet relays_;
  DhtPlaces places_;
  crypto::SigningKey owner_ = crypto::ed25519_generate(rng_), other_ = crypto::ed25519_generate(rng_);
};

using DhtRecords = DhtTest;
using DhtPlacesTest = DhtTest;
using DhtStoreTest = DhtTest;
using DhtAsking = DhtTest;

TEST_F(DhtRecords, HaveTheLayoutOfTheProtocolPage) {
  const auto bytes = record(owner_, 0x0102, "x");
  ASSERT_EQ(bytes.size(), kDhtRecordOverhead + 3);
  EXPECT_EQ(bytes[0], 1);
  EXPECT_TRUE(std::equal(owner_.pub.bytes.begin(), owner_.pub.bytes.end(), bytes.begin() + 2));
  EXPECT_EQ(load_le32(bytes.data() + 50), dht_day(now_.wall));
  EXPECT_EQ(load_le64(bytes.data() + 54), 0x0102u);
  EXPECT_EQ(load_le16(bytes.data() + 66), 3);
  const auto opened = open_dht_record(bytes, network_.id);
  ASSERT_TRUE(opened);
  EXPECT_EQ(opened->slot, slot(owner_, "x"));
  EXPECT_EQ(opened->value, (std::vector<uint8_t>{1, 2, 2}));
}

TEST_F(DhtRecords, AreTheirOwnersAndOfTheirNetworkToTheLastBit) {
  const auto bytes = record(owner_, 7);
  for (size_t i = 0; i < bytes.size() * 8; i++) {
    auto bent = bytes;
    bent[i / 8] = static_cast<uint8_t>(bent[i / 8] ^ 1u << i % 8);
    EXPECT_FALSE(open_dht_record(bent, network_.id)) << i;
  }
  EXPECT_FALSE(open_dht_record(bytes, NetworkId{{9}}));
  EXPECT_FALSE(open_dht_record(Bytes(bytes).first(bytes.size() - 1), network_.id));
  std::vector<uint8_t> longer = bytes;
  longer.push_back(0);
  EXPECT_FALSE(open_dht_record(longer, network_.id));
}

TEST_F(DhtRecords, KeysDifferByOwnerServiceNameDayAndNetwork) {
  std::set<DhtKey> keys;
  const DhtSlot s = slot(owner_);
  DhtSlot service = s, name = s, day = s, owner = s;
  service.service = 1;
  name.name = dht_name(network_.id, "b");
  day.day++;
  owner.owner = other_.pub;
  for (const DhtSlot& k : {s, service, name, day, owner}) keys.insert(dht_key(network_.id, k));
  keys.insert(dht_key(NetworkId{{9}}, s));
  EXPECT_EQ(keys.size(), 6u);
}

TEST_F(DhtRecords, AreTimelyForADayAtMost) {
  const auto timely = [&](Duration expires_in, int days) {
    DhtRecord r{slot(owner_), 1, now_.wall + expires_in, {}};
    r.slot.day = static_cast<uint32_t>(static_cast<int>(r.slot.day) + days);
    return is_timely(r, now_.wall);
  };
  EXPECT_TRUE(timely(std::chrono::hours(24), 0));
  EXPECT_TRUE(timely(1s, -1));
  EXPECT_FALSE(timely(Duration(0), 0));
  EXPECT_FALSE(timely(std::chrono::hours(25), 0));
  EXPECT_FALSE(timely(1s, -2));
  EXPECT_FALSE(timely(1s, 1)) << "it is 8 in the morning";
  now_.wall = wall_from_unix((int64_t{dht_day(now_.wall)} + 1) * 86'400 - 1800);
  EXPECT_TRUE(timely(std::chrono::hours(20), 1));
}

TEST_F(DhtPlacesTest, AreTheClosestByANaiveCount) {
  many(300);
  for (int i = 0; i < 50; i++) {
    const DhtKey key{rng_.bytes<32>()};
    std::vector<std::pair<uint64_t, PeerId>> all;
    for (const EntryPtr& e : relays_.all()) all.emplace_back(dht_place(network_.id, e->id, e->rank) ^ load_be64(key.bytes.data()), e->id);
    std::sort(all.begin(), all.end());
    const auto first = places_.closest(key), then = places_.closest(key, kHolders, kHolders);
    ASSERT_EQ(first.size(), kHolders);
    for (size_t k = 0; k < kHolders; k++) {
      EXPECT_EQ(first[k], all[k].second);
      EXPECT_EQ(then[k], all[k + kHolders].second);
    }
  }
  SetChanges changes;
  relays_.expire(now_.wall + std::chrono::hours(40), changes);
  places_.apply(changes);
  EXPECT_EQ(places_.size(), 0u);
  EXPECT_TRUE(places_.closest({}).empty());
}

TEST_F(DhtStoreTest, KeepsTheNewestOfAKey) {
  DhtStore s = anywhere();
  EXPECT_EQ(put(s, record(owner_, 5)), DhtPut::stored);
  EXPECT_EQ(put(s, record(owner_, 5)), DhtPut::stored) << "it is there";
  EXPECT_EQ(put(s, record(owner_, 4)), DhtPut::older);
  EXPECT_EQ(put(s, record(owner_, 6)), DhtPut::stored);
  const auto held = s.get(now_.wall, dht_key(network_.id, slot(owner_)));
  EXPECT_EQ(open_dht_record(held, network_.id)->seq, 6u);
  EXPECT_EQ(s.size(), 1u);
  const DhtKey key = dht_key(network_.id, slot(owner_));  // of that day
  pass(std::chrono::hours(19));
  EXPECT_FALSE(s.get(now_.wall, key).empty());
  pass(std::chrono::hours(2));
  EXPECT_TRUE(s.get(now_.wall, key).empty());
  s.expire(now_.wall);
  EXPECT_EQ(s.size(), 0u);
  s.check_invariants();
}

TEST_F(DhtStoreTest, RefusesForgeriesAndWhatLivesTooLong) {
  DhtStore s = anywhere();
  auto forged = record(owner_, 5);
  forged[100] ^= 1;
  EXPECT_EQ(put(s, forged), DhtPut::bad);
  EXPECT_EQ(put(s, record(owner_, 5, "a", std::chrono::hours(26))), DhtPut::bad);
  EXPECT_EQ(put(s, record(owner_, 5, "a", -1s)), DhtPut::bad);
  EXPECT_EQ(s.size(), 0u);
}

TEST_F(DhtStoreTest, KeepsOnlyWhatItIsCloseTo) {
  many(200);
  const auto near = places_.closest(dht_key(network_.id, slot(owner_)), 200);
  for (size_t i = 0; i < near.size(); i++) {
    DhtStore s(network_, near[i]);
    EXPECT_EQ(put(s, record(owner_, 1)), i < kMaxDhtRank ? DhtPut::stored : DhtPut::not_ours) << i;
  }
}

TEST_F(DhtStoreTest, HoldsSixtyFourOfAnOwner) {
  DhtStore s = anywhere();
  for (size_t i = 0; i < kMaxDhtOfOwner; i++) EXPECT_EQ(put(s, record(owner_, 1, std::to_string(i))), DhtPut::stored);
  EXPECT_EQ(put(s, record(owner_, 1, "one more")), DhtPut::full);
  EXPECT_EQ(put(s, record(owner_, 2, "3")), DhtPut::stored) << "a newer one of a key that is there";
  EXPECT_EQ(put(s, record(other_, 1)), DhtPut::stored);
  s.check_invariants();
}

TEST_F(DhtStoreTest, StrangersCannotCrowdRelaysOut) {
  DhtStore s = anywhere();
  crypto::SigningKey key = crypto::ed25519_generate(rng_);
  for (size_t i = 0; i < kMaxDhtOfStrangers; i++) {
    if (i % kMaxDhtOfOwner == 0) key = crypto::ed25519_generate(rng_);
    ASSERT_EQ(put(s, record(key, 1, std::to_string(i))), DhtPut::stored);
  }
  EXPECT_EQ(put(s, record(owner_, 1)), DhtPut::full);
  add_relay(other_.pub);
  EXPECT_EQ(put(s, record(other_, 1)), DhtPut::stored);
  EXPECT_EQ(s.size(), kMaxDhtOfStrangers + 1);
  s.check_invariants();
}

TEST_F(DhtStoreTest, IsFullAndThenStrangersGiveWayToRelays) {
  DhtStore s = anywhere();
  const DhtPlaces places = places_;
  const auto fill = [&](size_t from, size_t to) {
    crypto::SigningKey relay = owner_;
    for (size_t i = from; i < to; i++) {
      if (i % kMaxDhtOfOwner == 0 || i == from) {
        relay = crypto::ed25519_generate(rng_);
        add_relay(relay.pub);
        places_ = places;  // the store stays one of the closest
      }
      ASSERT_EQ(put(s, record(relay, 1, std::to_string(i))), DhtPut::stored) << i;
    }
  };
  EXPECT_EQ(put(s, record(other_, 1, "short", std::chrono::hours(1))), DhtPut::stored);
  EXPECT_EQ(put(s, record(other_, 1, "long")), DhtPut::stored);
  fill(0, kMaxDhtRecords - 2);
  EXPECT_EQ(s.size(), kMaxDhtRecords);
  EXPECT_EQ(put(s, record(owner_, 1)), DhtPut::full) << "a stranger's";
  fill(0, 1);
  EXPECT_EQ(s.size(), kMaxDhtRecords);
  EXPECT_TRUE(s.get(now_.wall, dht_key(network_.id, slot(other_, "short"))).empty()) << "that expires first";
  EXPECT_FALSE(s.get(now_.wall, dht_key(network_.id, slot(other_, "long"))).empty());
  fill(0, 1);
  const auto late = crypto::ed25519_generate(rng_);
  add_relay(late.pub);
  places_ = places;
  EXPECT_EQ(put(s, record(late, 1)), DhtPut::full);
  s.check_invariants();
}

// Relays of a test network: their stores answer at once.
struct Holders {
  std::map<PeerId, DhtStore> stores;
  std::set<PeerId> silent;
};

TEST_F(DhtAsking, PutThenGetAcrossHolders) {
  many(100);
  Holders h;
  for (const EntryPtr& e : relays_.all()) h.stores.emplace(e->id, DhtStore(network_, e->id));
  const auto carry = [&](auto& op, DhtOut& out, auto&& give) {
    while (!out.asks.empty()) {
      DhtOut more;
      for (const DhtAsk& a : std::exchange(out.asks, {})) {
        if (h.silent.contains(a.relay)) continue;
        const auto answer = h.stores.at(a.relay).on_request(now_.wall, a.kind, a.body, places_, relays_);
        if (answer) give(op, a.relay, *answer, more);
      }
      out = std::move(more);
    }
  };
  const auto found = [&](DhtGet& g, const PeerId& r, Bytes b, DhtOut& o) { g.on_found(now_, r, b, places_, o); };
  const auto stored = [&](DhtPutOperation& p, const PeerId& r, Bytes b, DhtOut& o) { p.on_stored(now_, r, b, places_, o); };
  DhtPutOperation put(record(owner_, 3), dht_key(network_.id, slot(owner_)), 1);
  DhtOut out;
  put.start(now_, places_, out);
  EXPECT_EQ(out.asks.size(), kHolders);
  carry(put, out, stored);
  EXPECT_TRUE(put.is_done() && put.succeeded());
  EXPECT_EQ(put.stored(), kHolders);
  DhtGet get(network_, DhtService::diagnosis, owner_.pub, dht_name(network_.id, "a"), 7);
  get.start(now_, places_, out);
  carry(get, out, found);
  ASSERT_TRUE(get.is_done() && get.result());
  EXPECT_EQ(get.result()->seq, 3u);
  // Nobody answers: the next twelve and yesterday's key, then it ends.
  for (const EntryPtr& e : relays_.all()) h.silent.insert(e->id);
  DhtGet nobody(network_, DhtService::diagnosis, owner_.pub, dht_name(network_.id, "a"), 9);
  nobody.start(now_, places_, out);
  carry(nobody, out, found);
  EXPECT_FALSE(nobody.is_done());
  for (int i = 0; i < 2; i++) {
    pass(kDhtWave);
    nobody.on_deadline(now_, places_, out);
    carry(nobody, out, found);
  }
  EXPECT_TRUE(nobody.is_done());
  EXPECT_FALSE(nobody.result());
  EXPECT_EQ(nobody.asked(), 3 * kHolders);
}

TEST_F(DhtAsking, ForgedForeignAndOldAnswersLose) {
  many(40);
  DhtGet get(network_, DhtService::diagnosis, owner_.pub, dht_name(network_.id, "a"), 7);
  DhtOut out;
  get.start(now_, places_, out);
  ASSERT_EQ(out.asks.size(), kHolders);
  const auto answer = [&](size_t i, const std::vector<uint8_t>& r, uint32_t number = 7) {
    get.on_found(now_, out.asks[i].relay, encode_dht_found(number, r), places_, out);
  };
  auto forged = record(owner_, 99);
  forged.back() ^= 1;
  answer(0, forged);
  answer(1, record(other_, 99));
  answer(2, record(owner_, 99, "another name"));
  answer(3, record(owner_, 2));
  answer(4, record(owner_, 1));
  answer(5, {});
  answer(6, record(owner_, 50), 1234);  // not a number of ours
  answer(3, record(owner_, 60));        // a second answer
  answer(7, record(owner_, 70, "a", -1s));
  for (size_t i = 8; i < kHolders; i++) get.on_failed(now_, out.asks[i].relay, places_, out);
  EXPECT_FALSE(get.is_done()) << "one has not answered";
  pass(kDhtWave);
  get.on_deadline(now_, places_, out);
  ASSERT_TRUE(get.is_done() && get.result());
  EXPECT_EQ(get.result()->seq, 2u);
}

TEST_F(DhtAsking, APutGoesOnWhenFewStore) {
  many(60);
  DhtPutOperation put(record(owner_, 3), dht_key(network_.id, slot(owner_)), 1);
  DhtOut out;
  put.start(now_, places_, out);
  const auto first = std::exchange(out.asks, {});
  for (size_t i = 0; i < first.size(); i++) {
    put.on_stored(now_, first[i].relay, encode_dht_stored(1, i < 5 ? DhtPut::stored : DhtPut::full), places_, out);
  }
  EXPECT_EQ(out.asks.size(), kHolders) << "five are one too few";
  put.on_stored(now_, first[0].relay, encode_dht_stored(1, DhtPut::stored), places_, out);  // a second answer
  put.on_stored(now_, out.asks[1].relay, encode_dht_stored(2, DhtPut::stored), places_, out);  // to somebody else's question
  put.on_stored(now_, PeerId{}, encode_dht_stored(1, DhtPut::stored), places_, out);  // was not asked
  EXPECT_FALSE(put.succeeded());
  put.on_stored(now_, out.asks[0].relay, encode_dht_stored(1, DhtPut::stored), places_, out);
  EXPECT_TRUE(put.succeeded());
}

TEST_F(DhtAsking, InASmallNetworkHalfOfItIsEnough) {
  many(5);
  for (const size_t stored : {2u, 3u}) {
    DhtPutOperation put(record(owner_, 3), dht_key(network_.id, slot(owner_)), 1);
    DhtOut out;
    put.start(now_, places_, out);
    ASSERT_EQ(out.asks.size(), 5u);
    for (size_t i = 0; i < 5; i++) put.on_stored(now_, out.asks[i].relay, encode_dht_stored(1, i < stored ? DhtPut::stored : DhtPut::older), places_, out);
    EXPECT_TRUE(put.is_done());
    EXPECT_EQ(put.succeeded(), stored == 3);
    EXPECT_EQ(put.older(), 5 - stored);
    EXPECT_EQ(put.lacking().size(), 5 - stored);
  }
}

TEST_F(DhtAsking, APutForSomeAsksNobodyElse) {
  many(60);
  const auto near = places_.closest(dht_key(network_.id, slot(owner_)));
  DhtPutOperation put(record(owner_, 3), dht_key(network_.id, slot(owner_)), 1, {near[3], near[7]});
  DhtOut out;
  put.start(now_, places_, out);
  ASSERT_EQ(out.asks.size(), 2u);
  put.on_failed(now_, near[3], places_, out);
  put.on_stored(now_, near[7], encode_dht_stored(1, DhtPut::stored), places_, out);
  EXPECT_TRUE(put.is_done());
  EXPECT_EQ(out.asks.size(), 2u);
}

TEST_F(DhtAsking, AKeeperEndsWithWhatItKeepsAndTriesAgainWhereItMissed) {
  many(30);
  DhtKeeper keeper(network_, owner_);
  const Wall until = now_.wall + std::chrono::hours(3);
  ASSERT_TRUE(keeper.keep(DhtService::notes, dht_name(network_.id, "me"), {1}, until));
  auto due = keeper.due(now_, places_);
  ASSERT_EQ(due.size(), 1u);
  EXPECT_EQ(open_dht_record(due[0].record, network_.id)->expiry, until);
  keeper.missed(due[0].key, due[0].relays[4]);
  pass(kDhtMovesLooked);
  const auto again = keeper.due(now_, places_);
  ASSERT_EQ(again.size(), 1u);
  EXPECT_EQ(again[0].relays, std::vector<PeerId>{due[0].relays[4]});
  ASSERT_TRUE(keeper.keep(DhtService::notes, dht_name(network_.id, "me"), {1}, until));
  EXPECT_EQ(keeper.due(now_, places_).at(0).relays.size(), kHolders) << "said anew, told anew";
  for (size_t i = 1; i < kMaxDhtKept; i++) EXPECT_TRUE(keeper.keep(DhtService::notes, dht_name(network_.id, std::to_string(i)), {1}, until));
  EXPECT_FALSE(keeper.keep(DhtService::notes, dht_name(network_.id, "one more"), {1}, until));
  pass(std::chrono::hours(3));
  EXPECT_TRUE(keeper.due(now_, places_).empty());
  EXPECT_EQ(keeper.size(), 0u);
}

TEST_F(DhtPlacesTest, ResetIsAsIfEachHadCome) {
  many(100);
  DhtPlaces at_once(network_);
  at_once.add(*relays_.all()[3]);
  at_once.reset(relays_.all());
  EXPECT_EQ(at_once.size(), places_.size());
  for (int i = 0; i < 20; i++) {
    const DhtKey key{rng_.bytes<32>()};
    EXPECT_EQ(at_once.closest(key), places_.closest(key));
  }
}

TEST_F(DhtAsking, AKeeperTellsNewHoldersAndTomorrowsKey) {
  many(30);
  DhtKeeper keeper(network_, owner_);
  ASSERT_TRUE(keeper.keep(DhtService::introducers, dht_name(network_.id, "me"), {1, 2, 3}));
  EXPECT_FALSE(keeper.keep(DhtService::introducers, dht_name(network_.id, "me"), std::vector<uint8_t>(kMaxDhtValue + 1)));
  auto due = keeper.due(now_, places_);
  ASSERT_EQ(due.size(), 1u);
  EXPECT_EQ(due[0].relays.size(), kHolders);
  const auto first = open_dht_record(due[0].record, network_.id);
  ASSERT_TRUE(first && is_timely(*first, now_.wall));
  pass(kDhtMovesLooked);
  EXPECT_TRUE(keeper.due(now_, places_).empty()) << "nothing moved";
  for (int i = 0; i < 60; i++) add_relay(crypto::ed25519_generate(rng_).pub);
  pass(kDhtMovesLooked);
  due = keeper.due(now_, places_);
  ASSERT_EQ(due.size(), 1u);
  EXPECT_LT(due[0].relays.size(), kHolders);
  EXPECT_GT(open_dht_record(due[0].record, network_.id)->seq, first->seq);
  now_.wall = wall_from_unix((int64_t{dht_day(now_.wall)} + 1) * 86'400 - 1800);
  pass(kDhtMovesLooked);
  due = keeper.due(now_, places_);
  ASSERT_EQ(due.size(), 1u) << "tomorrow's key";
  EXPECT_EQ(open_dht_record(due[0].record, network_.id)->slot.day, dht_day(now_.wall) + 1);
}

TEST(DhtMessages, AreReadAsTheyWereWritten) {
  const std::vector<uint8_t> record(200, 9);
  const auto put = parse_dht_request(DhtKind::put, encode_dht_put(3, record));
  ASSERT_TRUE(put);
  EXPECT_EQ(put->record.size(), 200u);
  DhtKey key;
  key.bytes[5] = 7;
  EXPECT_EQ(parse_dht_request(DhtKind::get, encode_dht_get(4, key))->key, key);
  EXPECT_EQ(parse_dht_answer(DhtKind::stored, encode_dht_stored(4, DhtPut::not_ours))->outcome, DhtPut::not_ours);
  EXPECT_TRUE(parse_dht_answer(DhtKind::found, encode_dht_found(4, {}))->record.empty());
  for (size_t n = 0; n < 4; n++) {
    const std::vector<uint8_t> cut(n);
    for (const DhtKind k : {DhtKind::put, DhtKind::get}) EXPECT_FALSE(parse_dht_request(k, cut));
    for (const DhtKind k : {DhtKind::stored, DhtKind::found}) EXPECT_FALSE(parse_dht_answer(k, cut));
  }
  EXPECT_FALSE(parse_dht_answer(DhtKind::stored, std::vector<uint8_t>{0, 0, 0, 0, 5}));
  EXPECT_FALSE(parse_dht_request(DhtKind::put, std::vector<uint8_t>(4 + kMaxDhtRecord + 1)));
}

}  // namespace
}  // namespace macrovpn::discovery
