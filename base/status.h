// Expected failures as values: a code for the program, a sentence for the person.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "base/check.h"

namespace tidemark {

// Every code has exactly one errno (fs/errno_map) and one exit code (cli/output/exit_map).
enum class Code {
  kOk,
  kNotFound,     // no such file, name, volume, group
  kNoSuchPoint,  // a point that resolves to nothing
  kExists,
  kNotDirectory,
  kIsDirectory,
  kNotEmpty,
  kInvalid,  // an argument that is never right
  kNameTooLong,
  kTooLarge,  // over a documented limit (EFBIG, E2BIG)
  kNoData,    // no such extended attribute; no data or hole after the given byte
  kRange,     // the caller's buffer is too small
  kTooManyLinks,
  kPermission,  // not allowed (EPERM)
  kAccess,      // not allowed (EACCES)
  kReadOnly,
  kNoSpace,
  kBusy,      // held by another process; the text says by which
  kIo,        // the operating system refused; errno in sys_errno()
  kPoisoned,  // an earlier write or sync failed: nothing more is accepted until reopened
  kCorrupt,   // a checksum or a structure is wrong: nothing was returned
  kUnsupported,
  kStale,  // an inode that is gone
  kTimeout,
  kUnreachable,  // no connection to a site
  kNotAuthorised,
  kDiverged,  // the other side holds another history
  kStaleEpoch,
  kInterrupted,
  kLimit,  // a named maximum (open files, peers …) is reached
};

std::string_view code_name(Code code);  // "not-found", "corrupt" …

class [[nodiscard]] Status {
 public:
  Status() = default;  // ok
  Status(Code code, std::string text, int sys_errno = 0)
      : detail_(std::make_unique<Detail>(Detail{code, sys_errno, std::move(text)})) {
    CHECK_INVARIANT(code != Code::kOk);
  }
  Status(const Status& other) : detail_(other.detail_ ? std::make_unique<Detail>(*other.detail_) : nullptr) {}
  Status(Status&&) noexcept = default;
  Status& operator=(const Status& other) {
    Status copy(other);
    detail_ = std::move(copy.detail_);
    return *this;
  }
  Status& operator=(Status&&) noexcept = default;
  ~Status() = default;

  [[nodiscard]] bool ok() const { return detail_ == nullptr; }
  [[nodiscard]] Code code() const { return detail_ ? detail_->code : Code::kOk; }
  // The errno behind a kIo (or kNoSpace) failure; 0 where there is none.
  [[nodiscard]] int sys_errno() const { return detail_ ? detail_->sys_errno : 0; }
  // "" when ok; otherwise what, where and, where known, what to do.
  [[nodiscard]] const std::string& text() const {
    static const std::string kEmpty;
    return detail_ ? detail_->text : kEmpty;
  }
  // The same failure with "context: " before its text.
  [[nodiscard]] Status within(std::string_view context) const {
    return ok() ? Status() : Status(code(), std::string(context) + ": " + text(), sys_errno());
  }

 private:
  struct Detail {
    Code code;
    int sys_errno;
    std::string text;
  };
  std::unique_ptr<Detail> detail_;  // null when ok: success costs nothing
};

// A failure of a system call: ENOSPC and EDQUOT become kNoSpace, EROFS kReadOnly, all others kIo.
Status errno_status(int error, std::string_view what);

template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : value_(std::move(value)) {}                                           // NOLINT: a value is a result
  Result(Status status) : status_(std::move(status)) { CHECK_INVARIANT(!status_.ok()); }  // NOLINT: so is a failure

  [[nodiscard]] bool ok() const { return value_.has_value(); }
  [[nodiscard]] const Status& status() const { return status_; }
  [[nodiscard]] T& value() & {
    CHECK_INVARIANT(ok());
    return *value_;
  }
  [[nodiscard]] const T& value() const& {
    CHECK_INVARIANT(ok());
    return *value_;
  }
  // By value, so that `for (x : call().value())` keeps what it walks over.
  [[nodiscard]] T value() && {
    CHECK_INVARIANT(ok());
    return std::move(*value_);
  }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

 private:
  std::optional<T> value_;
  Status status_;
};

}  // namespace tidemark

#define TM_CONCAT_INNER(a, b) a##b
#define TM_CONCAT(a, b) TM_CONCAT_INNER(a, b)

// Leaves the function with the failure, if there is one.
#define TM_TRY(expression)                                                              \
  do {                                                                                  \
    if (::tidemark::Status tm_status = (expression); !tm_status.ok()) return tm_status; \
  } while (false)

// TM_ASSIGN(auto x, make_x()); x is the value, or the function is left with the failure.
#define TM_ASSIGN(target, expression) TM_ASSIGN_AS(TM_CONCAT(tm_result_, __LINE__), target, expression)
#define TM_ASSIGN_AS(result, target, expression) \
  auto result = (expression);                    \
  if (!result.ok()) return result.status();      \
  target = std::move(result).value()
