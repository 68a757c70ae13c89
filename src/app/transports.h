// Transports: what a node has beside UDP: a relay's HTTPS port, or a client's way round a UDP that does not pass.
#pragma once
#include <nlohmann/json_fwd.hpp>

#include "app/daemon.h"
#include "model/relay_details.h"
#include "shell/clock.h"
#include "shell/config/descriptor_folder.h"
#include "shell/driver/driver.h"
#include "shell/https/detour.h"
#include "shell/https/server.h"

namespace macrovpn::app {

class Transports {
 public:
  // What is passed by reference outlives it, and is used from the thread of the reactor.
  Transports(shell::Reactor& reactor, PacketPool& pool, Rng& rng, shell::Driver& driver, const DaemonOptions& options,
             const shell::DescriptorFolder& folder)
      : reactor_(reactor), pool_(pool), rng_(rng), driver_(driver), options_(options), folder_(folder) {}
  ~Transports();
  Transports(const Transports&) = delete;
  Transports& operator=(const Transports&) = delete;

  // A relay: listens, if that is wanted.  A client: is ready.
  Result<void> start();
  // The driver of another worker, before its thread runs.
  void add_worker(shell::Driver& other);

  // For the descriptor.
  const std::optional<TlsEntry>& entry() const { return entry_; }
  nlohmann::json client_json() const;
  nlohmann::json relay_json() const;  // null: no HTTPS

 private:
  Result<void> start_server();
  Result<void> start_detour();
  std::optional<TlsEntry> tls_of(const PeerId&) const;
  std::optional<shell::https::Address> find(const Endpoint& entry) const;

  shell::Reactor& reactor_;
  PacketPool& pool_;
  Rng& rng_;
  shell::Driver& driver_;
  const DaemonOptions& options_;
  const shell::DescriptorFolder& folder_;
  std::optional<TlsEntry> entry_;
  std::unique_ptr<shell::https::Server> server_;
  std::unique_ptr<shell::https::Detour> detour_;
};

}  // namespace macrovpn::app
