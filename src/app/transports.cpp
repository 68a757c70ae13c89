#include "app/transports.h"

#include <unistd.h>

#include <cstdio>
#include <nlohmann/json.hpp>

#include "core/discovery/details.h"
#include "shell/config/atomic_file.h"
#include "shell/https/page.h"
#include "shell/system/names.h"

namespace macrovpn::app {

namespace https = shell::https;
namespace tls = shell::tls;
using nlohmann::json;

namespace {

constexpr const char* kCertificateFile = "/https.pem";

}  // namespace

Transports::~Transports() {
  driver_.set_other_sockets({});
  driver_.set_detour({}, {});
}

Result<void> Transports::start() {
  if (options_.roles.relay == Roles::Relay::on && !options_.settings.https_listen.empty()) TRY_VOID(start_server());
  if (options_.roles.client == Roles::Client::on) TRY_VOID(start_detour());
  return {};
}

Result<void> Transports::start_server() {
  const shell::Settings& s = options_.settings;
  https::ServerConfig config{options_.network.id, options_.keys.wireguard.pub, {}};
  if (!s.https_page.empty()) {
    TRY(const auto page, shell::read_file(s.https_page, https::kMaxPage));
    config.page.assign(page.begin(), page.end());
  }
  const std::string file = options_.paths.state + kCertificateFile;
  TRY(const std::string pem, tls::load_or_make_certificate(file, s.https_name, rng_, reactor_.now().wall));
  TRY(auto context, tls::Context::server(pem));
  TRY(const std::string name, tls::name_of(pem));
  if (!discovery::is_server_name(name))
    return fail("the certificate in " + file + " is for no host name that a descriptor can hold; move that file away to have a new one made");
  const tls::Pin pin = context.pin();
  server_ = std::make_unique<https::Server>(reactor_, pool_, rng_, std::move(context), std::move(config),
                                            [this](std::span<node::Datagram> d) { driver_.on_datagrams(d); });
  for (const Endpoint& e : s.https_listen) TRY_VOID(server_->listen(e));
  driver_.set_other_sockets([this](std::span<node::Datagram> d) { server_->send(d); });
  entry_ = TlsEntry{s.https_listen.front().port, pin, name};
  return {};
}

void Transports::add_worker(shell::Driver& other) {
  if (server_) other.set_other_sockets([this](std::span<node::Datagram> d) { server_->send_from_elsewhere(d); });
}

Result<void> Transports::start_detour() {
  TRY(auto context, tls::Context::client());
  const uint32_t mark = geteuid() == 0 ? shell::system::kMark : 0;
  https::NetworkMemory memory(https::NetworkMemory::file_in(options_.paths.runtime), rng_);
  detour_ = std::make_unique<https::Detour>(
      reactor_, pool_, rng_, std::move(context), options_.network.id, mark, std::move(memory),
      https::Detour::Uses{.find = [this](const Endpoint& e) { return find(e); },
                          .came = [this](std::span<node::Datagram> d) { driver_.on_datagrams(d); },
                          .send_by_udp = [this](node::Datagram&& d) { driver_.send_by_udp(std::move(d)); },
                          .say = [](const char* sentence) { std::fprintf(stderr, "macrovpn: %s\n", sentence); }});
  driver_.set_detour([this](std::vector<node::Datagram>& d) { detour_->outgoing(d); },
                     [this](std::vector<node::Datagram>& d) { detour_->incoming(d); });
  return {};
}

std::optional<TlsEntry> Transports::tls_of(const PeerId& id) const {
  if (const auto* live = driver_.node().live_directory()) {
    const auto e = live->set().find(discovery::short_id_of(id));
    return e && e->id == id && !e->convicted() ? e->descriptor.details.tls : std::nullopt;
  }
  const auto bytes = folder_.read(id);
  if (!bytes) return std::nullopt;
  const auto descriptor = discovery::open_descriptor(*bytes, options_.network.id);
  return descriptor ? descriptor->details.tls : std::nullopt;
}

// The relay that has this endpoint; its HTTPS port is on the first of its addresses.
std::optional<https::Address> Transports::find(const Endpoint& entry) const {
  for (const auto& [id, relay] : driver_.node().directory().relays()) {
    if (std::find(relay->endpoints.begin(), relay->endpoints.end(), entry) == relay->endpoints.end()) continue;
    const auto t = tls_of(id);
    if (!t) return std::nullopt;
    return https::Address{{relay->endpoints.front().address, t->port}, t->server_name, t->certificate, relay->wireguard};
  }
  return std::nullopt;
}

json Transports::client_json() const {
  const https::Detour::Report r = detour_->report();
  json out{{"entry", r.by_https != 0 ? "https" : r.by_udp != 0 ? "udp" : "none"}};
  switch (r.trouble) {
    case https::Detour::Trouble::none:
      break;
    case https::Detour::Trouble::unreachable:
      out["https_trouble"] = "unreachable";
      break;
    case https::Detour::Trouble::wrong_certificate:
      out["https_trouble"] = "wrong_certificate";
      break;
    case https::Detour::Trouble::not_admitted:
      out["https_trouble"] = "not_admitted";
      break;
  }
  return out;
}

json Transports::relay_json() const {
  if (!server_) return nullptr;
  const https::ServerCounters& c = server_->counters();
  return {{"port", entry_->port},         {"links", server_->links()}, {"strangers", server_->strangers()},
          {"admitted", c.admitted},       {"pages", c.pages},          {"refused", c.refused}};
}

}  // namespace macrovpn::app
