#include "cli/settings/config_file.h"

#define TOML_EXCEPTIONS 0
#define TOML_HEADER_ONLY 1
#include <toml++/toml.h>

#include <algorithm>

#include "base/file.h"
#include "cli/source.h"
#include "replicator/wire/endpoint.h"

namespace tidemark::cli {
namespace {

constexpr std::string_view kGroupTable = "group";
constexpr std::string_view kSiteTable = "site";

std::string_view table_of(Override who) { return who == Override::kGroup ? kGroupTable : kSiteTable; }

// How many letters differ between two words.
size_t distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t above = row[j];
      row[j] = std::min({above + 1, row[j - 1] + 1, diagonal + (a[i - 1] == b[j - 1] ? 0u : 1u)});
      diagonal = above;
    }
  }
  return row[b.size()];
}

// "did you mean 'x'?" where one is near, else all there are.
std::string what_there_is(std::string_view word, const std::vector<std::string_view>& known) {
  std::string all;
  std::string_view near;
  size_t nearest = std::max<size_t>(2, word.size() / 3) + 1;
  for (std::string_view one : known) {
    all += (all.empty() ? "" : ", ") + std::string(one);
    const size_t letters = distance(word, one);
    if (letters < nearest) nearest = letters, near = one;
  }
  return near.empty() ? "known: " + all : "did you mean '" + std::string(near) + "'? known: " + all;
}

Status check_whose(Override who, const std::string& name) {
  if (who == Override::kSite) return parse_endpoint(name, false).status();
  return name.starts_with("/") ? Status() : check_peer_name(name, "group");
}

}  // namespace

std::string ConfigEntry::name() const {
  if (whose.empty()) return setting->name();
  const bool bare = whose.find_first_of("./:") == std::string::npos;
  return std::string(table_of(setting->overridden_by)) + "." + (bare ? whose : '"' + whose + '"') + "." + setting->name();
}

std::string ConfigEntry::text() const {
  std::string all;
  for (const std::string& value : values) all += (all.empty() ? "" : ",") + value;
  return all;
}

// Walks the parsed file by the table of settings.
class ConfigReader {
 public:
  explicit ConfigReader(ConfigFile& file) : file_(file) {}
  std::vector<ConfigFault> faults;

  void read(const toml::table& root) {
    for (const auto& [key, node] : root) {
      if (key.str() == kGroupTable) {
        read_overrides(Override::kGroup, node);
      } else if (key.str() == kSiteTable) {
        read_overrides(Override::kSite, node);
      } else {
        read_table(Override::kNobody, "", key, node);
      }
    }
    const auto by_line = [](const auto& a, const auto& b) { return a.line < b.line; };
    std::stable_sort(file_.entries_.begin(), file_.entries_.end(), by_line);
    std::stable_sort(faults.begin(), faults.end(), by_line);
  }

 private:
  void fault(const toml::source_region& at, std::string text) {
    faults.push_back({at.begin.line, at.begin.column, std::move(text)});
  }

  // [group.NAME.TABLE], [site."ENDPOINT".TABLE]
  void read_overrides(Override who, const toml::node& node) {
    const std::string word(table_of(who));
    if (!node.is_table()) return fault(node.source(), "'" + word + "' must be a table: [" + word + ".NAME.TABLE]");
    for (const auto& [key, one] : *node.as_table()) {
      const std::string whose(key.str());
      if (Status good = check_whose(who, whose); !good.ok()) {
        fault(key.source(), good.text());
        continue;
      }
      if (!one.is_table()) {
        fault(one.source(), "'" + word + "." + whose + "' must be a table of tables");
        continue;
      }
      for (const auto& [table, content] : *one.as_table()) read_table(who, whose, table, content);
    }
  }

  void read_table(Override who, const std::string& whose, const toml::key& name, const toml::node& node) {
    std::vector<const Setting*> known;
    std::vector<std::string_view> tables;
    for (const Setting* setting : all_settings()) {
      if (who != Override::kNobody && setting->overridden_by != who) continue;
      if (setting->table == name.str()) known.push_back(setting);
      if (tables.empty() || tables.back() != setting->table) tables.push_back(setting->table);
    }
    if (who == Override::kNobody) tables.insert(tables.end(), {kGroupTable, kSiteTable});
    const std::string word(name.str());
    if (known.empty()) {
      const std::string kind = node.is_table() ? "table [" + word + "]" : "key '" + word + "'";
      return fault(name.source(),
                   "unknown " + kind + (whose.empty() ? "" : " for '" + whose + "'") + "; " + what_there_is(word, tables));
    }
    if (!node.is_table()) return fault(node.source(), "'" + word + "' must be a table: [" + word + "]");
    for (const auto& [key, value] : *node.as_table()) read_key(whose, known, key, value);
  }

