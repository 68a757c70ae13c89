#include "sim/directory/directory_world.h"

#include <gtest/gtest.h>

namespace macrovpn::sim {
namespace {

using std::chrono::minutes;

size_t having(DirectoryWorld& w, const discovery::Item& item) {
  size_t n = 0;
  for (NodeNumber i = 0; i < w.relays(); i++) {
    const auto e = w.set_of(i).find(item.id);
    n += e && e->seq >= item.seq;
  }
  return n;
}

TEST(DirectoryWorld, IsTheSameForTheSameSeed) {
  const auto hash = [](uint64_t seed) {
    DirectoryWorld w({60, seed, 1});
    w.renew_every(minutes(30));
    w.run_for(minutes(5));
    return w.hash();
  };
  EXPECT_EQ(hash(1), hash(1));
  EXPECT_NE(hash(1), hash(2));
}

TEST(DirectoryWorld, NewsReachEverybodyAndPartitionsHoldThemUp) {
  DirectoryWorld w({60, 3, 1});
  w.run_for(minutes(3));
  for (NodeNumber n = 0; n < 60; n++) w.set_side(n, n % 2);
  const auto item = w.change(4);
  w.run_for(minutes(5));
  EXPECT_EQ(having(w, item), 30u);
  for (NodeNumber n = 0; n < 60; n++) w.set_side(n, 0);
  w.run_for(minutes(5));
  EXPECT_EQ(having(w, item), 60u);
}

TEST(DirectoryWorld, CensorsTakeNothingInOfTheirTargets) {
  DirectoryWorld w({60, 5, 1});
  w.run_for(minutes(3));
  w.set_targets({w.id_of(9)});
  for (NodeNumber n = 20; n < 40; n++) w.censor(n, true);
  const auto item = w.change(9);
  w.run_for(minutes(6));
  EXPECT_EQ(having(w, item), 40u);
}

}  // namespace
}  // namespace macrovpn::sim
