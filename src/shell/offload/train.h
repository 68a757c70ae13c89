// How many datagrams leave in one message (UDP_SEGMENT), a "train".
//
// A relay passes a train on with each datagram 32 bytes longer or shorter.  What fills 64 KiB on one link would be cut on the
// next, and after a few links most trains were crumbs: of 49 datagrams 46 and 3 on the first, 44, 1, 1 and 3 on the third, and the
// kernel's work on a message is the same for one as for 44.  So a train of long datagrams has as many as fit when each fills a
// link of 1500 bytes, wherever it is.
#pragma once
#include <cstddef>

namespace macrovpn::shell {

inline constexpr size_t kMostInTrain = 64;         // UDP_MAX_SEGMENTS of the kernels that have the least
inline constexpr size_t kLongestTrain = 65'000;    // bytes; IP and UDP headers are to fit too
inline constexpr size_t kLongTrain = 44;           // of datagrams of about 1000 bytes and more
static_assert(kLongTrain * (1500 - 28) <= kLongestTrain && (kLongTrain + 1) * (1500 - 28) > kLongestTrain);

// For datagrams of this size, whatever a relay adds.
constexpr size_t most_in_train(size_t size) {
  constexpr size_t kAdded = 128;
  return (size + kAdded) * kMostInTrain > kLongestTrain ? kLongTrain : kMostInTrain;
}

}  // namespace macrovpn::shell
