#include "shell/system/kill_switch.h"

#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <nlohmann/json.hpp>

#include "core/routing/address_rewrite.h"
#include "shell/fd.h"
#include "shell/namespace.h"
#include "shell/system/json_value.h"
#include "shell/system/names.h"

namespace macrovpn::shell::system {
namespace {

struct Counter {
  const char* name;   // in nft
  const char* words;  // in `status`
};
constexpr Counter kCounters[] = {
    {"names", "names (DNS and local name services)"},
    {"earlier", "connections from before"},
    {"ipv4", "other IPv4"},
    {"ipv6", "other IPv6"},
    {"forwarded", "forwarded for others"},
    {"uninvited", "uninvited, from the exit"},
    {"probes", "probes for the inside addresses"},
};

// $NAME stands for what is ours.  Chains at +300 come after everything that may change a packet.
constexpr std::string_view kRules = R"(# Macro VPN's kill switch; `macrovpn down` takes it away.
add table inet $table
delete table inet $table
add table arp $table
delete table arp $table

table inet $table {
$counters
  # What is our own needs no tracking.  The mark on those that come lets a strict rp_filter (with
  # src_valid_mark) find the way that the answers take.
  chain early_in {
    type filter hook prerouting priority -300; policy accept;
    meta l4proto { tcp, udp } socket mark $mark meta mark set $mark notrack accept
    iifname "$device" ip daddr $client4 accept
    iifname "$device" ip6 daddr $client6 accept
    iifname "$device" counter name uninvited drop
    iifname "lo" accept
    ip daddr $client4 counter name probes drop
    ip6 daddr $client6 counter name probes drop
  }
  chain early_out {
    type filter hook output priority -300; policy accept;
    meta l4proto { tcp, udp } socket mark $mark notrack
  }
  # Only answers come out of the tunnel: the exit is no friend.
  chain input {
    type filter hook input priority 300; policy accept;
    iifname "$device" ct state established,related accept
    iifname "$device" counter name uninvited drop
  }
  chain output {
    type filter hook output priority 300; policy drop;
    oifname "lo" accept
    oifname "$device" ip saddr $client4 accept
    oifname "$device" ip6 saddr $client6 accept
    oifname "$device" meta l4proto tcp counter name earlier reject with tcp reset
    oifname "$device" counter name earlier drop
    meta l4proto { tcp, udp } meta mark $mark socket mark $mark meta skuid 0 accept
    ip6 hoplimit 255 ip6 daddr { fe80::/10, ff02::/16 } icmpv6 type { nd-router-solicit, nd-neighbor-solicit, nd-neighbor-advert } accept
    ip6 saddr fe80::/10 ip6 daddr ff02::1:2 udp sport 546 udp dport 547 accept
    meta l4proto { tcp, udp } th dport { 53, 853, 5353, 5355 } counter name names goto refuse
    meta nfproto ipv6 counter name ipv6 goto refuse
    counter name ipv4 goto refuse
  }
  # A program is told at once; a packet of the kernel's own just ends.
  chain refuse {
    meta l4proto tcp reject with tcp reset
    meta l4proto udp reject with icmpx type admin-prohibited
    drop
  }
  chain forward {
    type filter hook forward priority 300; policy drop;
    oifname "$device" accept
    iifname "$device" ct state established,related accept
    counter name forwarded drop
  }
  # Containers and guests have addresses of their own; inside, everybody has the same.
  chain inside_source {
    type nat hook postrouting priority 110; policy accept;
    oifname "$device" ip saddr != $client4 masquerade
    oifname "$device" ip6 saddr != $client6 masquerade
  }
}

# Nobody on the LAN finds out by asking that the inside address is here.
table arp $table {
  chain input {
    type filter hook input priority 0; policy accept;
    arp daddr ip $client4 drop
  }
}
)";

void replace_all(std::string& text, std::string_view what, const std::string& by) {
  for (size_t at = 0; (at = text.find(what, at)) != std::string::npos; at += by.size())
    text.replace(at, what.size(), by);
}

// A question of nfnetlink for one table: linux/netfilter/nf_tables.h.
struct TableQuestion {
  nlmsghdr header{};
  nfgenmsg family{};
  nlattr attribute{};
  char name[16]{};
};
static_assert(sizeof(TableQuestion) == 40);

bool is_missing(const Error& e) {
  return e.message.find("No such file or directory") != std::string::npos;
}

}  // namespace

