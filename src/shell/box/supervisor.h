// Stands beside a box while its program runs: passes signals on, keeps the device attached, returns the
// program's status.
#pragma once
#include "shell/box/attachment.h"
#include "shell/box/box.h"

namespace macrovpn::shell {

// Blocks until the program of a started box ends.  Its exit status, or 128 + the signal that ended it.  A
// signal that was sent to us goes to the program; one from the terminal reached it already, as it is in the
// same process group.
Result<int> supervise(const Box&, Attachment&);

}  // namespace macrovpn::shell
