#include "shell/proxy/udp_association.h"

#include <sys/socket.h>

#include <cerrno>

#include "shell/exit/socket_address.h"

namespace macrovpn::shell {
namespace {

constexpr unsigned kReadsPerTurn = 64;
constexpr Duration kCheckEvery = 1s;
constexpr size_t kRoomForHeader = 32;

std::optional<size_t> receive(int socket, MutBytes buffer, Endpoint& from) {
  SocketAddress a;
  const ssize_t n = recvfrom(socket, buffer.data(), buffer.size(), 0, a.data(), &a.size);
  const auto e = n >= 0 ? a.endpoint() : std::nullopt;
  if (e) from = *e;
  return e ? std::optional(static_cast<size_t>(n)) : std::nullopt;
}

}  // namespace

UdpAssociation::UdpAssociation(const Outbound& outbound, PeerOwner& owner, UdpCounters& counters,
                               GroupSlot slot, Fd relay, const IpAddress& client)
    : outbound_(outbound),
      owner_(owner),
      counters_(counters),
      slot_(slot),
      relay_(std::move(relay)),
      relay_at_(local_of(relay_.get()).value_or(Endpoint{})),
      client_address_(client),
      buffer_(65536 + kRoomForHeader) {
  outbound_.reactor.add(relay_.get(), EPOLLIN, [this](uint32_t) { on_relay(); });
}

UdpAssociation::~UdpAssociation() {
  outbound_.reactor.remove(relay_.get());
  for (const Fd& s : outside_)
    if (s) outbound_.reactor.remove(s.get());
}

void UdpAssociation::on_relay() {
  for (unsigned i = 0; i < kReadsPerTurn; i++) {
    Endpoint from;
    const auto n = receive(relay_.get(), buffer_, from);
    if (!n) return;
    if (is_from_client(from))
      take(Bytes(buffer_).first(*n));
    else
      counters_.strangers++;
  }
}

bool UdpAssociation::is_from_client(const Endpoint& source) {
  if (source.address != client_address_ || (client_ && source != *client_)) return false;
  if (outbound_.now() - checked_ < kCheckEvery) return true;
  if (!owner_.is_ours_udp(source, relay_at_)) return false;
  client_ = source;
  checked_ = outbound_.now();
  return true;
}

void UdpAssociation::take(Bytes datagram) {
  const auto d = read_socks_datagram(datagram);
  if (!d) {
    counters_.malformed++;
    return;
  }
  const Bytes data = datagram.subspan(d->header);
  if (d->target.address)
    send({*d->target.address, d->target.port}, data);
  else
    send_by_name(d->target, data);
}

void UdpAssociation::send_by_name(const Target& target, Bytes data) {
  Name* name = find_or_ask(target.name);
  if (name != nullptr && name->address) return send({*name->address, target.port}, data);
  if (name == nullptr || !name->lookup || name->held.size() >= kHeld) {
    counters_.dropped++;
    return;
  }
  name->held.emplace_back(target.port, std::vector<uint8_t>(data.begin(), data.end()));
}

UdpAssociation::Name* UdpAssociation::find_or_ask(const std::string& text) {
  const Mono now = outbound_.now();
  if (const auto it = names_.find(text); it != names_.end()) {
    if (it->second.lookup || now - it->second.since < kNameKept) return &it->second;
    names_.erase(it);
  }
  if (names_.size() >= kNames)
    std::erase_if(names_,
                  [now](const auto& n) { return !n.second.lookup && now - n.second.since >= kNameKept; });
  if (names_.size() >= kNames) return nullptr;
  Name& name = names_[text];
  ask(text, IpFamily::v4);
  return &name;
}

// IPv4 first: an association has no way to find out that a family leads nowhere.
void UdpAssociation::ask(const std::string& text, IpFamily family) {
  const auto name = routing::DnsName::parse(text);
  MV_ASSERT(name.has_value());
  names_[text].lookup = std::make_unique<NameLookup>(
      outbound_, slot_, *name, family,
      [this, text, family](NameAnswer a) { on_name(text, family, std::move(a)); });
}

void UdpAssociation::on_name(const std::string& given, IpFamily family, NameAnswer answer) {
  const std::string text = given;  // what is given goes with the lookup
  Name& name = names_[text];
  if (answer.addresses.empty() && family == IpFamily::v4) return ask(text, IpFamily::v6);
  name.lookup.reset();
  name.since = outbound_.now();
  const auto held = std::move(name.held);
  name.held.clear();
  if (answer.addresses.empty()) {
    counters_.dropped += held.size();
    return;
  }
  name.address = answer.addresses.front();
  for (const auto& [port, data] : held) send({*name.address, port}, data);
}

void UdpAssociation::send(const Endpoint& to, Bytes data) {
  const IpFamily family = to.address.family();
  Fd& socket = outside(family);
  if (outbound_.is_forbidden(to.address)) {
    counters_.dropped++;
    return;
  }
  if (!socket) {
    socket = open_outbound(outbound_, slot_, family, SOCK_DGRAM);
    if (socket)
      outbound_.reactor.add(socket.get(), EPOLLIN, [this, family](uint32_t) { on_outside(family); });
  }
  const SocketAddress at(to);
  const bool sent =
      socket && sendto(socket.get(), data.data(), data.size(), MSG_NOSIGNAL, at.data(), at.size) >= 0;
  (sent ? counters_.sent : counters_.dropped)++;
}

void UdpAssociation::on_outside(IpFamily family) {
  const bool known = client_ && is_from_client(*client_);
  for (unsigned i = 0; i < kReadsPerTurn; i++) {
    Endpoint from;
    const auto n = receive(outside(family).get(), MutBytes(buffer_).subspan(kRoomForHeader), from);
    if (!n) return;
    std::vector<uint8_t> header;
    write_socks_datagram_header(from, header);
    const size_t start = kRoomForHeader - header.size();
    std::copy(header.begin(), header.end(), buffer_.begin() + static_cast<ptrdiff_t>(start));
    const Bytes whole = Bytes(buffer_).subspan(start, header.size() + *n);
    const SocketAddress to(client_.value_or(Endpoint{}));
    const bool sent =
        known && sendto(relay_.get(), whole.data(), whole.size(), MSG_NOSIGNAL, to.data(), to.size) >= 0;
    (sent ? counters_.received : counters_.dropped)++;
  }
}

}  // namespace macrovpn::shell