  void read_key(const std::string& whose, const std::vector<const Setting*>& known, const toml::key& key,
                const toml::node& node) {
    const auto found = std::find_if(known.begin(), known.end(), [&](const Setting* one) { return one->key == key.str(); });
    if (found == known.end()) {
      std::vector<std::string_view> keys;
      for (const Setting* setting : known) keys.push_back(setting->key);
      return fault(key.source(), "unknown key '" + std::string(key.str()) + "' in [" + std::string(known[0]->table) + "]; " +
                                     what_there_is(key.str(), keys));
    }
    const Setting& setting = **found;
    ConfigEntry entry{&setting, whose, {}, key.source().begin.line};
    if (setting.form == ValueForm::kList) {
      if (!node.is_array()) return wrong_type(setting, node);
      for (const toml::node& item : *node.as_array()) {
        if (!read_value(setting, item, entry)) return;
      }
    } else if (!read_value(setting, node, entry)) {
      return;
    }
    file_.entries_.push_back(std::move(entry));
  }

  bool read_value(const Setting& setting, const toml::node& node, ConfigEntry& entry) {
    std::string value;
    if (node.is_string()) {
      value = node.as_string()->get();
    } else if (node.is_integer() && setting.form == ValueForm::kSize) {  // its check asks for a unit
      value = std::to_string(node.as_integer()->get());
    } else {
      wrong_type(setting, node);
      return false;
    }
    Status good = setting.check(value);
    if (good.ok() && setting.form == ValueForm::kPath && !value.starts_with("/")) {
      good = Status(Code::kInvalid, "'" + value + "' is not an absolute path");
    }
    if (!good.ok()) fault(node.source(), setting.name() + ": " + good.text());
    entry.values.push_back(std::move(value));
    return good.ok();
  }

  void wrong_type(const Setting& setting, const toml::node& node) {
    const char* wanted = setting.form == ValueForm::kList   ? "a list of strings in brackets"
                         : setting.form == ValueForm::kSize ? "a string like \"10GiB\""
                                                            : "a string in quotes";
    fault(node.source(), setting.name() + " must be " + wanted);
  }

  ConfigFile& file_;
};

Result<ConfigFile> ConfigFile::read(const std::string& path, std::vector<ConfigFault>* faults) {
  TM_ASSIGN(const std::string content, read_file(posix_file_system(), path));
  ConfigFile file;
  file.path_ = path;
  ConfigReader reader(file);
  const toml::parse_result parsed = toml::parse(std::string_view(content), path);
  if (parsed.succeeded()) {
    reader.read(parsed.table());
  } else {
    const toml::parse_error& error = parsed.error();
    reader.faults.push_back({error.source().begin.line, error.source().begin.column, std::string(error.description())});
  }
  if (faults != nullptr) *faults = reader.faults;
  if (reader.faults.empty()) return file;
  std::string text;
  for (size_t i = 0; i < reader.faults.size() && i < kConfigFaultsMax; ++i) {
    const ConfigFault& fault = reader.faults[i];
    text += (i == 0 ? "" : "\n") + path + ":" + std::to_string(fault.line) + ":" + std::to_string(fault.column) + ": " +
            fault.text;
  }
  return Status(Code::kInvalid, text);
}

const ConfigEntry* ConfigFile::find(const Setting& setting, const ConfigFor& whom) const {
  const std::string names[] = {whom.directory, whom.endpoint, whom.group, ""};  // the nearest first
  for (const std::string& name : names) {
    if (name.empty() && &name != std::end(names) - 1) continue;
    for (const ConfigEntry& entry : entries_) {
      const bool is_path = entry.whose.starts_with("/");
      if (entry.setting == &setting && (is_path ? absolute_path(entry.whose) : entry.whose) == name) return &entry;
    }
  }
  return nullptr;
}

Settings& Settings::ours() {
  static Settings settings;
  return settings;
}

Result<const ConfigFile*> Settings::load() {
  Result<ConfigFile> read = ConfigFile::read(path());
  if (read.ok()) return &file_.emplace(std::move(read).value());
  if (read.status().code() != Code::kNotFound) return read.status();
  if (!named()) return nullptr;
  return Status(Code::kInvalid, "--config " + named_ + ": no such file");
}

Result<const ConfigFile*> Settings::file() {
  std::call_once(once_, [this] { loaded_ = load(); });
  return *loaded_;
}

Result<std::string> Settings::value(const Setting& setting, const std::string& flag, const ConfigFor& whom) {
  if (!flag.empty()) {
    TM_TRY(setting.check(flag).within(setting.flag));
    return flag;
  }
  TM_ASSIGN(const ConfigFile* file, this->file());
  const ConfigEntry* said = file == nullptr ? nullptr : file->find(setting, whom);
  return said == nullptr ? std::string(setting.fallback) : said->text();
}

Result<std::vector<std::string>> Settings::listed(const Setting& setting, const ConfigFor& whom) {
  TM_ASSIGN(const ConfigFile* file, this->file());
  const ConfigEntry* said = file == nullptr ? nullptr : file->find(setting, whom);
  return said == nullptr ? std::vector<std::string>() : said->values;
}

}  // namespace tidemark::cli
