// Why a message or packet was not accepted.  Counted by reason, never logged with an address.
#pragma once
#include <cstdint>

namespace macrovpn::encryption {

enum class Drop : uint8_t {
  none,                // accepted
  staged,              // kept until a handshake is done: no loss, and not counted
  malformed,           // not a message of its type
  bad_mac1,            // not meant for us
  cookie_required,     // we are under load: a cookie reply was sent instead
  no_cookie_left,      // the same, and as many cookies as we give in a second are given
  rate_limited,        // this source's handshake budget is used up
  bad_handshake,       // does not decrypt
  low_order_point,     // X25519 gave zero
  replayed_timestamp,  // TAI64N not above the last one of this static key
  unknown_index,       // no session or handshake of ours
  bad_tag,             // transport does not authenticate
  replayed_counter,
  expired,         // keys older than REJECT_AFTER_TIME, or too many messages
  not_allowed_ip,  // configured peer: inner address is not (or not only) its own
  no_session,      // nothing to seal with
  no_route,        // peer has no known address
  queue_full,
  table_full,  // a bounded table is at its limit
  unknown_peer,
  early_disabled,  // early data: no prekey store, or wall clock jumped
  early_bad,       // early data does not decrypt under any live prekey
  early_slot,      // early data of another slot than now +- 1
  early_replayed,
  early_full,  // replay cache (or this caller's share of it) is full: extend hop by hop
  too_large,
  count_,
};

const char* name_of(Drop);

}  // namespace macrovpn::encryption
