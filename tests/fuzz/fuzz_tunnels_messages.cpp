// A relay among hostile and honest callers.  The input is a script: random messages, valid messages with
// bytes flipped, time passing.  Nothing may crash, no invariant may break, and no message that was changed
// may be accepted as data.
#include "core/encryption/tunnels.h"
#include "crypto/x25519.h"
#include "key_memory.h"

namespace macrovpn::encryption {
namespace {

class World {
 public:
  explicit World(Bytes script) : script_(script) {
    relay_.accept_ephemeral_peers(true);
    prekey_ = relay_.renew_prekey(now_);
    hop_ = *client_.add_hop(now_.mono, {crypto::x25519_generate(rng_), relay_.public_key(), relay_at_});
  }

  void run() {
    while (script_.left() > 0 && steps_++ < 64) {
      step();
      relay_.check_invariants();
      client_.check_invariants();
    }
  }

 private:
  void step() {
    switch (script_.u8() % 6) {
      case 0:
        return noise();
      case 1:
        return call();
      case 2:
        return data(client_, hop_);
      case 3:
        return data(relay_, caller_);
      case 4:
        return pass_time();
      case 5:
        bend_next_ = script_.be16();
        return;
    }
  }

  void noise() {
    const Bytes b = script_.take(std::min<size_t>(script_.left(), script_.u8() * 2u));
    Out out;
    if (b.size() >= kInitiationSize) receive(relay_, client_at_, b, {}, out);
    if (b.size() >= 32) receive(client_, relay_at_, b, {}, out);
  }

  void call() {
    const auto made = client_.start_handshake(now_, hop_);
    const auto early = client_.seal_early(now_.wall, hop_, prekey_, ByteArray<3>{1, 2, 3});
    exchange(relay_, client_at_, made->message, *early);
  }

  void data(Tunnels& from, PeerRef to) {
    const Bytes payload = script_.take(std::min<size_t>(script_.left(), script_.u8()));
    Packet p = pool_.take();
    std::copy(payload.begin(), payload.end(), p.push_back(payload.size()));
    SealJob job{to, &p, {}, Drop::none};
    Out out;
    from.seal_batch(now_, {&job, 1}, out);
    Tunnels& other = &from == &client_ ? relay_ : client_;
    if (job.result == Drop::none) exchange(other, &from == &client_ ? client_at_ : relay_at_, p.bytes(), {});
    answer(other, out);
  }

  void pass_time() {
    const Duration by = std::chrono::milliseconds(script_.be16());
    now_.mono += by;
    now_.wall += by;
    for (Tunnels* t : {&relay_, &client_}) {
      Out out;
      if (t->next_deadline() <= now_.mono) t->on_deadline(now_, out);
      MV_ASSERT(t->next_deadline() > now_.mono);
      answer(t == &relay_ ? client_ : relay_, out);
    }
  }

  // A message arrives, bent if the script said so, and so do the answers.
  void exchange(Tunnels& to, const Route& from, Bytes message, Bytes early) {
    std::vector<uint8_t> bytes(message.begin(), message.end());
    const size_t at = bend_next_ % bytes.size();
    if (bend_next_ != 0) bytes[at] ^= static_cast<uint8_t>(bend_next_ >> 8 | 1);
    // mac2 is looked at under load only.
    const bool in_mac2 = message[0] <= 2 && at >= bytes.size() - 16;
    const bool bent = bend_next_ != 0 && !in_mac2;
    bend_next_ = 0;
    Out out;
    const Drop d = receive(to, from, bytes, early, out);
    MV_ASSERT(!bent || d != Drop::none);
    answer(&to == &relay_ ? client_ : relay_, out);
  }

  void answer(Tunnels& to, Out& out) {
    const auto messages = std::move(out.messages);
    out.messages.clear();
    for (const Outgoing& m : messages) {
      if (depth_++ < 8) exchange(to, &to == &relay_ ? client_at_ : relay_at_, m.packet.bytes(), {});
      depth_--;
    }
  }

  Drop receive(Tunnels& to, const Route& from, Bytes m, Bytes early, Out& out) {
    switch (m[0]) {
      case 1: {
        const auto a = to.on_initiation(now_, {from, m.size() + early.size(), {}}, m, early, out);
        if (a.ok()) caller_ = a->peer;
        return a.ok() ? Drop::none : a.error();
      }
      case 2:
        return to.on_response(now_, from, m, out);
      case 3:
        return to.on_cookie_reply(now_, from, m);
      default:
        break;
    }
    if (m.size() > kPacketMax) return Drop::too_large;
    Packet p = pool_.copy_of(m);
    OpenJob job{&p, from, {}, Drop::none};
    to.open_batch(now_, {&job, 1}, out);
    return job.result;
  }

  Reader script_;
  RepeatingRng rng_{1};
  PacketPool pool_;
  Now now_{Mono(std::chrono::hours(1)), wall_from_unix(1'750'000'000)};
  Route client_at_ = Route::udp(kListenSocket, *Endpoint::parse("192.0.2.1:1"), kPlain);
  Route relay_at_ = Route::udp(kListenSocket, *Endpoint::parse("192.0.2.2:2"), kPlain);
  Tunnels client_{crypto::x25519_generate(rng_), {1}, ShardId{0}, pool_, rng_};
  Tunnels relay_{crypto::x25519_generate(rng_), {1}, ShardId{1}, pool_, rng_};
  PublicKey prekey_;
  PeerRef hop_, caller_;
  uint16_t bend_next_ = 0;
  int steps_ = 0, depth_ = 0;
};

}  // namespace
}  // namespace macrovpn::encryption

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  macrovpn::encryption::World({data, size}).run();
  return 0;
}
