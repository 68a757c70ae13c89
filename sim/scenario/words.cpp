#include "sim/scenario/words.h"

#include <charconv>

namespace macrovpn::sim {
namespace {

std::vector<std::string> split(std::string_view text) {
  std::vector<std::string> out;
  for (size_t i = 0; i < text.size();) {
    if (text[i] == '#') break;
    if (text[i] == ' ' || text[i] == '\t' || text[i] == ',') {
      i++;
      continue;
    }
    const size_t end = std::min(text.find_first_of(" \t,#", i), text.size());
    out.emplace_back(text.substr(i, end - i));
    i = end;
  }
  return out;
}

}  // namespace

Words::Words(std::string_view line) : words_(split(line)) {}

void Words::fail(std::string why) {
  if (error_.empty()) error_ = std::move(why);
}

bool Words::take(std::string_view word) {
  if (!ok() || peek() != word) return false;
  at_++;
  return true;
}

bool Words::take_all(std::string_view phrase) {
  const std::vector<std::string> wanted = split(phrase);
  if (!ok() || words_.size() - at_ < wanted.size()) return false;
  if (!std::equal(wanted.begin(), wanted.end(), words_.begin() + static_cast<ptrdiff_t>(at_))) return false;
  at_ += wanted.size();
  return true;
}

void Words::expect(std::string_view phrase) {
  if (!ok() || take_all(phrase)) return;
  fail("here should be \"" + std::string(phrase) + "\"" + (done() ? ", but the line ends" : ", not \"" + std::string(peek()) + "\""));
}

std::string Words::word(const char* what) {
  if (!ok()) return {};
  if (done()) {
    fail(std::string("here should be ") + what + ", but the line ends");
    return {};
  }
  return words_[at_++];
}

size_t Words::one_of(const char* what, std::initializer_list<std::string_view> phrases) {
  if (!ok()) return 0;
  size_t i = 0;
  for (const std::string_view p : phrases) {
    if (take_all(p)) return i;
    i++;
  }
  std::string all;
  for (const std::string_view p : phrases) all += (all.empty() ? "" : ", ") + std::string(p);
  fail((done() ? std::string("the line ends where there should be ") : "\"" + std::string(peek()) + "\" is no ") + what + "; allowed: " + all);
  return 0;
}

std::optional<uint64_t> Words::measured(std::string_view word,
                                        std::initializer_list<std::pair<std::string_view, uint64_t>> units) {
  uint64_t value = 0;
  const auto [end, wrong] = std::from_chars(word.data(), word.data() + word.size(), value);
  if (wrong != std::errc() || value > 1'000'000'000'000) return std::nullopt;
  // A fraction, in whole numbers: 0.25 is 25 of a hundredth.
  uint64_t scale = 1;
  std::string_view rest(end, static_cast<size_t>(word.data() + word.size() - end));
  if (rest.starts_with('.')) {
    rest.remove_prefix(1);
    while (!rest.empty() && rest[0] >= '0' && rest[0] <= '9' && scale < 1'000'000) {
      value = value * 10 + static_cast<uint64_t>(rest[0] - '0');
      scale *= 10;
      rest.remove_prefix(1);
    }
  }
  for (const auto& [unit, factor] : units) {
    if (rest == unit && value <= UINT64_MAX / 4 / factor) return value * factor / scale;
  }
  return std::nullopt;
}

uint64_t Words::number(const char* what) {
  const std::string w = word(what);
  const auto n = ok() ? measured(w, {{"", 1}}) : std::optional<uint64_t>(0);
  if (!n) fail("\"" + w + "\" is not " + what + ": write a whole number");
  return n.value_or(0);
}

Duration Words::duration() {
  const std::string w = word("a time");
  if (!ok()) return {};
  const auto n = measured(w, {{"us", 1'000}, {"ms", 1'000'000}, {"s", 1'000'000'000}, {"min", 60'000'000'000}, {"h", 3'600'000'000'000}});
  if (!n) fail("\"" + w + "\" is no time; write it as 250us, 20ms, 30s, 5min or 2h");
  return Duration(static_cast<int64_t>(n.value_or(0)));
}

Ppm Words::percent() {
  const std::string w = word("a share");
  if (!ok()) return 0;
  const auto n = measured(w, {{"%", 10'000}});
  if (!n || *n > kAlways) fail("\"" + w + "\" is no share; write it as 10% or 0.5%");
  return static_cast<Ppm>(n.value_or(0));
}

uint64_t Words::bytes() {
  const std::string w = word("a size");
  if (!ok()) return 0;
  const auto n = measured(w, {{"", 1}, {"B", 1}, {"KB", 1'000}, {"MB", 1'000'000}, {"GB", 1'000'000'000}});
  if (!n) fail("\"" + w + "\" is no size; write it as 1300, 20KB or 1MB");
  return n.value_or(0);
}

uint64_t Words::bits() {
  const std::string w = word("a rate");
  if (!ok()) return 0;
  const auto n = measured(w, {{"kbit/s", 1'000}, {"Mbit/s", 1'000'000}, {"Gbit/s", 1'000'000'000}});
  if (!n) fail("\"" + w + "\" is no rate; write it as 500kbit/s or 20Mbit/s");
  return n.value_or(0);
}

void Words::expect_end() {
  if (ok() && !done()) fail("the sentence is over before \"" + std::string(peek()) + "\"");
}

}  // namespace macrovpn::sim
