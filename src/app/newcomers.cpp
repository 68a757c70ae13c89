#include "app/newcomers.h"

#include <algorithm>
#include <set>

#include "core/discovery/descriptor.h"
#include "core/node/bandwidths.h"
#include "shell/config/atomic_file.h"
#include "shell/config/descriptor_folder.h"
#include "shell/config/network_file.h"
#include "shell/store/directory_store.h"

namespace macrovpn::app {
namespace {

constexpr size_t kMaxSeedFile = 4096;
// Where every body says of which network it is: after its length, its version, and the tag and length of the field.
constexpr size_t kNetworkAt = 2 + 3 + 2;

Seed seed_of(const RelayInfo& r) { return {r.identity, r.wireguard, r.endpoints}; }

std::optional<Seed> seed_of_descriptor(Bytes bytes) {
  if (bytes.size() < kNetworkAt + 8) return std::nullopt;
  const NetworkId network{*to_array<8>(bytes.subspan(kNetworkAt, 8))};
  const auto d = discovery::open_descriptor(bytes, network);
  return d.ok() ? std::optional(seed_of(d->relay)) : std::nullopt;
}

std::string_view trimmed(std::string_view s) {
  while (!s.empty() && s.back() <= ' ') s.remove_suffix(1);
  return s;
}

std::string_view text_of(Bytes b) { return {reinterpret_cast<const char*>(b.data()), b.size()}; }

IpPrefix home_of(const Seed& s, const Network& n) {
  const IpAddress& a = s.endpoints.front().address;
  return IpPrefix::of(a, a.is_v4() ? n.diversity_v4 : n.diversity_v6);
}

void shuffle(std::vector<Seed>& seeds, Rng& rng) {
  for (size_t i = seeds.size(); i > 1; i--) std::swap(seeds[i - 1], seeds[rng.below(i)]);
}

}  // namespace

Result<Seed> read_seed(const std::string& text_or_file) {
  if (const auto s = shell::parse_seed(text_or_file)) return *s;
  if (!shell::file_exists(text_or_file))
    return fail("a seed is \"IDENTITY WIREGUARD ADDRESS:PORT\", as `macrovpn network seed` prints it on a relay, or a file with that, or a "
                "relay's descriptor; this is none of them: " + text_or_file);
  TRY(const auto bytes, shell::read_file(text_or_file, kMaxSeedFile));
  if (const auto s = shell::parse_seed(trimmed(text_of(bytes)))) return *s;
  if (const auto s = seed_of_descriptor(bytes)) return *s;
  return fail(text_or_file + " holds neither a seed nor a relay's descriptor; get it again");
}

Result<std::vector<Seed>> invited_relays(const shell::Paths& paths) {
  std::vector<Seed> out;
  if (!shell::file_exists(paths.invited_file())) return out;
  TRY(const auto bytes, shell::read_own_file(paths.invited_file(), kMaxSeedFile));
  std::string_view text = text_of(bytes);
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    const auto s = shell::parse_seed(text.substr(0, end));
    if (!s) return fail(paths.invited_file() + " is damaged; join again with the invite, or remove it");
    out.push_back(*s);
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return out;
}

Result<void> store_invited(const shell::Paths& paths, const std::vector<Seed>& relays) {
  std::string text;
  for (const Seed& s : relays) text += shell::to_text(s) + "\n";
  return shell::write_file(paths.invited_file(), as_bytes(text));
}

std::vector<RelayInfo> relays_on_disk(const Home& home, const Network& network, Wall now) {
  discovery::Directory all;
  shell::DirectoryStore store(home.paths.directory_file(), network, [](const std::string&) {}, shell::DirectoryStore::Access::look);
  store.load(now);
  for (const auto& [id, r] : store.relays()) {
    if (!r.entry->convicted() && shell::is_living(*r.entry, now)) static_cast<void>(all.insert(r.entry->descriptor.relay));
  }
  shell::DescriptorFolder folder(home.descriptor_folder(), network.id);
  if (const auto found = folder.scan(now); found.ok()) {
    for (const RelayInfo& r : found->found) static_cast<void>(all.insert(r));
  }
  std::vector<RelayInfo> out;
  for (const auto& [id, r] : all.relays()) out.push_back(*r);
  return out;
}

Duration measure_week_of(const shell::Settings& settings, const Network& network) {
  return settings.measure_week == 0 || !network.is_lab() ? discovery::kMeasureWeek : Duration(std::chrono::seconds(settings.measure_week));
}

discovery::BandwidthBook measured_on_disk(const Home& home, const Network& network, Wall now) {
  shell::DirectoryStore store(home.paths.directory_file(), network, [](const std::string&) {}, shell::DirectoryStore::Access::look);
  store.load(now);
  std::vector<discovery::EntryPtr> entries;
  for (const auto& [id, r] : store.relays()) {
    if (!r.entry->convicted() && shell::is_living(*r.entry, now)) entries.push_back(r.entry);
  }
  node::Bandwidths bandwidths(network, measure_week_of(home.settings, network));
  static_cast<void>(bandwidths.judge(now, entries, node::Bandwidths::Draw::for_results));
  return bandwidths.book();
}

std::vector<Seed> good_start(const Home& home, const Network& network, size_t count, Wall now, Rng& rng) {
  std::vector<Seed> order, others, seeds = network.seeds;
  std::set<IdentityKey> known;
  for (const RelayInfo& r : relays_on_disk(home, network, now)) {
    known.insert(r.identity);
    (r.flags.has(RelayFlag::guard) ? order : others).push_back(seed_of(r));
  }
  std::erase_if(seeds, [&](const Seed& s) { return known.contains(s.identity); });
  shuffle(order, rng), shuffle(others, rng), shuffle(seeds, rng);
  for (const auto* more : {&others, &seeds}) order.insert(order.end(), more->begin(), more->end());
  std::vector<Seed> out, same_prefix;
  std::set<IpPrefix> homes;
  for (const Seed& s : order) (homes.insert(home_of(s, network)).second ? out : same_prefix).push_back(s);
  out.insert(out.end(), same_prefix.begin(), same_prefix.end());
  out.resize(std::min(out.size(), count));
  return out;
}

}  // namespace macrovpn::app
