#include "sim/scenario/scenario.h"

#include <algorithm>

#include "sim/scenario/words.h"

namespace macrovpn::sim {
namespace {

constexpr std::string_view kPlaceWords = "anywhere, europe, america, asia, africa, or a place such as frankfurt, new-york, tokyo";

std::vector<Place> read_places(Words& w) {
  if (w.take("anywhere")) return {};
  if (w.take("europe")) return {Place::frankfurt, Place::london, Place::warsaw};
  if (w.take("america")) return {Place::new_york, Place::dallas, Place::san_francisco, Place::sao_paulo};
  if (w.take("asia")) return {Place::mumbai, Place::singapore, Place::tokyo};
  if (w.take("africa")) return {Place::johannesburg, Place::lagos};
  return {w.named<Place>("place", place_named, std::string(kPlaceWords))};
}

HostKind read_kind(Words& w) {
  return static_cast<HostKind>(w.one_of("kind of host", {"clients", "relays", "exits", "servers"}));
}

// "behind a carrier's nat" is two: the home's and the carrier's.
void read_nat(Words& w, Crowd& c) {
  c.nat = static_cast<NatKind>(
      w.one_of("kind of NAT", {"no nat", "full-cone nat", "restricted nat", "port-restricted nat", "symmetric nat"}));
  if (w.take_all("that forgets after")) c.nat_timeout = w.duration();
  c.carrier = w.take_all("of a carrier");
}

// What is said about the work itself.
bool read_habit(Words& w, Crowd& c) {
  const bool bulk = c.work == Work::download || c.work == Work::upload;
  if ((c.work == Work::browse && w.take_all("pages of")) || (bulk && w.take_all("files of"))) {
    c.bytes = w.bytes();
    if (w.ok() && (c.bytes == 0 || c.bytes > 1'000'000'000)) w.fail("a page or a file has 1 byte to 1GB");
  } else if (c.work == Work::call && w.take_all("calls of")) {
    c.call = w.duration();
  } else if (c.work != Work::nothing && w.take("pausing")) {
    c.pause = w.duration();
  } else if (c.kind == HostKind::client && w.take_all("roaming every")) {
    c.roams = w.duration();
    if (w.ok() && c.roams < 1s) w.fail("who roams stays for a second at least");
  } else {
    return false;
  }
  return true;
}

std::string crowd_words(const Crowd& c) {
  std::string words = "from or in PLACE, with ACCESS access";
  if (c.kind == HostKind::exit) words += ", without ipv6";
  if (c.work == Work::browse) words += ", pages of SIZE";
  if (c.work == Work::download || c.work == Work::upload) words += ", files of SIZE";
  if (c.work == Work::call) words += ", calls of TIME";
  if (c.work != Work::nothing) words += ", pausing TIME";
  if (c.kind == HostKind::client) words += ", roaming every TIME, behind … nat, over N hops, built hop by hop, without spare circuits";
  return words;
}

void read_crowd(Words& w, Scenario& s, int line) {
  Crowd c;
  c.line = line;
  c.count = w.number("how many");
  c.kind = static_cast<HostKind>(w.one_of("kind of host", {"clients", "relays", "exits", "servers"}));
  if (w.ok() && (c.count == 0 || c.count > 100'000)) w.fail("a crowd is 1 to 100000 hosts");
  if (c.kind == HostKind::client) {
    c.work = static_cast<Work>(w.one_of("thing that clients do", {"wait", "browse", "download", "upload", "call"}));
  }
  while (w.ok() && !w.done()) {
    if (w.take("from") || w.take("in")) {
      c.places = read_places(w);
    } else if (w.take("with")) {
      c.access = w.named<Access>("access", access_named, "datacentre, fibre, cable, mobile, satellite");
      w.expect("access");
    } else if (read_habit(w, c)) {
      continue;
    } else if (c.kind == HostKind::exit && w.take_all("without ipv6")) {
      c.v6 = false;
    } else if (c.kind == HostKind::client && w.take("behind")) {
      read_nat(w, c);
    } else if (c.kind == HostKind::client && w.take("over")) {
      c.hops = w.number("how many hops");
      if (w.ok() && (c.hops < 1 || c.hops > 5)) w.fail("a circuit has 1 to 5 hops");
      if (!w.take("hop")) w.expect("hops");
    } else if (c.kind == HostKind::client && w.take_all("built hop by hop")) {
      c.hop_by_hop = true;
    } else if (c.kind == HostKind::client && w.take_all("without spare circuits")) {
      c.spares = 0;
    } else {
      w.fail("\"" + std::string(w.peek()) + "\" says nothing about such a crowd; allowed: " + crowd_words(c));
    }
  }
  s.crowds.push_back(c);
}

void read_fault(Words& w, Trouble& t) {
  t.what = static_cast<Fault>(w.one_of(
      "thing that goes wrong",
      {"crash", "sleep", "move", "say goodbye", "have clocks that are", "lose", "lose in bursts", "reorder", "duplicate", "slow down to",
       "swallow datagrams above", "are cut off", "have udp blocked", "have nats that forget", "hop", "trim handshakes", "echo answers", "drop", "delay", "tamper with",
       "replay", "refuse others", "collude"}));
  // "lose" is a prefix of "lose in bursts".
  if (t.what == Fault::lose && w.take_all("in bursts")) t.what = Fault::lose_in_bursts;
  switch (t.what) {
    case Fault::lose: case Fault::lose_in_bursts: case Fault::reorder: case Fault::duplicate: case Fault::drop: case Fault::delay:
    case Fault::tamper: case Fault::replay:
      t.amount = w.percent();
      static_cast<void>(w.take_all("of datagrams"));
      if (t.what == Fault::delay) w.expect("by up to"), t.time = w.duration();
      break;
    case Fault::wrong_clock:
      t.time = w.duration();
      w.expect("off");
      break;
    case Fault::slow: t.amount = w.bits(); break;
    case Fault::mtu_hole:
      t.amount = w.bytes();
      w.expect("bytes");
      break;
    default: break;
  }
  if (w.take("for")) t.lasts = w.duration();
}

void read_trouble(Words& w, Scenario& s, int line, bool again) {
  Trouble t;
  t.line = line;
  (again ? t.every : t.first) = w.duration();
  if (again) {
    t.first = t.every;
    if (w.ok() && t.every < 1ms) w.fail("what happens again and again does so at most once in a millisecond");
    if (w.take("from")) t.first = w.duration();
    if (w.take("until")) t.until = w.duration();
  }
  if (w.take("all")) {
    t.share = kAlways;
  } else if (w.peek().ends_with('%')) {
    t.share = w.percent();
    w.expect("of");
  } else {
    t.count = w.number("a share, a number or \"all\"");
  }
  t.who = read_kind(w);
  read_fault(w, t);
  const bool of_relays = t.who == HostKind::relay || t.who == HostKind::exit;
  if (w.ok() && !of_relays && (t.what > Fault::trim || t.what == Fault::leave)) {
    w.fail("only relays and exits do that");
  } else if (w.ok() && t.who != HostKind::client && (t.what == Fault::hop || t.what == Fault::block_udp || t.what == Fault::forget_nat)) {
    w.fail("that happens to clients alone");
  } else if (w.ok() && t.who == HostKind::server && t.what <= Fault::wrong_clock) {
    w.fail("servers have no node; their links may go wrong");
  }
  s.troubles.push_back(t);
}

void read_expected(Words& w, Expected& e) {
  if (w.take("recovery")) {
    w.expect("within");
    e.recovery = w.duration();
  } else if (w.take_all("nothing is left")) {
    e.nothing_left = true;
  } else if (w.take("every")) {
    w.expect("client");
    if (w.take("carries")) {
      e.bytes_each = w.bytes();
    } else if (w.take("builds")) {
      e.circuits_each_minute = w.number("how many circuits");
      if (!w.take("circuit")) w.expect("circuits");
      w.expect("a minute");
    } else {
      w.fail("every client may be expected to carry or to build; write: every client carries 1MB, or every client builds 1 circuit a minute");
    }
  } else {
    w.expect("at least");
    const uint64_t n = w.number("how many");
    uint64_t* const where[] = {&e.nodes, &e.packets, &e.fault_kinds};
    *where[w.one_of("thing to count", {"nodes", "packets", "kinds of faults"})] = n;
  }
}

void read_line(Words& w, Scenario& s, int line) {
  if (w.take("about")) {
    for (s.about.clear(); !w.done();) s.about += (s.about.empty() ? "" : " ") + w.word("a word");
  } else if (w.take("lasts")) {
    s.lasts = w.duration();
  } else if (w.take_all("hosts are")) {
    s.apart = w.duration();
    w.expect("apart");
  } else if (w.take_all("news take")) {
    s.news = w.duration();
    if (w.ok() && s.news < 1ms) w.fail("news take a millisecond at least");
  } else if (w.peek().ends_with('%')) {
    s.v6_sites = w.percent();
    w.expect("of sites by ipv6");
  } else if (w.take("at")) {
    read_trouble(w, s, line, false);
  } else if (w.take("every")) {
    read_trouble(w, s, line, true);
  } else if (w.take("expect")) {
    read_expected(w, s.expected);
  } else if (!w.peek().empty() && w.peek()[0] >= '0' && w.peek()[0] <= '9') {
    read_crowd(w, s, line);
  } else {
    w.fail("\"" + std::string(w.peek()) +
           "\" begins no sentence; allowed: a number of hosts, about, lasts, hosts are … apart, news take, N% of sites by ipv6, at, every, expect");
  }
  w.expect_end();
}

}  // namespace

const char* to_string(Work w) {
  static constexpr const char* kNames[kWorks] = {"wait", "browse", "download", "upload", "call"};
  return kNames[static_cast<size_t>(w)];
}

const char* to_string(Fault f) {
  static constexpr const char* kNames[kFaults] = {
      "crash", "sleep", "move", "goodbye", "wrong clock", "loss", "loss in bursts", "reordering", "duplication", "slow link",
      "mtu hole", "cut off", "udp blocked", "nat forgets", "hop", "trims", "echoes", "drops", "delays", "tampers", "replays", "refuses", "colludes"};
  return kNames[static_cast<size_t>(f)];
}

Result<Scenario> read_scenario(std::string_view text, const std::string& file) {
  Scenario s;
  s.file = file;
  int line = 0;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    line++;
    Words w(text.substr(at, end - at));
    at = end + 1;
    if (w.done()) continue;
    read_line(w, s, line);
    if (!w.ok()) return fail(file + ":" + std::to_string(line) + ": " + w.error());
  }
  const auto has = [&](HostKind k) {
    return std::any_of(s.crowds.begin(), s.crowds.end(), [k](const Crowd& c) { return c.kind == k; });
  };
  if (!has(HostKind::relay) || !has(HostKind::exit)) return fail(file + ": a world needs relays and exits; write for example \"20 relays\" and \"5 exits\"");
  return s;
}

}  // namespace macrovpn::sim
