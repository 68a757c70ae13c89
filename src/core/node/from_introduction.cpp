// What introducers say to us.
#include "core/node/node.h"

namespace macrovpn::node {

void Node::on_introduction_frame(Now now, PeerRef link, const routing::Frame& f) {
  if (!introductions_) return;
  if (f.type != routing::FrameType::error) return introductions_->on_link_frame(now, link, f);
  if (const auto e = routing::read_error(f.body)) relay_->on_splice_error(link, *e);
}

}  // namespace macrovpn::node
