// What the writers of seeds share.
#pragma once
#include <string>

#include "base/packet.h"
#include "base/rng.h"
#include "base/time.h"
#include "model/relay.h"

namespace macrovpn::seeds {

using Buffer = std::vector<uint8_t>;

extern SeededRng rng;
extern PacketPool pool;
inline const Wall kWall = wall_from_unix(1'790'000'000);
inline const Now kNow{Mono(std::chrono::hours(1)), kWall};

// One input of a target; the whole folder is what the program was given.
void put(const std::string& target, const std::string& name, Bytes b);
void put(const std::string& target, const std::string& name, const std::string& text);
RelayInfo relay();
Buffer nested(bool trailer);  // a build of three hops

// Descriptors, records, stored directories, STUN, routers: write_discovery_seeds.cpp.
void discovery_seeds();

}  // namespace macrovpn::seeds
