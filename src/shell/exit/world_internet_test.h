// The servers of the test world's internet; one process of blocking threads.
#pragma once

namespace macrovpn::shell::world {

// Ports on every address of the internet:
//   7/tcp      echo, FIN for FIN            9/tcp     sends 32 MiB and closes    10/tcp   resets at the first
//   byte 7/udp      echo                         8/udp     answers from port 9 too    11/tcp   answers only
//   after the client's FIN 53         DNS (see serve_dns)          25/tcp    would accept
// Never returns.
int run_internet(int channel);

}  // namespace macrovpn::shell::world
