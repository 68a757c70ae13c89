#include "shell/driver/descriptor_room.h"

#include <dirent.h>
#include <sys/resource.h>

namespace macrovpn::shell {
namespace {

size_t descriptors_in_use() {
  DIR* const open = opendir("/proc/self/fd");
  if (open == nullptr) return 0;
  size_t n = 0;
  while (readdir(open) != nullptr) n++;
  closedir(open);
  return n;
}

}  // namespace

size_t descriptor_room(size_t kept_for_others) {
  rlimit r{};
  if (getrlimit(RLIMIT_NOFILE, &r) != 0) return 0;
  if (r.rlim_cur < r.rlim_max) {
    const rlimit raised{r.rlim_max, r.rlim_max};
    if (setrlimit(RLIMIT_NOFILE, &raised) == 0) r = raised;
  }
  const size_t taken = descriptors_in_use() + kept_for_others;
  return r.rlim_cur > taken ? static_cast<size_t>(r.rlim_cur) - taken : 0;
}

}  // namespace macrovpn::shell
