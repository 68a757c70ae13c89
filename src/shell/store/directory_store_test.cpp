#include "shell/store/directory_store.h"

#include <gtest/gtest.h>
#include <sqlite3.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>

#include "crypto/x25519.h"
#include "shell/config/atomic_file.h"
#include "shell/store/faulty_disk_test.h"

namespace macrovpn::shell {
namespace {

namespace fs = std::filesystem;
using discovery::EntryPtr;

class Store : public ::testing::Test {
 protected:
  Store() {
    // In memory where there is such a folder: what is tried is not the disk.
    std::string name = fs::is_directory("/dev/shm") ? "/dev/shm/mv-store-XXXXXX" : "/tmp/mv-store-XXXXXX";
    const char* made = mkdtemp(name.data());
    dir_ = made != nullptr ? made : "";
    network_.id = {{1, 2, 3, 4, 5, 6, 7, 8}};
  }
  ~Store() override { fs::remove_all(dir_); }
  std::string file() const { return dir_ + "/directory.db"; }
  std::string aside(const char* name) const { return file() + "." + name; }

  struct Relay {
    crypto::SigningKey key;
    RelayInfo info;
  };
  Relay relay(uint8_t n) {
    SeededRng rng(n + 100);
    Relay r{crypto::ed25519_generate(rng), {}};
    r.info.id = discovery::peer_id_of(r.key.pub);
    r.info.wireguard = crypto::x25519_generate(rng).pub;
    r.info.endpoints = {{IpAddress::v4(0xc0000200 + n), 51820}};
    r.info.created = now_ - 100h;
    return r;
  }
  EntryPtr entry(uint8_t n, Wall when, uint16_t port = 51820) {
    Relay r = relay(n);
    r.info.endpoints.front().port = port;
    return discovery::make_entry(*discovery::open_descriptor(discovery::sign_descriptor(r.info, network_.id, r.key, when), network_.id),
                                 network_);
  }
  EntryPtr entry(uint8_t n) {
    EntryPtr& e = entries_[n];
    if (!e) e = entry(n, now_ - 1h);
    return e;
  }
  discovery::SetChanges come(uint8_t first, uint8_t count) {
    discovery::SetChanges c;
    for (uint8_t i = 0; i < count; i++) c.come.push_back(entry(static_cast<uint8_t>(first + i)));
    return c;
  }
  DirectoryStore store() { return {file(), network_, [this](const std::string& s) { said_ += s + "\n"; }}; }
  // What a new start finds.
  size_t on_disk() {
    DirectoryStore s = store();
    return s.load(now_).living;
  }
  void fill(uint8_t count) {
    DirectoryStore s = store();
    s.load(now_);
    s.apply(come(0, count), now_);
    EXPECT_TRUE(s.flush());
  }
  bool said(const char* words) const { return said_.find(words) != std::string::npos; }

