// UapiSocket: the Unix socket FOLDER/NAME.sock on which a WireGuard device is configured (uapi.h).
//
// Who may open the file (mode 0600) reads the private key and changes everything.  When the file is deleted
// the device ends: that is how `wg-quick` and people stop stock devices.  A file that a killed process left
// is taken over; one that somebody answers at is not.
#pragma once
#include <sys/stat.h>

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "base/result.h"
#include "shell/fd.h"
#include "shell/reactor.h"

namespace macrovpn::shell {

inline constexpr const char* kUapiFolder = "/var/run/wireguard";

struct UapiHandlers {
  std::function<std::string()> get, counters;  // lines of the answer, without errno
  std::function<int(std::string_view)> set;    // positive error number, or 0
};

class UapiSocket {
 public:
  static constexpr size_t kMaxConnections = 32;  // one more closes the oldest
  static constexpr size_t kMaxRequest = 32 << 20;

  // Makes the folder if need be, the file, and listens.  Not bound to a reactor yet, so that a process may
  // fork between.
  // Whoever answers there may be ending, as its device was just deleted: waits up to `patience` for that.
  static Result<UapiSocket> open(const std::string& folder, const std::string& name, Duration patience);
  // A socket that somebody else made and listens; the file is watched all the same.
  static Result<UapiSocket> adopt(Fd listening, const std::string& folder, const std::string& name);
  UapiSocket(UapiSocket&&) = default;
  UapiSocket& operator=(UapiSocket&&) = delete;
  ~UapiSocket() { stop(); }
  // Nobody is answered any more, and the file is deleted if it is still ours.
  void stop();

  // From now on requests are answered.  The reactor outlives this, which must not be moved any more.
  void serve(Reactor& reactor, UapiHandlers handlers, std::function<void()> on_deleted);
  // Gives the file up to another process that has the socket too.
  void leave_to_child() { path_.clear(); }

 private:
  struct Client {
    Fd fd;
    std::string in, out;
    size_t searched = 0;
    bool ended = false;  // it sends no more
    ~Client();
  };

  UapiSocket(Fd listening, std::string path);
  bool is_ours() const;
  void accept_all();
  void on_event(uint64_t id);
  bool receive(Client&);
  static void put(Client&, std::string answer);
  bool answer_all(Client&);
  bool send_waiting(uint64_t id, Client&);
  void close(uint64_t id);

  Fd listening_, deletions_;
  std::string path_;  // empty: not ours to delete
  dev_t device_ = 0;
  ino_t inode_ = 0;
  Reactor* reactor_ = nullptr;
  UapiHandlers handlers_;
  std::function<void()> on_deleted_;
  std::map<uint64_t, std::unique_ptr<Client>> clients_;
  uint64_t next_id_ = 0;
};

}  // namespace macrovpn::shell
