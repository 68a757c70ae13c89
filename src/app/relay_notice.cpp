// The notice of an exit.  It is printed, not served: a program that speaks to strangers all day should not also read HTTP, and any
// web server can serve one file.
#include <CLI/CLI.hpp>
#include <cstdio>

#include "app/operator_flags.h"

namespace macrovpn::app {
namespace {

constexpr const char* kParagraphs[] = {
    "This address is an exit of Macro VPN, a network in which people carry each other's traffic.",
    "What reached you from here was sent by somebody else, through several computers of this network. Its operator did not send it, "
    "cannot see who did, and keeps no record of what passes: there is none to hand over.",
    "The exit opens no connection to private networks and none to port 25. It can be told not to reach an address: write to the "
    "operator, with the address and the port.",
    "If you run a site: to block this exit, block this address. Please let it pass again some day: most who use it are ordinary "
    "people who want to be private.",
};

int print_notice(const std::string& contact, bool html) {
  const std::string reach = contact.empty() ? "(the operator writes an e-mail address here: --contact)" : contact;
  if (!html) {
    std::printf("This is a Macro VPN exit\n========================\n\n");
    for (const char* p : kParagraphs) std::printf("%s\n\n", p);
    std::printf("The operator: %s\n", reach.c_str());
    return kDone;
  }
  std::string safe;
  for (const char c : reach) {
    if (c == '<') safe += "&lt;";
    else if (c == '>') safe += "&gt;";
    else if (c == '&') safe += "&amp;";
    else safe += c;
  }
  std::printf("<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<meta name=\"robots\" content=\"noindex\">\n"
              "<title>This is a Macro VPN exit</title>\n<h1>This is a Macro VPN exit</h1>\n");
  for (const char* p : kParagraphs) std::printf("<p>%s</p>\n", p);
  std::printf("<p>The operator: %s</p>\n</html>\n", safe.c_str());
  return kDone;
}

}  // namespace

void add_notice(CLI::App& relay, Program& program) {
  auto* cmd = relay.add_subcommand("notice", "print a text that an exit's operator can publish on its address");
  cmd->footer("Examples:\n  macrovpn relay notice --contact abuse@example.org\n"
              "  macrovpn relay notice --html >/var/www/html/index.html      with any web server on the exit's address");
  auto contact = std::make_shared<std::string>();
  auto html = std::make_shared<bool>(false);
  cmd->add_option("--contact", *contact, "how to reach you")->type_name("ADDRESS");
  cmd->add_flag("--html", *html, "as a web page");
  cmd->callback([&program, contact, html] {
    program.action = [contact, html]() -> Result<int> { return print_notice(*contact, *html); };
  });
}

}  // namespace macrovpn::app
