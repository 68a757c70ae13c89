// DirectoryStore: the directory on disk, so that a node which starts knows its network without asking anybody, and the few things
// that a relay must not forget of itself (what second it signed in last, its proof of work).
//
//   meta         schema, network, count chosen when last judged, time of the last sync
//   relay        id | the exact signed bytes (of a conviction both halves) | derived: seq, expiry, flags, country, bandwidth |
//                whether it may be chosen, first seen
//   source       id | how often that relay kept something back in a sync, and when last
//   own          id | second of the last signature | proof of work
//
// The bytes are verified again when they are read: who can write the file cannot make us believe a relay.  Columns that are derived are
// for people with a database browser; we read them from the bytes.
//
// The copy in memory is the truth while the program runs; the file follows it by flush().  So a full disk stops nothing: it is said once,
// and tried again with the next flush.  A file that is damaged, is of another network or has other tables is set aside as NAME.damaged-N or
// NAME.other-N (at most nine of each: the ninth is overwritten), said, and made anew from memory.  No word here ends the program.
//
// Relays that expired stay for 30 days, or until a sync was accepted: nobody builds through them, but they are where a node that was
// off for a week begins.
//
// Privacy: mode 0600, and nothing of what users do.  Times of relays are whole hours; the time of the last sync is what the file tells most
// exactly of when the node was on.
//
// Bounds: kMaxStored relays; sources are of those only.
#pragma once
#include <functional>
#include <map>
#include <set>

#include "core/discovery/client_copy.h"
#include "shell/store/database.h"

namespace macrovpn::shell {

inline constexpr size_t kMaxStored = discovery::kMaxRelays + discovery::kMaxConvictions;
inline constexpr Duration kStrikesLast = std::chrono::hours(24 * 30);
inline constexpr Duration kExpiredStay = std::chrono::hours(24 * 30);

struct StoredRelay {
  discovery::EntryPtr entry;  // never nullptr
  bool may_choose = false;
  Wall first_seen;  // a whole hour
};
// Whether it may be in a directory now: not expired, not of the future.
bool is_living(const discovery::RelayEntry&, Wall now);

// What a relay must not forget of itself.
struct OwnRecord {
  Wall last_signed;
  std::optional<WorkProof> work;
  bool operator==(const OwnRecord&) const = default;
};

class DirectoryStore {
 public:
  using Say = std::function<void(const std::string&)>;  // a sentence for a person
  // look: another process may be keeping it; nothing is written, made or set aside.
  enum class Access : uint8_t { keep, look };
  DirectoryStore(std::string path, const Network& network, Say say, Access access = Access::keep)
      : path_(std::move(path)), network_(network), say_(std::move(say)), access_(access) {}
  ~DirectoryStore() { flush(); }
  DirectoryStore(const DirectoryStore&) = delete;
  DirectoryStore& operator=(const DirectoryStore&) = delete;

  struct Loaded {
    size_t living = 0, expired = 0;
    size_t refused = 0;  // rows whose bytes do not verify; they are deleted
  };
  // Once, before everything else.  80 to 240 µs a relay; `progress` hears how many were read, now and then.
  Loaded load(Wall now, const std::function<void(size_t)>& progress = {});

  const std::map<PeerId, StoredRelay>& relays() const { return relays_; }  // expired ones too
  size_t count_chosen() const { return meta_.chosen; }                     // when last judged
  std::optional<Wall> last_sync() const;
  unsigned strikes(const PeerId&, Wall now) const;  // those of before kStrikesLast are over
  OwnRecord own(const PeerId&) const;

  void apply(const discovery::SetChanges&, Wall now);
  // After a sync that was accepted.
  void synced(size_t chosen, const std::function<bool(discovery::ShortId)>& may_choose, Wall now);
  void struck(const PeerId&, Wall now);
  // On disk, power cut or not, when it says yes.
  bool put_own(const PeerId&, const OwnRecord&);
  // Brings the file up to date, in one transaction; false: it could not.
  bool flush();
  bool on_disk() const { return db_ != nullptr && !is_dirty(); }

 private:
  struct Meta {
    size_t chosen = 0;
    int64_t last_sync = 0;
    bool operator==(const Meta&) const = default;
  };
  struct Strikes {
    unsigned count = 0;
    Wall last;
  };

  bool is_dirty() const;
  DatabaseResult<void> open();
  DatabaseResult<void> open_file();
  DatabaseResult<bool> has_our_tables() const;  // false: none at all
  DatabaseResult<void> make_tables() const;
  DatabaseResult<void> read_all(Wall now, const std::function<void(size_t)>& progress, Loaded&);
  DatabaseResult<void> read_meta();
  DatabaseResult<void> read_relays(Wall now, const std::function<void(size_t)>& progress, Loaded&);
  DatabaseResult<void> read_others();
  DatabaseResult<void> write_all();
  DatabaseResult<void> write_meta() const;
  DatabaseResult<void> write_relays();
  DatabaseResult<void> write_others();
  bool set_aside(const char* word);
  void start_anew(const DatabaseError&);
  void on_trouble(const DatabaseError&);
  void forget(const PeerId&);

  std::string path_;
  Network network_;
  Say say_;
  Access access_;
  std::unique_ptr<Database> db_;  // nullptr: not open
  bool said_trouble_ = false;
  Meta meta_;
  std::map<PeerId, StoredRelay> relays_;
  std::map<PeerId, Strikes> strikes_;
  std::map<PeerId, OwnRecord> own_;
  // What the file does not have yet.
  std::set<PeerId> dirty_, dirty_strikes_, dirty_own_;
  bool dirty_meta_ = false;
};

}  // namespace macrovpn::shell
