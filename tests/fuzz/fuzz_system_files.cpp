// What `macrovpn up` and the relay read back from the system and from their own files: name servers, the original of
// resolv.conf, what nft says, traffic counters, amounts and hours.  The first byte picks.  Damage is a sentence, and
// what was kept comes back as it was.
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "memory_file.h"
#include "shell/config/atomic_file.h"
#include "shell/config/quantities.h"
#include "shell/config/traffic_file.h"
#include "shell/exit/host_networks.h"
#include "shell/system/kill_switch.h"
#include "shell/system/resolv_conf.h"

namespace macrovpn::shell {
namespace {

namespace fs = std::filesystem;

const std::string& folder() {
  static const std::string made = [] {
    char name[] = "/dev/shm/macrovpn-fuzz-XXXXXX";
    MV_ASSERT(mkdtemp(name) != nullptr);
    return std::string(name);
  }();
  static const bool registered = (std::atexit([] { fs::remove_all(folder()); }), true);
  static_cast<void>(registered);
  return made;
}

void put(const std::string& path, Bytes contents) {
  std::ofstream(path, std::ios::binary).write(reinterpret_cast<const char*>(contents.data()),
                                              static_cast<std::streamsize>(contents.size()));
}

std::string contents_of(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

void check_name_servers(Bytes input) {
  const MemoryFile file(input);
  const auto servers = read_name_servers(file.path());
  MV_ASSERT(!servers.empty() && servers.size() <= 8);
  for (const Endpoint& e : servers) MV_ASSERT(e.port == 53);
}

// The kept original: damaged anyhow.
void check_kept(Bytes input) {
  const std::string path = folder() + "/resolv.conf", kept = folder() + "/kept";
  fs::remove(path);
  put(path, as_bytes(system::ResolvConf::our_contents()));
  put(kept, input);
  const auto gave = system::ResolvConf(path, kept).give_back();
  MV_ASSERT(gave.ok() || !gave.error().message.empty());
  const bool still_ours = fs::is_regular_file(fs::symlink_status(path)) &&
                          contents_of(path) == system::ResolvConf::our_contents();
  MV_ASSERT(gave.ok() || still_ours || fs::exists(kept));
  fs::remove(path);
  fs::remove(kept);
}

// Any file, taken and given back.
void check_original(Bytes input) {
  const std::string path = folder() + "/resolv.conf", kept = folder() + "/kept";
  const std::string before(input.begin(), input.end());
  fs::remove(path);
  fs::remove(kept);
  put(path, input);
  const system::ResolvConf names(path, kept);
  MV_ASSERT(system::ResolvConf(names).take().ok() && contents_of(path) == system::ResolvConf::our_contents());
  MV_ASSERT(system::ResolvConf(names).give_back().ok());
  MV_ASSERT(contents_of(path) == before || system::ResolvConf::our_contents() == before);
}

void check_traffic(Bytes input) {
  const MemoryFile file(input);
  const auto r = load_traffic(file.path());
  if (!r.ok()) return MV_ASSERT(!r.error().message.empty());
  const std::string path = folder() + "/traffic";
  MV_ASSERT(store_traffic(path, *r).ok());
  const auto again = load_traffic(path);
  MV_ASSERT(again.ok() && again->day == r->day && again->month == r->month && again->day_bytes == r->day_bytes &&
            again->month_bytes == r->month_bytes && again->total_bytes == r->total_bytes);
}

void check_quantities(std::string_view text) {
  if (const auto n = parse_amount(text)) MV_ASSERT(*n > 0 && !amount_text(*n).empty());
  if (const auto b = parse_bandwidth(text)) MV_ASSERT(b->bytes_per_second > 0);
  if (const auto h = parse_hours(text)) MV_ASSERT(h->from < 1440 && h->until < 1440 && h->from != h->until);
}

}  // namespace
}  // namespace macrovpn::shell

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace macrovpn::shell;
  if (size == 0) return 0;
  const macrovpn::Bytes input(data + 1, size - 1);
  const std::string_view text(reinterpret_cast<const char*>(data + 1), size - 1);
  switch (data[0] % 6) {
    case 0:
      check_name_servers(input);
      break;
    case 1:
      check_kept(input);
      break;
    case 2:
      check_original(input);
      break;
    case 3:
      check_traffic(input);
      break;
    case 4:
      check_quantities(text);
      break;
    default: {
      const auto state = system::read_kill_switch_listing(text);
      MV_ASSERT(state.ok() || !state.error().message.empty());
    }
  }
  return 0;
}
