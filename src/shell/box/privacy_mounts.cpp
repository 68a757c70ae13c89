// The replacement files need a file system to stand on while they are bound over the old ones.  A tmpfs is
// put on /tmp for that moment and taken away again: bound files keep it alive, and nothing of it stays in
// sight.
#include "shell/box/privacy_mounts.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>

#include "shell/fd.h"

namespace macrovpn::shell {
namespace {

namespace fs = std::filesystem;

constexpr const char* kResolverFolders[] = {
    "/run/nscd",     "/run/systemd/resolve",     "/run/avahi-daemon",     "/run/dbus",
    "/var/run/nscd", "/var/run/systemd/resolve", "/var/run/avahi-daemon", "/var/run/dbus"};
constexpr const char* kStage = "/tmp";
constexpr unsigned long kMountFlags = MS_NOSUID | MS_NODEV | MS_NOEXEC;

Failure<Error> refused(const std::string& what) {
  return fail("cannot " + what + " inside the box: " + std::strerror(errno) +
              "; the program was not started");
}

Result<void> hide(const std::set<fs::path>& folders) {
  for (const fs::path& f : folders) {
    if (mount("tmpfs", f.c_str(), "tmpfs", kMountFlags, "mode=0755,size=64k") != 0)
      return refused("hide " + f.string());
  }
  return {};
}

std::set<fs::path> folders_to_hide(const std::vector<std::string>& more) {
  std::set<fs::path> out;
  const auto add = [&](const fs::path& p) {
    std::error_code error;
    const fs::path real = fs::canonical(p, error);
    if (!error && fs::is_directory(real, error)) out.insert(real);
  };
  for (const char* p : kResolverFolders) add(p);
  for (const std::string& p : more) add(p);
  return out;
}

// Where /etc/resolv.conf leads, also when nothing is there.
fs::path follow_links(fs::path p) {
  std::error_code error;
  for (int i = 0; i < 40 && fs::is_symlink(p, error); i++)
    p = (p.parent_path() / fs::read_symlink(p, error)).lexically_normal();
  const fs::path folder = fs::weakly_canonical(p.parent_path(), error);
  return error ? p : folder / p.filename();
}

bool is_within(const fs::path& p, const std::set<fs::path>& folders) {
  for (fs::path f = p.parent_path(); f.has_relative_path(); f = f.parent_path()) {
    if (folders.contains(f)) return true;
  }
  return false;
}

Result<void> create_file(const fs::path& p, std::string_view contents) {
  const Fd fd(open(p.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0444));
  if (!fd || write(fd.get(), contents.data(), contents.size()) != static_cast<ssize_t>(contents.size()))
    return refused("write " + p.filename().string());
  return {};
}

// Something to bind over: in a folder that we have just hidden it can be made, elsewhere it must be there.
Result<void> ensure_target(const fs::path& p, const std::set<fs::path>& hidden) {
  std::error_code error;
  if (fs::exists(p, error)) return {};
  if (!is_within(p, hidden))
    return fail("this system has no " + p.string() + ": create an empty file of this name");
  fs::create_directories(p.parent_path(), error);
  return create_file(p, "");
}

Result<void> bind_over(const fs::path& source, const fs::path& target) {
  if (mount(source.c_str(), target.c_str(), nullptr, MS_BIND, nullptr) != 0 ||
      mount(nullptr, target.c_str(), nullptr, MS_BIND | MS_REMOUNT | MS_RDONLY | kMountFlags, nullptr) != 0)
    return refused("replace " + target.string());
  return {};
}

std::string text_of(const char* path) {
  std::ifstream in(path);
  std::stringstream out;
  out << in.rdbuf();
  return out.str();
}

Result<void> replace_files(const fs::path& resolv_target, std::string_view resolv_conf) {
  const fs::path stage = kStage;
  TRY_VOID(create_file(stage / "resolv.conf", resolv_conf));
  TRY_VOID(bind_over(stage / "resolv.conf", resolv_target));
  std::error_code error;
  const fs::path nsswitch = follow_links("/etc/nsswitch.conf");
  if (!fs::exists(nsswitch, error)) return {};  // the C library's own default is files, dns
  TRY_VOID(create_file(stage / "nsswitch.conf", with_plain_hosts_line(text_of("/etc/nsswitch.conf"))));
  return bind_over(stage / "nsswitch.conf", nsswitch);
}

}  // namespace

std::string with_plain_hosts_line(std::string_view nsswitch) {
  std::string out;
  while (!nsswitch.empty()) {
    const size_t end = std::min(nsswitch.find('\n'), nsswitch.size());
    const std::string_view line = nsswitch.substr(0, end);
    const size_t word = std::min(line.find_first_not_of(" \t"), line.size());
    if (!line.substr(word).starts_with("hosts:")) out.append(line).append("\n");
    nsswitch.remove_prefix(std::min(end + 1, nsswitch.size()));
  }
  return out + "hosts: files dns\n";
}

Result<void> mount_privately(const std::vector<std::string>& hidden_folders, std::string_view resolv_conf) {
  const std::set<fs::path> hidden = folders_to_hide(hidden_folders);
  const fs::path resolv = follow_links("/etc/resolv.conf");
  TRY_VOID(hide(hidden));
  TRY_VOID(ensure_target(resolv, hidden));
  if (mount("tmpfs", kStage, "tmpfs", kMountFlags, "mode=0700,size=64k") != 0) return refused("make files");
  const auto replaced = replace_files(resolv, resolv_conf);
  if (umount2(kStage, MNT_DETACH) != 0) return refused("clean up");
  return replaced;
}

}  // namespace macrovpn::shell
