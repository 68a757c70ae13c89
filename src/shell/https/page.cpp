#include "shell/https/page.h"

#include <array>
#include <cstdio>
#include <ctime>

namespace macrovpn::shell::https {
namespace {

// As RFC 9110 §5.6.7 wants it, in any locale.
std::string http_date(Wall now) {
  constexpr const char* kDays[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  constexpr const char* kMonths[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  const time_t seconds = static_cast<time_t>(unix_seconds(now));
  tm t{};
  gmtime_r(&seconds, &t);
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), "%s, %02d %s %d %02d:%02d:%02d GMT", kDays[t.tm_wday], t.tm_mday, kMonths[t.tm_mon],
                t.tm_year + 1900, t.tm_hour, t.tm_min, t.tm_sec);
  return text.data();
}

}  // namespace

const char* const kStandardPage = "<html><body><h1>It works!</h1></body></html>\n";

std::string page_answer(const std::string& html, Wall now) {
  return "HTTP/1.1 200 OK\r\nDate: " + http_date(now) + "\r\nServer: Apache\r\nContent-Length: " + std::to_string(html.size()) +
         "\r\nConnection: close\r\nContent-Type: text/html\r\n\r\n" + html;
}

}  // namespace macrovpn::shell::https
