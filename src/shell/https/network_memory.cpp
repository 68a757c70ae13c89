#include "shell/https/network_memory.h"

#include <linux/magic.h>
#include <sys/vfs.h>

#include <fstream>
#include <sstream>

#include "shell/config/atomic_file.h"

namespace macrovpn::shell::https {
namespace {

constexpr size_t kEntry = 16 + 8;
constexpr size_t kMaxFile = 32 + NetworkMemory::kMost * kEntry;

std::string read_text(const char* path) {
  std::ifstream in(path);
  std::ostringstream out;
  out << in.rdbuf();
  return out.str();
}

std::vector<std::vector<std::string>> rows_of(std::string_view text) {
  std::vector<std::vector<std::string>> out;
  std::istringstream lines{std::string(text)};
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    auto& row = out.emplace_back();
    for (std::string word; words >> word;) row.push_back(word);
  }
  return out;
}

// "0101A8C0", as the kernel prints an address of its own byte order.
std::optional<std::string> dotted(const std::string& hex) {
  const auto bytes = from_hex(hex);
  if (!bytes || bytes->size() != 4) return std::nullopt;
  const auto& b = *bytes;
  return std::to_string(b[3]) + "." + std::to_string(b[2]) + "." + std::to_string(b[1]) + "." + std::to_string(b[0]);
}

std::string lower(std::string s) {
  for (char& c : s) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  return s;
}

}  // namespace

std::optional<std::string> network_name_from(std::string_view routes, std::string_view neighbours) {
  // Iface Destination Gateway Flags RefCnt Use Metric Mask …: of default routes that with the least metric.
  std::optional<std::string> gateway;
  std::string device;
  unsigned long least = ~0ul;
  for (const auto& row : rows_of(routes)) {
    if (row.size() < 8 || row[1] != "00000000" || row[7] != "00000000" || row[2] == "00000000") continue;
    const unsigned long metric = std::strtoul(row[6].c_str(), nullptr, 10);
    if (gateway && metric >= least) continue;
    gateway = dotted(lower(row[2]));
    device = row[0];
    least = metric;
  }
  if (!gateway) return std::nullopt;
  // IP address, HW type, Flags, HW address, Mask, Device
  for (const auto& row : rows_of(neighbours)) {
    if (row.size() == 6 && row[0] == *gateway && row[5] == device && row[3] != "00:00:00:00:00:00") return row[3];
  }
  return std::nullopt;
}

std::optional<std::string> read_network_name() {
  return network_name_from(read_text("/proc/net/route"), read_text("/proc/net/arp"));
}

std::string NetworkMemory::file_in(const std::string& runtime_folder) {
  struct statfs s;
  const bool in_memory = statfs(runtime_folder.c_str(), &s) == 0 && (s.f_type == TMPFS_MAGIC || s.f_type == RAMFS_MAGIC);
  return in_memory ? runtime_folder + "/transports" : "";
}

NetworkMemory::NetworkMemory(std::string file, Rng& rng) : file_(std::move(file)), secret_(rng.bytes<32>()) {
  if (file_.empty() || !file_exists(file_)) return;
  if (const auto bytes = read_own_file(file_, kMaxFile); bytes.ok()) load(*bytes);
}

// One that is damaged is forgotten: all that is lost is 400 ms.
void NetworkMemory::load(Bytes bytes) {
  if (bytes.size() < secret_.size() || (bytes.size() - secret_.size()) % kEntry != 0) return;
  Reader r(bytes);
  secret_ = r.fixed<32>();
  while (r.left() != 0) {
    Entry e{r.fixed<16>(), 0};
    e.end = static_cast<int64_t>(r.le64());
    entries_.push_back(e);
  }
}

void NetworkMemory::store() const {
  if (file_.empty()) return;
  std::vector<uint8_t> out;
  Writer w(out);
  w.bytes(secret_);
  for (const Entry& e : entries_) w.bytes(e.tag).le64(static_cast<uint64_t>(e.end));
  static_cast<void>(write_file(file_, out).ok());
}

crypto::Mac16 NetworkMemory::tag_of(const std::string& network) const {
  return crypto::keyed_blake2s_128(secret_, {as_bytes("macrovpn network 1"), as_bytes(network)});
}

bool NetworkMemory::needs_https(const std::string& network, Wall now) const {
  const auto tag = tag_of(network);
  const int64_t seconds = unix_seconds(now);
  // One that is said to last longer than it can was written under another clock.
  const int64_t latest = unix_seconds(now + kKept);
  return std::any_of(entries_.begin(), entries_.end(),
                     [&](const Entry& e) { return e.tag == tag && e.end > seconds && e.end <= latest; });
}

void NetworkMemory::note(const std::string& network, bool needs, Wall now) {
  const auto tag = tag_of(network);
  const size_t before = entries_.size();
  std::erase_if(entries_, [&](const Entry& e) { return e.tag == tag || e.end <= unix_seconds(now); });
  if (needs) {
    if (entries_.size() == kMost) entries_.erase(entries_.begin());
    entries_.push_back({tag, unix_seconds(now + kKept)});
  }
  if (needs || entries_.size() != before) store();
}

}  // namespace macrovpn::shell::https