std::string kill_switch_rules() {
  const auto& inside = routing::InsideAddresses::get();
  std::string counters, mark = "0x";
  for (const Counter& c : kCounters) counters += std::string("  counter ") + c.name + " {}\n";
  ByteArray<4> bytes;
  store_be32(bytes.data(), kMark);
  mark += to_hex(bytes);
  std::string rules(kRules);
  replace_all(rules, "$counters", counters);
  replace_all(rules, "$table", kTable);
  replace_all(rules, "$device", kDevice);
  replace_all(rules, "$mark", mark);
  replace_all(rules, "$client4", inside.client4.reveal());
  replace_all(rules, "$client6", inside.client6.reveal());
  return rules;
}

Result<void> load_kill_switch() {
  return run_nft(kill_switch_rules());
}

Result<bool> unload_kill_switch() {
  TRY(const KillSwitchState before, look_at_kill_switch());
  // `add` first, as deleting what is not there would fail.
  std::string rules;
  for (const char* family : {"inet ", "arp "}) {
    const std::string table = std::string("table ") + family + kTable + "\n";
    rules += "add " + table + "delete " + table;
  }
  TRY_VOID(run_nft(rules));
  return before.loaded;
}

Result<bool> kill_switch_is_loaded() {
  TableQuestion q;
  q.header.nlmsg_len = offsetof(TableQuestion, name) + NLA_ALIGN(std::strlen(kTable) + 1);
  q.header.nlmsg_type = NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETTABLE;
  q.header.nlmsg_flags = NLM_F_REQUEST;
  q.family.nfgen_family = NFPROTO_INET;
  q.attribute = {static_cast<uint16_t>(sizeof q.attribute + std::strlen(kTable) + 1), NFTA_TABLE_NAME};
  std::strncpy(q.name, kTable, sizeof q.name - 1);
  const Fd s(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER));
  struct {
    nlmsghdr header;
    nlmsgerr error;
    char more[4096];
  } answer{};
  // The kernel answers before send() returns.
  if (!s || send(s.get(), &q, q.header.nlmsg_len, 0) < 0 ||
      recv(s.get(), &answer, sizeof answer, MSG_DONTWAIT) < static_cast<ssize_t>(sizeof answer.header))
    return fail(std::string("the kernel does not tell of its firewall: ") + std::strerror(errno));
  if (answer.header.nlmsg_type != NLMSG_ERROR) return true;
  if (answer.error.error == -ENOENT) return false;
  return fail(std::string("the kernel does not tell of its firewall: ") + std::strerror(-answer.error.error));
}

Result<KillSwitchState> look_at_kill_switch() {
  const auto said = ask_tool({"nft", "-j", "list", "table", "inet", kTable});
  if (!said) {
    if (is_missing(said.error())) return KillSwitchState{};
    return said.failure();
  }
  return read_kill_switch_listing(*said);
}

Result<KillSwitchState> read_kill_switch_listing(std::string_view text) {
  const auto listing = nlohmann::json::parse(text, nullptr, false);
  const auto* items = member(listing, "nftables");
  if (items == nullptr || !items->is_array()) return fail("`nft` answered in a way that we do not understand");
  KillSwitchState state{true, {}};
  for (const Counter& c : kCounters) {
    for (const auto& item : *items) {
      const auto* counter = member(item, "counter");
      if (counter == nullptr || text_in(*counter, "name") != c.name) continue;
      const uint64_t packets = count_in(*counter, "packets").value_or(0);
      if (packets != 0) state.blocked.push_back({c.words, packets});
    }
  }
  return state;
}

}  // namespace macrovpn::shell::system
