// Stands beside a box while its program runs: passes signals on, keeps the device attached, returns the
// program's status.
#pragma once
#include "shell/box/attachment.h"
#include "shell/box/box.h"

namespace macrovpn::shell {

// For supervise().  Taken before the program starts: a signal that comes at once would else end us, and the box with us.
Result<Fd> catch_signals();

// Blocks until the program of a started box ends.  Its exit status, or 128 + the signal that ended it.  A
// signal that was sent to us goes to the program; one from the terminal reached it already, as it is in the
// same process group.
int supervise(const Box&, Attachment&, const Fd& signals);

}  // namespace macrovpn::shell
