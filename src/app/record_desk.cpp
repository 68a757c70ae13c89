#include "app/record_desk.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "shell/config/key_store.h"

namespace macrovpn::app {

using discovery::DhtService;
using nlohmann::json;
using node::RecordOutcome;
using node::RecordTicket;
using shell::control::ConnectionId;
using shell::control::Request;

namespace {

Result<DhtService> service_of(const json& params) {
  const auto number = params.at("service").get<int64_t>();
  if (number < 0 || number > UINT8_MAX) return fail("a service is a number from 0 to 255");
  return DhtService{static_cast<uint8_t>(number)};
}

const char* id_of(RecordOutcome::Kind k) {
  switch (k) {
    case RecordOutcome::Kind::found: return "found";
    case RecordOutcome::Kind::none: return "none";
    case RecordOutcome::Kind::stored: return "stored";
    case RecordOutcome::Kind::refused: return "refused";
    case RecordOutcome::Kind::nobody: return "nobody";
    case RecordOutcome::Kind::no_relays: return "no_relays";
    case RecordOutcome::Kind::no_circuit: return "no_circuit";
  }
  return "";
}

json to_json(const RecordOutcome& o) {
  json j{{"phase", "ended"}, {"outcome", id_of(o.kind)}, {"asked", o.asked}, {"answered", o.answered}};
  if (o.kind == RecordOutcome::Kind::stored || o.kind == RecordOutcome::Kind::refused)
    j.update({{"holders", o.holders}, {"newer", o.newer}, {"enough", o.enough}});
  if (o.record) {
    j["value"] = to_base64(o.record->value);
    j["seq"] = o.record->seq;
    j["expires"] = unix_seconds(o.record->expiry);
  }
  return j;
}

}  // namespace

void RecordDesk::serve(shell::control::Server& server) {
  server.on("dht.put", [this](Request& r) { return put(r); });
  server.on("dht.get", [this](Request& r) { return get(r); });
  server.on("dht.look", [this](Request& r) { return look(r); });
}

Result<void> RecordDesk::check_room(ConnectionId owner) const {
  const auto own = std::count_if(open_.begin(), open_.end(), [&](const auto& o) { return o.second.owner == owner; });
  if (open_.size() >= kMaxOpen || static_cast<size_t>(own) >= kMaxOfConnection)
    return fail("too many questions for records are open; look at the ends of some with dht.look");
  return {};
}

Result<json> RecordDesk::put(const Request& r) {
  TRY_VOID(check_room(r.from));
  const auto value = from_base64(r.params.at("value").get<std::string>());
  if (!value) return fail("the value is not base64");
  TRY(const DhtService service, service_of(r.params));
  TRY(const crypto::SigningKey owner, shell::load_signing_key(r.params.at("key_file").get<std::string>()));
  const auto life = std::clamp<int64_t>(r.params.value("life_seconds", int64_t{86'400}), 0, 1'000'000);
  TRY(const RecordTicket ticket, driver_.put_record({.service = service,
                                                     .name = r.params.at("name").get<std::string>(),
                                                     .value = *value,
                                                     .owner = owner,
                                                     .life = std::chrono::seconds(life)}));
  open_[ticket] = {r.from, {}};
  return json{{"ticket", ticket.value}, {"owner", to_hex(owner.pub.bytes)}};
}

Result<json> RecordDesk::get(const Request& r) {
  TRY_VOID(check_room(r.from));
  TRY(const DhtService service, service_of(r.params));
  const auto owner = from_hex(r.params.at("owner").get<std::string>());
  if (!owner || owner->size() != 32) return fail("an owner is 64 hexadecimal digits");
  IdentityKey key;
  std::copy(owner->begin(), owner->end(), key.bytes.begin());
  TRY(const RecordTicket ticket, driver_.get_record({.service = service,
                                                     .owner = key,
                                                     .name = r.params.at("name").get<std::string>()}));
  open_[ticket] = {r.from, {}};
  return json{{"ticket", ticket.value}};
}

Result<json> RecordDesk::look(const Request& r) {
  const auto it = open_.find(RecordTicket{r.params.at("ticket").get<uint32_t>()});
  if (it == open_.end() || it->second.owner != r.from) return fail("no such question of this connection's");
  if (it->second.outcome) {
    json ended = to_json(*it->second.outcome);
    open_.erase(it);
    return ended;
  }
  const auto at = driver_.node().records() != nullptr ? driver_.node().records()->progress(it->first) : std::nullopt;
  const bool asks = at && at->phase == node::RecordProgress::Phase::asking;
  return json{{"phase", asks ? "asking" : "waiting"}, {"asked", at ? at->asked : 0}, {"answered", at ? at->answered : 0}};
}

void RecordDesk::on_ended(const node::RecordEnded& e) {
  if (const auto it = open_.find(e.ticket); it != open_.end()) it->second.outcome = e.outcome;
}

void RecordDesk::let_go_of(ConnectionId owner) {
  for (auto it = open_.begin(); it != open_.end();) {
    if (it->second.owner != owner) {
      ++it;
      continue;
    }
    driver_.forget_question(it->first);
    it = open_.erase(it);
  }
}

}  // namespace macrovpn::app
