#include "shell/store/database.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "shell/fd.h"

namespace macrovpn::shell {
namespace {

constexpr int kBusyMs = 2000;
constexpr int kMaxValue = 1 << 20;

DatabaseError::Kind kind_of(int code) {
  switch (code & 0xff) {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_ERROR:   // our statements are right, so the tables are not
    case SQLITE_SCHEMA:
    case SQLITE_FORMAT:
    case SQLITE_TOOBIG:
    case SQLITE_CONSTRAINT:
    case SQLITE_MISMATCH:
      return DatabaseError::Kind::damaged;
    case SQLITE_FULL:
    case SQLITE_IOERR:
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_NOMEM:
      return DatabaseError::Kind::full;
    default:
      return DatabaseError::Kind::unusable;
  }
}

// Words for the codes, not the connection's own message, which may quote what is in the file.
Failure<DatabaseError> failure_of(int code) {
  const bool disk = (code & 0xff) == SQLITE_FULL || code == SQLITE_IOERR_WRITE;
  return {DatabaseError{kind_of(code), disk ? "the disk is full" : sqlite3_errstr(code)}};
}

Failure<DatabaseError> unusable(const std::string& why) { return {DatabaseError{DatabaseError::Kind::unusable, why}}; }

// SQLite gives the files beside it (WAL, shared memory) the mode of this one.  Closed again before SQLite opens it: its locks end with
// any descriptor of the file.
DatabaseResult<void> make_private(const std::string& path) {
  const Fd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd && (errno == ENOSPC || errno == EDQUOT)) return Failure<DatabaseError>{{DatabaseError::Kind::full, "the disk is full"}};
  if (!fd) return unusable(std::strerror(errno));
  struct stat s;
  if (fstat(fd.get(), &s) != 0 || !S_ISREG(s.st_mode)) return unusable("it is no file");
  if (s.st_uid != geteuid()) return unusable("it belongs to another user");
  if ((s.st_mode & 077) != 0 && fchmod(fd.get(), 0600) != 0) return unusable(std::strerror(errno));
  return {};
}

}  // namespace

Statement::~Statement() { sqlite3_finalize(statement_); }

Statement& Statement::bind(int at, int64_t number) {
  MV_ASSERT(sqlite3_bind_int64(statement_, at, number) == SQLITE_OK);
  return *this;
}

// A null pointer would be NULL.
Statement& Statement::bind(int at, Bytes b) {
  MV_ASSERT(sqlite3_bind_blob64(statement_, at, b.empty() ? reinterpret_cast<const uint8_t*>("") : b.data(), b.size(), nullptr) == SQLITE_OK);
  return *this;
}

Statement& Statement::bind_text(int at, Bytes b) {
  const char* text = b.empty() ? "" : reinterpret_cast<const char*>(b.data());
  MV_ASSERT(sqlite3_bind_text64(statement_, at, text, b.size(), nullptr, SQLITE_UTF8) == SQLITE_OK);
  return *this;
}

DatabaseResult<bool> Statement::step() {
  const int code = sqlite3_step(statement_);
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) return false;
  return failure_of(sqlite3_extended_errcode(db_));
}

DatabaseResult<void> Statement::run() {
  for (;;) {
    const auto more = step();
    if (!more.ok() || !*more) {
      sqlite3_reset(statement_);
      return more.ok() ? DatabaseResult<void>() : DatabaseResult<void>(more.failure());
    }
  }
}

int64_t Statement::number(int column) const { return sqlite3_column_int64(statement_, column); }

Bytes Statement::bytes(int column) const {
  const auto* data = static_cast<const uint8_t*>(sqlite3_column_blob(statement_, column));
  const int size = sqlite3_column_bytes(statement_, column);
  return data == nullptr ? Bytes() : Bytes(data, static_cast<size_t>(size));
}

std::string Statement::text(int column) const {
  const Bytes b = bytes(column);
  return {reinterpret_cast<const char*>(b.data()), b.size()};
}

void Database::Close::operator()(sqlite3* db) const { sqlite3_close_v2(db); }

DatabaseResult<Database> Database::open(const std::string& path) {
  TRY_VOID(make_private(path));
  sqlite3* raw = nullptr;
  const int code = sqlite3_open_v2(path.c_str(), &raw, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOFOLLOW | SQLITE_OPEN_NOMUTEX, nullptr);
  Database out(raw);
  if (code != SQLITE_OK) return failure_of(code);
  sqlite3_extended_result_codes(raw, 1);
  sqlite3_busy_timeout(raw, kBusyMs);
  sqlite3_limit(raw, SQLITE_LIMIT_LENGTH, kMaxValue);
  for (const int off : {SQLITE_DBCONFIG_ENABLE_TRIGGER, SQLITE_DBCONFIG_ENABLE_VIEW, SQLITE_DBCONFIG_TRUSTED_SCHEMA})
    sqlite3_db_config(raw, off, 0, nullptr);
  sqlite3_db_config(raw, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
  TRY_VOID(out.execute("PRAGMA cell_size_check = ON; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; "
                       "PRAGMA journal_size_limit = 4194304; PRAGMA temp_store = MEMORY"));
  return out;
}

DatabaseResult<void> Database::check() const {
  TRY(Statement s, prepare("PRAGMA quick_check(1)"));
  TRY(const bool row, s.step());
  if (row && s.text(0) == "ok") return {};
  return failure_of(SQLITE_CORRUPT);
}

DatabaseResult<Statement> Database::prepare(const std::string& sql) const {
  sqlite3_stmt* s = nullptr;
  const int code = sqlite3_prepare_v2(db_.get(), sql.c_str(), -1, &s, nullptr);
  if (code != SQLITE_OK) return failure_of(sqlite3_extended_errcode(db_.get()));
  return Statement(db_.get(), s);
}

DatabaseResult<void> Database::execute(const std::string& sql) const {
  const int code = sqlite3_exec(db_.get(), sql.c_str(), nullptr, nullptr, nullptr);
  if (code != SQLITE_OK) return failure_of(sqlite3_extended_errcode(db_.get()));
  return {};
}

DatabaseResult<void> Database::set_power(Power p) const {
  return execute(p == Power::loses_nothing ? "PRAGMA synchronous = FULL" : "PRAGMA synchronous = NORMAL");
}

int64_t Database::size() const {
  auto s = prepare("SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()");
  if (!s.ok()) return 0;
  const auto row = s->step();
  return row.ok() && *row ? s->number(0) : 0;
}

}  // namespace macrovpn::shell
