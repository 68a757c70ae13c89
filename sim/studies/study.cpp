#include "sim/studies/study.h"

#include <algorithm>
#include <cstdio>

#include "base/assert.h"

namespace macrovpn::sim {
namespace {

std::string quoted(const std::string& s) {
  std::string out = "\"";
  for (const char c : s) {
    if (c == '"' || c == '\\') out += '\\';
    out += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
  }
  return out + "\"";
}

std::string hex(uint64_t v) {
  char text[20];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(v));
  return text;
}

// Numbers stand at the right of their column, words at the left.
std::string padded(const Cell& c, size_t width) {
  const std::string space(width - std::min(width, c.text.size()), ' ');
  return c.is_number ? space + c.text : c.text + space;
}

std::string text_of(const Table& t) {
  std::vector<size_t> widths;
  for (size_t i = 0; i < t.columns.size(); i++) {
    size_t width = t.columns[i].size();
    for (const auto& row : t.rows) width = std::max(width, row[i].text.size());
    widths.push_back(width);
  }
  std::string s = "  " + t.title + "\n   ";
  for (size_t i = 0; i < t.columns.size(); i++) {
    Cell head(t.columns[i]);
    head.is_number = !t.rows.empty() && t.rows.front()[i].is_number;
    s += " " + padded(head, widths[i]) + " ";
  }
  s += "\n";
  for (const auto& row : t.rows) {
    s += "   ";
    for (size_t i = 0; i < row.size(); i++) s += " " + padded(row[i], widths[i]) + " ";
    s += "\n";
  }
  return s;
}

std::string json_of(const Table& t) {
  std::string s = "{\"title\": " + quoted(t.title) + ", \"rows\": [";
  for (const auto& row : t.rows) {
    s += &row == &t.rows.front() ? "{" : ", {";
    for (size_t i = 0; i < row.size(); i++)
      s += (i == 0 ? "" : ", ") + quoted(t.columns[i]) + ": " + (row[i].is_number ? row[i].text : quoted(row[i].text));
    s += "}";
  }
  return s + "]}";
}

}  // namespace

void Study::count(uint64_t trace_hash, uint64_t world_events) {
  hash = (hash ^ trace_hash) * 0x9e3779b97f4a7c15 + 1;
  events += world_events;
}

std::string text_of(const Study& study) {
  std::string s = study.name + "  hash " + hex(study.hash) + ", " + std::to_string(study.events) + " events\n";
  for (const Table& t : study.tables) s += text_of(t);
  return s;
}

std::string json_of(const Study& study, uint64_t seed) {
  std::string s = "{\"study\": " + quoted(study.name) + ", \"seed\": " + std::to_string(seed) + ", \"hash\": " + quoted(hex(study.hash)) +
                  ", \"events\": " + std::to_string(study.events) + ", \"tables\": [";
  for (const Table& t : study.tables) s += (&t == &study.tables.front() ? "" : ", ") + json_of(t);
  return s + "]}";
}

Duration quantile(std::vector<Duration> of, size_t per_thousand) {
  MV_ASSERT(per_thousand <= 1000);
  if (of.empty()) return Duration(0);
  std::sort(of.begin(), of.end());
  const size_t rank = (of.size() * per_thousand + 999) / 1000;
  return of[std::max<size_t>(rank, 1) - 1];
}

Cell milliseconds(Duration d) {
  return static_cast<uint64_t>((d + 500us) / 1ms);
}

std::string percent_text(uint32_t ppm) {
  std::string s = std::to_string(ppm / 10'000);
  std::string rest = std::to_string(10'000 + ppm % 10'000).substr(1);
  while (!rest.empty() && rest.back() == '0') rest.pop_back();
  return (rest.empty() ? s : s + "." + rest) + " %";
}

}  // namespace macrovpn::sim
