// What a WireGuard device says on standard error: sentences, never a key or an address.
#pragma once
#include <cstdio>
#include <string>

namespace macrovpn::shell {

enum class LogLevel : uint8_t { silent, error, verbose };

class DeviceLog {
 public:
  DeviceLog(std::string interface, LogLevel level) : interface_(std::move(interface)), level_(level) {}
  void error(const std::string& sentence) const { say(LogLevel::error, sentence); }
  void verbose(const std::string& sentence) const { say(LogLevel::verbose, sentence); }

 private:
  void say(LogLevel at, const std::string& sentence) const {
    if (level_ >= at)
      std::fprintf(stderr, "macrovpn-wireguard: %s: %s\n", interface_.c_str(), sentence.c_str());
  }
  std::string interface_;
  LogLevel level_;
};

}  // namespace macrovpn::shell
