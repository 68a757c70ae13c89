// The tables of DirectoryStore: making, reading and writing them.
#include "core/discovery/equivocation.h"
#include "shell/store/directory_store.h"

namespace macrovpn::shell {
namespace {

using discovery::EntryPtr;

constexpr int64_t kSchema = 2;
constexpr size_t kProgressEach = 500;
constexpr size_t kMaxOwn = 16;
// In the order of their names, which is how the file is asked for them: it must say exactly this.
constexpr const char* kTables[] = {
    "CREATE TABLE meta(key TEXT PRIMARY KEY, value) WITHOUT ROWID",
    "CREATE TABLE own(id BLOB PRIMARY KEY, last_signed INTEGER NOT NULL, work BLOB NOT NULL) WITHOUT ROWID",
    "CREATE TABLE relay(id BLOB PRIMARY KEY, seq INTEGER NOT NULL, expiry INTEGER NOT NULL, flags INTEGER NOT NULL, country TEXT NOT NULL, "
    "bandwidth INTEGER NOT NULL, may_choose INTEGER NOT NULL, first_seen INTEGER NOT NULL, descriptor BLOB NOT NULL, "
    "second BLOB NOT NULL) WITHOUT ROWID",
    "CREATE TABLE source(id BLOB PRIMARY KEY, strikes INTEGER NOT NULL, last INTEGER NOT NULL) WITHOUT ROWID",
};

Failure<DatabaseError> damaged(const char* why) { return {DatabaseError{DatabaseError::Kind::damaged, why}}; }
Failure<DatabaseError> foreign(const char* why) { return {DatabaseError{DatabaseError::Kind::foreign, why}}; }

std::optional<PeerId> id_of(Bytes b) {
  const auto id = to_array<20>(b);
  return id ? std::optional(PeerId{*id}) : std::nullopt;
}

EntryPtr half_of(const PeerId& id, Bytes descriptor, const Network& network) {
  auto d = discovery::open_descriptor(descriptor, network.id);
  return d.ok() && d->relay.id == id ? discovery::make_entry(std::move(*d), network) : nullptr;
}

EntryPtr entry_of(const PeerId& id, Bytes first, Bytes second, const Network& network) {
  const EntryPtr a = half_of(id, first, network);
  if (!a || second.empty()) return a;
  const EntryPtr b = half_of(id, second, network);
  if (!b || !discovery::contradict(a->descriptor, b->descriptor)) return nullptr;
  return discovery::make_conviction(*a, *b);
}

std::vector<uint8_t> bytes_of(const std::optional<WorkProof>& w) {
  std::vector<uint8_t> out;
  if (w) Writer(out).le16(w->epoch).le64(w->nonce).be64(w->rank);
  return out;
}

std::optional<WorkProof> work_of(Bytes b) {
  Reader r(b);
  WorkProof w;
  w.epoch = r.le16();
  w.nonce = r.le64();
  w.rank = r.be64();
  return r.done() ? std::optional(w) : std::nullopt;
}

}  // namespace

DatabaseResult<void> DirectoryStore::open() {
  auto done = open_file();
  if (!done.ok()) db_.reset();
  return done;
}

DatabaseResult<void> DirectoryStore::open_file() {
  TRY(Database db, Database::open(path_));
  db_ = std::make_unique<Database>(std::move(db));
  TRY_VOID(db_->check());
  TRY(const bool ours, has_our_tables());
  if (!ours && access_ == Access::look) return foreign("it is empty");
  if (!ours) return make_tables();
  TRY(Statement s, db_->prepare("SELECT value FROM meta WHERE key = 'network'"));
  TRY(const bool row, s.step());
  if (!row) return damaged("it does not say of which network it is");
  if (!equal(s.bytes(0), network_.id.bytes)) return foreign("it is of another network");
  return {};
}

DatabaseResult<bool> DirectoryStore::has_our_tables() const {
  TRY(Statement s, db_->prepare("SELECT sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite_%' ORDER BY name"));
  size_t n = 0;
  for (;; n++) {
    TRY(const bool row, s.step());
    if (!row) break;
    if (n == std::size(kTables) || s.text(0) != kTables[n]) return foreign("it has other tables than this program makes");
  }
  if (n != 0 && n != std::size(kTables)) return damaged("tables are missing");
  return n != 0;
}

// All or nothing: the schema is part of the transaction.
DatabaseResult<void> DirectoryStore::make_tables() const {
  std::string sql = "BEGIN IMMEDIATE";
  for (const char* table : kTables) sql += std::string("; ") + table;
  auto done = db_->execute(sql);
  if (done.ok()) done = write_meta();
  if (done.ok()) done = db_->execute("COMMIT");
  if (!done.ok()) static_cast<void>(db_->execute("ROLLBACK").ok());
  return done;
}

// ---- reading

DatabaseResult<void> DirectoryStore::read_all(Wall now, const std::function<void(size_t)>& progress, Loaded& out) {
  TRY_VOID(read_meta());
  TRY_VOID(read_relays(now, progress, out));
  return read_others();
}

DatabaseResult<void> DirectoryStore::read_meta() {
  TRY(Statement s, db_->prepare("SELECT key, value FROM meta"));
  for (;;) {
    TRY(const bool row, s.step());
    if (!row) return {};
    const std::string key = s.text(0);
    const int64_t value = s.number(1);
    if (key == "schema" && value != kSchema) return foreign("another version of macrovpn made it");
    if (key == "chosen" && value >= 0) meta_.chosen = std::min(static_cast<size_t>(value), discovery::kMaxRelays);
    if (key == "last_sync" && value >= 0 && value < INT64_C(1) << 32) meta_.last_sync = value;
  }
}

DatabaseResult<void> DirectoryStore::read_relays(Wall now, const std::function<void(size_t)>& progress, Loaded& out) {
  TRY(Statement s, db_->prepare("SELECT id, descriptor, second, may_choose, first_seen FROM relay"));
  for (size_t n = 1; relays_.size() < kMaxStored; n++) {
    TRY(const bool row, s.step());
    if (!row) break;
    if (progress && n % kProgressEach == 0) progress(n);
    const auto id = id_of(s.bytes(0));
    if (!id) return damaged("a relay in it has no name");
    EntryPtr e = entry_of(*id, s.bytes(1), s.bytes(2), network_);
    const bool too_old = e && e->expiry + kExpiredStay <= now;
    if (!e) out.refused++;
    if (!e || too_old) dirty_.insert(*id);
    if (!e || too_old) continue;
    (is_living(*e, now) ? out.living : out.expired)++;
    const auto hour = [&](int column) { return wall_from_unix(std::clamp<int64_t>(s.number(column), 0, UINT32_MAX)); };
    relays_[*id] = {std::move(e), s.number(3) != 0, hour(4)};
  }
  return {};
}

DatabaseResult<void> DirectoryStore::read_others() {
  const auto time = [](int64_t t) { return wall_from_unix(std::clamp<int64_t>(t, 0, UINT32_MAX)); };
  TRY(Statement sources, db_->prepare("SELECT id, strikes, last FROM source"));
  for (;;) {
    TRY(const bool row, sources.step());
    if (!row) break;
    const auto id = id_of(sources.bytes(0));
    if (id && relays_.contains(*id))
      strikes_[*id] = {static_cast<unsigned>(std::clamp<int64_t>(sources.number(1), 0, UINT16_MAX)), time(sources.number(2))};
  }
  TRY(Statement own, db_->prepare("SELECT id, last_signed, work FROM own"));
  while (own_.size() < kMaxOwn) {
    TRY(const bool row, own.step());
    if (!row) break;
    if (const auto id = id_of(own.bytes(0))) own_[*id] = {time(own.number(1)), work_of(own.bytes(2))};
  }
  return {};
}

// ---- writing

DatabaseResult<void> DirectoryStore::write_all() {
  TRY_VOID(db_->execute("BEGIN IMMEDIATE"));
  auto done = write_relays();
  if (done.ok()) done = write_others();
  if (done.ok()) done = write_meta();
  if (done.ok()) done = db_->execute("COMMIT");
  if (!done.ok()) static_cast<void>(db_->execute("ROLLBACK").ok());
  return done;
}

DatabaseResult<void> DirectoryStore::write_meta() const {
  TRY(Statement s, db_->prepare("INSERT OR REPLACE INTO meta VALUES('network', ?1), ('schema', ?2), ('chosen', ?3), ('last_sync', ?4)"));
  s.bind(1, Bytes(network_.id.bytes)).bind(2, kSchema).bind(3, static_cast<int64_t>(meta_.chosen)).bind(4, meta_.last_sync);
  return s.run();
}

DatabaseResult<void> DirectoryStore::write_relays() {
  TRY(Statement put, db_->prepare("INSERT OR REPLACE INTO relay VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)"));
  for (const PeerId& id : dirty_) {
    const auto it = relays_.find(id);
    if (it == relays_.end()) {
      for (const char* table : {"relay", "source"}) {
        TRY(Statement gone, db_->prepare(std::string("DELETE FROM ") + table + " WHERE id = ?1"));
        gone.bind(1, Bytes(id.bytes));
        TRY_VOID(gone.run());
      }
      continue;
    }
    const StoredRelay& r = it->second;
    const RelayInfo& info = r.entry->descriptor.relay;
    const Bytes country = info.region.known() ? Bytes(info.region.code) : Bytes();
    const auto& proof = r.entry->conviction;
    put.bind(1, Bytes(id.bytes)).bind(2, r.entry->seq).bind(3, unix_seconds(r.entry->expiry)).bind(4, info.flags.bits);
    put.bind_text(5, country).bind(6, static_cast<int64_t>(info.bandwidth.bytes_per_second)).bind(7, r.may_choose ? 1 : 0);
    put.bind(8, unix_seconds(r.first_seen));
    put.bind(9, Bytes(proof ? proof->first : r.entry->descriptor.bytes)).bind(10, proof ? Bytes(proof->second) : Bytes());
    TRY_VOID(put.run());
  }
  return {};
}

DatabaseResult<void> DirectoryStore::write_others() {
  TRY(Statement source, db_->prepare("INSERT OR REPLACE INTO source VALUES(?1, ?2, ?3)"));
  for (const PeerId& id : dirty_strikes_) {
    const auto it = strikes_.find(id);
    if (it == strikes_.end()) continue;
    source.bind(1, Bytes(id.bytes)).bind(2, it->second.count).bind(3, unix_seconds(it->second.last));
    TRY_VOID(source.run());
  }
  TRY(Statement own, db_->prepare("INSERT OR REPLACE INTO own VALUES(?1, ?2, ?3)"));
  for (const PeerId& id : dirty_own_) {
    const std::vector<uint8_t> work = bytes_of(own_[id].work);
    own.bind(1, Bytes(id.bytes)).bind(2, unix_seconds(own_[id].last_signed)).bind(3, work);
    TRY_VOID(own.run());
  }
  return {};
}

}  // namespace macrovpn::shell
