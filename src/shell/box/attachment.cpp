#include "shell/box/attachment.h"

#include <nlohmann/json.hpp>

namespace macrovpn::shell {

Result<void, control::NoDaemon> Attachment::attach(control::Patience patience) {
  TRY(control::Client client, connect_(std::move(patience)));
  const bool tun = device_.kind() == PacketDevice::Kind::tun;
  nlohmann::json params{
      {"group", group_}, {"kind", tun ? "tun" : "veth"}, {"device", to_hex(device_.encode())}};
  if (sources_ == Sources::groups) params["groups"] = true;
  const auto answer = client.call("attach", params, device_.fd());
  if (!answer) return Failure{control::NoDaemon{control::NoDaemon::Why::failed, answer.error()}};
  most_groups_ = answer->value("groups", size_t{0});
  client_ = std::move(client);
  wait_ = kFirstRetry;
  return {};
}

void Attachment::on_readable(Mono now) {
  if (client_->take_events([](const std::string&, const nlohmann::json&) {}) == control::Client::Alive::yes)
    return;
  client_.reset();
  wait_ = kFirstRetry;
  next_retry_ = now + wait_;
}

bool Attachment::retry(Mono now) {
  if (client_ || now < next_retry_) return false;
  if (attach({.longest = kLongestTry}).ok()) return true;
  wait_ = std::min(wait_ * 2, kLongestRetry);
  next_retry_ = now + wait_;
  return false;
}

}  // namespace macrovpn::shell
