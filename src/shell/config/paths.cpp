#include "shell/config/paths.h"

#include <pwd.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>

#include "shell/config/atomic_file.h"

namespace macrovpn::shell {
namespace {

std::string variable(const char* name) {
  const char* v = getenv(name);
  return v != nullptr ? v : "";
}

bool is_our_folder(const std::string& path) {
  struct stat s;
  return lstat(path.c_str(), &s) == 0 && S_ISDIR(s.st_mode) && s.st_uid == geteuid();
}

std::string absolute_or(const std::string& xdg, const std::string& otherwise) {
  return (xdg.starts_with('/') ? xdg : otherwise) + "/macrovpn";
}

Result<void> check_socket_length(const Paths& p) {
  if (p.control_socket().size() < sizeof(sockaddr_un::sun_path)) return {};
  return fail("the folder " + p.runtime +
              " has too long a name for a control socket (107 bytes); choose a shorter one");
}

}  // namespace

Environment read_environment() {
  Environment e;
  e.uid = geteuid();
  e.home = variable("HOME");
  if (const passwd* pw = e.home.starts_with('/') ? nullptr : getpwuid(e.uid); pw != nullptr)
    e.home = pw->pw_dir;
  e.config_home = variable("XDG_CONFIG_HOME");
  e.state_home = variable("XDG_STATE_HOME");
  e.data_home = variable("XDG_DATA_HOME");
  e.runtime_dir = variable("XDG_RUNTIME_DIR");
  if (!is_our_folder(e.runtime_dir)) e.runtime_dir.clear();
  return e;
}

Result<Paths> find_paths(const Environment& e, const std::optional<std::string>& state_override) {
  Paths p;
  if (state_override) {
    if (state_override->empty()) return fail("--state needs the name of a folder");
    const std::string dir = std::filesystem::absolute(*state_override).lexically_normal().string();
    p = {dir, dir, dir, dir + "/run"};
  } else if (e.uid == 0) {
    p = {"/etc/macrovpn", "/var/lib/macrovpn", "/var/lib/macrovpn", "/run/macrovpn"};
  } else {
    if (!e.home.starts_with('/'))
      return fail("this user has no home folder; say where to keep things with --state DIR");
    p.config = absolute_or(e.config_home, e.home + "/.config");
    p.state = absolute_or(e.state_home, e.home + "/.local/state");
    p.data = absolute_or(e.data_home, e.home + "/.local/share");
    p.runtime = e.runtime_dir.starts_with('/') ? e.runtime_dir + "/macrovpn"
                                               : "/tmp/macrovpn-" + std::to_string(e.uid);
  }
  TRY_VOID(check_socket_length(p));
  return p;
}

Result<void> make_private_folder(const std::string& path) {
  std::error_code error;
  std::filesystem::create_directories(std::filesystem::path(path).parent_path(), error);
  if (error) return file_error("cannot make a folder above " + path, error.value());
  if (mkdir(path.c_str(), 0700) != 0 && errno != EEXIST)
    return file_error("cannot make the folder " + path, errno);
  struct stat s;
  if (lstat(path.c_str(), &s) != 0) return file_error("cannot look at the folder " + path, errno);
  if (!S_ISDIR(s.st_mode)) return fail(path + " is not a folder; move it away, or use --state DIR");
  if (s.st_uid != geteuid())
    return fail("the folder " + path + " belongs to another user; move it away, or use --state DIR");
  if ((s.st_mode & 022) != 0 && chmod(path.c_str(), 0700) != 0)
    return file_error("cannot close the folder " + path + " to other users", errno);
  return {};
}

Result<void> make_folders(const Paths& p) {
  for (const std::string* folder : {&p.config, &p.state, &p.data, &p.runtime})
    TRY_VOID(make_private_folder(*folder));
  return make_private_folder(p.descriptor_folder());
}

}  // namespace macrovpn::shell
