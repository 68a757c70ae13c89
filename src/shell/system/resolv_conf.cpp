#include "shell/system/resolv_conf.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/bytes.h"
#include "core/routing/address_rewrite.h"
#include "shell/config/atomic_file.h"
#include "shell/fd.h"
#include "shell/system/json_value.h"

namespace macrovpn::shell::system {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;
constexpr size_t kMostBytes = 1 << 20;

struct Found {
  enum class Kind : uint8_t { nothing, file, link } kind = Kind::nothing;
  std::string contents;  // of a file; of a link, where it leads
  mode_t mode = 0644;
  uid_t owner = 0;
  gid_t group = 0;
};

constexpr const char* kKinds[] = {"nothing", "file", "link"};
std::optional<Found::Kind> kind_of(const std::string& name) {
  for (size_t i = 0; i < std::size(kKinds); i++) {
    if (name == kKinds[i]) return static_cast<Found::Kind>(i);
  }
  return std::nullopt;
}

Result<Found> look(const std::string& path) {
  struct stat s;
  if (lstat(path.c_str(), &s) != 0) {
    if (errno == ENOENT) return Found{};
    return file_error("cannot look at " + path, errno);
  }
  Found f{Found::Kind::file, {}, s.st_mode & 07777, s.st_uid, s.st_gid};
  if (S_ISLNK(s.st_mode)) {
    std::error_code error;
    f.kind = Found::Kind::link;
    f.contents = fs::read_symlink(path, error).string();
    if (error) return file_error("cannot read " + path, error.value());
    return f;
  }
  if (!S_ISREG(s.st_mode)) return fail(path + " is no file; make it one, then run `macrovpn up` again");
  TRY(const auto bytes, read_file(path, kMostBytes));
  f.contents.assign(bytes.begin(), bytes.end());
  return f;
}

bool write_whole(const Fd& fd, const std::string& contents) {
  size_t at = 0;
  while (at < contents.size()) {
    const ssize_t n = write(fd.get(), contents.data() + at, contents.size() - at);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    at += static_cast<size_t>(n);
  }
  return fsync(fd.get()) == 0;
}

Result<void> write_in_place(const std::string& path, const Found& f) {
  const Fd fd(open(path.c_str(), O_WRONLY | O_TRUNC | O_CLOEXEC | O_NOFOLLOW));
  if (!fd || !write_whole(fd, f.contents)) return file_error("cannot write " + path, errno);
  return {};
}

// Beside the target and renamed over it, so that nobody ever reads half of it.
Result<void> put(const std::string& path, const Found& f) {
  const std::string fresh = path + ".macrovpn-new";
  unlink(fresh.c_str());
  if (f.kind == Found::Kind::link) {
    if (symlink(f.contents.c_str(), fresh.c_str()) != 0) return file_error("cannot make " + fresh, errno);
  } else {
    const Fd fd(open(fresh.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
    const bool written = fd && write_whole(fd, f.contents) && fchmod(fd.get(), f.mode) == 0;
    // Fails where root has no such user (a user namespace); then it stays ours.
    if (written) static_cast<void>(fchown(fd.get(), f.owner, f.group) == 0);
    if (!written) {
      const int error = errno;
      unlink(fresh.c_str());
      if (error == EROFS || error == EACCES || error == EPERM) return write_in_place(path, f);
      return file_error("cannot write " + path, error);
    }
  }
  if (rename(fresh.c_str(), path.c_str()) == 0) return {};
  const int error = errno;
  unlink(fresh.c_str());
  if (error != EBUSY || f.kind == Found::Kind::link) return file_error("cannot replace " + path, error);
  return write_in_place(path, f);
}

Result<void> keep(const std::string& file, const Found& f) {
  const std::string text = json{
      {"kind", kKinds[static_cast<size_t>(f.kind)]},
      {"contents", to_hex(as_bytes(f.contents))},
      {"mode", f.mode},
      {"owner", f.owner},
      {"group", f.group}}.dump();
  return write_file(file, as_bytes(text));
}

Result<std::optional<Found>> read_kept(const std::string& file) {
  if (!file_exists(file)) return std::optional<Found>();
  TRY(const auto bytes, read_file(file, 3 * kMostBytes));
  const json j = json::parse(bytes.begin(), bytes.end(), nullptr, false);
  const auto kind = kind_of(text_in(j, "kind").value_or(""));
  const auto contents = from_hex(text_in(j, "contents").value_or("-"));
  const uint64_t mode = count_in(j, "mode").value_or(0644), owner = count_in(j, "owner").value_or(0),
                 group = count_in(j, "group").value_or(0);
  if (!kind || !contents || mode > 07777 || owner > UINT32_MAX || group > UINT32_MAX)
    return fail(file + " is damaged: write /etc/resolv.conf by hand, then delete this file");
  Found f{*kind, {}, static_cast<mode_t>(mode), static_cast<uid_t>(owner), static_cast<gid_t>(group)};
  f.contents.assign(contents->begin(), contents->end());
  return std::optional(f);
}

bool is_whole(const Found& f, const std::string& whole) {
  return f.kind == Found::Kind::file && f.contents == whole;
}

bool starts_as(const Found& f, const std::string& whole) {
  return f.kind == Found::Kind::file && std::string_view(whole).starts_with(f.contents);
}

}  // namespace

std::string ResolvConf::our_contents() {
  const auto& inside = routing::InsideAddresses::get();
  return "# Written by `macrovpn up`: names are asked inside the tunnel.  `macrovpn down` restores what was "
         "here.\n"
         "nameserver " +
         inside.dns4.reveal() + "\nnameserver " + inside.dns6.reveal() + "\n";
}

bool ResolvConf::is_ours() const {
  const auto now = look(path_);
  return now && is_whole(*now, our_contents());
}

Result<void> ResolvConf::take() {
  TRY(const Found now, look(path_));
  TRY(const auto kept, read_kept(kept_));
  const std::string ours = our_contents();
  if (is_whole(now, ours)) return {};
  // Half of ours, from a write that was cut off, is nothing to keep.
  if (!kept || !starts_as(now, ours)) TRY_VOID(keep(kept_, now));
  return put(path_, {Found::Kind::file, ours, 0644, 0, 0});
}

Result<ResolvConf::Gave> ResolvConf::give_back() {
  TRY(const auto kept, read_kept(kept_));
  TRY(const Found now, look(path_));
  if (!kept) {
    return is_whole(now, our_contents()) ? Gave::original_unknown : Gave::nothing;
  }
  const bool is_ours = starts_as(now, our_contents());
  const bool half_restored = kept->kind == Found::Kind::file && starts_as(now, kept->contents);
  if (is_ours || half_restored) {
    if (kept->kind == Found::Kind::nothing)
      unlink(path_.c_str());
    else
      TRY_VOID(put(path_, *kept));
  }
  unlink(kept_.c_str());
  return is_ours || half_restored ? Gave::restored : Gave::left_to_others;
}

}  // namespace macrovpn::shell::system
