// Every setting that the configuration file and the command line share: said here once, and nowhere else. The table drives the
// flags, reading and checking the file, and `tidemark config show`.
#pragma once

#include <chrono>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace tidemark::cli {

class Command;
class Option;

// How a value is written in the file. On the command line all are texts, a list with commas.
enum class ValueForm { kText, kPath /* absolute */, kSize /* a text, or a number of bytes */, kList /* of texts */ };

// Whose part of the file may say a setting again: [group.NAME.TABLE] (or [group."/DIR".TABLE]), [site."ENDPOINT".TABLE].
enum class Override { kNobody, kGroup, kSite };

struct Setting {
  std::string_view table;
  std::string_view key;
  std::string_view flag;
  std::string_view placeholder;  // of the flag's value; "" where `about` says enough
  std::string_view about;
  std::string_view fallback;            // what it is where nobody says anything; "" is nothing
  Status (*check)(const std::string&);  // one value; kInvalid says what is allowed
  ValueForm form = ValueForm::kText;
  Override overridden_by = Override::kNobody;
  [[nodiscard]] std::string name() const { return std::string(table) + "." + std::string(key); }
};

// An age or a size that is no limit at all: so that a flag, or one group, can take a limit of the file back.
inline constexpr std::string_view kNone = "none";

extern const Setting kServeDir, kServeListen, kServeKey, kServeAllow;
extern const Setting kServeGroupBytes, kServeKeyBytes, kServeReaderHold;
extern const Setting kRetention, kRetentionBytes, kMaxLog, kOnFull, kPool, kScrub;
extern const Setting kMountOptions;
extern const Setting kPairMode, kPairFence, kPairBandwidth;
extern const Setting kOwnKey, kServerKey;
std::span<const Setting* const> all_settings();

// An amount of bytes that may be "none", which is 0.
Result<uint64_t> parse_limit(const std::string& value);

// A length of time that may be "off" (or "none"), which is 0.
Result<std::chrono::milliseconds> parse_rhythm(const std::string& value);

// Declares the setting's flag; what is given there goes to `given`.
Option* add_setting(Command& command, const Setting& setting, std::string& given);
Option* add_setting(Command& command, const Setting& setting, std::vector<std::string>& given);

}  // namespace tidemark::cli
