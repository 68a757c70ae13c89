// One question of DNS, and what its answer says, as bytes.  Pure functions.
#pragma once
#include <optional>
#include <string_view>
#include <vector>

#include "core/routing/dns_message.h"
#include "model/ip.h"
#include "shell/proxy/outcome.h"

namespace macrovpn::shell {

inline constexpr size_t kMaxAddressesOfName = 4;  // of each family; the first ones

struct NameQuestion {
  routing::DnsName name;
  IpFamily family = IpFamily::v4;
  uint16_t id = 0;
};
std::vector<uint8_t> encode_question(const NameQuestion&);

struct NameAnswer {
  bool truncated = false;                // ask again by TCP
  Outcome outcome = Outcome::connected;  // connected: there are addresses
  std::vector<IpAddress> addresses;
};
// None: no answer to this question.
std::optional<NameAnswer> read_answer(Bytes message, const NameQuestion&);

}  // namespace macrovpn::shell
