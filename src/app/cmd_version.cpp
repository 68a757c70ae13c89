#include <CLI/CLI.hpp>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "app/command.h"
#include "shell/control/protocol.h"

namespace macrovpn::app {

void add_version(CLI::App& app, Program& program) {
  auto* cmd = app.add_subcommand("version", "say which release this is");
  auto json = std::make_shared<bool>(false);
  cmd->add_flag("--json", *json, "for programs");
  cmd->callback([&program, json] {
    program.action = [json]() -> Result<int> {
      if (*json) {
        print_json({{"program", "macrovpn"},
                    {"release", release()},
                    {"control_protocol", shell::control::kVersion}});
      } else {
        std::printf("macrovpn %s\n", release().c_str());
      }
      return kDone;
    };
  });
}

}  // namespace macrovpn::app
