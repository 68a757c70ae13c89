// DirectoryKeeper: the live directory of this node on disk, and where it begins.
//
// A node begins with what it knew last time, however old: identities and addresses outlive descriptors.  Whoever knows fewer than three such
// relays, or is answered by none, begins with the network file's seeds, and at last with the relays of the invite.  A relay begins with all.
#pragma once
#include <functional>
#include <nlohmann/json_fwd.hpp>

#include "app/daemon.h"
#include "base/rng.h"
#include "core/node/node.h"
#include "shell/store/directory_store.h"

namespace macrovpn::app {

class DirectoryKeeper {
 public:
  static constexpr size_t kMaxOldContacts = 48;
  using Say = std::function<void(const std::string&)>;
  DirectoryKeeper(const DaemonOptions& options, Rng& rng, Say say);

  // Reads the store and the invite.
  Result<void> load(Wall now);
  // Where to begin; the next place, if nobody answered (empty: there is none).
  node::DirectoryConfig begin();
  std::vector<Contact> next_place();
  // Before the node starts.
  void restore(node::DirectorySide& live, Wall now) const;

  void apply(const discovery::SetChanges& changes, Wall now) { store_.apply(changes, now); }
  void on_synced(const node::DirectorySynced& synced, const node::DirectorySide& live, Wall now);
  void on_accepted_anyway(const node::DirectorySide& live, Wall now);
  void on_tick() { store_.flush(); }
  shell::DirectoryStore& store() { return store_; }

  // A client that knew no relay, until it has found some: a line for a person, when there is a new one.  Empty: nothing to say.
  std::string progress(const node::Node& node);
  nlohmann::json json(const node::DirectorySide& live) const;

 private:
  std::vector<Contact> old_relays(Wall now);
  void save_choice(const node::DirectorySide& live, Wall now);

  const DaemonOptions& options_;
  Rng& rng_;
  Say say_;
  shell::DirectoryStore store_;
  std::vector<Seed> invited_;
  std::vector<std::vector<Contact>> places_;  // first come first
  bool is_finding_ = false;  // knew nobody at the start, and no sync was accepted yet
  bool accepted_anyway_ = false;
  std::string last_progress_, last_refusal_;
};

}  // namespace macrovpn::app
