// Session: one keypair (whitepaper §6.1), and Sessions: the up to three that a peer has at one time.
//
//   previous   packets sent before the last rekey may still arrive
//   current    we seal with it
//   next       we were the responder: not to be sealed with until the initiator proved that it has the keys
#pragma once
#include <memory>

#include "base/time.h"
#include "core/encryption/handshake.h"
#include "core/encryption/replay_window.h"

namespace macrovpn::encryption {

inline constexpr Duration kRekeyAfterTime = 120s;
inline constexpr Duration kRejectAfterTime = 180s;

enum class Role : uint8_t { initiator, responder };

struct Session {
  Session(const HandshakeResult& h, SessionIndex ours, Role r, Mono now, size_t eager_window)
      : send(h.send),
        receive(h.receive),
        local(ours),
        remote(h.remote),
        role(r),
        created(now),
        window(eager_window) {}
  Secret<32> send, receive;
  SessionIndex local, remote;
  Role role;
  Mono created;
  uint64_t send_counter = 0;
  ReplayWindow window;

  bool expired(Mono now) const { return now - created >= kRejectAfterTime; }
};
using SessionPtr = std::unique_ptr<Session>;

struct Sessions {
  SessionPtr current, previous, next;

  Session* find(SessionIndex local) const {
    for (const SessionPtr* s : {&current, &next, &previous}) {
      if (*s && (*s)->local == local) return s->get();
    }
    return nullptr;
  }
  bool empty() const { return !current && !previous && !next; }
};

}  // namespace macrovpn::encryption
