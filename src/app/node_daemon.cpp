#include "app/node_daemon.h"

#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "app/system_status.h"
#include "core/discovery/descriptor.h"
#include "core/discovery/details.h"
#include "core/node/capacity.h"
#include "crypto/warm_up.h"
#include "shell/config/atomic_file.h"
#include "shell/exit/kernel_exit.h"
#include "shell/exit/rootless_exit.h"
#include "shell/system/names.h"

namespace macrovpn::app {
namespace {

constexpr const char* kGuardsFile = "/guards";
constexpr const char* kMiddlesFile = "/middles";
constexpr size_t kMaxSetFile = 4096;
constexpr Duration kSaveSeenEvery = std::chrono::minutes(10);

// What a person at the terminal reads.  Never an address, a name or a key (DESIGN: no logs, by construction).
void say(const std::string& line) {
  std::fprintf(stderr, "macrovpn: %s\n", line.c_str());
}

// Starting without them would draw new ones, which is what somebody who makes them unreadable could want.
template <class Set>
Result<std::vector<uint8_t>> saved_set(const std::string& file, const char* what) {
  std::vector<uint8_t> saved;
  if (!shell::file_exists(file)) return saved;
  TRY(saved, shell::read_own_file(file, kMaxSetFile));
  if (!Set::load(saved).ok())
    return fail("the " + std::string(what) + " relays saved in " + file + " are damaged; move that file away to have new ones chosen");
  return saved;
}

}  // namespace

NodeDaemon::NodeDaemon(const DaemonOptions& options)
    : options_(options), folder_(options.descriptor_folder, options.network.id) {}

NodeDaemon::~NodeDaemon() {
  if (workers_) workers_->stop();
  server_.reset();
  home_.reset();
  operator_.reset();
  phones_.reset();
  transports_.reset();
  port_.reset();
  door_.reset();
  exit_.reset();  // holds packets of the pool, and calls the driver
  if (workers_) workers_->leave();
  driver_.reset();
}

Result<node::NodeConfig> NodeDaemon::node_config() {
  node::NodeConfig c;
  c.wireguard = options_.keys.wireguard;
  c.network = options_.network;
  if (options_.roles.relay == Roles::Relay::on) {
    c.identity = options_.keys.identity;
    c.relay = node::RelayConfig{options_.roles.exit != ExitRole::none, exit_v6_, own_.networks, {}};
    c.relay->cap = options_.settings.rate;
    c.relay->plain_stun = options_.settings.plain_stun;
    c.relay->introducer = is_introducer();
    node::limit_tables(c, options_.settings.circuits, options_.settings.memory);
    for (const IpAddress& a : own_.addresses) c.relay->own_networks.push_back(IpPrefix::of(a, a.bits()));
  }
  if (keeper_) {
    c.directory = keeper_->begin();
    if (auto said = shell::read_own_file(options_.paths.liveness_file(), discovery::LivenessMemory::kMaxSaved))
      c.directory->saved_liveness = std::move(said).value();
  }
  if (options_.roles.client == Roles::Client::on) {
    c.client = node::ClientConfig{.hops = options_.hops, .pinned_path = options_.path};
    if (options_.settings.exit_region.known()) c.client->exit_region = options_.settings.exit_region;
    c.client->build = options_.hop_by_hop ? node::Build::hop_by_hop : node::Build::one_round_trip;
    TRY(c.client->saved_guards, saved_set<peers::GuardSet>(options_.paths.state + kGuardsFile, "entry"));
    TRY(c.client->saved_middles, saved_set<peers::MiddleSet>(options_.paths.state + kMiddlesFile, "middle"));
    // Worth something, and nothing depends on it: what cannot be read is begun anew.
    if (auto seen = shell::read_own_file(options_.paths.observations_file(), peers::Observations::kMaxSaved))
      c.client->saved_observations = std::move(seen).value();
  }
  return c;
}

Result<void> NodeDaemon::open_sockets() {
  const Endpoint any{};
  const Endpoint listen = options_.listen.empty() ? any : options_.listen.front();
  const uint32_t mark = geteuid() == 0 ? shell::system::kMark : 0;
  TRY(auto sockets, shell::UdpSocket::open_group(listen, worker_count(), rng_, mark));
  for (size_t i = 0; i < sockets.size(); i++) {
    shell::Driver& driver = i == 0 ? *driver_ : workers_->others()[i - 1]->driver();
    driver.add_socket(kListenSocket, std::move(sockets[i]));
    if (options_.roles.relay != Roles::Relay::on) continue;
    TRY(auto egress, shell::UdpSocket::open({listen.address, 0}, mark));
    driver.add_socket(kEgressSocket, std::move(egress));
    driver.set_socket_maker([address = listen.address, mark] { return shell::UdpSocket::open({address, 0}, mark); });
  }
  return {};
}

Result<std::unique_ptr<shell::ExitBackend>> NodeDaemon::make_exit(shell::Reactor& reactor, PacketPool& pool,
                                                                  const routing::ShardPlace& place,
                                                                  const std::function<shell::Driver*()>& driver) {
  using Exit = std::unique_ptr<shell::ExitBackend>;
  shell::ExitConfig config;
  config.extra_global = options_.network.extra_global;
  config.place = place;
  config.limits = shell::part_of(config.limits, place.shards);
  if (!options_.listen.empty()) config.listen_port = options_.listen.front().port;
  config.is_relay = [driver](const Endpoint& e) { return driver() && driver()->node().directory().is_relay_endpoint(e); };
  const auto on_packets = [driver](std::span<Packet> packets) { driver()->on_exit_packets(packets); };
  if (options_.roles.exit == ExitRole::kernel) {
    TRY(auto kernel, shell::KernelExit::create(reactor, rng_, pool, config, on_packets));
    return Exit(std::move(kernel));
  }
  if (options_.roles.exit == ExitRole::automatic && geteuid() == 0) {
    if (auto kernel = shell::KernelExit::create(reactor, rng_, pool, config, on_packets); kernel.ok())
      return Exit(std::move(kernel).value());
  }
  TRY(auto rootless, shell::RootlessExit::create(reactor, rng_, pool, config, on_packets));
  return Exit(std::move(rootless));
}

void NodeDaemon::connect_exit(shell::Driver& driver, shell::ExitBackend& exit) {
  driver.set_exit([&exit](std::span<Packet> p) { exit.inject(p); },
                  [&exit](const node::ExitLease& l) { l.mtu ? exit.set_mtu(l.number, *l.mtu) : exit.forget(l.number); });
}

Result<void> NodeDaemon::start_transports() {
  transports_ = std::make_unique<Transports>(reactor_, pool_, rng_, *driver_, options_, folder_);
  TRY_VOID(transports_->start());
  for (size_t i = 1; i < worker_count(); i++) transports_->add_worker(workers_->others()[i - 1]->driver());
  return {};
}

// Each worker has an exit of its own, with a network of its own for the leases that it grants.
Result<void> NodeDaemon::start_exits() {
  if (options_.roles.exit == ExitRole::none) return {};
  const routing::ShardPlace first = workers_ ? workers_->place_of(0) : routing::ShardPlace{};
  TRY(exit_, make_exit(reactor_, pool_, first, [this] { return driver_.get(); }));
  for (size_t i = 1; i < worker_count(); i++) {
    shell::Worker& w = *workers_->others()[i - 1];
    TRY(auto exit, make_exit(w.reactor(), w.pool(), workers_->place_of(i), [&w] { return w.has_driver() ? &w.driver() : nullptr; }));
    w.set_exit(std::move(exit));
  }
  return {};
}

void NodeDaemon::each(const std::function<void(shell::Driver&)>& f) const {
  f(*driver_);
  if (workers_) workers_->ask_others([&](shell::Worker& w) { f(w.driver()); });
}

Result<void> NodeDaemon::start() {
  crypto::warm_up();
  started_ = reactor_.now().mono;
  watch_signals();
  TRY(only_, shell::control::lock_daemon(options_.control_socket));
  give_back_names_after_restart(options_.paths);
  own_ = shell::read_own_addresses();
  exit_v6_ = own_.has_global_v6;
  const bool only_relays = options_.roles.relay == Roles::Relay::on && options_.roles.client == Roles::Client::off;
  if (only_relays && options_.settings.workers > 1) workers_ = std::make_unique<shell::Workers>(options_.settings.workers);
  TRY_VOID(start_exits());
  // Other processes of this user, boxed ones above all, get at nothing of us by /proc or ptrace, and no core file holds our keys.
  prctl(PR_SET_DUMPABLE, 0);
  TRY_VOID(load_directory());
  TRY(node::NodeConfig config, node_config());
  if (workers_) {
    workers_->share(config, rng_);
    workers_->make_drivers(config);
    config = workers_->config_of(config, 0);
  }
  driver_ = std::make_unique<shell::Driver>(reactor_, config, pool_, rng_);
  if (workers_) workers_->join(reactor_, pool_, *driver_);
  TRY_VOID(open_sockets());
  TRY_VOID(start_transports());
  if (exit_) connect_exit(*driver_, *exit_);
  for (size_t i = 1; exit_ && i < worker_count(); i++) {
    shell::Worker& w = *workers_->others()[i - 1];
    connect_exit(w.driver(), *w.exit());
  }
  driver_->on_event([this](const node::NodeEvent& e) { on_event(e); });
  driver_->on_device_gone([this](TunId tun) { let_go(group_of(tun)); });
  regions_ = std::make_unique<RegionWatch>(options_.settings, options_.paths);
  phones_ = std::make_unique<PhoneKeeper>(reactor_, *driver_, options_);
  records_ = std::make_unique<RecordDesk>(*driver_);
  TRY_VOID(serve());
  start_directory();
  driver_->start();
  if (workers_) workers_->start();
  TRY_VOID(phones_->start());
  if (options_.roles.relay == Roles::Relay::on) {
    operator_ = std::make_unique<RelayOperator>(reactor_, [this](const auto& f) { each(f); }, options_);
    TRY_VOID(operator_->start([this] { describe_itself(OwnDescriptor::Urgency::at_once); }, [this] { reactor_.stop(); }));
  }
  if (options_.roles.relay == Roles::Relay::on && options_.settings.at_home) {
    const HomeKeeper::Uses uses{[this] { describe_itself(OwnDescriptor::Urgency::at_once); }, [this](const Endpoint& at) { return have_it_called(at); }};
    home_ = std::make_unique<HomeKeeper>(reactor_, *driver_, options_, uses);
    home_->start();
  }
  keep_port_open();
  scan_descriptors();
  serve_system_again();
  tick();
  return {};
}

void NodeDaemon::watch_signals() {
  std::signal(SIGPIPE, SIG_IGN);
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  sigprocmask(SIG_BLOCK, &set, nullptr);
  signals_ = shell::Fd(signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC));
  reactor_.add(signals_.get(), EPOLLIN, [this](uint32_t) { on_signal(); });
}

