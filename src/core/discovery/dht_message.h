// What is said about records, inside sessions of ours only, so never to an address that was not proved (docs/protocol.md "DHT").
//
//   PUT     request 4 | record            a record to keep; its owner sends it, or whoever has it
//   STORED  request 4 | DhtPut 1          what became of it
//   GET     request 4 | key 32            what there is of that key
//   FOUND   request 4 | record            the newest; nothing after the number: there is none
//
// `request` is the asker's own number, given back.
#pragma once
#include "core/discovery/dht_record.h"

namespace macrovpn::discovery {

enum class DhtKind : uint8_t { put = 0, stored = 1, get = 2, found = 3 };  // frames 0x24 to 0x27

// What a holder did with a record.
enum class DhtPut : uint8_t {
  stored = 0,    // or it was there already
  older = 1,     // a newer one is there
  bad = 2,       // no record, not signed by its owner, or its times are wrong by the holder's clock
  not_ours = 3,  // by the holder's directory others are to keep it
  full = 4,      // the holder, or its owner's share of it
};

struct DhtRequest {  // PUT: the record; GET: the key
  uint32_t number = 0;
  Bytes record;  // of the message
  DhtKey key;
};
struct DhtAnswer {  // STORED: the outcome; FOUND: the record, or nothing
  uint32_t number = 0;
  DhtPut outcome = DhtPut::stored;
  Bytes record;
};

std::vector<uint8_t> encode_dht_put(uint32_t number, Bytes record);
std::vector<uint8_t> encode_dht_stored(uint32_t number, DhtPut);
std::vector<uint8_t> encode_dht_get(uint32_t number, const DhtKey&);
std::vector<uint8_t> encode_dht_found(uint32_t number, Bytes record);
std::optional<DhtRequest> parse_dht_request(DhtKind put_or_get, Bytes body);
std::optional<DhtAnswer> parse_dht_answer(DhtKind stored_or_found, Bytes body);

}  // namespace macrovpn::discovery
