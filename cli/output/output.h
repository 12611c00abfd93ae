// What a person sees: data on stdout, messages on stderr, colours and progress only on a terminal.
#pragma once

#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace tidemark::cli {

// True where `stream` is a terminal and NO_COLOR is not set.
[[nodiscard]] bool use_colour(FILE* stream);

// "tidemark: text" and, where the code alone tells what to do next, a second line that says so. On stderr.
void print_error(const Status& status);
void print_warning(std::string_view text);  // on stderr
void print_note(std::string_view text);     // on stderr

// One line of data on stdout.
void print_line(std::string_view text);
// Everything written to stdout so far has arrived; kIo (a full disk, a closed pipe) where it has not.
Status flush_output();

[[nodiscard]] std::string human_bytes(uint64_t bytes);    // "4.0 KiB", "1.2 GiB"
[[nodiscard]] std::string human_count(uint64_t count);    // "12,345"
[[nodiscard]] std::string human_seconds(double seconds);  // "0.35 s", "2 min 5 s"
// Bytes as they can be shown: control characters, a backslash and what is not UTF-8 become \xNN.
[[nodiscard]] std::string printable(std::string_view bytes);
[[nodiscard]] bool is_utf8(std::string_view bytes);

// Columns that line up. The first row is the heading.
class Table {
 public:
  explicit Table(std::vector<std::string> heading) { rows_.push_back(std::move(heading)); }
  void add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }
  void print() const;  // on stdout

 private:
  std::vector<std::vector<std::string>> rows_;
};

// One line on a terminal's stderr that is written over and over; nothing anywhere else. Used from one thread.
class ProgressLine {
 public:
  explicit ProgressLine(std::string what);
  ~ProgressLine() { finish(); }
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;
  void show(uint64_t bytes_done, uint64_t bytes_total, std::string_view more = "");
  void finish();  // takes the line away

 private:
  std::string what_;
  bool terminal_;
  bool shown_ = false;
  int64_t started_ns_ = 0;
  int64_t last_ns_ = 0;
};

}  // namespace tidemark::cli
