// What is in memory, and when the file follows it.  directory_rows.cpp has the tables.
#include "shell/store/directory_store.h"

#include <unistd.h>

#include <cstdio>

#include "shell/config/atomic_file.h"

namespace macrovpn::shell {
namespace {

constexpr int kMostSetAside = 9;

Wall whole_hour(Wall t) { return std::chrono::floor<std::chrono::hours>(t); }

std::string file_name_of(const std::string& path) { return path.substr(path.rfind('/') + 1); }

bool is_to_be_set_aside(const DatabaseError& e) {
  return e.kind == DatabaseError::Kind::damaged || e.kind == DatabaseError::Kind::foreign;
}

}  // namespace

bool is_living(const discovery::RelayEntry& e, Wall now) {
  if (e.convicted()) return e.expiry > now;
  return discovery::check_times(e.descriptor.relay, now).ok();
}

DirectoryStore::Loaded DirectoryStore::load(Wall now, const std::function<void(size_t)>& progress) {
  Loaded out;
  const bool looks = access_ == Access::look;
  if (looks && !file_exists(path_)) return out;
  auto done = open();
  if (done.ok()) done = read_all(now, progress, out);
  if (done.ok()) return out;
  // What was read before the damage is lost too: the network has it all.
  if (looks || !is_to_be_set_aside(done.error())) {
    if (!looks) on_trouble(done.error());
    return out;
  }
  meta_ = {};
  relays_.clear(), strikes_.clear(), own_.clear(), dirty_.clear();
  start_anew(done.error());
  return {};
}

std::optional<Wall> DirectoryStore::last_sync() const {
  return meta_.last_sync == 0 ? std::nullopt : std::optional(wall_from_unix(meta_.last_sync));
}

unsigned DirectoryStore::strikes(const PeerId& id, Wall now) const {
  const auto it = strikes_.find(id);
  return it == strikes_.end() || it->second.last + kStrikesLast <= now ? 0 : it->second.count;
}

OwnRecord DirectoryStore::own(const PeerId& id) const {
  const auto it = own_.find(id);
  return it == own_.end() ? OwnRecord{} : it->second;
}

void DirectoryStore::forget(const PeerId& id) {
  dirty_.insert(id);
  relays_.erase(id);
  strikes_.erase(id);
}

void DirectoryStore::apply(const discovery::SetChanges& changes, Wall now) {
  std::set<PeerId> stays;  // replaced by a newer version of itself
  for (const auto& e : changes.come) stays.insert(e->id);
  for (const auto& e : changes.gone) {
    if (e->expiry > now && !stays.contains(e->id)) forget(e->id);  // crowded out; what expired stays as a place to begin
  }
  for (const auto& e : changes.come) {
    const auto it = relays_.find(e->id);
    if (it == relays_.end() && relays_.size() >= kMaxStored) continue;
    StoredRelay& r = it == relays_.end() ? relays_[e->id] : it->second;
    if (!r.entry) r.first_seen = whole_hour(now);
    r.entry = e;
    dirty_.insert(e->id);
  }
}

void DirectoryStore::synced(size_t chosen, const std::function<bool(discovery::ShortId)>& may_choose, Wall now) {
  meta_ = {chosen, unix_seconds(now)};
  dirty_meta_ = true;
  std::vector<PeerId> old;
  for (auto& [id, r] : relays_) {
    if (r.entry->expiry <= now) {
      old.push_back(id);
      continue;
    }
    const bool may = may_choose(r.entry->short_id);
    if (may == r.may_choose) continue;
    r.may_choose = may;
    dirty_.insert(id);
  }
  for (const PeerId& id : old) forget(id);
}

void DirectoryStore::struck(const PeerId& id, Wall now) {
  if (!relays_.contains(id)) return;
  strikes_[id] = {std::min(strikes(id, now), unsigned{UINT16_MAX}) + 1, whole_hour(now)};
  dirty_strikes_.insert(id);
}

bool DirectoryStore::put_own(const PeerId& id, const OwnRecord& own) {
  if (own_.contains(id) && own_[id] == own && !dirty_own_.contains(id)) return true;
  own_[id] = own;
  dirty_own_.insert(id);
  if (!db_ && !flush()) return false;
  if (const auto set = db_->set_power(Database::Power::loses_nothing); !set.ok()) return false;
  const bool done = flush();
  if (db_) static_cast<void>(db_->set_power(Database::Power::may_lose_the_last).ok());
  return done;
}

bool DirectoryStore::is_dirty() const {
  return dirty_meta_ || !dirty_.empty() || !dirty_strikes_.empty() || !dirty_own_.empty();
}

bool DirectoryStore::flush() {
  if (access_ == Access::look) return false;
  if (on_disk()) return true;
  DatabaseResult<void> done = db_ ? DatabaseResult<void>() : open();
  if (done.ok()) done = write_all();
  if (!done.ok() && is_to_be_set_aside(done.error())) {
    start_anew(done.error());
    done = db_ ? write_all() : DatabaseResult<void>(done.failure());
  }
  if (!done.ok()) {
    on_trouble(done.error());
    return false;
  }
  dirty_meta_ = false;
  dirty_.clear(), dirty_strikes_.clear(), dirty_own_.clear();
  if (std::exchange(said_trouble_, false)) say_("the directory is saved on disk again");
  return true;
}

void DirectoryStore::on_trouble(const DatabaseError& e) {
  if (e.kind != DatabaseError::Kind::full) db_.reset();
  if (std::exchange(said_trouble_, true)) return;
  say_("the directory cannot be saved in " + path_ + ": " + e.message +
       ".  The VPN goes on, with what it has in memory, and tries again; free some space or mend the folder");
}

// The database before its WAL: of a WAL without its database SQLite knows that it belongs to nobody.
bool DirectoryStore::set_aside(const char* word) {
  db_.reset();
  for (int n = 1; n <= kMostSetAside; n++) {
    const std::string to = path_ + "." + word + "-" + std::to_string(n);
    if (n < kMostSetAside && file_exists(to)) continue;
    if (rename(path_.c_str(), to.c_str()) != 0) return false;
    for (const char* part : {"-wal", "-shm"}) {
      if (rename((path_ + part).c_str(), (to + part).c_str()) != 0) unlink((path_ + part).c_str());
    }
    say_("it was set aside as " + file_name_of(to) + ", and a new one is begun; what is in it comes again from the network");
    return true;
  }
  return false;
}

void DirectoryStore::start_anew(const DatabaseError& e) {
  const bool damaged = e.kind == DatabaseError::Kind::damaged;
  say_("the stored directory " + path_ + (damaged ? " is damaged: " : " cannot be used: ") + e.message);
  if (!set_aside(damaged ? "damaged" : "other")) return on_trouble({DatabaseError::Kind::unusable, "the damaged file cannot be moved away"});
  for (const auto& [id, r] : relays_) dirty_.insert(id);
  for (const auto& [id, s] : strikes_) dirty_strikes_.insert(id);
  for (const auto& [id, o] : own_) dirty_own_.insert(id);
  dirty_meta_ = true;
  if (const auto again = open(); !again.ok()) on_trouble(again.error());
}

}  // namespace macrovpn::shell
