// Database and Statement: what we use of SQLite, with its errors sorted by what is to be done about them.
//
// The file is in WAL mode: a transaction that COMMIT answered is there after SIGKILL, and one that was cut off is gone as a whole.  A loss of
// power may lose the last ones, unless durable() is on; it damages nothing.
//
// A file may be somebody's: nothing in it is run (no triggers, no views, no functions), and no value of more than 1 MiB is read.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "base/bytes.h"
#include "base/result.h"

struct sqlite3;
struct sqlite3_stmt;

namespace macrovpn::shell {

struct DatabaseError {
  // damaged: the file is no database of ours any more.  foreign: it is a whole one, but not this one.  full: nothing can be written just
  // now.  unusable: the file cannot be opened.
  enum class Kind : uint8_t { damaged, foreign, full, unusable } kind = Kind::unusable;
  std::string message;  // SQLite's words; they name no content
};
template <class T>
using DatabaseResult = Result<T, DatabaseError>;

// One statement.  Bytes that are bound must live until the next step() has returned.
class Statement {
 public:
  Statement(sqlite3* db, sqlite3_stmt* s) : db_(db), statement_(s) {}
  Statement(Statement&& o) noexcept : db_(o.db_), statement_(std::exchange(o.statement_, nullptr)) {}
  Statement& operator=(Statement&&) = delete;
  ~Statement();
  Statement& bind(int at, int64_t number);  // places count from 1
  Statement& bind(int at, Bytes);
  Statement& bind_text(int at, Bytes);
  DatabaseResult<bool> step();    // true: there is a row
  DatabaseResult<void> run();     // to its end, and back to the start
  int64_t number(int column) const;  // columns count from 0
  Bytes bytes(int column) const;     // until the next step()
  std::string text(int column) const;

 private:
  sqlite3* db_;
  sqlite3_stmt* statement_;
};

class Database {
 public:
  // Makes the file, readable by us alone, if there is none.  One that is a link, or another user's, is unusable.
  static DatabaseResult<Database> open(const std::string& path);
  // Whether its pages hang together; reads all of it.
  DatabaseResult<void> check() const;
  DatabaseResult<Statement> prepare(const std::string& sql) const;
  DatabaseResult<void> execute(const std::string& sql) const;
  enum class Power : uint8_t { may_lose_the_last, loses_nothing };
  DatabaseResult<void> set_power(Power) const;
  int64_t size() const;  // bytes

 private:
  struct Close {
    void operator()(sqlite3*) const;
  };
  explicit Database(sqlite3* db) : db_(db) {}
  std::unique_ptr<sqlite3, Close> db_;
};

}  // namespace macrovpn::shell
