// tidemark mark create|list|show|hold|release
#include <memory>

#include "cli/commands/command.h"
#include "cli/mark_maker.h"
#include "cli/output/exit_map.h"
#include "cli/output/json.h"
#include "cli/output/output.h"
#include "cli/reader.h"
#include "cli/settings/duration.h"

namespace tidemark::cli {
namespace {

struct MarkFlags {
  std::string source;
  std::string name;
  std::string at;
  std::string note;
  std::string application = "tidemark mark";
  std::string wait = "local";
  std::string timeout = "30s";
  bool json = false;
  RemoteKeys keys;
};

Outcome run_create(const MarkFlags& flags) {
  TM_ASSIGN(Source target, find_source(flags.source, ""));
  TM_ASSIGN(auto timeout, parse_duration(flags.timeout));
  std::string wait = flags.wait == "local" ? "" : flags.wait;
  TM_ASSIGN(MarkMade made, make_mark(target, {flags.name, flags.note, flags.application, wait, timeout}));
  if (flags.json) {
    Json shown = {{"name", made.name}, {"seq", made.seq.value()}, {"confirmed", made.wait.ok()}};
    if (!made.wait.ok()) shown["wait_error"] = made.wait.text();
    print_json(shown);
  } else {
    print_line("marked '" + made.name + "' at seq " + std::to_string(made.seq.value()));
  }
  if (made.wait.ok()) return 0;
  print_warning("the mark is made and durable here, but: " + made.wait.text());
  return exit_code(made.wait.code());
}

Outcome run_list(const MarkFlags& flags) {
  TM_ASSIGN(Source source, find_source(flags.source, flags.at));
  TM_ASSIGN(Reader reader, Reader::open(source, flags.keys));
  TM_ASSIGN(std::vector<Mark> marks, reader.marks());
  if (!source.point.empty()) {  // as they were at that point
    TM_ASSIGN(Seq last, reader.point());
    std::erase_if(marks, [&](const Mark& mark) { return mark.seq > last; });
  }
  if (flags.json) {
    Json list = Json::array();
    for (const Mark& mark : marks) list.push_back(mark_json(mark));
    print_json({{"marks", list}});
    return 0;
  }
  if (marks.empty()) {
    print_note("no marks yet; `tidemark mark create` creates one");
    return 0;
  }
  Table table({"MARK", "SEQ", "TIME", "BY", "HELD", "NOTE"});
  for (const Mark& mark : marks) {
    table.add({printable(mark.name), std::to_string(mark.seq.value()), format_time(mark.time_ns),
               printable(mark.application), mark.held ? "yes" : "", printable(mark.note.substr(0, mark.note.find('\n')))});
  }
  table.print();
  return 0;
}

Outcome run_show(const MarkFlags& flags) {
  TM_ASSIGN(Source source, find_source(flags.source, ""));
  TM_ASSIGN(Reader reader, Reader::open(source, flags.keys));
  TM_ASSIGN(Mark mark, reader.find_mark(flags.name));
  if (flags.json) {
    print_json(mark_json(mark));
    return 0;
  }
  print_line("mark         " + printable(mark.name));
  print_line("id           " + std::to_string(mark.id.value()));
  print_line("seq          " + std::to_string(mark.seq.value()));
  print_line("time         " + format_time(mark.time_ns));
  print_line("application  " + printable(mark.application) + ", process " + std::to_string(mark.pid) + ", user " +
             std::to_string(mark.uid));
  print_line("held         " + std::string(mark.held ? "yes" : "no"));
  if (!mark.note.empty()) print_line("note         " + printable(mark.note));
  return 0;
}

Outcome run_hold(const MarkFlags& flags, bool held) {
  TM_ASSIGN(Source target, find_source(flags.source, ""));
  TM_ASSIGN(const auto timeout, parse_duration(flags.timeout));
  TM_TRY(hold_mark(target, flags.name, held, timeout));
  if (flags.json) print_json({{"name", flags.name}, {"held", held}});
  return 0;
}

Command* add_source(Command* command, MarkFlags& flags, const char* what) {
  command->add_option("SOURCE", flags.source, what)->required();
  add_json_flag(*command, flags.json);
  return command;
}

void on_chosen(Command* command, Invocation& invocation, std::function<Outcome()> run) {
  command->callback([&invocation, run = std::move(run)] { invocation.run = [run] { return finish(run); }; });
}

}  // namespace

void add_mark(Command& app, Invocation& invocation) {
  auto flags = std::make_shared<MarkFlags>();
  Command* mark = app.add_subcommand("mark", "Name good states, and list them");
  mark->require_subcommand();

  Command* create = mark->add_subcommand("create", "Create a mark: it contains every write that has returned");
  add_source(create, *flags, "A path in a mount, or a volume's DIR")
      ->add_option("NAME", flags->name, "Its name")
      ->required();
  create->add_option("--note", flags->note, "A comment stored with the mark")->option_text("TEXT");
  create->add_option("--application", flags->application, "Name of the application that makes the mark")
      ->option_text("NAME");
  create->add_option("--wait", flags->wait, "Wait until it is durable here (local), at a SITE, or at all sites")
      ->option_text("local|SITE|all");
  create->add_option("--timeout", flags->timeout, "How long to wait for sites (default 30s)")->option_text("30s");
  on_chosen(create, invocation, [flags] { return run_create(*flags); });

  Command* list = mark->add_subcommand("list", "List marks");
  add_source(list, *flags, "DIR, a path in a mount, or tcp://HOST:PORT/GROUP");
  add_at_option(*list, flags->at);
  add_key_options(*list, flags->keys);
  on_chosen(list, invocation, [flags] { return run_list(*flags); });

  Command* show = mark->add_subcommand("show", "Show one mark");
  add_source(show, *flags, "As for list")->add_option("NAME", flags->name, "Its name")->required();
  add_key_options(*show, flags->keys);
  on_chosen(show, invocation, [flags] { return run_show(*flags); });

  for (bool held : {true, false}) {
    Command* hold = mark->add_subcommand(held ? "hold" : "release",
                                         held ? "Keep a mark beyond retention" : "Let retention remove a mark again");
    add_source(hold, *flags, "DIR or a path in a mount")->add_option("NAME", flags->name, "Its name")->required();
    hold->add_option("--timeout", flags->timeout, "How long to wait for the sites of sync pairs (default 30s)")
        ->option_text("30s");
    on_chosen(hold, invocation, [flags, held] { return run_hold(*flags, held); });
  }
}

}  // namespace tidemark::cli
