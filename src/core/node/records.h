// Records of the DHT, for whoever embeds a node: small signed notes that an owner leaves with relays for those who know the owner's key.
//
//   const auto ticket = node.put_record(now, {.service = notes, .name = "phone", .value = bytes, .owner = key}, fx);
//   const auto ticket = node.get_record(now, {.service = notes, .owner = key.pub, .name = "phone"}, fx);
//   ... until an event RecordEnded of that ticket comes: after a round trip or two, 3 s if some relay is silent, kRecordsTakeAtMost at the latest
//
// Both need a live directory (NodeConfig::directory).  A node that is a client asks through one of its circuits and waits kWayPatience for one; holders
// and the guard learn nothing of who asks, the relay before the exit learns which relays somebody asks.  A node that only relays calls holders itself.
// The node keeps what was put with its holders until it expires, as the directory and the day change, for as long as it runs: in memory
// alone, the owner's key too.  A put of the same service and name replaces the older one.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "base/strong.h"
#include "core/discovery/dht_record.h"

namespace macrovpn::node {

inline constexpr Duration kWayPatience = 15s;
inline constexpr Duration kRecordsTakeAtMost = 30s;  // from put_record() or get_record() to RecordEnded, while nothing else waits
inline constexpr size_t kMaxRecordName = 255;         // bytes; any

using RecordTicket = Strong<struct RecordTicketTag, uint32_t>;

struct RecordPut {
  discovery::DhtService service = discovery::DhtService::notes;
  std::string name;            // 1 to kMaxRecordName bytes; holders see a hash of it
  std::vector<uint8_t> value;  // at most discovery::kMaxDhtValue bytes; holders can read it
  crypto::SigningKey owner;    // signs; copied
  Duration life = discovery::kMaxDhtLife;  // 1 s to 24 h
};
struct RecordGet {
  discovery::DhtService service = discovery::DhtService::notes;
  IdentityKey owner;
  std::string name;
};

struct RecordOutcome {
  enum class Kind : uint8_t {
    found,        // `record`: the newest among what came
    none,         // a get: whoever answered has nothing (that its owner signed)
    stored,       // by `holders` relays; `enough`: by so many that it will be found
    refused,      // a put: whoever answered did not take it
    nobody,       // of those who were asked, answered
    no_relays,    // the directory knows none
    no_circuit,   // within kWayPatience
  };
  Kind kind = Kind::nobody;
  size_t asked = 0, answered = 0;  // relays and questions to them
  size_t holders = 0, newer = 0;   // a put: that keep it; that have a newer one
  bool enough = false;
  std::optional<discovery::DhtRecord> record;
};

// Where a question is just now.
struct RecordProgress {
  enum class Phase : uint8_t { waiting, asking } phase = Phase::waiting;  // for others before it or for a circuit; for relays
  size_t asked = 0, answered = 0;
};

}  // namespace macrovpn::node
