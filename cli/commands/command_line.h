// What a command takes: its options, flags and subcommands. CLI11 is behind it, in command_line.cc and main.cc alone: every file that
// includes it compiles all of it again.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace tidemark::cli {

// One option, flag or argument. All return the option itself.
class Option {
 public:
  explicit Option(CLI::Option& option) : option_(option) {}
  Option* required();
  Option* option_text(const std::string& text);  // its value in --help
  Option* group(const std::string& heading);     // in --help
  Option* needs(const Option* other);            // it is refused without the other
  Option* needs(const std::string& command_option);
  Option* one_of(std::vector<std::string> values);
  Option* in_range(unsigned least, unsigned most);
  Option* one_value_each();  // of one that may be given several times

 private:
  CLI::Option& option_;
};

// A command, or the program itself. What it is given is parsed into the variables that were named: they outlive the parsing.
class Command {
 public:
  explicit Command(CLI::App& app) : app_(app) {}
  Option* add_option(const std::string& name, std::string& value, const std::string& about);
  Option* add_option(const std::string& name, std::vector<std::string>& values, const std::string& about);
  Option* add_option(const std::string& name, unsigned& value, const std::string& about);
  Option* add_flag(const std::string& name, bool& value, const std::string& about);
  Command* add_subcommand(const std::string& name, const std::string& about);
  void require_subcommand();  // exactly one
  void callback(std::function<void()> chosen);
  void footer(const std::string& text);

 private:
  Option* keep(CLI::Option* option);

  CLI::App& app_;
  std::vector<std::unique_ptr<Option>> options_;
  std::vector<std::unique_ptr<Command>> commands_;
};

}  // namespace tidemark::cli
