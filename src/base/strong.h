// Strong<Tag, T>: a number that is an id of one kind only.
#pragma once
#include <compare>
#include <functional>

namespace macrovpn {

template <class Tag, class T>
struct Strong {
  T value{};
  auto operator<=>(const Strong&) const = default;
};

}  // namespace macrovpn

template <class Tag, class T>
struct std::hash<macrovpn::Strong<Tag, T>> {
  size_t operator()(const macrovpn::Strong<Tag, T>& s) const noexcept { return std::hash<T>{}(s.value); }
};
