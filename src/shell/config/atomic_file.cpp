#include "shell/config/atomic_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "shell/fd.h"

namespace macrovpn::shell {
namespace {

constexpr const char* kFresh = "/.macrovpn.new";

std::string advice(int error) {
  switch (error) {
    case ENOSPC:
      return "the disk is full; free some space and try again";
    case EDQUOT:
      return "your disk quota is used up; free some space and try again";
    case EROFS:
      return "the file system is read-only; choose another folder with --state";
    case EACCES:
    case EPERM:
      return "you may not; check who owns the file and its folder";
    case ENOENT:
      return "there is no such file or folder";
    case ENAMETOOLONG:
      return "the name is too long; choose a shorter folder with --state";
    default:
      return std::strerror(error);
  }
}

std::string folder_of(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

bool same_file(int fd, const std::string& path) {
  struct stat a, b;
  return fstat(fd, &a) == 0 && lstat(path.c_str(), &b) == 0 && a.st_ino == b.st_ino && a.st_dev == b.st_dev;
}

// The fresh file, locked and empty.  Whoever held the lock before us may have renamed the file that we opened: then
// again.
Result<Fd> open_locked(const std::string& path, const std::string& target, FileMode mode) {
  for (int i = 0; i < 100; i++) {
    Fd fd(open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, static_cast<mode_t>(mode)));
    if (!fd || flock(fd.get(), LOCK_EX) != 0) return file_error("cannot write " + target, errno);
    if (!same_file(fd.get(), path)) continue;
    if (ftruncate(fd.get(), 0) != 0 || fchmod(fd.get(), static_cast<mode_t>(mode)) != 0) {
      const int error = errno;
      unlink(path.c_str());
      return file_error("cannot write " + target, error);
    }
    return fd;
  }
  return fail("cannot write " + target + ": other programs keep writing it; stop them and try again");
}

bool write_all(int fd, Bytes b) {
  while (!b.empty()) {
    const ssize_t n = write(fd, b.data(), b.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    b = b.subspan(static_cast<size_t>(n));
  }
  return true;
}

void flush_folder(const std::string& path) {
  const Fd folder(open(folder_of(path).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  // Some file systems cannot flush a folder; the file itself is whole either way.
  if (folder) static_cast<void>(fsync(folder.get()));
}

Result<Created> put(const std::string& path, Bytes contents, FileMode mode, unsigned rename_flags) {
  const std::string fresh = folder_of(path) + kFresh;
  TRY(const Fd fd, open_locked(fresh, path, mode));
  if (!write_all(fd.get(), contents) || fsync(fd.get()) != 0) {
    const int error = errno;
    unlink(fresh.c_str());
    return file_error("cannot write " + path, error);
  }
  if (renameat2(AT_FDCWD, fresh.c_str(), AT_FDCWD, path.c_str(), rename_flags) != 0) {
    const int error = errno;
    unlink(fresh.c_str());
    if (error == EEXIST) return Created::existed;
    return file_error("cannot write " + path, error);
  }
  flush_folder(path);
  return Created::yes;
}

Result<std::vector<uint8_t>> read_all(const Fd& fd, const std::string& path, size_t limit) {
  std::vector<uint8_t> out(limit + 1);
  size_t size = 0;
  while (size < out.size()) {
    const ssize_t n = read(fd.get(), out.data() + size, out.size() - size);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return file_error("cannot read " + path, errno);
    if (n == 0) break;
    size += static_cast<size_t>(n);
  }
  if (size > limit)
    return fail(path + " is too large to be what it should be; check that it is the right file");
  out.resize(size);
  return out;
}

}  // namespace

Failure<Error> file_error(const std::string& what, int error) {
  return fail(what + ": " + advice(error));
}

Result<void> write_file(const std::string& path, Bytes contents, FileMode mode) {
  TRY_VOID(put(path, contents, mode, 0));
  return {};
}

Result<Created> create_file(const std::string& path, Bytes contents, FileMode mode) {
  return put(path, contents, mode, RENAME_NOREPLACE);
}

Result<std::vector<uint8_t>> read_file(const std::string& path, size_t limit) {
  const Fd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return file_error("cannot read " + path, errno);
  return read_all(fd, path, limit);
}

Result<std::vector<uint8_t>> read_own_file(const std::string& path, size_t limit) {
  const Fd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  struct stat s;
  if (!fd || fstat(fd.get(), &s) != 0) return file_error("cannot read " + path, errno);
  if (s.st_uid != geteuid() && s.st_uid != 0)
    return fail(path + " belongs to another user; make it yours, or use your own folder with --state DIR");
  if ((s.st_mode & 02) != 0)
    return fail("every user can write to " + path + "; close it with `chmod o-w " + path + "` and check what it says");
  return read_all(fd, path, limit);
}

bool file_exists(const std::string& path) {
  struct stat s;
  return stat(path.c_str(), &s) == 0;
}

}  // namespace macrovpn::shell