void NodeDaemon::on_signal() {
  signalfd_siginfo s;
  while (read(signals_.get(), &s, sizeof s) == sizeof s) stop();
}

void NodeDaemon::stop() {
  if (!operator_ || operator_->stopping()) return reactor_.stop();
  operator_->stop();
}

void NodeDaemon::tick() {
  reactor_.after(shell::kRescanEvery, [this] {
    scan_descriptors();
    if (descriptor_) descriptor_->on_tick(reactor_.now());
    if (keeper_) keeper_->on_tick();
    look_after_system();
    phones_->try_again();
    if (reactor_.now().mono >= save_seen_at_) save_seen();
    tick();
  });
}

void NodeDaemon::run() {
  reactor_.run();
  driver_->say_goodbye();
  save_seen();
  if (port_) port_->stop();
}

void NodeDaemon::on_event(const node::NodeEvent& e) {
  if (const auto* k = std::get_if<node::PrekeyChanged>(&e)) {
    prekey_ = k->prekey;
    describe_itself(OwnDescriptor::Urgency::can_wait);
  } else if (const auto* g = std::get_if<node::GuardsChanged>(&e)) {
    const auto stored = shell::write_file(options_.paths.state + kGuardsFile, g->saved);
    if (!stored.ok()) say("the entry relays could not be saved: " + stored.error().message);
  } else if (const auto* middles = std::get_if<node::MiddlesChanged>(&e)) {
    const auto stored = shell::write_file(options_.paths.state + kMiddlesFile, middles->saved);
    if (!stored.ok()) say("the middle relays could not be saved: " + stored.error().message);
  } else if (const auto* measured = std::get_if<node::MeasuredChanged>(&e)) {
    const auto bytes = measured->measured ? discovery::encode_measured(*measured->measured) : std::vector<uint8_t>{};
    if (const auto stored = shell::write_file(options_.paths.measured_file(), bytes); !stored.ok())
      say("what was measured of other relays could not be saved: " + stored.error().message);
    if (descriptor_) descriptor_->set_measured(reactor_.now(), measured->measured);
  } else if (const auto* said = std::get_if<node::LivenessChanged>(&e)) {
    const auto stored = shell::write_file(options_.paths.liveness_file(), said->saved);
    if (!stored.ok()) say("which relays answer could not be saved: " + stored.error().message);
  } else if (const auto* s = std::get_if<node::StateChanged>(&e)) {
    say(controller::word_of(s->state));
    server_->broadcast("state", {{"state", controller::id_of(s->state)}});
  } else if (const auto* m = std::get_if<node::LeaseMoved>(&e)) {
    moves_.moved++;
    moves_.last_took = m->after_trouble;
  } else if (std::holds_alternative<node::LeaseLost>(e)) {
    moves_.lost++;
  } else if (const auto* d = std::get_if<node::DirectorySynced>(&e)) {
    on_synced(*d);
  } else if (const auto* ended = std::get_if<node::RecordEnded>(&e)) {
    records_->on_ended(*ended);
  } else if (const auto* reach = std::get_if<node::OwnReach>(&e)) {
    if (home_) home_->on_called(*reach);
  } else if (const auto* w = std::get_if<node::Warning>(&e)) {
    say(w->text);
  }
}

