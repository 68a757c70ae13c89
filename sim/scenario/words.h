// Words: one sentence of a scenario, read from left to right.  After the first word that does not fit, all else fails, and the
// error keeps what was allowed there.
#pragma once
#include <functional>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/time.h"
#include "sim/net/link.h"

namespace macrovpn::sim {

class Words {
 public:
  explicit Words(std::string_view line);
  bool done() const { return at_ == words_.size(); }
  bool ok() const { return error_.empty(); }
  const std::string& error() const { return error_; }
  std::string_view peek() const { return done() ? std::string_view{} : std::string_view(words_[at_]); }

  bool take(std::string_view word);               // if it is next
  bool take_all(std::string_view words);          // several, if they are next
  void expect(std::string_view words);            // or an error
  std::string word(const char* what);
  // The position of the next words in a list of phrases; an error that lists them if it is none.
  size_t one_of(const char* what, std::initializer_list<std::string_view> phrases);
  template <class T>
  T named(const char* what, const std::function<std::optional<T>(std::string_view)>& find, const std::string& allowed) {
    const std::string w = word(what);
    if (!ok()) return T{};
    if (const auto found = find(w)) return *found;
    fail("\"" + w + "\" is no " + what + "; allowed: " + allowed);
    return T{};
  }
  uint64_t number(const char* what);
  Duration duration();  // 250us, 20ms, 30s, 5min, 2h
  Ppm percent();        // 10%, 0.25%
  uint64_t bytes();     // 1300, 20KB, 1MB
  uint64_t bits();      // 2Mbit/s, 500kbit/s
  void fail(std::string why);
  void expect_end();

 private:
  std::optional<uint64_t> measured(std::string_view word, std::initializer_list<std::pair<std::string_view, uint64_t>> units);
  std::vector<std::string> words_;
  size_t at_ = 0;
  std::string error_;
};

}  // namespace macrovpn::sim
