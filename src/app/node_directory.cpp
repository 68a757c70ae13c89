// The directory of a running node: the live one and its store, or files alone; and what this relay says of itself there.
#include <cstdio>
#include <nlohmann/json.hpp>

#include "app/node_daemon.h"
#include "app/peer_list.h"

namespace macrovpn::app {
namespace {

constexpr Duration kProgressEvery = std::chrono::milliseconds(200);

void say(const std::string& line) { std::fprintf(stderr, "macrovpn: %s\n", line.c_str()); }

}  // namespace

Result<void> NodeDaemon::load_directory() {
  if (options_.settings.live_directory) {
    keeper_ = std::make_unique<DirectoryKeeper>(options_, rng_, say);
    TRY_VOID(keeper_->load(reactor_.now().wall));
  }
  if (options_.roles.relay != Roles::Relay::on) return {};
  const auto publish = [this](const discovery::SignedDescriptor& d) {
    if (!keeper_) return;
    const auto entry = discovery::make_entry(d, options_.network);
    if (!entry || !discovery::is_news(driver_->publish(entry)))
      say("the directory does not take this relay's own descriptor: its prefix is full, or it was convicted of two faces");
  };
  descriptor_ = std::make_unique<OwnDescriptor>(options_, keeper_ ? &keeper_->store() : nullptr, folder_, rng_, OwnDescriptor::Uses{publish, say});
  return {};
}

void NodeDaemon::start_directory() {
  if (!keeper_) return;
  driver_->on_directory([this](const discovery::SetChanges& c) { on_directory(c); });
  keeper_->restore(*driver_->node().live_directory(), reactor_.now().wall);
  if (options_.roles.client == Roles::Client::on) tell_progress();
}

// Other shards are told in a round of its own, since this is the middle of one.
void NodeDaemon::on_directory(const discovery::SetChanges& changes) {
  keeper_->apply(changes, reactor_.now().wall);
  if (!workers_) return;
  const bool is_first = for_other_shards_.come.empty() && for_other_shards_.gone.empty();
  for (const auto& e : changes.gone) for_other_shards_.gone.push_back(e);
  for (const auto& e : changes.come) {
    std::erase_if(for_other_shards_.gone, [&](const auto& g) { return g->id == e->id; });
    for_other_shards_.come.push_back(e);
  }
  if (!is_first) return;
  reactor_.after(Duration::zero(), [this] {
    const auto all = std::exchange(for_other_shards_, {});
    each([&](shell::Driver& d) {
      if (&d != driver_.get()) d.follow_directory(all);
    });
  });
}

void NodeDaemon::on_synced(const node::DirectorySynced& synced) {
  keeper_->on_synced(synced, *driver_->node().live_directory(), reactor_.now().wall);
  if (synced.verdict.kind != discovery::SyncVerdict::Kind::nobody_answered) return;
  // In a round of its own: this is told in the middle of one.
  reactor_.after(Duration::zero(), [this] {
    if (auto more = keeper_->next_place(); !more.empty()) driver_->add_contacts(std::move(more));
  });
}

void NodeDaemon::tell_progress() {
  if (const std::string line = keeper_->progress(driver_->node()); !line.empty()) {
    say(line);
    server_->broadcast("finding", {{"words", line}});
  }
  reactor_.after(kProgressEvery, [this] { tell_progress(); });
}

Result<nlohmann::json> NodeDaemon::accept_directory() {
  const node::DirectorySide* live = driver_->node().live_directory();
  if (live == nullptr || live->is_relay()) return fail("this node has no copy of the directory to accept");
  if (const auto last = live->status().last; !last || !last->refused()) return fail("nothing was refused: the directory is in use as it is");
  driver_->accept_directory();
  keeper_->on_accepted_anyway(*live, reactor_.now().wall);
  return nlohmann::json{{"relays", driver_->node().directory().relays().size()}};
}

std::optional<RelayDetails> NodeDaemon::details_of(const PeerId& id) const {
  const node::DirectorySide* live = driver_->node().live_directory();
  if (live == nullptr) return details_in(folder_, id);
  const auto e = live->set().find(discovery::short_id_of(id));
  return e && e->id == id && !e->convicted() ? std::optional(e->descriptor.details) : std::nullopt;
}

// ---- this relay

RelayInfo NodeDaemon::own_relay() const {
  RelayInfo r;
  r.wireguard = options_.keys.wireguard.pub;
  r.endpoints = options_.public_endpoints;
  if (home_ && home_->endpoint()) r.endpoints = {*home_->endpoint()};
  const bool is_guest = home_ && !home_->introducers().empty();
  // Without flags nobody builds through it; it stays known, so that circuits that are there live on.
  const bool serves = !operator_ || operator_->service() == peers::Service::open;
  if (serves) {
    if (!is_guest) r.flags.set(RelayFlag::guard);
    r.flags.set(RelayFlag::middle);
    if (is_introducer()) r.flags.set(RelayFlag::introducer);
  }
  if (serves && options_.roles.exit != ExitRole::none) {
    r.flags.set(RelayFlag::exit);
    r.flags.set(RelayFlag::exit_v4);
    if (exit_v6_) r.flags.set(RelayFlag::exit_v6);
  }
  r.region = options_.claims.region;
  r.bandwidth = options_.claims.bandwidth;
  r.as_number = options_.claims.as_number;
  r.prekey = *prekey_;
  r.created = options_.keys.created;
  return r;
}

// One that stands in the open, with one worker: guests' sessions and the legs to them have to be the same worker's.
bool NodeDaemon::is_introducer() const {
  return options_.settings.introducer && !options_.settings.at_home && worker_count() == 1;
}

void NodeDaemon::describe_itself(OwnDescriptor::Urgency urgency) {
  if (!prekey_) return;
  if (options_.settings.at_home && (!home_ || !home_->endpoint())) return;  // not known yet
  RelayDetails details;
  if (home_) details.introducers = home_->introducers();
  details.tls = transports_->entry();
  descriptor_->set(reactor_.now(), own_relay(), details, urgency);
}

// With a descriptor that nobody else gets: without flags, so that no circuit would use it.
bool NodeDaemon::have_it_called(const Endpoint& at) {
  if (!keeper_ || !prekey_) return false;
  RelayInfo r = own_relay();
  r.endpoints = {at};
  r.flags = {};
  const auto trial = descriptor_->sign_trial(reactor_.now(), r);
  const auto entry = trial.ok() ? discovery::make_entry(*trial, options_.network) : nullptr;
  return entry && driver_->ask_about_us(entry);
}

// ---- files

void NodeDaemon::scan_descriptors() {
  const auto changes = folder_.scan(reactor_.now().wall);
  if (!changes.ok()) {
    say(changes.error().message);
    return;
  }
  refused_.clear();
  for (const auto& r : changes->refused) refused_[r.file] = r.why.message;
  keeper_ ? import_files(*changes) : follow_files(*changes);
  judge_regions();
}

// Into the live directory; what is gone from the folder lives on there until it expires.
void NodeDaemon::import_files(const shell::DescriptorFolder::Changes& changes) {
  const PeerId self = discovery::peer_id_of(options_.keys.identity.pub);
  for (size_t i = 0; i < changes.found.size(); i++) {
    if (changes.found[i].id == self) continue;
    auto d = discovery::open_descriptor(changes.bytes[i], options_.network.id);
    const auto entry = d.ok() ? discovery::make_entry(std::move(*d), options_.network) : nullptr;
    if (entry) static_cast<void>(driver_->publish(entry));
  }
}

void NodeDaemon::follow_files(const shell::DescriptorFolder::Changes& changes) {
  bool changed = false;
  each([&](shell::Driver& d) {
    auto& directory = d.node().directory();
    for (const RelayInfo& r : changes.found) {
      const auto inserted = directory.insert(r);
      changed |= inserted == discovery::Insert::added || inserted == discovery::Insert::updated;
    }
    for (const PeerId& id : changes.removed) directory.remove(id);
  });
  // In a round of its own: verifying took a while, and the node is to be told the time as it is.
  if (changed || !changes.removed.empty()) {
    reactor_.after(Duration::zero(), [this] { each([](shell::Driver& d) { d.directory_changed(); }); });
  }
}

}  // namespace macrovpn::app