// Which exits' claims do not count, where the user wants his circuits to end in one country.
void NodeDaemon::judge_regions() {
  node::Node& node = driver_->node();
  if (node.client() == nullptr || !options_.settings.exit_region.known()) return;
  const Wall now = reactor_.now().wall;
  node.doubt_regions(regions_->doubted(node.directory(), [&](const PeerId& id) { return node.client()->observations().seen(id, now); }));
}

void NodeDaemon::save_seen() {
  save_seen_at_ = reactor_.now().mono + kSaveSeenEvery;
  const node::ClientSide* client = driver_->node().client();
  if (client == nullptr || client->observations().size() == 0) return;
  if (const auto stored = shell::write_file(options_.paths.observations_file(), client->observations().save()); !stored.ok())
    say("what was seen of relays could not be saved: " + stored.error().message);
}

// ---- the router

// Where the operator said an endpoint, that is published whatever the router says: its word for the outside address is nobody's proof.  Else HomeKeeper
// finds out what it is worth.
void NodeDaemon::keep_port_open() {
  if (options_.roles.relay != Roles::Relay::on || !options_.settings.open_port) return;
  const shell::PortKeeper::Config config{options_.listen.front().port, std::chrono::seconds(options_.settings.open_port_check)};
  port_ = std::make_unique<shell::PortKeeper>(reactor_, pool_, rng_, config, [this] { on_port(); });
  port_->start();
}

void NodeDaemon::on_port() {
  using State = discovery::PortMapping::State;
  const discovery::PortMapping m = port_->mapping();
  if (port_->is_silent()) {
    if (home_) home_->doubt_port();
    return;
  }
  if (m.state == State::open) say(std::string("the router has opened the port, by ") + discovery::name_of(m.by));
  if (m.state == State::failed) say("the router does not open the port; open it by hand, or see `macrovpn doctor`");
  if (home_) home_->set_mapped_port(m.state == State::open ? std::optional(m.outside_port) : std::nullopt);
}

}  // namespace macrovpn::app
