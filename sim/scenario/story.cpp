#include "sim/scenario/story.h"

namespace macrovpn::sim {
namespace {

std::string path_of(const World& w, const node::Circuit& c) {
  std::string out;
  for (const node::Hop& hop : c.hops) {
    const Host* h = w.relay_of(hop.relay.id);
    out += (out.empty() ? "" : " > ") + (h ? h->name : "somebody");
  }
  return out;
}

const node::Circuit* circuit_of(const Host& h, CircuitId id) {
  const auto& all = h.node->client()->circuits();
  const auto at = all.find(id);
  return at == all.end() ? nullptr : &at->second;
}

const char* word(Happened::What w) {
  switch (w) {
    case Happened::What::sent: return "sent a datagram";
    case Happened::What::got: return "got";
    case Happened::What::deadline: return "a timer was due";
    case Happened::What::program_sent: return "a program sent";
    case Happened::What::program_got: return "a program got";
    case Happened::What::exit_sent: return "sent to the Internet";
    case Happened::What::exit_got: return "got from the Internet";
    case Happened::What::command: return "a command of its user";
    case Happened::What::fault: return "something was done to it";
    case Happened::What::nothing: break;
  }
  return "";
}

std::string sentence_of(const World& w, const Host& h, const node::NodeEvent& event) {
  if (const auto* e = std::get_if<node::CircuitReady>(&event)) {
    const node::Circuit* c = circuit_of(h, e->circuit);
    if (c == nullptr) return "has a circuit";
    return std::string(e->group.is_nobody() ? "has a spare circuit over " : "has a circuit over ") + path_of(w, *c) + " after " +
           std::to_string(c->ready_after / 1ms) + " ms" + (c->hop_by_hop ? ", built hop by hop" : "");
  }
  if (const auto* e = std::get_if<node::LeaseMoved>(&event)) {
    const Duration d = e->after_trouble;
    return "moved its connections to a new circuit" +
           (d == Duration(0) ? std::string(", as it wanted to") : ", " + std::to_string(d / 1ms) + " ms after the old one was last heard");
  }
  if (std::holds_alternative<node::LeaseLost>(event)) return "lost its exit; connections are gone";
  if (const auto* e = std::get_if<node::StateChanged>(&event)) return std::string("is ") + controller::id_of(e->state);
  if (const auto* e = std::get_if<node::MtuChanged>(&event)) return "found that a circuit carries " + std::to_string(e->mtu) + " bytes";
  if (const auto* e = std::get_if<node::Warning>(&event)) return "warns: " + e->text;
  if (std::holds_alternative<node::PrekeyChanged>(event)) return "published a prekey";
  return {};
}

}  // namespace

std::string time_text(Duration d) {
  char text[48];
  std::snprintf(text, sizeof text, "%lld:%02lld.%03lld", static_cast<long long>(d / 1min), static_cast<long long>(d / 1s % 60),
                static_cast<long long>(d / 1ms % 1000));
  return text;
}

void Story::tell(const World& w, const Host& h, const std::string& what) {
  std::fprintf(out_, "%10s  %-12s %s\n", time_text(w.elapsed()).c_str(), h.name.c_str(), what.c_str());
}

void Story::node_event(World& w, const Host& h, const node::NodeEvent& event) {
  const std::string s = sentence_of(w, h, event);
  if (!s.empty()) tell(w, h, s);
}

void Story::fault(World& w, const Host& h, const std::string& what) { tell(w, h, what); }

std::string failure_text(const World& w, const Failure& f, uint64_t seed, const std::string& scenario) {
  std::string out = "FAILED at " + time_text(w.elapsed()) + " of virtual time: " + f.checker + "\n  promise: " + f.promise +
                    "\n  seen:    " + f.seen + "\n  again:   ./simulate " + scenario + " --seed " + std::to_string(seed) + " --trace\n";
  for (const HostId id : f.hosts) {
    const Host& h = w.host(id);
    out += "  the last of " + h.name + ":\n";
    for (const Happened& e : h.history.in_order()) {
      out += "    " + time_text(e.at - w.began()) + "  " + word(e.what);
      if (e.other.value < w.hosts().size() && e.other != id) {
        out += (e.what == Happened::What::sent ? " to " : " from ") + w.host(e.other).name;
      }
      if (e.size > 10) out += ", " + std::to_string(e.size) + " bytes";
      out += "\n";
    }
  }
  return out;
}

}  // namespace macrovpn::sim
