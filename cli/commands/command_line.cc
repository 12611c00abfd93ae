#include "cli/commands/command_line.h"

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <CLI/Validators.hpp>

namespace tidemark::cli {

Option* Option::required() {
  option_.required();
  return this;
}

Option* Option::option_text(const std::string& text) {
  option_.option_text(text);
  return this;
}

Option* Option::group(const std::string& heading) {
  option_.group(heading);
  return this;
}

Option* Option::needs(const Option* other) {
  option_.needs(&other->option_);
  return this;
}

Option* Option::needs(const std::string& command_option) {
  option_.needs(command_option);
  return this;
}

Option* Option::one_of(std::vector<std::string> values) {
  option_.check(CLI::IsMember(std::move(values)));
  return this;
}

Option* Option::in_range(unsigned least, unsigned most) {
  option_.check(CLI::Range(least, most));
  return this;
}

Option* Option::one_value_each() {
  option_.allow_extra_args(false);
  return this;
}

Option* Command::keep(CLI::Option* option) {
  options_.push_back(std::make_unique<Option>(*option));
  return options_.back().get();
}

Option* Command::add_option(const std::string& name, std::string& value, const std::string& about) {
  return keep(app_.add_option(name, value, about));
}

Option* Command::add_option(const std::string& name, std::vector<std::string>& values, const std::string& about) {
  return keep(app_.add_option(name, values, about));
}

Option* Command::add_option(const std::string& name, unsigned& value, const std::string& about) {
  return keep(app_.add_option(name, value, about));
}

Option* Command::add_flag(const std::string& name, bool& value, const std::string& about) {
  return keep(app_.add_flag(name, value, about));
}

Command* Command::add_subcommand(const std::string& name, const std::string& about) {
  commands_.push_back(std::make_unique<Command>(*app_.add_subcommand(name, about)));
  return commands_.back().get();
}

void Command::require_subcommand() { app_.require_subcommand(1); }
void Command::callback(std::function<void()> chosen) { app_.callback(std::move(chosen)); }
void Command::footer(const std::string& text) { app_.footer(text); }

}  // namespace tidemark::cli
