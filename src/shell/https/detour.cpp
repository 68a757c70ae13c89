#include "shell/https/detour.h"

#include <algorithm>

namespace macrovpn::shell::https {

using Do = LinkChoice::Do;
using Path = LinkChoice::Path;

namespace {

constexpr Duration kBusy = 100ms;    // heard as lately as this, nothing is kept
constexpr Duration kLately = 180s;

constexpr const char* kOtherCertificate =
    "something else answers on the HTTPS port of an entry relay, with another certificate: nothing was said to it (this network may be "
    "looking into TLS)";

}  // namespace

struct Detour::Entry {
  std::optional<Address> address{};
  std::optional<UdpProbe> probe{};
  std::optional<std::string> network{};
  LinkChoice choice{};
  std::unique_ptr<Client> client{};
  uint64_t number = 0;  // of the client
  std::deque<std::pair<Mono, Packet>> kept{};
  Mono looked = kLongAgo, used = kLongAgo, heard = kLongAgo;
  bool remembered = false, said = false;
};

Detour::Detour(Reactor& reactor, PacketPool& pool, Rng& rng, tls::Context context, const NetworkId& network, uint32_t mark,
               NetworkMemory memory, Uses uses)
    : reactor_(reactor),
      pool_(pool),
      rng_(rng),
      context_(std::move(context)),
      network_(network),
      mark_(mark),
      memory_(std::move(memory)),
      uses_(std::move(uses)) {}

Detour::~Detour() {
  if (timer_) reactor_.cancel(*timer_);
  if (burial_) reactor_.cancel(*burial_);
}

// Nothing: goes by UDP, and nobody asks.
Detour::Entry* Detour::entry_of(const Endpoint& to) {
  auto it = entries_.find(to);
  const Mono now = reactor_.now().mono;
  if (it == entries_.end()) {
    if (entries_.size() == kMostEntries) {
      const auto oldest = std::min_element(entries_.begin(), entries_.end(),
                                           [](const auto& a, const auto& b) { return a.second->used < b.second->used; });
      bury(*oldest->second);
      entries_.erase(oldest);
    }
    it = entries_.emplace(to, std::make_unique<Entry>()).first;
  }
  Entry& e = *it->second;
  if (now >= e.used + kLookAgain || (!e.address && now >= e.looked + kLookAgain)) look_up(to, e);
  e.used = now;
  return e.address ? &e : nullptr;
}

void Detour::look_up(const Endpoint& to, Entry& e) {
  e.looked = reactor_.now().mono;
  if (!e.client) e.address = uses_.find(to);
  if (!e.address) return;
  e.probe.emplace(network_, e.address->relay);
  const auto network = uses_.network();
  if (network == e.network && network) return;
  e.network = network;
  const bool known = network && memory_.needs_https(*network, reactor_.now().wall);
  e.remembered = known;
  e.choice.network_changed(known ? LinkChoice::Known::https_needed : LinkChoice::Known::nothing);
}

void Detour::keep(Entry& e, Bytes datagram) {
  const Mono now = reactor_.now().mono;
  if (now < e.heard + kBusy) return;
  e.kept.emplace_back(now, pool_.copy_of(datagram));
  if (e.kept.size() > kMostKept) e.kept.pop_front();
}

void Detour::outgoing(std::vector<node::Datagram>& datagrams) {
  const Mono now = reactor_.now().mono;
  Entry* e = nullptr;
  const Endpoint* of = nullptr;
  bool taken = false;
  for (node::Datagram& d : datagrams) {
    if (d.socket != kListenSocket) continue;
    if (of == nullptr || !(*of == d.remote)) {
      e = entry_of(d.remote);
      of = &d.remote;
    }
    if (e == nullptr) continue;
    e->choice.sent(now);
    if (e->choice.path() == Path::udp) {
      keep(*e, std::as_const(d.packet).bytes());
    } else {
      e->client->send(std::move(d.packet));
      taken = true;
    }
  }
  if (taken) std::erase_if(datagrams, [](const node::Datagram& d) { return !d.packet; });
  for (auto& [to, entry] : entries_) {
    if (entry->choice.path() == Path::https) entry->client->flush();
    act(to, *entry);
  }
  set_timer();
}

void Detour::incoming(std::vector<node::Datagram>& datagrams) {
  const Endpoint* of = nullptr;
  Entry* e = nullptr;
  bool taken = false;
  for (node::Datagram& d : datagrams) {
    if (of == nullptr || !(*of == d.remote)) {
      const auto it = entries_.find(d.remote);
      e = it == entries_.end() || !it->second->address ? nullptr : it->second.get();
      of = &d.remote;
      if (e != nullptr) {
        e->choice.heard_udp(reactor_.now().mono);
        if (e->choice.path() == Path::udp) {
          e->heard = reactor_.now().mono;
          e->kept.clear();
        }
        remember(*e);
        act(d.remote, *e);
      }
    }
    if (e == nullptr || e->choice.path() == Path::udp || !e->probe->is_answer(std::as_const(d.packet).bytes())) continue;
    e->choice.probe_answered(reactor_.now().mono);
    remember(*e);
    act(d.remote, *e);
    d.packet = Packet();
    taken = true;
  }
  if (taken) std::erase_if(datagrams, [](const node::Datagram& d) { return !d.packet; });
}

void Detour::act(const Endpoint& to, Entry& e) {
  for (;;) {
    switch (e.choice.next(reactor_.now().mono)) {
      case Do::nothing:
        return;
      case Do::connect:
        connect(to, e);
        break;
      case Do::disconnect:
        bury(e);
        break;
      case Do::probe:
        uses_.send_by_udp({kListenSocket, to, e.probe->ask(pool_, rng_)});
        break;
    }
  }
}

void Detour::connect(const Endpoint& to, Entry& e) {
  const uint64_t n = e.number = next_number_++;
  e.client = std::make_unique<Client>(
      reactor_, pool_, rng_, context_, network_, *e.address, mark_,
      Client::Events{[this, to, n] { ready(to, n); }, [this, to, n](std::span<Packet> p) { came(to, n, p); },
                     [this, to, n](Client::Why why) { over(to, n, why); }});
  if (e.client->start().ok()) return;
  bury(e);
  e.choice.disconnected(reactor_.now().mono);
  trouble_ = Trouble::unreachable;
}

// Of a connection that is still wanted.
Detour::Entry* Detour::current(const Endpoint& to, uint64_t number) {
  const auto it = entries_.find(to);
  return it != entries_.end() && it->second->client && it->second->number == number ? it->second.get() : nullptr;
}

void Detour::ready(const Endpoint& to, uint64_t number) {
  Entry* e = current(to, number);
  if (e == nullptr) return;
  const Mono now = reactor_.now().mono;
  e->choice.connected(now);
  trouble_ = Trouble::none;
  for (auto& [since, packet] : e->kept) {
    if (since + kKept >= now) e->client->send(std::move(packet));
  }
  e->kept.clear();
  e->client->flush();
  set_timer();
}

void Detour::came(const Endpoint& to, uint64_t number, std::span<Packet> packets) {
  Entry* e = current(to, number);
  if (e == nullptr) return;
  e->choice.heard_https(reactor_.now().mono);
  e->heard = reactor_.now().mono;
  remember(*e);
  std::vector<node::Datagram> datagrams;
  for (Packet& p : packets) datagrams.push_back({kListenSocket, to, std::move(p)});
  uses_.came(datagrams);
}

void Detour::over(const Endpoint& to, uint64_t number, Client::Why why) {
  Entry* e = current(to, number);
  if (e == nullptr) return;
  bury(*e);
  e->choice.disconnected(reactor_.now().mono);
  if (why == Client::Why::unreachable) trouble_ = Trouble::unreachable;
  if (why == Client::Why::not_admitted) trouble_ = Trouble::not_admitted;
  if (why == Client::Why::wrong_certificate) {
    trouble_ = Trouble::wrong_certificate;
    if (!std::exchange(e->said, true)) uses_.say(kOtherCertificate);
  }
  set_timer();
}

// It may be the one that called us.
void Detour::bury(Entry& e) {
  if (!e.client) return;
  buried_.push_back(std::move(e.client));
  if (burial_) return;
  burial_ = reactor_.after(Duration::zero(), [this] {
    burial_.reset();
    buried_.clear();
  });
}

void Detour::remember(Entry& e) {
  const bool needed = e.choice.https_was_needed();
  if (needed == e.remembered || (!needed && !e.choice.udp_works())) return;
  e.remembered = needed;
  // As it is now: the computer may have moved, and by now the gateway has been spoken to.
  e.network = uses_.network();
  if (e.network) memory_.note(*e.network, needed, reactor_.now().wall);
}

// To the earliest of the deadlines, if that is earlier than before: they mostly move on, and one that moved is looked at for nothing.
void Detour::set_timer() {
  Mono first = kNever;
  for (const auto& [to, e] : entries_) first = std::min(first, e->choice.next_deadline());
  if (first == kNever || (timer_ && timer_at_ <= first)) return;
  if (timer_) reactor_.cancel(*timer_);
  timer_at_ = first;
  timer_ = reactor_.at(first, [this] {
    timer_.reset();
    for (auto& [to, e] : entries_) act(to, *e);
    set_timer();
  });
}

Detour::Report Detour::report() const {
  Report r;
  r.trouble = trouble_;
  for (const auto& [to, e] : entries_) {
    if (reactor_.now().mono >= e->heard + kLately) continue;
    (e->choice.path() == Path::https ? r.by_https : r.by_udp)++;
  }
  return r;
}

}  // namespace macrovpn::shell::https
