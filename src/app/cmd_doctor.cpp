#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "app/doctor.h"

namespace macrovpn::app {

const char* name_of(Verdict v) {
  switch (v) {
    case Verdict::good:
      return "ok";
    case Verdict::note:
      return "note";
    case Verdict::problem:
      return "PROBLEM";
    case Verdict::untested:
      return "untested";
  }
  return "";
}

namespace {

struct DoctorFlags {
  bool json = false, offline = false;
  std::vector<std::string> stun;
};

void print(const Finding& f) {
  std::printf("%-8s  %-16s  %s\n", name_of(f.verdict), f.what.c_str(), f.text.c_str());
  if (!f.advice.empty()) std::printf("%-8s  %-16s  -> %s\n", "", "", f.advice.c_str());
}

nlohmann::json to_json(const std::vector<Finding>& findings) {
  nlohmann::json out = nlohmann::json::array();
  for (const Finding& f : findings) {
    out.push_back({{"check", f.what}, {"ok", f.verdict != Verdict::problem}, {"verdict", name_of(f.verdict)}, {"text", f.text}});
    if (!f.advice.empty()) out.back()["advice"] = f.advice;
  }
  return out;
}

Result<int> examine(const Program& program, const DoctorFlags& f) {
  NetworkQuestions questions;
  for (const std::string& text : f.stun) {
    const auto e = Endpoint::parse(text);
    if (!e) return fail("--stun takes addresses like 203.0.113.5:3478");
    questions.servers.push_back(*e);
  }
  TRY(const Home home, open_home(program));
  std::vector<Finding> all = examine_computer(home);
  if (f.offline) {
    all.push_back({"Internet", Verdict::untested, "nothing outside was asked, as you wished", ""});
  } else {
    for (Finding& n : examine_network(home, questions)) all.push_back(std::move(n));
  }
  if (f.json) {
    print_json(to_json(all));
  } else {
    for (const Finding& finding : all) print(finding);
  }
  const bool good = std::none_of(all.begin(), all.end(), [](const Finding& x) { return x.verdict == Verdict::problem; });
  return good ? kDone : kFailed;
}

}  // namespace

void add_doctor(CLI::App& app, Program& program) {
  auto* cmd = app.add_subcommand("doctor", "find out what is missing on this computer, and what its way to the Internet lets through");
  cmd->footer("It asks up to three relays, your own entries first, how they see you: they learn that this address uses Macro VPN.\n"
              "It asks your name server for the root of names, and your router whether it opens ports.  Nothing else is sent.");
  auto f = std::make_shared<DoctorFlags>();
  cmd->add_flag("--json", f->json, "for programs");
  cmd->add_flag("--offline", f->offline, "ask nobody outside of this computer");
  cmd->add_option("--stun", f->stun, "ask these ordinary STUN servers (RFC 5780) instead of relays")->type_name("ADDRESS:PORT");
  cmd->callback([&program, f] { program.action = [&program, f] { return examine(program, *f); }; });
}

}  // namespace macrovpn::app
