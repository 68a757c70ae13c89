// A database of the directory whose bytes are the input's: opened, read, written to and opened again.
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>

#include "shell/store/directory_store.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace macrovpn;
  static const std::string folder = [] {
    std::string name = "/dev/shm/fuzz-store-XXXXXX";
    MV_ASSERT(mkdtemp(name.data()) != nullptr);
    return name;
  }();
  const std::string file = folder + "/directory.db";
  for (const char* part : {"", "-wal", "-shm", ".damaged-1", ".other-1"}) unlink((file + part).c_str());
  std::ofstream(file, std::ios::binary).write(reinterpret_cast<const char*>(data), static_cast<std::streamsize>(size));
  Network network;
  network.id = {{1, 2, 3, 4, 5, 6, 7, 8}};
  const Wall now = wall_from_unix(1'800'000'000);
  shell::DirectoryStore store(file, network, [](const std::string&) {});
  const auto loaded = store.load(now);
  MV_ASSERT(store.relays().size() == loaded.living + loaded.expired);
  for (const auto& [id, r] : store.relays()) MV_ASSERT(r.entry && r.entry->id == id);
  store.synced(3, [](discovery::ShortId) { return true; }, now);
  static_cast<void>(store.put_own(PeerId{}, {now, {}}));
  MV_ASSERT(store.flush());
  shell::DirectoryStore again(file, network, [](const std::string&) {});
  again.load(now);
  MV_ASSERT(again.count_chosen() == 3 && again.own(PeerId{}).last_signed == now);
  return 0;
}
