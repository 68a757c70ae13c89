// NodeDaemon: a running node of this computer: the driver, the exit, the folder of descriptors and the
// control socket around one core Node.  Used by run_daemon() (daemon.h).
//
// Files: node_daemon.cpp (start, events), node_directory.cpp (descriptors, the live directory), node_control.cpp (what `macrovpn` commands ask),
// node_status.cpp (what is shown), node_system.cpp (the device of `macrovpn up`).
#pragma once
#include <nlohmann/json_fwd.hpp>

#include "app/directory_keeper.h"
#include "app/own_descriptor.h"
#include "app/home_keeper.h"
#include "app/phone_keeper.h"
#include "app/record_desk.h"
#include "app/region_watch.h"
#include "app/relay_operator.h"
#include "app/transports.h"
#include "shell/clock.h"
#include "shell/config/descriptor_folder.h"
#include "shell/control/server.h"
#include "shell/driver/driver.h"
#include "shell/driver/own_addresses.h"
#include "shell/exit/exit_backend.h"
#include "shell/nat/port_keeper.h"
#include "shell/workers/workers.h"

namespace macrovpn::app {

inline constexpr const char* kSystemGroup = "system";  // the whole computer's, made by `macrovpn up`

class NodeDaemon {
 public:
  explicit NodeDaemon(const DaemonOptions& options);
  ~NodeDaemon();
  Result<void> start();
  void run();  // until stopped

 private:
  struct Attached {
    TunId tun;
    shell::control::ConnectionId owner;
    shell::PacketDevice::Kind kind = shell::PacketDevice::Kind::tun;
    node::Slots slots = node::Slots::only_own;
  };
  struct Moves {  // what `status` tells about leases
    uint64_t moved = 0, lost = 0;
    Duration last_took{};
  };

  // node_daemon.cpp
  Result<node::NodeConfig> node_config();
  Result<void> open_sockets();
  Result<void> start_exits();
  Result<void> start_transports();
  Result<std::unique_ptr<shell::ExitBackend>> make_exit(shell::Reactor&, PacketPool&, const routing::ShardPlace&,
                                                        const std::function<shell::Driver*()>& driver);
  static void connect_exit(shell::Driver&, shell::ExitBackend&);
  // For each worker, on its thread, one after the other; shard 0, which is this thread, first.
  void each(const std::function<void(shell::Driver&)>& f) const;
  size_t worker_count() const { return workers_ ? workers_->shards() : 1; }
  void watch_signals();
  void on_signal();
  void stop();  // a relay drains first; if it does already, at once
  void on_event(const node::NodeEvent& e);
  bool is_introducer() const;
  void keep_port_open();
  void on_port();  // the router has opened or closed it
  void tick();
  void save_seen();
  void judge_regions();

  // node_directory.cpp
  Result<void> load_directory();
  void start_directory();
  void on_directory(const discovery::SetChanges& changes);
  void on_synced(const node::DirectorySynced& synced);
  void tell_progress();
  Result<nlohmann::json> accept_directory();
  std::optional<RelayDetails> details_of(const PeerId& id) const;
  RelayInfo own_relay() const;
  void describe_itself(OwnDescriptor::Urgency urgency);
  bool have_it_called(const Endpoint& at);
  void scan_descriptors();
  void follow_files(const shell::DescriptorFolder::Changes& changes);
  void import_files(const shell::DescriptorFolder::Changes& changes);

  // node_control.cpp
  Result<void> serve();
  // `prefix`: in front of the group's name, so that users do not share names.
  Result<nlohmann::json> attach(shell::control::Request& r, const std::string& prefix = {});
  size_t proxies_of_guests(const std::string& prefix) const;  // empty: of all
  void let_go_of(shell::control::ConnectionId owner);
  Result<nlohmann::json> hop(const nlohmann::json& params);
  void let_go(const std::string& group);

  // node_system.cpp
  Result<nlohmann::json> attach_system();
  void open_door();
  void close_door();
  nlohmann::json detach_system();
  void serve_system_again();
  void look_after_system();

  // node_status.cpp
  nlohmann::json status() const;
  nlohmann::json circuit_json(const node::Circuit& c) const;
  struct Totals;
  Totals totals() const;
  nlohmann::json relay_json(const Totals&) const;
  nlohmann::json introductions_json() const;
  nlohmann::json port_json() const;
  nlohmann::json workers_json(const Totals&) const;
  std::string group_of(TunId tun) const;

  DaemonOptions options_;
  shell::Fd only_;  // shell::control::lock_daemon(): goes when everything after it has gone
  shell::OsRng rng_;
  shell::Reactor reactor_;
  PacketPool pool_;
  shell::OwnAddresses own_;
  shell::DescriptorFolder folder_;
  std::unique_ptr<shell::Workers> workers_;  // of a relay with several
  std::unique_ptr<shell::Driver> driver_;    // of shard 0
  std::unique_ptr<shell::ExitBackend> exit_;  // of shard 0
  std::unique_ptr<RelayOperator> operator_;  // of a relay
  std::unique_ptr<Transports> transports_;
  std::unique_ptr<PhoneKeeper> phones_;
  std::unique_ptr<RecordDesk> records_;
  std::unique_ptr<RegionWatch> regions_;
  std::unique_ptr<HomeKeeper> home_;         // of a relay at home
  std::unique_ptr<shell::PortKeeper> port_;  // of a relay whose router shall open it
  std::unique_ptr<shell::control::Server> server_, door_;
  std::map<std::string, Attached> groups_;
  std::map<std::string, std::string> refused_;  // descriptor file -> why
  std::unique_ptr<DirectoryKeeper> keeper_;  // nullptr: the directory is files
  std::unique_ptr<OwnDescriptor> descriptor_;  // of a relay
  discovery::SetChanges for_other_shards_;
  std::optional<PublicKey> prekey_;
  Mono save_seen_at_ = kLongAgo;
  Mono started_;
  shell::Fd signals_;
  Moves moves_;
  bool exit_v6_ = false;
};

}  // namespace macrovpn::app
