// The configuration file: TOML, read strictly. A table or key it does not know, a value of a wrong type or one that is not allowed
// is a fault with its line and column; a file with a fault is not used at all.
#pragma once

#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "cli/settings/settings.h"

namespace tidemark::cli {

inline constexpr char kConfigFile[] = "/etc/tidemark/tidemark.toml";  // read if it is there and --config names no other
inline constexpr size_t kConfigFaultsMax = 20;                        // more are not listed

// Whom a value is for. Of what the file says, what it says for the directory goes before the group's name, and that before all.
struct ConfigFor {
  std::string group;
  std::string directory;  // absolute
  std::string endpoint;
};

struct ConfigEntry {
  const Setting* setting = nullptr;
  std::string whose;                // "": everybody's; else the NAME, DIR or ENDPOINT it is for
  std::vector<std::string> values;  // one, or any number of a list
  size_t line = 0;
  [[nodiscard]] std::string name() const;  // "history.retention", "group.shop.history.retention"
  [[nodiscard]] std::string text() const;  // a list with commas
};

struct ConfigFault {
  size_t line = 0;
  size_t column = 0;
  std::string text;
};

class ConfigFile {
 public:
  // kNotFound, kInvalid: with every fault, a line each, as FILE:LINE:COLUMN: what. `faults` has them too.
  static Result<ConfigFile> read(const std::string& path, std::vector<ConfigFault>* faults = nullptr);

  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] const std::vector<ConfigEntry>& entries() const { return entries_; }  // in the file's order
  // What it says about the setting, for this one; null where it says nothing.
  [[nodiscard]] const ConfigEntry* find(const Setting& setting, const ConfigFor& whom) const;

 private:
  friend class ConfigReader;
  std::string path_;
  std::vector<ConfigEntry> entries_;
};

// What counts for this run of the program: its flags, then the file, then the defaults. Read once; from any thread.
class Settings {
 public:
  // Of this process.
  static Settings& ours();
  // --config: this file instead of the usual one. Before anything is asked.
  void use(std::string path) { named_ = std::move(path); }
  [[nodiscard]] bool named() const { return !named_.empty(); }
  [[nodiscard]] std::string path() const { return named() ? named_ : kConfigFile; }
  // The file, null where there is none to be read. kInvalid: it has a fault, or is not there although --config names it.
  Result<const ConfigFile*> file();

  // `flag`: what the command line says, "" where it says nothing. kInvalid: that is not allowed.
  Result<std::string> value(const Setting& setting, const std::string& flag, const ConfigFor& whom = {});
  // What the file says alone, for a list that the command line adds to.
  Result<std::vector<std::string>> listed(const Setting& setting, const ConfigFor& whom = {});

 private:
  Result<const ConfigFile*> load();
  std::string named_;
  std::once_flag once_;
  std::optional<ConfigFile> file_;
  std::optional<Result<const ConfigFile*>> loaded_;
};

}  // namespace tidemark::cli
