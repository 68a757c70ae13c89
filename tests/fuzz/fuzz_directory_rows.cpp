// A database of ours in which somebody wrote: whatever its rows say, relays are those whose bytes verify, and what we write is what we read.
//
//   script   table and column 1 | kind of the value 1 | size 2, the value
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>

#include "core/discovery/descriptor.h"
#include "crypto/x25519.h"
#include "shell/store/directory_store.h"

using namespace macrovpn;

namespace {

const Wall kNow = wall_from_unix(1'800'000'000);

Network network() {
  Network n;
  n.id = {{1, 2, 3, 4, 5, 6, 7, 8}};
  return n;
}

struct Template {
  std::string folder = "/dev/shm/fuzz-rows-XXXXXX";
  std::string file, bytes;
  PeerId first;
  Template() {
    MV_ASSERT(mkdtemp(folder.data()) != nullptr);
    file = folder + "/directory.db";
    shell::DirectoryStore store(file, network(), [](const std::string&) {});
    store.load(kNow);
    discovery::SetChanges come;
    SeededRng rng(7);
    for (uint8_t n = 0; n < 3; n++) {
      const auto key = crypto::ed25519_generate(rng);
      RelayInfo info;
      info.id = discovery::peer_id_of(key.pub);
      info.wireguard = crypto::x25519_generate(rng).pub;
      info.endpoints = {{IpAddress::v4(0xc0000200u + n), 51820}};
      info.created = kNow - 100h;
      const auto signed_bytes = discovery::sign_descriptor(info, network().id, key, kNow - 1h);
      come.come.push_back(discovery::make_entry(*discovery::open_descriptor(signed_bytes, network().id), network()));
      if (n == 0) first = info.id;
    }
    store.apply(come, kNow);
    store.struck(first, kNow);
    static_cast<void>(store.put_own(PeerId{}, {kNow, WorkProof{1, 2, 3}}));
    store.synced(3, [](discovery::ShortId) { return true; }, kNow);
    MV_ASSERT(store.flush());
  }
};

void write_into(sqlite3* db, Reader r) {
  static constexpr const char* kWhere[] = {"relay SET id", "relay SET descriptor", "relay SET second", "relay SET may_choose", "relay SET first_seen", "source SET id",
                                           "source SET strikes", "source SET last", "own SET id", "own SET last_signed", "own SET work", "meta SET value"};
  for (int i = 0; i < 8 && r.left() > 0; i++) {
    const uint8_t where = r.u8(), kind = r.u8();
    const Bytes value = r.take(std::min<size_t>(r.le16() % 2048, r.left()));
    const std::string key = where % 12 == 11 ? "key" : "id";
    const std::string table(kWhere[where % 12], std::string_view(kWhere[where % 12]).find(' '));
    // Of one row or of all; there an id comes twice, which the table refuses.
    const std::string which = (kind & 0x80) != 0 ? "" : " WHERE " + key + " = (SELECT " + key + " FROM " + table + " LIMIT 1 OFFSET " + std::to_string(where / 12 % 4) + ")";
    sqlite3_stmt* s = nullptr;
    MV_ASSERT(sqlite3_prepare_v2(db, ("UPDATE " + std::string(kWhere[where % 12]) + " = ?1" + which).c_str(), -1, &s, nullptr) == SQLITE_OK);
    switch (kind % 4) {
      case 0:
        sqlite3_bind_blob(s, 1, value.data(), static_cast<int>(value.size()), nullptr);
        break;
      case 1:
        sqlite3_bind_text(s, 1, reinterpret_cast<const char*>(value.data()), static_cast<int>(value.size()), nullptr);
        break;
      case 2: {
        ByteArray<8> number{};
        std::copy_n(value.begin(), std::min<size_t>(value.size(), 8), number.begin());
        sqlite3_bind_int64(s, 1, static_cast<int64_t>(load_le64(number.data())));
        break;
      }
      default:
        sqlite3_bind_double(s, 1, static_cast<double>(value.size()) * 1e300);
    }
    sqlite3_step(s);
    sqlite3_finalize(s);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static Template& t = *new Template;
  if (t.bytes.empty()) {
    std::ifstream in(t.file, std::ios::binary);
    t.bytes.assign(std::istreambuf_iterator<char>(in), {});
  }
  for (const char* part : {"-wal", "-shm", ".damaged-1", ".other-1"}) unlink((t.file + part).c_str());
  std::ofstream(t.file, std::ios::binary | std::ios::trunc).write(t.bytes.data(), static_cast<std::streamsize>(t.bytes.size()));
  sqlite3* db = nullptr;
  MV_ASSERT(sqlite3_open(t.file.c_str(), &db) == SQLITE_OK);
  sqlite3_exec(db, "PRAGMA synchronous = OFF; PRAGMA journal_mode = MEMORY", nullptr, nullptr, nullptr);
  write_into(db, Reader({data, size}));
  sqlite3_close(db);
  shell::DirectoryStore store(t.file, network(), [](const std::string&) {});
  const auto loaded = store.load(kNow);
  MV_ASSERT(loaded.living + loaded.expired == store.relays().size() && store.relays().size() <= 3);
  for (const auto& [id, r] : store.relays()) MV_ASSERT(r.entry && r.entry->id == id);
  MV_ASSERT(store.count_chosen() <= discovery::kMaxRelays && store.strikes(t.first, kNow) <= UINT16_MAX);
  static_cast<void>(store.last_sync());
  MV_ASSERT(store.put_own(PeerId{{9}}, {kNow, {}}) && store.flush());
  shell::DirectoryStore again(t.file, network(), [](const std::string&) {});
  const auto second = again.load(kNow);
  MV_ASSERT(second.refused == 0 && again.relays().size() == store.relays().size());
  return 0;
}
