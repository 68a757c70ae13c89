// The whole computer behind the VPN: what `macrovpn up` makes and `macrovpn down` takes away.
//
//   1 kill switch      kill_switch.h    from here on nothing leaves but our daemon's datagrams
//   2 device, routes   routes.h
//   3 names            resolv_conf.h
//   then the daemon opens the device; its sockets carry the mark.
//
// All of it is the kernel's and the file system's, so no process has to live for it to hold, and each step is
// harmless when it was done before: `up` after a crash completes what is there.  `down` goes the same way
// back, the kill switch last.  It looks for each thing by its name, and needs no daemon and no memory but for
// two files of the state folder: what resolv.conf and the kernel's settings were.
//
// One per network namespace.
#pragma once
#include <string>
#include <vector>

#include "base/result.h"
#include "shell/config/paths.h"

namespace macrovpn::shell::system {

// `mtu`: of the device.
Result<void> bring_up(const Paths&, unsigned mtu);
// True from bring_up() on until take_down(): a daemon that starts then serves the device.
bool is_wanted(const Paths&);
// For the daemon, every few seconds: writes resolv.conf, and loads the kill switch, again if somebody else did
// away with them meanwhile.  Does nothing while `up` or `down` work, and nothing after `down`.
struct LookedAfter {
  bool kill_switch_was_gone = false;  // and is loaded again
};
Result<LookedAfter> look_after(const Paths&);
// True on a computer that was restarted while up: the state folder says "up", and nothing in the kernel is ours.
bool was_restarted(const Paths&);
// On such a computer resolv.conf leads to a resolver that is not there, and is given back; everything else stays
// as it is.  True: it was.  Elsewhere, and while `up` or `down` work, it does nothing.
Result<bool> give_back_names_after_restart(const Paths&);
// The same question for somebody who may not read the state folder: /etc/resolv.conf is ours, and no device is.
bool names_are_left_behind();
// What was removed, a line each; none if nothing was there.  Goes on after a failure and tells the first one.
struct Removed {
  std::vector<std::string> lines;
  Result<void> outcome;
};
Removed take_down(const Paths&);

// Programs of the host that resolve names for others, and what to know about each; empty if there are none.
std::vector<std::string> resolvers_to_know();

}  // namespace macrovpn::shell::system
