// Private networks of our own: user, network and mount namespaces, and the processes that live in them.
//
// As an ordinary user everything goes through a user namespace (user_namespaces(7)), whose creator has every
// capability over the network namespace made with it, until it executes something: then a uid that is not 0
// loses them all.  That is wanted for the programs that we box; `ip` and `nft` get them back as ambient
// capabilities.
#pragma once
#include <sys/types.h>

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "shell/fd.h"
#include "shell/fd_passing.h"

namespace macrovpn::shell {

enum class Mounts : uint8_t {
  inherited,  // sees the mounts of its parent
  own         // a mount namespace whose changes stay inside; needed to hide or replace files
};

// Moves the calling process, which must have one thread, into a user and a network namespace of its own (and
// a mount namespace), keeping its uid and gid, and brings `lo` up.  Root on a system without user namespaces
// gets a network namespace alone.  The error says what to change when the system refuses.
Result<void> enter_namespaces(Mounts);

// Like fork(), but the child is the first process of a pid namespace too, with a /proc of its own where the system lets it have one
// (a container that masks parts of /proc does not): it and those that it starts see no process of outside, and what they start ends
// with it.  Its namespaces are those of enter_namespaces(Mounts::own), made by its first call, settle().
struct Inside {
  pid_t pid = -1;  // 0: we are the child
  uid_t uid = 0;   // of the parent; a child is nobody before settle()
  gid_t gid = 0;
  bool user_namespace = true;
  Result<void> settle() const;
};
Result<Inside> fork_into_namespaces();

// Runs a program of the system (looked up in /usr/sbin, /usr/bin, /sbin, /bin: users often lack sbin) with
// `input` as its standard input and our network capabilities, and waits.  Fails with what it wrote to
// standard error.
Result<void> run_tool(const std::vector<std::string>& argv, std::string_view input);
// The same without input; gives what it wrote to standard output, at most 1 MiB of it.
Result<std::string> ask_tool(const std::vector<std::string>& argv);
Result<void> run_ip(std::string_view batch);  // lines for `ip -batch -`: "link set tun0 up"
Result<void> run_ip6(
    std::string_view batch);  // the same for `ip -6`, where no address tells the family: "rule add ..."
Result<void> run_nft(std::string_view rules);                                 // for `nft -f -`
Result<void> write_setting(const std::string& path, std::string_view value);  // a file under /proc/sys

// A child process that does something for us, most often inside namespaces.  It dies with its parent and the
// other way round only closes `channel` (SOCK_SEQPACKET, see fd_passing.h).
class Helper {
 public:
  Helper() = default;
  Helper(Helper&& o) noexcept : pid_(std::exchange(o.pid_, -1)), channel_(std::move(o.channel_)) {}
  Helper& operator=(Helper&& o) noexcept;
  ~Helper() { stop(); }
  // Forks.  The child keeps standard input, output, error and its end of the channel, closes every other
  // descriptor, runs `body` and exits with what it returns.  Start helpers early, before secrets are in
  // memory.
  static Result<Helper> start(const std::function<int(int channel)>& body);
  pid_t pid() const { return pid_; }
  int channel() const { return channel_.get(); }
  void stop();  // kills and reaps it; its namespaces go with it unless somebody holds a descriptor of them

 private:
  Helper(pid_t pid, Fd channel) : pid_(pid), channel_(std::move(channel)) {}
  pid_t pid_ = -1;
  Fd channel_;
};

// How a helper tells its parent whether its set-up succeeded: an Error's sentence, or bytes with descriptors.
void report_error(int channel, const Error&);
Result<void> report_ready(int channel, Bytes body, std::span<const int> fds);
Result<FdMessage> await_report(int channel);

}  // namespace macrovpn::shell
