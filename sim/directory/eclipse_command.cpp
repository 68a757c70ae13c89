// ./simulate eclipse
#include <charconv>
#include <cstdio>

#include "sim/directory/eclipse.h"

namespace macrovpn::sim {
namespace {

constexpr const char* kUsage =
    "usage: simulate eclipse [--relays N] [--seed N] [--seeds N] [--json]\n"
    "  --relays N   honest ones (300); 20 to 5000\n"
    "  --seed N     the first seed (1)\n"
    "  --seeds N    so many, one after the other (3)\n"
    "  --json       the result as one JSON object\n";

Result<EclipseModel> read_options(const std::vector<std::string>& words, bool& json) {
  EclipseModel m;
  for (size_t i = 0; i < words.size(); i++) {
    if (words[i] == "--json") {
      json = true;
      continue;
    }
    const std::string value = i + 1 < words.size() ? words[i + 1] : "";
    uint64_t number = 0;
    const auto [end, wrong] = std::from_chars(value.data(), value.data() + value.size(), number);
    const bool read = wrong == std::errc() && end == value.data() + value.size();
    if (read && words[i] == "--relays" && number >= 20 && number <= 5000) {
      m.relays = number;
    } else if (read && words[i] == "--seed") {
      m.seed = number;
    } else if (read && words[i] == "--seeds" && number >= 1 && number <= 1000) {
      m.seeds = number;
    } else {
      return fail("\"" + words[i] + " " + value + "\" is not understood");
    }
    i++;
  }
  return m;
}

std::string line_of(const EclipseOutcome& o, bool json) {
  char line[400];
  std::snprintf(line, sizeof line,
                json ? "{\"deceit\":\"%s\",\"knew\":%s,\"tries\":%zu,\"honest\":%zu,\"refused\":%zu,\"taken_in\":%zu,\"most_false\":%zu,\"most_missing\":%zu}"
                     : "  %-42s %-9s %4zu tries: %4zu honest, %4zu refused, %4zu taken in; at most %zu false, %zu missing\n",
                json && o.deceit == Deceit::yes ? "say equal to everything" : to_string(o.deceit), json ? (o.knew ? "true" : "false") : (o.knew ? "knew them" : "newcomer"), o.tries, o.honest,
                o.refused, o.taken_in, o.most_false, o.most_missing);
  return line;
}

}  // namespace

int simulate_eclipse(const std::vector<std::string>& words) {
  bool json = false;
  const auto model = read_options(words, json);
  if (!model.ok()) {
    std::fprintf(stderr, "simulate: %s\n%s", model.error().message.c_str(), kUsage);
    return 2;
  }
  const auto outcomes = try_eclipses(*model, [](const char*) {});
  size_t taken_in = 0;
  std::string out;
  for (const EclipseOutcome& o : outcomes) {
    taken_in += o.taken_in;
    out += (json && !out.empty() ? "," : "") + line_of(o, json);
  }
  if (json) out = "{\"relays\":" + std::to_string(model->relays) + ",\"taken_in\":" + std::to_string(taken_in) + ",\"outcomes\":[" + out + "]}\n";
  std::fputs(out.c_str(), stdout);
  return taken_in == 0 ? 0 : 1;
}

}  // namespace macrovpn::sim
