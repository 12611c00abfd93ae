#include "cli/output/output.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cmath>
#include <cstdlib>

#include "base/clock.h"

namespace tidemark::cli {
namespace {

constexpr int64_t kProgressEveryNs = 100'000'000;

// What to do next where only the code is known; "" where the text itself has to say it.
std::string_view hint_for(Code code) {
  switch (code) {
    case Code::kUnreachable: return "is `tidemark serve` running there, and is the endpoint right?";
    case Code::kNotAuthorised:
      return "create a key with `tidemark keygen`, and add its public half to the site's allow-list";
    case Code::kCorrupt: return "`tidemark verify` lists the damage; if a site has a copy, restore from it";
    case Code::kPoisoned: return "unmount, check the disk under the volume, and mount again";
    default: return "";
  }
}

// Bytes of the UTF-8 character at the beginning of `text`; 0 if there is none.
size_t utf8_length(std::string_view text) {
  auto byte = [&](size_t at) { return static_cast<unsigned char>(text[at]); };
  unsigned char lead = byte(0);
  if (lead < 0x80) return 1;
  size_t length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  if (lead < 0xc2 || lead > 0xf4 || text.size() < length) return 0;
  for (size_t at = 1; at < length; ++at) {
    if ((byte(at) & 0xc0) != 0x80) return 0;
  }
  bool overlong = (lead == 0xe0 && byte(1) < 0xa0) || (lead == 0xf0 && byte(1) < 0x90);
  bool surrogate = lead == 0xed && byte(1) >= 0xa0;
  bool beyond = lead == 0xf4 && byte(1) >= 0x90;
  return overlong || surrogate || beyond ? 0 : length;
}

// Columns a terminal needs for UTF-8 text: characters, near enough.
size_t width(std::string_view text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xc0) != 0x80; }));
}

std::string format(const char* pattern, auto... values) {
  std::array<char, 128> text{};
  std::snprintf(text.data(), text.size(), pattern, values...);
  return text.data();
}

}  // namespace

bool use_colour(FILE* stream) {
  const char* no_color = std::getenv("NO_COLOR");
  return (no_color == nullptr || *no_color == '\0') && ::isatty(::fileno(stream)) == 1;
}

void print_error(const Status& status) {
  bool colour = use_colour(stderr);
  std::fprintf(stderr, "%stidemark:%s %s\n", colour ? "\033[1;31m" : "", colour ? "\033[0m" : "", status.text().c_str());
  if (std::string_view hint = hint_for(status.code()); !hint.empty()) {
    std::fprintf(stderr, "  next: %.*s\n", static_cast<int>(hint.size()), hint.data());
  }
}

void print_warning(std::string_view text) {
  bool colour = use_colour(stderr);
  std::fprintf(stderr, "%swarning:%s %.*s\n", colour ? "\033[33m" : "", colour ? "\033[0m" : "",
               static_cast<int>(text.size()), text.data());
}

void print_note(std::string_view text) { std::fprintf(stderr, "%.*s\n", static_cast<int>(text.size()), text.data()); }

void print_line(std::string_view text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fputc('\n', stdout);
}

Status flush_output() {
  errno = 0;
  if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0) return Status();
  return errno_status(errno != 0 ? errno : EIO, "cannot write the output");
}

std::string human_bytes(uint64_t bytes) {
  static constexpr std::array<const char*, 6> kUnits = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  if (bytes < 1024) return format("%llu B", static_cast<unsigned long long>(bytes));
  double value = static_cast<double>(bytes) / 1024;
  size_t unit = 0;
  for (; value >= 1023.95 && unit + 1 < kUnits.size(); ++unit) value /= 1024;
  return format("%.1f %s", value, kUnits[unit]);
}

std::string human_count(uint64_t count) {
  std::string digits = std::to_string(count);
  std::string text;
  for (size_t i = 0; i < digits.size(); ++i) {
    if (i > 0 && (digits.size() - i) % 3 == 0) text += ',';
    text += digits[i];
  }
  return text;
}

std::string human_seconds(double seconds) {
  if (seconds < 0.0995) return format("%.0f ms", seconds * 1000);
  if (seconds < 9.995) return format("%.2f s", seconds);
  if (seconds < 60) return format("%.1f s", seconds);
  auto whole = static_cast<unsigned long long>(std::llround(seconds));
  if (whole < 3600) return format("%llu min %llu s", whole / 60, whole % 60);
  return format("%llu h %llu min", whole / 3600, whole / 60 % 60);
}

std::string printable(std::string_view bytes) {
  std::string shown;
  while (!bytes.empty()) {
    size_t length = utf8_length(bytes);
    auto lead = static_cast<unsigned char>(bytes[0]);
    if (length == 0 || lead < 0x20 || lead == 0x7f || lead == '\\') {
      shown += format("\\x%02x", static_cast<unsigned>(lead));
      bytes.remove_prefix(1);
    } else {
      shown += bytes.substr(0, length);
      bytes.remove_prefix(length);
    }
  }
  return shown;
}

bool is_utf8(std::string_view bytes) {
  while (!bytes.empty()) {
    size_t length = utf8_length(bytes);
    if (length == 0) return false;
    bytes.remove_prefix(length);
  }
  return true;
}

void Table::print() const {
  std::vector<size_t> widths;
  for (const auto& row : rows_) {
    widths.resize(std::max(widths.size(), row.size()));
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], width(row[i]));
  }
  bool colour = use_colour(stdout);
  for (size_t r = 0; r < rows_.size(); ++r) {
    std::string line;
    for (size_t i = 0; i < rows_[r].size(); ++i) {
      line += rows_[r][i];
      if (i + 1 < rows_[r].size()) line.append(widths[i] - width(rows_[r][i]) + 2, ' ');
    }
    print_line(r == 0 && colour ? "\033[1m" + line + "\033[0m" : line);
  }
}

ProgressLine::ProgressLine(std::string what)
    : what_(std::move(what)), terminal_(::isatty(STDERR_FILENO) == 1), started_ns_(system_clock().steady_ns()) {}

void ProgressLine::show(uint64_t bytes_done, uint64_t bytes_total, std::string_view more) {
  if (!terminal_) return;
  int64_t now = system_clock().steady_ns();
  if (now - last_ns_ < kProgressEveryNs) return;
  last_ns_ = now;
  shown_ = true;
  double share = bytes_total == 0 ? 1.0 : static_cast<double>(bytes_done) / static_cast<double>(bytes_total);
  double seconds = std::max(1e-3, static_cast<double>(now - started_ns_) / 1e9);
  auto rate = static_cast<uint64_t>(static_cast<double>(bytes_done) / seconds);
  std::fprintf(stderr, "\r\033[K%s %3.0f %%  %s of %s, %s/s%s%.*s", what_.c_str(), std::min(share, 1.0) * 100,
               human_bytes(bytes_done).c_str(), human_bytes(bytes_total).c_str(), human_bytes(rate).c_str(),
               more.empty() ? "" : ", ", static_cast<int>(more.size()), more.data());
  std::fflush(stderr);
}

void ProgressLine::finish() {
  if (shown_) std::fputs("\r\033[K", stderr);
  shown_ = false;
}

}  // namespace tidemark::cli
