// The process that speaks UPnP IGD with the home's router, through libminiupnpc.  It reads XML and HTTP that anybody on the LAN may
// write, so it is a program of its own, started anew for each question, without our keys (exec wiped them) and without rights:
//
//   root becomes nobody; no new privileges; 256 MiB, 10 s of processor, 24 descriptors, no files written
//   a filter of system calls: no file is opened, nothing executed or forked, nobody traced or killed
//
// Only devices at the address of the default route's gateway are listened to: another host of the LAN cannot make itself our router,
// nor have us fetch from elsewhere.
//
//   arguments   add ROUTER OUR-ADDRESS INSIDE-PORT WANTED-PORT LIFETIME      or  remove ROUTER WANTED-PORT
//   says        one line: "added PORT ADDRESS", "removed", "no-router", "refused CODE"
#pragma once

namespace macrovpn::shell {

int run_upnp_helper(int argc, char** argv);

}  // namespace macrovpn::shell
