// Which exits a client takes where it wants a country.
#include <gtest/gtest.h>

#include "core/node/node_world_test.h"

namespace macrovpn::node {
namespace {

const Region kNorway{{'N', 'O'}};

// Both exits say that they are in Norway.
struct Claimed : SmallNet {
  Claimed() : SmallNet({.exit_region = kNorway, .spare_circuits = 0}) {
    publish();
    command(client(), [&](Node& n, Effects& fx) {
      std::vector<RelayInfo> exits;
      for (const auto& [id, r] : n.directory().relays()) {
        if (r->flags.has(RelayFlag::exit)) exits.push_back(*r);
      }
      for (RelayInfo& r : exits) {
        r.region = kNorway;
        r.signed_at += 1s;
        n.directory().insert(r);
        ids.push_back(r.id);
      }
      n.directory_changed(now, fx);
    });
  }
  void doubt(std::set<PeerId> relays) {
    command(client(), [&](Node& n, Effects&) { n.doubt_regions(relays); });
  }
  std::vector<PeerId> ids;
};

TEST(Regions, AnExitWhoseRegionIsDoubtedIsNotTaken) {
  for (const size_t doubted : {0, 1}) {
    Claimed w;
    ASSERT_EQ(w.ids.size(), 2u);
    w.doubt({w.ids[doubted]});
    const Circuit* c = w.connect(w.client(), {1});
    ASSERT_NE(c, nullptr);
    EXPECT_EQ(c->exit().relay.id, w.ids[1 - doubted]);
  }
}

TEST(Regions, RatherNoCircuitThanOneThatEndsElsewhere) {
  Claimed w;
  w.doubt({w.ids[0], w.ids[1]});
  w.attach(w.client(), {1});
  w.run_for(20s);
  EXPECT_EQ(w.active(w.client(), {1}), nullptr);
  EXPECT_NE(w.client().node->client()->trouble().find("exit"), std::string::npos);
}

TEST(Regions, AClaimIsEnoughAsLongAsNobodyDoubtsIt) {
  Claimed w;
  EXPECT_NE(w.connect(w.client(), {1}), nullptr);
}

}  // namespace
}  // namespace macrovpn::node
