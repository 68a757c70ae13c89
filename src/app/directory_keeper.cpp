#include "app/directory_keeper.h"

#include <nlohmann/json.hpp>

#include "app/newcomers.h"
#include "shell/config/atomic_file.h"

namespace macrovpn::app {
namespace {

constexpr size_t kMaxMeasuredFile = 512;

using discovery::SyncVerdict;
using node::DirectoryStatus;

std::vector<Contact> contacts_of(const std::vector<Seed>& seeds) {
  std::vector<Contact> out;
  for (const Seed& s : seeds) out.push_back({discovery::peer_id_of(s.identity), s.wireguard, s.endpoints});
  return out;
}

size_t count_chosen(const node::DirectorySide& live) {
  const auto& all = live.set().all();
  return static_cast<size_t>(std::count_if(all.begin(), all.end(), [&](const auto& e) { return live.may_choose(e->short_id); }));
}

const char* name_of(DirectoryStatus::Phase p) {
  return p == DirectoryStatus::Phase::calling ? "calling" : p == DirectoryStatus::Phase::syncing ? "syncing" : "waiting";
}

const char* name_of(SyncVerdict::Kind k) {
  switch (k) {
    case SyncVerdict::Kind::accepted:
      return "accepted";
    case SyncVerdict::Kind::shrunk:
      return "shrunk";
    case SyncVerdict::Kind::too_few_networks:
      return "too_few_networks";
    case SyncVerdict::Kind::sources_disagree:
      return "sources_disagree";
    case SyncVerdict::Kind::nobody_answered:
      break;
  }
  return "nobody_answered";
}

}  // namespace

DirectoryKeeper::DirectoryKeeper(const DaemonOptions& options, Rng& rng, Say say)
    : options_(options), rng_(rng), say_(say), store_(options.paths.directory_file(), options.network, say) {}

Result<void> DirectoryKeeper::load(Wall now) {
  TRY(invited_, invited_relays(options_.paths));
  const auto loaded = store_.load(now, [this](size_t n) {
    if (n % 5000 == 0) say_("reading the stored directory: " + std::to_string(n) + " relays so far");
  });
  if (loaded.refused != 0) say_(std::to_string(loaded.refused) + " relays of the stored directory did not verify and were forgotten");
  is_finding_ = loaded.living == 0;
  places_ = {old_relays(now), contacts_of(options_.network.seeds), contacts_of(invited_)};
  return {};
}

// Entries first, which are stable; the rest is drawn.
std::vector<Contact> DirectoryKeeper::old_relays(Wall now) {
  std::vector<Contact> guards, others;
  for (const auto& [id, r] : store_.relays()) {
    if (r.entry->convicted() || r.entry->expiry + shell::kExpiredStay <= now) continue;
    const RelayInfo& info = r.entry->descriptor.relay;
    if (info.wireguard == options_.keys.wireguard.pub) continue;
    (info.flags.has(RelayFlag::guard) ? guards : others).push_back(contact_of(info));
  }
  for (auto* some : {&guards, &others}) {
    for (size_t i = some->size(); i > 1; i--) std::swap((*some)[i - 1], (*some)[rng_.below(i)]);
  }
  guards.insert(guards.end(), others.begin(), others.end());
  guards.resize(std::min(guards.size(), kMaxOldContacts));
  return guards;
}

node::DirectoryConfig DirectoryKeeper::begin() {
  const bool all = options_.roles.relay == Roles::Relay::on;
  node::DirectoryConfig out;
  out.measure_week = measure_week_of(options_.settings, options_.network);
  if (all && options_.settings.measure) {
    out.measuring = node::DirectoryConfig::Measuring::on;
    // Worth a week at most: what cannot be read is begun anew.
    if (auto saved = shell::read_own_file(options_.paths.measured_file(), kMaxMeasuredFile)) out.saved_measured = std::move(saved).value();
  }
  while (!places_.empty() && (all || out.contacts.size() < discovery::kSyncSources)) {
    const std::vector<Contact> more = next_place();
    out.contacts.insert(out.contacts.end(), more.begin(), more.end());
  }
  return out;
}

std::vector<Contact> DirectoryKeeper::next_place() {
  while (!places_.empty()) {
    std::vector<Contact> next = std::move(places_.front());
    places_.erase(places_.begin());
    if (!next.empty()) return next;
  }
  return {};
}

void DirectoryKeeper::restore(node::DirectorySide& live, Wall now) const {
  for (const auto& [id, r] : store_.relays()) {
    live.restore_first_seen(r.entry->short_id, r.first_seen);
    if (shell::is_living(*r.entry, now)) live.restore(r.entry, r.may_choose);
    if (const unsigned strikes = store_.strikes(id, now); strikes > 0) live.restore_strikes(id, strikes);
  }
  live.restore_count(store_.count_chosen());
}

void DirectoryKeeper::on_synced(const node::DirectorySynced& synced, const node::DirectorySide& live, Wall now) {
  accepted_anyway_ = false;
  const SyncVerdict& verdict = synced.verdict;
  for (const PeerId& id : synced.struck) store_.struck(id, now);
  if (verdict.kind == SyncVerdict::Kind::accepted) {
    save_choice(live, now);
    if (std::exchange(is_finding_, false)) say_("found " + std::to_string(verdict.found) + " relays");
    last_refusal_.clear();
  }
  const std::string text = verdict.refused() || (verdict.kind == SyncVerdict::Kind::accepted && verdict.sources_differ) ? verdict.text() : "";
  if (!text.empty() && text != last_refusal_) say_(text);
  last_refusal_ = text;
}

void DirectoryKeeper::on_accepted_anyway(const node::DirectorySide& live, Wall now) {
  accepted_anyway_ = true;
  is_finding_ = false;
  save_choice(live, now);
}

void DirectoryKeeper::save_choice(const node::DirectorySide& live, Wall now) {
  store_.synced(count_chosen(live), [&](discovery::ShortId id) { return live.may_choose(id); }, now);
  store_.flush();
}

std::string DirectoryKeeper::progress(const node::Node& node) {
  const node::DirectorySide* live = node.live_directory();
  if (!is_finding_ || live == nullptr || live->is_relay()) return {};
  const DirectoryStatus s = live->status();
  std::string text = "Finding relays: ";
  if (s.phase == DirectoryStatus::Phase::waiting && !s.last) {
    if (s.known > 0) return {};  // a circuit comes first: by files, or an old copy
    text += "nobody is known to ask; join with an invite that names relays, or add seeds (`macrovpn network join`)";
  } else if (s.phase == DirectoryStatus::Phase::waiting && s.last->kind == SyncVerdict::Kind::nobody_answered) {
    text += "nobody answered; trying again";
  } else if (s.phase == DirectoryStatus::Phase::waiting) {
    text += s.last->text();
  } else {
    text += std::to_string(s.up) + " of " + std::to_string(s.sources.size()) + " sources answered, " + std::to_string(s.known) + " relays";
  }
  if (text == last_progress_) return {};
  last_progress_ = text;
  return text;
}

nlohmann::json DirectoryKeeper::json(const node::DirectorySide& live) const {
  const DirectoryStatus s = live.status();
  nlohmann::json out{{"phase", name_of(s.phase)}, {"sources", live.is_relay() ? s.neighbours : s.sources.size()}, {"answered", s.up},     {"relays", s.known},
                     {"synced", s.ever_synced},   {"saved", store_.on_disk()}};
  if (!last_progress_.empty() && is_finding_) out["progress"] = last_progress_;
  if (s.last) out["verdict"] = name_of(s.last->kind);
  if (s.last && s.last->refused() && !accepted_anyway_) out["refused"] = s.last->text();
  if (const auto t = store_.last_sync()) out["last_sync"] = unix_seconds(*t);
  return out;
}

}  // namespace macrovpn::app
