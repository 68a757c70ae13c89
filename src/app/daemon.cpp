#include "app/daemon.h"

#include "app/node_daemon.h"

namespace macrovpn::app {

Result<int> run_daemon(const DaemonOptions& options) {
  NodeDaemon daemon(options);
  TRY_VOID(daemon.start());
  daemon.run();
  return 0;
}

}  // namespace macrovpn::app
