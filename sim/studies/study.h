// Study: one question about the shipped nodes, asked in a world made for it, many times over; the answers as tables and pictures.
// A scenario (sim/scenario) judges, a study measures.
//
// The same seed gives the same figures, to the last byte of a picture.
#pragma once
#include <string>
#include <vector>

#include "base/time.h"
#include "sim/plot/chart.h"

namespace macrovpn::sim {

// Told while a study runs; what it does with that is its own matter.
class Progress {
 public:
  virtual ~Progress() = default;
  virtual void at(const std::string& what, size_t done, size_t of) = 0;
};

// A number is written without quotes in JSON.
struct Cell {
  Cell(const char* words) : text(words) {}
  Cell(std::string words) : text(std::move(words)) {}
  Cell(uint64_t n) : text(std::to_string(n)), is_number(true) {}
  std::string text;
  bool is_number = false;
};

struct Table {
  std::string title;
  std::vector<std::string> columns;
  std::vector<std::vector<Cell>> rows;  // each as long as `columns`
};

struct Study {
  std::string name;
  std::vector<Table> tables;
  std::vector<plot::Picture> pictures;
  uint64_t hash = 0;    // of all its worlds' traces
  uint64_t events = 0;  // of all its worlds

  void count(uint64_t trace_hash, uint64_t world_events);
};

std::string text_of(const Study&);
std::string json_of(const Study&, uint64_t seed);  // one object

// The least that so many of a thousand do not exceed; zero of none.
Duration quantile(std::vector<Duration> of, size_t per_thousand);
Cell milliseconds(Duration);  // rounded
std::string percent_text(uint32_t ppm);  // "0.01 %"

}  // namespace macrovpn::sim
