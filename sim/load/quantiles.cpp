#include "sim/load/quantiles.h"

namespace macrovpn::sim {
namespace {

constexpr Quantile kPageObjects[] = {{0, 2}, {250'000, 8}, {500'000, 18}, {750'000, 35}, {950'000, 70}, {1'000'000, 120}};
constexpr Quantile kFirstObject[] = {{0, 2'000}, {500'000, 25'000}, {900'000, 90'000}, {1'000'000, 400'000}};
constexpr Quantile kObject[] = {{0, 200},           {250'000, 2'500},     {500'000, 10'000},     {750'000, 32'000},
                                {900'000, 110'000}, {980'000, 500'000},   {998'000, 2'500'000},  {1'000'000, 10'000'000}};
constexpr Quantile kReading[] = {{0, 1'000}, {250'000, 4'000}, {500'000, 9'000}, {800'000, 25'000}, {970'000, 90'000}, {1'000'000, 300'000}};
constexpr Quantile kClientSession[] = {{0, 20},           {250'000, 300},      {500'000, 1'200},     {750'000, 5'400},
                                       {900'000, 21'600}, {980'000, 86'400},   {1'000'000, 604'800}};
constexpr Quantile kRelaySession[] = {{0, 120},            {250'000, 7'200},     {500'000, 43'200},       {750'000, 259'200},
                                      {900'000, 1'209'600}, {1'000'000, 5'184'000}};
constexpr Quantile kAbsence[] = {{0, 5}, {300'000, 60}, {600'000, 1'800}, {900'000, 28'800}, {1'000'000, 172'800}};

}  // namespace

uint64_t draw(Quantiles q, Rng& random) {
  MV_ASSERT(q.size() >= 2 && q.front().share == 0 && q.back().share == kAlways);
  const uint64_t drawn = random.below(kAlways);
  size_t i = 1;
  while (q[i].share <= drawn) i++;
  const Quantile &low = q[i - 1], &high = q[i];
  return low.value + (high.value - low.value) * (drawn - low.share) / (high.share - low.share);
}

uint64_t mean(Quantiles q) {
  uint64_t sum = 0;
  for (size_t i = 1; i < q.size(); i++) sum += (q[i].share - q[i - 1].share) * (q[i].value + q[i - 1].value) / 2;
  return sum / kAlways;
}

Quantiles page_objects() {
  return kPageObjects;
}
Quantiles first_object_bytes() {
  return kFirstObject;
}
Quantiles object_bytes() {
  return kObject;
}
Quantiles reading_milliseconds() {
  return kReading;
}
Quantiles client_session_seconds() {
  return kClientSession;
}
Quantiles relay_session_seconds() {
  return kRelaySession;
}
Quantiles absence_seconds() {
  return kAbsence;
}

}  // namespace macrovpn::sim
