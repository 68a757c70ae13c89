// Seeds for what reads descriptors, records, stored directories, STUN and routers' answers, and a relay's frames.
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "core/discovery/descriptor.h"
#include "core/discovery/details.h"
#include "core/discovery/dht_message.h"
#include "core/discovery/liveness_map.h"
#include "core/discovery/measured.h"
#include "core/discovery/port_control.h"
#include "core/discovery/stun.h"
#include "core/discovery/sync_message.h"
#include "core/routing/frames.h"
#include "core/routing/introduction_frames.h"
#include "crypto/x25519.h"
#include "shell/region/mmdb_writer_test.h"
#include "shell/store/directory_store.h"
#include "write_seeds.h"

namespace macrovpn::seeds {
namespace {

// First byte: the kind of message; the owner, network and time are those of fuzz_dht.cpp.
void records() {
  using namespace discovery;
  const Wall wall = wall_from_unix(1'800'000'000);
  const NetworkId network{{1, 2, 3, 4, 5, 6, 7, 8}};
  const crypto::SigningKey owner = crypto::ed25519_from_seed({});
  const auto record = [&](const char* name, int days, size_t size) {
    const DhtSlot slot{static_cast<uint8_t>(DhtService::notes), owner.pub, dht_name(network, name), dht_day(wall) - static_cast<uint32_t>(days)};
    return sign_dht_record({slot, 5, wall + std::chrono::hours(20), Buffer(size, 'x')}, network, owner);
  };
  const auto message = [](DhtKind kind, const Buffer& body) {
    Buffer out{static_cast<uint8_t>(kind)};
    out.insert(out.end(), body.begin(), body.end());
    return out;
  };
  put("fuzz_dht", "put", message(DhtKind::put, encode_dht_put(3, record("a", 0, 40))));
  put("fuzz_dht", "put_largest", message(DhtKind::put, encode_dht_put(3, record("a", 0, kMaxDhtValue))));
  put("fuzz_dht", "put_empty", message(DhtKind::put, encode_dht_put(3, record("a", 0, 0))));
  put("fuzz_dht", "put_late", message(DhtKind::put, encode_dht_put(3, record("a", 2, 40))));
  put("fuzz_dht", "get", message(DhtKind::get, encode_dht_get(4, {})));
  for (unsigned outcome = 0; outcome < 6; outcome++)
    put("fuzz_dht", "stored_" + std::to_string(outcome), message(DhtKind::stored, encode_dht_stored(7, DhtPut{static_cast<uint8_t>(outcome)})));
  put("fuzz_dht", "found", message(DhtKind::found, encode_dht_found(7, record("a", 0, 40))));
  put("fuzz_dht", "found_other", message(DhtKind::found, encode_dht_found(7, record("b", 0, 40))));
  put("fuzz_dht", "found_yesterday", message(DhtKind::found, encode_dht_found(8, record("a", 1, 40))));
  put("fuzz_dht", "found_none", message(DhtKind::found, encode_dht_found(7, {})));
}

void descriptors() {
  const auto key = crypto::ed25519_generate(rng), family = crypto::ed25519_generate(rng);
  RelayInfo r = relay();
  const auto id = discovery::peer_id_of(key.pub);
  put("fuzz_descriptor", "renewal", discovery::sign_descriptor(r, {}, key, kWall));
  put("fuzz_descriptor", "family",
      discovery::sign_descriptor(r, {}, key, kWall, discovery::sign_family(family, id, {})));
  r.prekey = {};
  r.endpoints.resize(1);
  put("fuzz_descriptor", "plain", discovery::sign_descriptor(r, {}, key, kWall));
  put("fuzz_descriptor", "expired", discovery::sign_descriptor(r, {}, key, kWall - std::chrono::hours(50)));
}

void stun_and_ports() {
  namespace stun = discovery::stun;
  namespace pc = discovery::port_control;
  const stun::TransactionId id{1};
  const Endpoint four = *Endpoint::parse("192.0.2.7:51820"), six = *Endpoint::parse("[2001:db8::7]:443");
  put("fuzz_stun", "request", stun::write_request(id, {stun::From::other_port, PeerId{{9}}}));
  put("fuzz_stun", "padded", stun::write_padded_request(id, 48));
  put("fuzz_stun", "answer-4", stun::write_answer(id, four));
  put("fuzz_stun", "answer-6", stun::write_answer(id, six, stun::Called::yes));
  put("fuzz_stun", "indication", stun::write_indication(id, four, PeerId{{9}}, 77));
  // Each message behind its length; 235: until the next deadline.
  Buffer nat_pmp{8, 0, 0x81, 0, 1, 0, 0, 0, 100, 12, 0, 0x80, 0, 0, 0, 0, 0, 100, 203, 0, 113, 10};
  Writer(nat_pmp).bytes(Bytes(*from_hex("100081000000000064ca6cca6d00000e10"))).u8(235).u8(235);
  put("fuzz_port_control", "nat-pmp", nat_pmp);
  Buffer pcp{60};
  Writer(pcp).bytes(*from_hex("0281000000000e1000000064000000000000000000000000" "000000000000000000000000"
                              "11000000ca6cca6d00000000000000000000ffffcb00710a"))
      .u8(235).u8(24).bytes(*from_hex("028000000000000000000001000000000000000000000000"));
  put("fuzz_port_control", "pcp", pcp);
  put("fuzz_port_control", "upnp", Buffer{235, 235, 235, 235, 235, 235, 235, 240, 235});
}

// What a directory, its file and a country database hold.
void stored() {
  const Wall now = wall_from_unix(1'800'000'000);
  Network network;
  network.id = {{1, 2, 3, 4, 5, 6, 7, 8}};
  std::string scratch = "/tmp/macrovpn-seeds-XXXXXX";
  MV_ASSERT(mkdtemp(scratch.data()) != nullptr);
  const auto file_of = [&](const std::string& name) {
    std::ifstream in(scratch + "/" + name, std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(in), {});
  };
  discovery::SetChanges come;
  Buffer one;
  for (int n = 0; n < 3; n++) {
    const auto key = crypto::ed25519_generate(rng);
    RelayInfo r = relay();
    r.created = now - 100h;
    one = discovery::sign_descriptor(r, network.id, key, now - 1h);
    come.come.push_back(discovery::make_entry(*discovery::open_descriptor(one, network.id), network));
  }
  for (const bool full : {false, true}) {
    const std::string name = full ? "three" : "empty";
    {
      shell::DirectoryStore store(scratch + "/" + name, network, [](const std::string&) {});
      store.load(now);
      if (full) store.apply(come, now);
      store.synced(2, [](discovery::ShortId) { return true; }, now);
      MV_ASSERT(store.put_own(PeerId{}, {now, WorkProof{1, 2, 3}}));
    }
    put("fuzz_directory_store", name, file_of(name));
  }
  const auto row = [](uint8_t where, uint8_t kind, const Buffer& value) {
    Buffer out{where, kind};
    Writer(out).le16(static_cast<uint16_t>(value.size())).bytes(value);
    return out;
  };
  put("fuzz_directory_rows", "descriptor", row(1, 0, one));
  put("fuzz_directory_rows", "second", row(2, 0, one));
  put("fuzz_directory_rows", "short-id", row(0, 0, Buffer(19)));
  put("fuzz_directory_rows", "number", row(7, 2, Buffer(8, 0xff)));
  put("fuzz_directory_rows", "schema", row(11 + 36, 2, Buffer{3, 0, 0, 0, 0, 0, 0, 0}));
  put("fuzz_directory_rows", "own", row(10, 1, Buffer(18, 'w')));
  for (const auto form : {shell::MmdbWriter::Form::flat, shell::MmdbWriter::Form::nested}) {
    shell::MmdbWriter w(form);
    w.add(*IpPrefix::parse("192.0.2.0/24"), "NO");
    w.add(*IpPrefix::parse("2001:db8::/32"), "SE");
    const std::string name = form == shell::MmdbWriter::Form::flat ? "flat" : "nested";
    w.write(scratch + "/" + name);
    put("fuzz_country_database", name, file_of(name));
  }
  std::filesystem::remove_all(scratch);
}

void measured_and_dead() {
  const auto with = [](uint8_t kind, const Buffer& b) {
    Buffer out{kind};
    out.insert(out.end(), b.begin(), b.end());
    return out;
  };
  Buffer values(256);
  for (size_t i = 0; i < 256; i++) values[i] = static_cast<uint8_t>(i);
  put("fuzz_measured", "values", with(0, values));
  put("fuzz_measured", "saved", with(1, discovery::encode_measured({5, {{1, 40}, {2, 0}}, {{9, 255}}})));
  Buffer judged;
  for (uint8_t n = 0; n < 12; n++) Writer(judged).bytes(Buffer{100, 20, 1, 0, 5, 0, 80, 1, 90, 2, 0, 3, 70, 4, 60, 1, 5, 70, 30});
  put("fuzz_measured", "judged", with(2, judged));
  Buffer run{50};
  for (uint8_t n = 0; n < 60; n++) Writer(run).bytes(Buffer{0, 20, 1, n});
  Writer(run).bytes(Buffer{3, 200, 4, 9, 5, 7});
  put("fuzz_measured", "run", with(3, run));
  // Two of three said that a relay is dead; saved, and as an answer.
  discovery::LivenessMemory memory;
  const discovery::LivenessRound round = {{discovery::ShortId{7}, {3, 3}}, {discovery::ShortId{9}, {3, 1}}};
  for (int i = 0; i < 2; i++) memory.add(round, kWall);
  put("fuzz_saved_sets", "dead", memory.save());
}

void home_network() {
  const auto with = [](char kind, const std::string& text) { return std::string(1, kind) + text; };
  std::string tables = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\neth0\t00000000\t0101A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0\n";
  tables += '\0';
  tables += "IP address HW type Flags HW address Mask Device\n192.168.1.1 0x1 0x2 aa:bb:cc:dd:ee:ff * eth0\n";
  put("fuzz_home_network", "routes", with(0, tables));
  put("fuzz_home_network", "added", with(1, "added 51820 203.0.113.7\n"));
  put("fuzz_home_network", "refused", with(1, "refused 718\n"));
  put("fuzz_home_network", "memory", with(2, std::string(32 + 2 * 24, 'm')));
  put("fuzz_home_network", "probe", with(3, std::string(80, 'p')));
}

// Frames in sessions: of each type with something like a body of it.
void relay_frames() {
  const auto said = [](uint8_t op, const Buffer& frame) {
    Buffer out{op, 0, static_cast<uint8_t>(frame[0] - 0x10)};
    Writer(out).le16(static_cast<uint16_t>(frame.size() - 3)).bytes(Bytes(frame).subspan(3));
    Writer(out).u8(5).u8(100);
    return out;
  };
  using routing::FrameType;
  const auto frame = [](FrameType t, const Buffer& body) { return routing::write_frame(t, body); };
  const auto sync = [](discovery::SyncKind kind, const Buffer& body) {
    Buffer out{static_cast<uint8_t>(kind)};
    out.insert(out.end(), body.begin(), body.end());
    return out;
  };
  const std::pair<const char*, Buffer> frames[] = {
      {"have", frame(FrameType::directory, sync(discovery::SyncKind::have, discovery::encode_have(std::array{discovery::Item{{7}, 1'790'000'000}})))},
      {"dht-get", frame(FrameType::dht_get, discovery::encode_dht_get(4, {}))},
      {"dht-put", frame(FrameType::dht_put, discovery::encode_dht_put(4, Buffer(200)))},
      {"measure", routing::write_measure({1, 2, 40'960, {}})},
      {"measure-ok", routing::write_measure_ok({routing::MeasureOkFrame::Kind::yes, 0})},
      {"sample", frame(FrameType::sample, Buffer(discovery::kSampleSize))},
      {"dial", routing::write_dial({})},
      {"dialed", routing::write_dialed({})},
      {"register", routing::write_register({})},
      {"splice", routing::write_splice({})},
      {"connect", routing::write_connect({})},
      {"introduce", routing::write_introduce({})},
      {"bind", routing::write_bind(ByteArray<32>{3})},
      {"lease", routing::write_lease({.mtu = 1280})},
      {"ping", routing::write_ping(FrameType::ping, {5, 40})}};
  for (const auto& [name, f] : frames) {
    for (const uint8_t op : {0, 1}) put("fuzz_relay_frames", std::string(name) + (op == 0 ? "-up" : "-down"), said(op, f));
  }
  Buffer samples{3, 0, 0, 5, 20};
  for (int i = 0; i < 12; i++) {
    const Buffer s = said(0, frame(FrameType::sample, Buffer(discovery::kSampleSize)));
    samples.insert(samples.end(), s.begin(), s.end());
  }
  put("fuzz_relay_frames", "measured", samples);
}

}  // namespace

void discovery_seeds() {
  descriptors();
  records();
  stun_and_ports();
  stored();
  measured_and_dead();
  home_network();
  relay_frames();
}

}  // namespace macrovpn::seeds
