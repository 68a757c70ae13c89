#include "core/discovery/reconcile.h"

#include <algorithm>

namespace macrovpn::discovery {
namespace {

using Kind = RangePart::Kind;

// All that we have in a range as lists, each of a range of its own; the last may be a `more`.
void append_lists(const View& view, ShortId low, ShortId high, std::vector<RangePart>& out) {
  for (size_t lists = 0;; lists++) {
    RangePart part{Kind::list, low, high, {}, view.list(low, high, kMaxListed + 1)};
    if (lists == kMaxReplyMessages - 1 && part.list.size() > kMaxListed) {
      out.push_back({Kind::more, low, high, {}, {}});
      return;
    }
    const bool is_last = part.list.size() <= kMaxListed;
    if (!is_last) {
      part.high = {part.list.back().id.value - 1};
      part.list.pop_back();
    }
    low = {part.high.value + 1};
    out.push_back(std::move(part));
    if (is_last) return;
  }
}

}  // namespace

bool View::counts(const RelayEntry& e) const {
  return e.expiry >= now_ + kLeftOutBeforeExpiry && !std::binary_search(left_out_.begin(), left_out_.end(), e.short_id);
}

crypto::Sip128 View::hash(const RelayEntry& e) const {
  hashed_++;
  return crypto::siphash128(key_, e.digest);
}

Fingerprint View::fingerprint(ShortId low, ShortId high) const {
  Fingerprint f;
  for (const EntryPtr& e : set_.between(low, high)) {
    if (!counts(*e)) continue;
    const crypto::Sip128 h = hash(*e);
    f.count++;
    f.sum.low += h.low;
    f.sum.high += h.high;
  }
  return f;
}

std::vector<ListedItem> View::list(ShortId low, ShortId high, size_t at_most) const {
  std::vector<ListedItem> out;
  for (const EntryPtr& e : set_.between(low, high)) {
    if (!counts(*e)) continue;
    if (out.size() == at_most) break;
    out.push_back({e->short_id, e->seq, static_cast<uint32_t>(hash(*e).low)});
  }
  return out;
}

std::vector<RangePart> View::split(ShortId low, ShortId high) const {
  const auto items = set_.between(low, high);
  std::vector<RangePart> out;
  for (size_t i = 0; i < kSplit && low <= high; i++) {
    const size_t end = (i + 1) * items.size() / kSplit;
    const bool is_last = i + 1 == kSplit || end >= items.size();
    const ShortId to = is_last ? high : ShortId{items[end]->short_id.value - 1};
    if (to < low || (!is_last && end == i * items.size() / kSplit)) continue;
    out.push_back({Kind::fingerprint, low, to, fingerprint(low, to), {}});
    if (is_last) break;
    low = {to.value + 1};
  }
  return out;
}

Differences compare(const View& view, const RelaySet& set, const RangePart& part) {
  Differences d;
  const auto mine = view.list(part.low, part.high, SIZE_MAX);
  auto m = mine.begin();
  const auto only_here = [&](const ListedItem& i) {
    d.newer_here.push_back({i.id, i.seq});
    d.lacking.push_back(i.id);
  };
  for (const ListedItem& theirs : part.list) {
    while (m != mine.end() && m->id < theirs.id) only_here(*m++);
    if (m != mine.end() && m->id == theirs.id) {
      if (m->seq < theirs.seq) d.want.push_back({theirs.id, theirs.seq});
      if (m->seq > theirs.seq) d.newer_here.push_back({m->id, m->seq});
      if (m->seq == theirs.seq && m->tag != theirs.tag) d.disputed.push_back(theirs.id);
      d.same.push_back(theirs.id);
      ++m;
      continue;
    }
    const EntryPtr hidden = set.find(theirs.id);  // too near its expiry here to be compared
    if (!hidden || hidden->seq < theirs.seq) d.want.push_back({theirs.id, theirs.seq});
  }
  while (m != mine.end()) only_here(*m++);
  return d;
}

std::vector<RangePart> answer(const View& view, const RangePart& part, Answers how) {
  if (part.kind == Kind::more) return {{Kind::fingerprint, part.low, part.high, view.fingerprint(part.low, part.high), {}}};
  std::vector<RangePart> out;
  if (part.kind == Kind::ask) append_lists(view, part.low, part.high, out);
  if (part.kind == Kind::divide) return view.split(part.low, part.high);
  if (part.kind != Kind::fingerprint) return out;
  const Fingerprint mine = view.fingerprint(part.low, part.high);
  if (mine == part.fingerprint) return out;
  if (mine.count > kListBelow && part.fingerprint.count > kListForAlmost && part.low < part.high) {
    if (how == Answers::by_asking) return {{Kind::divide, part.low, part.high, {}, {}}};
    return view.split(part.low, part.high);
  }
  if (how == Answers::with_lists) {
    append_lists(view, part.low, part.high, out);
  } else {
    out.push_back({Kind::ask, part.low, part.high, {}, {}});
  }
  return out;
}

std::vector<std::vector<uint8_t>> pack(const SyncKey& key, std::vector<RangePart> parts) {
  std::vector<std::vector<uint8_t>> out;
  Ranges message{key, {}};
  size_t size = kRangesHeader;
  const size_t more = encoded_size({Kind::more, {}, {}, {}, {}});
  for (size_t i = 0; i < parts.size(); i++) {
    const bool has_others_behind = i + 1 < parts.size();
    // Of the message that this part would go into: the last one keeps room for the `more` of those behind.
    const auto is_last = [&] { return out.size() + 1 == kMaxReplyMessages; };
    const auto fits = [&] {
      return size + encoded_size(parts[i]) + (is_last() && has_others_behind ? more : 0) <= kMaxSyncMessage;
    };
    if (!fits() && !is_last()) {
      out.push_back(encode_ranges(message));
      message.parts.clear();
      size = kRangesHeader;
    }
    if (!fits()) {
      // Parts that answer several ranges need not ascend.
      message.parts.push_back({Kind::more, parts[i].low, std::max(parts[i].high, parts.back().high), {}, {}});
      break;
    }
    size += encoded_size(parts[i]);
    message.parts.push_back(std::move(parts[i]));
  }
  out.push_back(encode_ranges(message));
  return out;
}

}  // namespace macrovpn::discovery
