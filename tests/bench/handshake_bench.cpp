// Handshakes answered by one core, each kind beside its own bound: the X25519 operations that the protocol makes
// necessary, by OpenSSL with everything kept ready, measured between the batches of the same run.
//
//   a configured peer      e, es, ee, se             static-static is kept with the peer
//   an ephemeral peer      e, es, ss, ee, se
//   a build, early data    e, es, ss, ee, se, and the prekey's
//
// Timed is all that an initiation costs: the datagram taken off its mask, trailer, replay cache, the answer, the
// call of the next relay, and the lapsing of the session that nobody confirms.  Time is the thread's own.
#include <benchmark/benchmark.h>
#include <openssl/evp.h>
#include <time.h>

#include <memory>

#include "core/node/node.h"

namespace macrovpn {
namespace {

constexpr size_t kBatch = 64;
// Far enough for half-open sessions to lapse between two batches, and for the replay cache to forget.
constexpr Duration kBetweenBatches = 20s;

double cpu_seconds() {
  timespec t{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) * 1e-9;
}

// X25519 and nothing else.
class Bound {
 public:
  explicit Bound(Rng& rng) {
    const KeyPair a = crypto::x25519_generate(rng), b = crypto::x25519_generate(rng);
    ours_ = EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, nullptr, a.secret.reveal().data(), 32);
    theirs_ = EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, nullptr, b.pub.bytes.data(), 32);
    context_ = EVP_PKEY_CTX_new(ours_, nullptr);
    MV_ASSERT(EVP_PKEY_derive_init(context_) == 1 && EVP_PKEY_derive_set_peer(context_, theirs_) == 1);
  }
  ~Bound() {
    EVP_PKEY_CTX_free(context_);
    EVP_PKEY_free(theirs_);
    EVP_PKEY_free(ours_);
  }
  Bound(const Bound&) = delete;
  Bound& operator=(const Bound&) = delete;
  double seconds(size_t operations) const {
    ByteArray<32> out;
    const double start = cpu_seconds();
    for (size_t i = 0; i < operations; i++) {
      size_t n = out.size();
      MV_ASSERT(EVP_PKEY_derive(context_, out.data(), &n) == 1);
      benchmark::DoNotOptimize(out);
    }
    return cpu_seconds() - start;
  }

 private:
  EVP_PKEY *ours_, *theirs_;
  EVP_PKEY_CTX* context_;
};

// prepare(): the next batch, not timed.  answer(): all of it.
template <class Prepare, class Answer>
void measure(benchmark::State& state, Rng& rng, size_t operations, Prepare prepare, Answer answer) {
  const Bound bound(rng);
  double ours = 0, least = 0;
  for (int i = 0; i < 4; i++) {  // tables and heap have grown to their size
    prepare();
    static_cast<void>(answer());
  }
  for (auto _ : state) {
    prepare();
    const double start = cpu_seconds();
    const bool all = answer();
    const double took = cpu_seconds() - start;
    if (!all) return state.SkipWithError("not every handshake was answered");
    state.SetIterationTime(took);
    ours += took;
    least += bound.seconds(kBatch) * static_cast<double>(operations);
  }
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations() * kBatch));
  state.counters["bound"] = static_cast<double>(state.iterations() * kBatch) / least;
  state.counters["of_bound"] = least / ours;
}

encryption::TunnelLimits wide_limits() {
  encryption::TunnelLimits limits;
  limits.handshakes_per_second = limits.load_threshold = 1'000'000'000;
  limits.half_open = limits.half_open_per_source = limits.half_open_per_relay = 1'000'000;
  return limits;
}

Endpoint source(size_t i) {
  return {IpAddress::v4(0xc0000200u + static_cast<uint32_t>(i)), 1000};
}

