// Relays with a live directory, records, introductions and measuring, and a client of theirs: any frame of any type, in sessions that stand, both ways.
// Whatever is said: no invariant breaks, and what is answered is bounded.
#include "core/node/node_world_test.h"
#include "key_memory.h"

namespace macrovpn::node {
namespace {

constexpr size_t kMostSteps = 60;

struct World : TestWorld {
  explicit World(Bytes script) : script_(script) {
    live = DirectoryConfig{};
    live->measuring = DirectoryConfig::Measuring::on;
    live->measure_week = 20min;
    for (int i = 0; i < 3; i++) {
      Host& h = add_relay("r" + std::to_string(i), "20." + std::to_string(i) + ".0.1", i == 2);
      h.claim = {40'960};
      h.config.relay->introducer = i == 0;
      if (live->contacts.empty()) live->contacts.push_back(contact(h));
      restart(h);
      announce(h);
    }
    add_client("client", "192.0.2.50", {.spare_circuits = 1});
    // A guest that registers, so that there is whom to introduce.
    command(*hosts["r1"], [&](Node& n, Effects& fx) { n.set_introducers(now, {discovery::peer_id_of(hosts["r0"]->config.identity->pub)}, {}, fx); });
    run_for(3s);
    for (const char* from : {"r1", "r2"}) {
      command(*hosts[from], [&](Node& n, Effects& fx) {
        const auto link = n.links().open(now, contact(*hosts["r0"]), LinkUse::verification);
        if (link) links_.emplace_back(hosts[from].get(), *link);
        n.directory_changed(now, fx);
      });
    }
    run_for(1s);
  }

  void run() {
    for (size_t i = 0; script_.left() > 0 && i < kMostSteps; i++) {
      step();
      for (const auto& [name, h] : hosts) h->node->check_invariants();
    }
    run_for(5s);
    for (const auto& [name, h] : hosts) h->node->check_invariants();
  }

 private:
  std::vector<uint8_t> frame() {
    std::vector<uint8_t> f{static_cast<uint8_t>(0x10 + script_.u8() % 48), 0, 0};
    const Bytes body = script_.take(std::min<size_t>(script_.left(), script_.le16() % 1300));
    Writer(f).bytes(body);
    store_le16(&f[1], static_cast<uint16_t>(body.size()));
    return f;
  }
  // A MEASURE as it should be, but for what the script bends.
  std::vector<uint8_t> measure(Host& by, PeerRef in, Host& asked) {
    const uint8_t bend = script_.u8();
    const auto info = by.node->tunnels().info(in);
    if (!info) return {};
    discovery::MeasureAsk ask{network.id, discovery::peer_id_of(asked.config.identity->pub), discovery::measure_week_of(now.wall, 20min), {40'960}, info->handshake_hash};
    if ((bend & 1) != 0) ask.week++;
    if ((bend & 2) != 0) ask.rate = {uint64_t{bend} << 20};
    const auto signature = discovery::sign_measure(*by.config.identity, ask);
    return routing::write_measure({discovery::short_id_of(discovery::peer_id_of(by.config.identity->pub)).value, static_cast<uint16_t>(ask.week),
                                   static_cast<uint32_t>(ask.rate.bytes_per_second), signature});
  }
  void step() {
    const uint8_t op = script_.u8(), which = script_.u8();
    if (links_.empty()) return;
    const auto& [by, link] = links_[which % links_.size()];
    Host& r0 = *hosts["r0"];
    switch (op % 6) {
      case 0:
        return send_frame(*by, link, frame());
      case 1: {  // whoever calls r0 hears it
        const auto peers = r0.node->tunnels().peers();
        if (!peers.empty()) send_frame(r0, peers[which % peers.size()], frame());
        return;
      }
      case 2: {  // the client says it
        const auto peers = hosts["client"]->node->tunnels().peers();
        if (!peers.empty()) send_frame(*hosts["client"], peers[which % peers.size()], frame());
        return;
      }
      case 3: {
        const auto f = measure(*by, link, r0);
        if (!f.empty()) send_frame(*by, link, f);
        return;
      }
      case 4: {  // several frames in one payload, or half of one
        auto f = frame();
        const auto more = frame();
        f.insert(f.end(), more.begin(), more.end());
        if (f.size() > 1300) f.resize(1300);
        return send_frame(*by, link, f);
      }
      default:
        return run_for(which < 128 ? Duration(10ms * which) : Duration(1s * (which - 127)));
    }
  }

  Reader script_;
  std::vector<std::pair<Host*, PeerRef>> links_;
};

}  // namespace
}  // namespace macrovpn::node

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size > 1) macrovpn::node::World({data, size}).run();
  return 0;
}
