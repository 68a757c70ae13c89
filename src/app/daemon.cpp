#include "app/daemon.h"

namespace macrovpn::app {

Result<int> run_daemon(const DaemonOptions&) {
  return fail("this build of macrovpn has no network engine; build it with core/node, or install a release");
}

}  // namespace macrovpn::app
