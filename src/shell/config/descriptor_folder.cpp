#include "shell/config/descriptor_folder.h"

#include <dirent.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <set>

#include "shell/config/atomic_file.h"

namespace macrovpn::shell {
namespace {

constexpr std::string_view kSuffix = ".descriptor";
constexpr size_t kMaxFile = 2 + discovery::kMaxBody + 72 + 112;

struct CloseFolder {
  void operator()(DIR* d) const { closedir(d); }
};

}  // namespace

std::string DescriptorFolder::file_of(const PeerId& id) const {
  return path_ + "/" + to_hex(id.bytes) + std::string(kSuffix);
}

Result<std::map<std::string, DescriptorFolder::Version>> DescriptorFolder::list(size_t& ignored) const {
  const std::unique_ptr<DIR, CloseFolder> folder(opendir(path_.c_str()));
  if (!folder) return file_error("cannot read the folder of descriptors " + path_, errno);
  std::map<std::string, Version> out;
  while (const dirent* entry = readdir(folder.get())) {
    const std::string name = entry->d_name;
    struct stat s;
    if (!name.ends_with(kSuffix) || name.starts_with('.')) continue;
    if (fstatat(dirfd(folder.get()), name.c_str(), &s, 0) != 0 || !S_ISREG(s.st_mode)) continue;
    if (out.size() == discovery::kMaxRelays) {
      ignored++;
      continue;
    }
    out[name] = {int64_t{s.st_mtim.tv_sec} * 1'000'000'000 + s.st_mtim.tv_nsec,
                 static_cast<uint64_t>(s.st_size), s.st_ino};
  }
  return out;
}

Result<discovery::SignedDescriptor> DescriptorFolder::verify_file(const std::string& name, Wall now) const {
  TRY(const std::vector<uint8_t> bytes, read_file(path_ + "/" + name, kMaxFile));
  TRY(auto d, discovery::open_descriptor(bytes, network_));
  TRY_VOID(discovery::check_times(d.relay, now));
  return d;
}

// A relay whose file was only renamed is not gone.
void DescriptorFolder::forget_missing(const std::map<std::string, Version>& present, Changes& out) {
  std::set<PeerId> gone, still;
  for (auto it = known_.begin(); it != known_.end();) {
    const bool here = present.contains(it->first);
    (here ? still : gone).insert(it->second.id);
    it = here ? std::next(it) : known_.erase(it);
  }
  for (const PeerId& id : gone) {
    if (!still.contains(id)) out.removed.push_back(id);
  }
}

Result<DescriptorFolder::Changes> DescriptorFolder::scan(Wall now) {
  Changes out;
  TRY(const auto present, list(out.ignored));
  for (const auto& [name, version] : present) {
    const auto it = known_.find(name);
    if (it != known_.end() && it->second.version == version) continue;
    auto descriptor = verify_file(name, now);
    if (!descriptor) {
      out.refused.push_back({name, descriptor.error()});
      continue;
    }
    known_[name] = {version, descriptor->relay.id};
    out.found.push_back(std::move(descriptor->relay));
    out.bytes.push_back(std::move(descriptor->bytes));
  }
  forget_missing(present, out);
  return out;
}

Result<RelayInfo> DescriptorFolder::add(Bytes descriptor, Wall now) const {
  TRY(RelayInfo relay, discovery::verify_descriptor(descriptor, network_, now));
  if (const auto old = read(relay.id)) {
    const auto known = discovery::verify_descriptor(*old, network_, now);
    if (known && known->signed_at > relay.signed_at)
      return fail("a newer descriptor of this relay is known already; nothing was changed");
  }
  TRY_VOID(write_file(file_of(relay.id), descriptor, FileMode::readable));
  return relay;
}

Result<void> DescriptorFolder::put_own(const PeerId& id, Bytes descriptor) const {
  return write_file(file_of(id), descriptor, FileMode::readable);
}

Result<std::vector<uint8_t>> DescriptorFolder::read(const PeerId& id) const {
  return read_file(file_of(id), kMaxFile);
}

}  // namespace macrovpn::shell
