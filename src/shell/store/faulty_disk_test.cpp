#include "shell/store/faulty_disk_test.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <initializer_list>

#include "base/assert.h"

namespace macrovpn::shell {
namespace {

FaultyDisk::Fault g_fault = FaultyDisk::Fault::none;
unsigned g_at = 0, g_steps = 0;

// Whether this call is to fail; a killed process does not come back.
bool fails(const void* half = nullptr, size_t size = 0, int fd = -1, off_t at = 0) {
  g_steps++;
  if (g_fault == FaultyDisk::Fault::none || g_steps < g_at) return false;
  if (g_fault == FaultyDisk::Fault::full) {
    errno = ENOSPC;
    return true;
  }
  if (half != nullptr) static_cast<void>(!pwrite(fd, half, size / 2, at));
  raise(SIGKILL);
  return true;
}

ssize_t write_at(int fd, const void* data, size_t size, off_t at) { return fails(data, size, fd, at) ? -1 : pwrite(fd, data, size, at); }
int cut(int fd, off_t size) { return fails() ? -1 : ftruncate(fd, size); }
int remove(const char* path) { return fails() ? -1 : unlink(path); }
int open_file(const char* path, int flags, int mode) {
  if ((flags & O_CREAT) != 0 && fails()) return -1;
  return open(path, flags, mode);
}
int make_room(int fd, off_t at, off_t size) { return fails() ? ENOSPC : posix_fallocate(fd, at, size); }

void put(const char* name, sqlite3_syscall_ptr call) {
  sqlite3_vfs* unix_files = sqlite3_vfs_find("unix");
  MV_ASSERT(unix_files != nullptr);
  static_cast<void>(unix_files->xSetSystemCall(unix_files, name, call));
}

}  // namespace

FaultyDisk::FaultyDisk() {
  sqlite3_initialize();
  put("pwrite", reinterpret_cast<sqlite3_syscall_ptr>(write_at));
  put("pwrite64", reinterpret_cast<sqlite3_syscall_ptr>(write_at));
  put("ftruncate", reinterpret_cast<sqlite3_syscall_ptr>(cut));
  put("unlink", reinterpret_cast<sqlite3_syscall_ptr>(remove));
  put("open", reinterpret_cast<sqlite3_syscall_ptr>(open_file));
  put("fallocate", reinterpret_cast<sqlite3_syscall_ptr>(make_room));
  arm(Fault::none, 0);
}

FaultyDisk::~FaultyDisk() {
  for (const char* name : {"pwrite", "pwrite64", "ftruncate", "unlink", "open", "fallocate"}) put(name, nullptr);
}

void FaultyDisk::arm(Fault fault, unsigned step) {
  g_fault = fault;
  g_at = step;
  g_steps = 0;
}

unsigned FaultyDisk::steps() const { return g_steps; }

}  // namespace macrovpn::shell