// A stock WireGuard device, and peers that it has been told of.
void handshakes_configured(benchmark::State& state) {
  PacketPool pool;
  SeededRng rng(1);
  const ByteArray<8> network{};
  Now now{Mono(1000s), wall_from_unix(1'790'000'000)};
  const KeyPair ours = crypto::x25519_generate(rng);
  encryption::Tunnels server(ours, network, ShardId{0}, pool, rng, wide_limits());
  std::vector<std::unique_ptr<encryption::Tunnels>> clients;
  std::vector<ByteArray<encryption::kInitiationSize>> calls(kBatch);
  for (size_t i = 0; i < kBatch; i++) {
    const KeyPair theirs = crypto::x25519_generate(rng);
    MV_ASSERT(server.add_configured(now.mono, {.key = theirs.pub}).ok());
    clients.push_back(std::make_unique<encryption::Tunnels>(theirs, network, ShardId{0}, pool, rng));
    const Route to = Route::udp(kListenSocket, source(i), kPlain);
    MV_ASSERT(clients.back()->add_configured(now.mono, {.key = ours.pub, .route = to}).ok());
  }
  const auto prepare = [&] {
    now.mono += kBetweenBatches;
    now.wall += kBetweenBatches;
    for (size_t i = 0; i < kBatch; i++)
      calls[i] = clients[i]->start_handshake(now, clients[i]->peers().front())->message;
  };
  const auto answer = [&] {
    encryption::Out out;
    server.on_deadline(now, out);
    out.messages.clear();
    for (size_t i = 0; i < kBatch; i++) {
      const Route from = Route::udp(kListenSocket, source(i), kPlain);
      if (!server.on_initiation(now, {from, calls[i].size(), {}}, calls[i], {}, out).ok()) return false;
    }
    return out.messages.size() == kBatch;
  };
  measure(state, rng, 4, prepare, answer);
}
BENCHMARK(handshakes_configured)->UseManualTime()->Unit(benchmark::kMicrosecond);

// A relay, called by strangers: directly, or by a relay that it knows.
struct Relay {
  PacketPool pool;
  SeededRng rng{1};
  Now now{Mono(1000s), wall_from_unix(1'790'000'000)};
  Network network;
  KeyPair key = crypto::x25519_generate(rng);
  std::unique_ptr<node::Node> node;
  PublicKey prekey;
  KeyPair before_key = crypto::x25519_generate(rng);
  RelayInfo before, next;
  std::optional<encryption::PairKeys> pair;
  std::optional<encryption::MaskKey> mask;
  uint64_t number = 1;
  node::Effects fx;
  std::vector<node::Datagram> calls;

  Relay() {
    network.extra_global = {*IpPrefix::parse("198.51.100.0/24")};
    node::NodeConfig config;
    config.wireguard = key;
    config.identity = crypto::ed25519_generate(rng);
    config.network = network;
    config.relay = node::RelayConfig{.exit = true, .own_networks = {}};
    config.tunnels = wide_limits();
    node = std::make_unique<node::Node>(config, pool, rng);
    before = know(before_key.pub, "198.51.100.1:51820");
    next = know(crypto::x25519_generate(rng).pub, "198.51.100.9:51820");
    auto keys = encryption::PairKeys::derive(network.id.bytes, before_key, key.pub);
    MV_ASSERT(keys.ok());
    pair = std::move(keys).value();
    mask.emplace(network.id.bytes, key.pub);
    node->start(now, fx);
    note_prekey();
  }

  RelayInfo know(const PublicKey& wireguard, const char* endpoint) {
    RelayInfo r;
    r.identity = crypto::ed25519_generate(rng).pub;
    r.id = discovery::peer_id_of(r.identity);
    r.wireguard = wireguard;
    r.endpoints = {*Endpoint::parse(endpoint)};
    r.signed_at = now.wall;
    r.expiry = now.wall + std::chrono::hours(24 * 365);
    MV_ASSERT(node->directory().insert(r) == discovery::Insert::added);
    return r;
  }
  void note_prekey() {
    for (const auto& e : fx.events) {
      if (const auto* changed = std::get_if<node::PrekeyChanged>(&e)) prekey = changed->prekey;
    }
    fx.events.clear();
  }
  void pass_time() {
    now.mono += kBetweenBatches;
    now.wall += kBetweenBatches;
    calls.clear();
  }

  // `frame`: for early data, then it comes from the relay before; empty: a client's own call.
  void add_call(size_t i, Bytes frame) {
    encryption::Tunnels client(crypto::x25519_generate(rng), network.id.bytes, ShardId{0}, pool, rng);
    const auto peer = client.add_hop(
        now.mono, {crypto::x25519_generate(rng), key.pub, Route::udp(kListenSocket, source(i), kOwnMask)});
    const auto init = client.start_handshake(now, *peer);
    Packet p = pool.copy_of(init->message);
    if (frame.empty()) {
      encryption::append_early(p, {});
    } else {
      const auto early = client.seal_early(now.wall, *peer, prekey, frame);
      MV_ASSERT(early.ok());
      encryption::append_early(p, *early);
      encryption::append_trailer(p, *pair, {before.id, 0, number++});
    }
    encryption::append_padding(p, rng, p.size() + 32);
    mask->mask(p.bytes());
    const Endpoint from = frame.empty() ? source(i) : before.endpoints[0];
    calls.push_back({kListenSocket, from, std::move(p)});
  }

  // The element of the relay after us, as long as it is with an exit behind; nobody opens it.
  std::vector<uint8_t> extend_frame() {
    ByteArray<encryption::kInitiationSize> onward{1};
    rng.fill(MutBytes(onward).subspan(4));
    const auto early = rng.bytes<58>();
    return routing::write_extend(next.id, 0, routing::write_element(onward, {7}, early));
  }

  size_t answer() {
    node->on_deadline(now, fx);
    fx.datagrams.clear();
    node->on_datagrams(now, calls, fx);
    const size_t sent = fx.datagrams.size();
    fx.datagrams.clear();
    return sent;
  }
};

void handshakes_ephemeral(benchmark::State& state) {
  Relay relay;
  const auto prepare = [&] {
    relay.pass_time();
    for (size_t i = 0; i < kBatch; i++) relay.add_call(i, {});
  };
  measure(state, relay.rng, 5, prepare, [&] { return relay.answer() == kBatch; });
}
BENCHMARK(handshakes_ephemeral)->UseManualTime()->Unit(benchmark::kMicrosecond);

void builds_at_middle(benchmark::State& state) {
  Relay relay;
  const auto prepare = [&] {
    relay.note_prekey();
    relay.pass_time();
    for (size_t i = 0; i < kBatch; i++) relay.add_call(i, relay.extend_frame());
  };
  // An answer, and a call of the next relay.
  measure(state, relay.rng, 6, prepare, [&] { return relay.answer() == 2 * kBatch; });
}
BENCHMARK(builds_at_middle)->UseManualTime()->Unit(benchmark::kMicrosecond);

void builds_at_exit(benchmark::State& state) {
  Relay relay;
  const auto prepare = [&] {
    relay.note_prekey();
    relay.pass_time();
    for (size_t i = 0; i < kBatch; i++) relay.add_call(i, routing::write_lease({.mtu = 1376}));
  };
  measure(state, relay.rng, 6, prepare, [&] { return relay.answer() == kBatch; });
}
BENCHMARK(builds_at_exit)->UseManualTime()->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace macrovpn