  std::string dir_, said_;
  Network network_;
  std::map<uint8_t, EntryPtr> entries_;
  Wall now_ = wall_from_unix(1'800'000'000);
};

TEST_F(Store, GivesBackWhatItWasGiven) {
  const PeerId a = entry(0)->id, b = entry(1)->id;
  WorkProof work{700, 0x123456789abcdef0, UINT64_MAX - 5};
  {
    DirectoryStore s = store();
    EXPECT_EQ(s.load(now_).living, 0u);
    s.apply(come(0, 3), now_);
    s.synced(2, [&](discovery::ShortId id) { return id == discovery::short_id_of(a); }, now_);
    s.struck(b, now_), s.struck(b, now_);
    EXPECT_TRUE(s.put_own(relay(9).info.id, {now_, work}));
    EXPECT_TRUE(s.on_disk());
  }
  DirectoryStore s = store();
  EXPECT_EQ(s.load(now_).living, 3u);
  EXPECT_EQ(s.count_chosen(), 2u);
  EXPECT_EQ(s.last_sync(), now_);
  ASSERT_TRUE(s.relays().contains(a));
  EXPECT_EQ(s.relays().at(a).entry->digest, entry(0)->digest);
  EXPECT_TRUE(s.relays().at(a).may_choose);
  EXPECT_FALSE(s.relays().at(b).may_choose);
  EXPECT_EQ(s.relays().at(b).first_seen, now_);
  EXPECT_EQ(s.strikes(b, now_), 2u);
  EXPECT_EQ(s.strikes(b, now_ + kStrikesLast), 0u) << "not for ever";
  EXPECT_EQ(s.own(relay(9).info.id), (OwnRecord{now_, work}));
  EXPECT_EQ(s.own(a), OwnRecord{});
  EXPECT_EQ(said_, "");
}

TEST_F(Store, TellsTimesInWholeHoursOnly) {
  const EntryPtr e = entry(0);
  DirectoryStore s = store();
  s.load(now_);
  s.apply({{e}, {}}, now_ + 59min);
  EXPECT_EQ(s.relays().at(e->id).first_seen, now_);
}

TEST_F(Store, ForgetsARelayThatIsGoneWithAllThatWasThoughtOfIt) {
  fill(2);
  {
    DirectoryStore s = store();
    s.load(now_);
    s.struck(entry(0)->id, now_);
    s.flush();
    s.apply({{}, {entry(0)}}, now_);
  }
  DirectoryStore s = store();
  EXPECT_EQ(s.load(now_).living, 1u);
  EXPECT_EQ(s.strikes(entry(0)->id, now_), 0u);
}

TEST_F(Store, KeepsWhenItSawARelayFirstThroughItsRenewals) {
  fill(1);
  const EntryPtr newer = entry(0, now_ + 10h);
  DirectoryStore s = store();
  s.load(now_);
  s.apply({{newer}, {entry(0)}}, now_ + 10h);
  ASSERT_TRUE(s.relays().contains(newer->id));
  EXPECT_EQ(s.relays().at(newer->id).entry->seq, newer->seq);
  EXPECT_EQ(s.relays().at(newer->id).first_seen, now_);
}

TEST_F(Store, KeepsExpiredRelaysAsAPlaceToBeginUntilASync) {
  fill(3);
  const Wall later = now_ + 48h;
  {
    DirectoryStore s = store();
    const auto loaded = s.load(later);
    EXPECT_EQ(loaded.living, 0u);
    EXPECT_EQ(loaded.expired, 3u);
    EXPECT_EQ(s.relays().size(), 3u);
    s.apply({{}, {entry(1)}}, later);  // as the directory says of one that expired
    EXPECT_EQ(s.relays().size(), 3u);
    s.apply({{entry(0, later)}, {}}, later);
    s.synced(1, [](discovery::ShortId) { return true; }, later);
    EXPECT_EQ(s.relays().size(), 1u);
  }
  DirectoryStore s = store();
  s.load(later);
  EXPECT_EQ(s.relays().size(), 1u);
}

TEST_F(Store, ForgetsWhatExpiredAMonthAgo) {
  fill(2);
  DirectoryStore s = store();
  const auto loaded = s.load(now_ + 36h + kExpiredStay);
  EXPECT_EQ(loaded.living + loaded.expired, 0u);
  s.flush();
  EXPECT_EQ(on_disk(), 0u);
}

TEST_F(Store, KeepsConvictions) {
  const EntryPtr bad = discovery::make_conviction(*entry(4, now_, 51820), *entry(4, now_, 51821));
  {
    DirectoryStore s = store();
    s.load(now_);
    s.apply({{bad}, {}}, now_);
  }
  DirectoryStore s = store();
  EXPECT_EQ(s.load(now_ + 48h).living, 1u) << "it outlives both halves";
  ASSERT_TRUE(s.relays().at(bad->id).entry->convicted());
  EXPECT_EQ(s.relays().at(bad->id).entry->digest, bad->digest);
}

// ---- what is in the file is believed by nobody

void tamper(const std::string& file, const std::string& sql) {
  sqlite3* db = nullptr;
  ASSERT_EQ(sqlite3_open(file.c_str(), &db), SQLITE_OK);
  EXPECT_EQ(sqlite3_exec(db, sql.c_str(), nullptr, nullptr, nullptr), SQLITE_OK) << sqlite3_errmsg(db);
  sqlite3_close(db);
}

TEST_F(Store, DropsRowsThatDoNotVerifyAndCountsThem) {
  fill(4);
  const std::string first = "(SELECT id FROM relay ORDER BY id LIMIT 1)", last = "(SELECT id FROM relay ORDER BY id DESC LIMIT 1)";
  tamper(file(), "UPDATE relay SET descriptor = x'0102' WHERE id = " + first);
  tamper(file(), "UPDATE relay SET descriptor = (SELECT descriptor FROM relay WHERE id = (SELECT id FROM relay ORDER BY id LIMIT 1 OFFSET 1)) "
                 "WHERE id = " + last);
  {
    DirectoryStore s = store();
    const auto loaded = s.load(now_);
    EXPECT_EQ(loaded.living, 2u);
    EXPECT_EQ(loaded.refused, 2u);
  }
  DirectoryStore s = store();
  EXPECT_EQ(s.load(now_).refused, 0u) << "they were deleted";
  EXPECT_EQ(said_, "");
}

TEST_F(Store, DropsRelaysWithoutTheWorkThatTheNetworkAsksForNow) {
  fill(3);
  network_.pow_bits = 8;
  DirectoryStore s = store();
  EXPECT_EQ(s.load(now_).refused, 3u);
}

TEST_F(Store, SetsADamagedFileAsideAndBeginsAnew) {
  fill(5);
  fs::resize_file(file(), fs::file_size(file()) / 2);
  EXPECT_EQ(on_disk(), 0u);
  EXPECT_TRUE(said("is damaged: ") && said("directory.db.damaged-1")) << said_;
  EXPECT_TRUE(fs::exists(aside("damaged-1")));
  fill(2);
  EXPECT_EQ(on_disk(), 2u);
  std::ofstream(file(), std::ios::trunc) << "this is no database at all, but long enough to be looked at as one";
  EXPECT_EQ(on_disk(), 0u);
  EXPECT_TRUE(fs::exists(aside("damaged-2")));
}

TEST_F(Store, KeepsSoManyRelaysAndNoMore) {
  discovery::SetChanges c;
  for (size_t i = 0; i < kMaxStored + 5; i++) {
    auto e = std::make_shared<discovery::RelayEntry>();
    store_be64(e->id.bytes.data(), i);
    e->short_id = discovery::short_id_of(e->id);
    e->expiry = now_ + 1h;
    c.come.push_back(e);
  }
  DirectoryStore s({}, network_, [](const std::string&) {});
  s.apply(c, now_);
  EXPECT_EQ(s.relays().size(), kMaxStored);
}

// Whatever writes over it while a daemon runs.
TEST_F(Store, SetsAFileAsideThatIsDamagedWhileItIsOpen) {
  fill(5);
  DirectoryStore s = store();
  ASSERT_EQ(s.load(now_).living, 5u);
  ASSERT_TRUE(s.flush());
  for (const char* part : {"", "-wal"}) std::ofstream(file() + part, std::ios::trunc) << std::string(8192, 'x');
  s.apply(come(5, 2), now_);
  EXPECT_TRUE(s.flush() || s.flush());
  EXPECT_TRUE(fs::exists(aside("damaged-1"))) << said_;
  EXPECT_EQ(on_disk(), 7u);
}

TEST_F(Store, KeepsNineDamagedFilesAtMost) {
  for (int i = 0; i < 12; i++) {
    std::ofstream(file(), std::ios::trunc) << "this is no database " << i << std::string(100, '.');
    EXPECT_EQ(on_disk(), 0u);
  }
  size_t files = 0;
  for (const auto& f : fs::directory_iterator(dir_)) files += f.path().string().find("damaged-") != std::string::npos;
  EXPECT_EQ(files, 9u);
}

TEST_F(Store, DoesNotMixNetworks) {
  fill(3);
  network_.id.bytes[0] ^= 1;
  EXPECT_EQ(on_disk(), 0u);
  EXPECT_TRUE(said("another network") && fs::exists(aside("other-1"))) << said_;
}

TEST_F(Store, TakesNoFileWithOtherTables) {
  for (const char* sql : {"CREATE TABLE more(x)", "CREATE TRIGGER t AFTER INSERT ON relay BEGIN DELETE FROM relay; END",
                          "DROP TABLE relay; CREATE VIEW relay AS SELECT 1 AS id", "UPDATE meta SET value = 3 WHERE key = 'schema'"}) {
    fill(1);
    tamper(file(), sql);
    said_.clear();
    EXPECT_EQ(on_disk(), 0u) << sql;
    EXPECT_TRUE(said("cannot be used: ")) << sql << said_;
  }
}

TEST_F(Store, IsReadableByUsAlone) {
  const mode_t before = umask(0);
  {
    DirectoryStore s = store();
    s.load(now_);
    s.apply(come(0, 2), now_);
    s.flush();
    for (const auto& f : fs::directory_iterator(dir_)) {
      struct stat st;
      ASSERT_EQ(lstat(f.path().c_str(), &st), 0);
      EXPECT_EQ(st.st_mode & 0777, 0600u) << f.path();
    }
  }
  chmod(file().c_str(), 0644);
  EXPECT_EQ(on_disk(), 2u);
  struct stat st;
  ASSERT_EQ(lstat(file().c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 0777, 0600u);
  umask(before);
}

TEST_F(Store, MayBeLookedAtWhileAnotherKeepsIt) {
  fill(3);
  DirectoryStore keeper = store();
  keeper.load(now_);
  keeper.apply(come(3, 1), now_);
  keeper.flush();
  {
    DirectoryStore looks(file(), network_, [this](const std::string& s) { said_ += s; }, DirectoryStore::Access::look);
    EXPECT_EQ(looks.load(now_ + 36h + kExpiredStay).living, 0u);
    EXPECT_FALSE(looks.flush());
  }
  EXPECT_EQ(on_disk(), 4u);
  std::ofstream(dir_ + "/other", std::ios::trunc) << "no database" << std::string(100, '.');
  for (const char* name : {"/other", "/none"}) {
    DirectoryStore looks(dir_ + name, network_, [this](const std::string& s) { said_ += s; }, DirectoryStore::Access::look);
    EXPECT_EQ(looks.load(now_).living, 0u);
  }
  EXPECT_FALSE(fs::exists(dir_ + "/none"));
  EXPECT_TRUE(fs::exists(dir_ + "/other"));
  EXPECT_EQ(said_, "");
}

TEST_F(Store, FollowsNoLink) {
  ASSERT_EQ(symlink("/etc/hostname", file().c_str()), 0);
  DirectoryStore s = store();
  s.load(now_);
  EXPECT_TRUE(said("cannot be saved")) << said_;
  s.apply(come(0, 1), now_);
  EXPECT_FALSE(s.flush());
  EXPECT_EQ(s.relays().size(), 1u) << "memory goes on";
  unlink(file().c_str());
  EXPECT_TRUE(s.flush());
  EXPECT_TRUE(said("saved on disk again"));
}

// ---- the disk

TEST_F(Store, GoesOnWithAFullDiskAndSaysSoOnce) {
  FaultyDisk disk;
  fill(2);
  unsigned last = 0;
  {  // how many steps it takes
    DirectoryStore s = store();
    s.load(now_);
    s.apply(come(2, 2), now_);
    disk.arm(FaultyDisk::Fault::none, 0);
    EXPECT_TRUE(s.flush());
    last = disk.steps();
  }
  ASSERT_GE(last, 2u);
  for (unsigned step = 1; step <= last; step++) {
    said_.clear();
    DirectoryStore s = store();
    ASSERT_EQ(s.load(now_).living, 4u) << step;
    s.apply({{entry(5, now_)}, {}}, now_);
    disk.arm(FaultyDisk::Fault::full, step);
    for (int i = 0; i < 3; i++) EXPECT_FALSE(s.flush()) << step;
    EXPECT_EQ(said_.find("disk is full"), said_.rfind("disk is full")) << said_;
    EXPECT_TRUE(said("disk is full")) << step << said_;
    disk.arm(FaultyDisk::Fault::none, 0);
    EXPECT_TRUE(s.flush());
    EXPECT_TRUE(said("saved on disk again"));
    EXPECT_EQ(on_disk(), 5u);
    s.apply({{}, {entry(5, now_)}}, now_);
    EXPECT_TRUE(s.flush());
  }
  EXPECT_FALSE(fs::exists(aside("damaged-1")));
}

TEST_F(Store, BeginsWithoutADiskAndWritesWhenThereIsOne) {
  FaultyDisk disk;
  disk.arm(FaultyDisk::Fault::full, 1);
  DirectoryStore s = store();
  EXPECT_EQ(s.load(now_).living, 0u);
  s.apply(come(0, 3), now_);
  EXPECT_FALSE(s.flush());
  EXPECT_FALSE(s.put_own(relay(0).info.id, {now_, {}}));
  disk.arm(FaultyDisk::Fault::none, 0);
  EXPECT_TRUE(s.flush());
  EXPECT_EQ(on_disk(), 3u);
}

// A life in a process of its own: three batches of four relays, each with what only it has; tells by `done` what it was told is on disk.
struct Done {
  volatile uint32_t batches = 0, signed_at = 0;
};

void live(DirectoryStore s, const std::vector<discovery::SetChanges>& batches, const PeerId& own, Wall now, Done& done) {
  s.load(now);
  for (uint32_t i = 0; i < batches.size(); i++) {
    s.apply(batches[i], now);
    s.synced(i + 1, [](discovery::ShortId) { return true; }, now);
    if (s.flush()) done.batches = i + 1;
    if (s.put_own(own, {now + std::chrono::seconds(i + 1), {}})) done.signed_at = i + 1;
  }
}

// Killed at the n-th step of its writing, for each n there is.
TEST_F(Store, SurvivesSigkillAtEveryStepOfItsWriting) {
  const PeerId own = relay(99).info.id;
  std::vector<discovery::SetChanges> batches{come(0, 4), come(4, 4), come(8, 4)};
  auto* done = static_cast<Done*>(mmap(nullptr, sizeof(Done), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  ASSERT_NE(done, MAP_FAILED);
  unsigned step = 1, killed = 0;
  for (bool over = false; !over; step++) {
    ASSERT_LT(step, 2000u);
    for (const auto& f : fs::directory_iterator(dir_)) fs::remove(f.path());
    *done = {};
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      FaultyDisk disk;
      disk.arm(FaultyDisk::Fault::killed, step);
      live(store(), batches, own, now_, *done);
      _exit(0);
    }
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    over = WIFEXITED(status);
    killed += WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
    DirectoryStore s = store();
    const auto loaded = s.load(now_);
    EXPECT_EQ(said_, "") << step;
    EXPECT_EQ(loaded.refused, 0u) << step;
    EXPECT_EQ(loaded.living % 4, 0u) << "half a batch, at step " << step;
    EXPECT_GE(loaded.living, 4u * done->batches) << step;
    EXPECT_EQ(s.count_chosen(), loaded.living / 4) << step;
    EXPECT_GE(s.own(own).last_signed, done->signed_at == 0 ? Wall() : now_ + std::chrono::seconds(done->signed_at)) << step;
    if (HasFailure()) break;
  }
  EXPECT_GE(killed, 20u);
  EXPECT_EQ(on_disk(), 12u) << "the last one was not killed";
  munmap(done, sizeof(Done));
}

// Any byte of it changed: read, set aside, or a row less; never a crash and never a relay that is none.
TEST_F(Store, ReadsAnyDamageWithoutHarm) {
  fill(12);
  const fs::path whole = dir_ + "/whole";
  fs::copy_file(file(), whole);
  SeededRng rng(7);
  size_t aside_or_less = 0;
  for (int i = 0; i < 80; i++) {
    for (const char* part : {"", "-wal", "-shm"}) fs::remove(file() + part);
    fs::copy_file(whole, file(), fs::copy_options::overwrite_existing);
    std::fstream f(file(), std::ios::in | std::ios::out | std::ios::binary);
    for (int n = 0; n < 8; n++) {
      f.seekp(static_cast<std::streamoff>(rng.below(fs::file_size(whole))));
      f.put(static_cast<char>(rng.below(256)));
    }
    f.close();
    DirectoryStore s = store();
    const auto loaded = s.load(now_);
    EXPECT_LE(loaded.living + loaded.expired, 12u);
    aside_or_less += loaded.living < 12;
    for (const auto& [id, r] : s.relays()) EXPECT_EQ(id, r.entry->id);
    s.apply(come(0, 12), now_);
    EXPECT_TRUE(s.flush());
    EXPECT_EQ(s.relays().size(), 12u);
  }
  EXPECT_GE(aside_or_less, 25u);
}

}  // namespace
}  // namespace macrovpn::shell
