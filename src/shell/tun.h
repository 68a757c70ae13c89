// TUN devices: IP packets in and out of a network namespace.  PacketDevice (packet_device.h) is what most
// code wants.
#pragma once
#include <string>
#include <vector>

#include "base/result.h"
#include "model/ip.h"
#include "shell/fd.h"

namespace macrovpn::shell {

// Makes a TUN device called `name` in the network namespace of the calling process: whole IP packets, no
// header in front, non-blocking.  It lives as long as its descriptor, in whichever process that is.
Result<Fd> open_tun(const std::string& name);
// The same device with `count` queues, a descriptor each, for as many threads.  The kernel gives a packet to the queue that last
// wrote one of the same flow (either direction), else by a hash of the flow, so that a flow keeps its order while that lasts: 3 s
// after the last such packet.  Never one that is there already.
Result<std::vector<Fd>> open_tun_queues(const std::string& name, size_t count);

struct InterfaceAddress {  // unlike an IpPrefix it keeps its host bits
  IpAddress address;
  uint8_t length = 0;  // of the network that is reached without a route of its own
};

struct LinkSetup {
  unsigned mtu = 1376;
  std::vector<InterfaceAddress> addresses;
  // Only sockets of this namespace send there, nothing is forwarded.  Their superpackets are then no longer than one train of
  // datagrams (offload/train.h); forwarded ones, which come as they are, the kernel would cut packet by packet for it.
  bool forwards = true;
};
// Brings the device up with its MTU and addresses, and waits until it carries packets, without the kernel's
// own chatter on it (no link-local address, no router solicitations), by `ip`.  `extra` is more lines for `ip
// -batch -`, run last.
Result<void> configure_link(const std::string& name, const LinkSetup&, std::string_view extra = {});

}  // namespace macrovpn::shell
