// Where newcomers begin: seeds of the network file, the relays of an invite, and whom one would name in an invite.
#pragma once
#include "app/command.h"
#include "base/rng.h"
#include "core/discovery/measured.h"
#include "model/network.h"
#include "model/relay.h"

namespace macrovpn::app {

// "IDENTITY WIREGUARD ADDRESS:PORT ...", or the name of a file with that, or of a relay's descriptor.
Result<Seed> read_seed(const std::string& text_or_file);

// The relays of the invite by which this user joined, one a line as in the network file.  No file: none.
Result<std::vector<Seed>> invited_relays(const shell::Paths&);
Result<void> store_invited(const shell::Paths&, const std::vector<Seed>&);

// Those of the directory on disk and of the folder of descriptors, living ones, each once in its newest form.
std::vector<RelayInfo> relays_on_disk(const Home&, const Network&, Wall now);

// How long the week of measurements is: labs may say.
Duration measure_week_of(const shell::Settings&, const Network&);
// What relays measured of each other, as far as the directory on disk knows.
discovery::BandwidthBook measured_on_disk(const Home&, const Network&, Wall now);

// Relays for an invite, of which no two share a prefix as hops do not, as far as there are such: drawn from the directory on disk and the
// folder of descriptors, entries (guards) first; then the network's seeds.
std::vector<Seed> good_start(const Home&, const Network&, size_t count, Wall now, Rng&);

}  // namespace macrovpn::app
