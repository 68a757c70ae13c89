// Result<T, E>: a value or why there is none.  [[nodiscard]], so that no failure is dropped silently.
//
//   Result<Key> key = read_key(path);          // E defaults to Error, a sentence for a person
//   TRY(const Key& key, read_key(path));       // or return the error to our caller; one per statement
//
// Components use an enum as E where the reason is counted, not read (see core/encryption/drop.h).
#pragma once
#include <expected>
#include <string>
#include <utility>

#include "base/assert.h"

namespace macrovpn {

// What happened, why, and what to do next, in words for the person who has to act on it.
struct Error {
  std::string message;
};

template <class E = Error>
struct Failure {
  E error;
};
template <class E>
Failure(E) -> Failure<E>;
inline Failure<Error> fail(std::string message) {
  return {Error{std::move(message)}};
}

template <class T, class E = Error>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::move(value)) {}
  Result(Failure<E> f) : state_(std::unexpected(std::move(f.error))) {}
  bool ok() const { return state_.has_value(); }
  explicit operator bool() const { return ok(); }
  T& value() & {
    MV_ASSERT(ok());
    return *state_;
  }
  const T& value() const& {
    MV_ASSERT(ok());
    return *state_;
  }
  T&& value() && {
    MV_ASSERT(ok());
    return std::move(*state_);
  }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(*this).value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }
  const E& error() const {
    MV_ASSERT(!ok());
    return state_.error();
  }
  Failure<E> failure() const { return {error()}; }

 private:
  std::expected<T, E> state_;
};

template <class E>
class [[nodiscard]] Result<void, E> {
 public:
  Result() = default;
  Result(Failure<E> f) : state_(std::unexpected(std::move(f.error))) {}
  bool ok() const { return state_.has_value(); }
  explicit operator bool() const { return ok(); }
  const E& error() const {
    MV_ASSERT(!ok());
    return state_.error();
  }
  Failure<E> failure() const { return {error()}; }

 private:
  std::expected<void, E> state_;
};

}  // namespace macrovpn

#define MV_CONCAT_(a, b) a##b
#define MV_CONCAT(a, b) MV_CONCAT_(a, b)
#define MV_TRY_(declaration, expression, tmp) \
  auto tmp = (expression);                    \
  if (!tmp.ok()) return tmp.failure();        \
  declaration = std::move(tmp).value()
#define TRY(declaration, expression) MV_TRY_(declaration, expression, MV_CONCAT(try_result_, __LINE__))
#define TRY_VOID(expression)                                   \
  do {                                                         \
    if (auto r_ = (expression); !r_.ok()) return r_.failure(); \
  } while (false)
