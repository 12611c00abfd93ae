#include "cli/demo/demo.h"

#include <fcntl.h>
#include <tidemark/mark.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <functional>

#include "base/clock.h"
#include "cli/demo/demo_data.h"
#include "cli/demo/demo_sites.h"
#include "cli/output/json.h"
#include "cli/output/output.h"
#include "cli/service/child.h"
#include "cli/service/signals.h"

namespace tidemark::cli {
namespace {

constexpr size_t kSourceFilesMax = 4000;
constexpr uint64_t kOrdersBefore = 20'000;
constexpr uint64_t kOrdersAfter = 5'000;
constexpr std::chrono::seconds kShipTimeout{60};
constexpr uint32_t kMarkTimeoutMs = 30'000;

// The directory everything happens in; goes with everything in it.
class WorkDirectory {
 public:
  WorkDirectory(std::string path, bool keep) : path_(std::move(path)), keep_(keep) {}
  ~WorkDirectory() {
    std::error_code error;
    if (!keep_) std::filesystem::remove_all(path_, error);
    if (error) print_warning("could not remove " + path_ + ": " + error.message());
  }
  WorkDirectory(const WorkDirectory&) = delete;
  WorkDirectory& operator=(const WorkDirectory&) = delete;
  [[nodiscard]] std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
  bool keep_;
};

Result<std::string> make_work_path(const std::string& parent) {
  std::string pattern = parent + "/tidemark-demo-XXXXXX";
  if (::mkdtemp(pattern.data()) == nullptr) return errno_status(errno, "cannot make a directory in " + parent);
  return pattern;
}

std::string tree_text(const TreeSize& size) { return human_count(size.entries) + " entries, " + human_bytes(size.bytes); }

class Demo {
 public:
  Demo(WorkDirectory& work, std::string binary)
      : work_(work), binary_(std::move(binary)), primary_(binary_, work / "primary", work / "mnt") {}

  Status run() {
    TM_TRY(step("a site starts in a process of its own", [this] { return start_site(); }));
    TM_TRY(step("a volume is initialised, mounted and paired with the site", [this] { return start_primary(); }));
    TM_TRY(step("SQLite and rsync work in the mount", [this] { return work(); }));
    TM_TRY(step("mark 'before', by the command line, durable at the site", [this] { return mark_by_command(); }));
    TM_TRY(step("a reference copy of that state is set aside", [this] { return set_aside("before"); }));
    TM_TRY(step("work continues: more orders, files edited, renamed, removed", [this] { return work_on(); }));
    TM_TRY(step("mark 'after', by the application's ioctl, durable at the site", [this] { return mark_by_ioctl(); }));
    TM_TRY(step("a reference copy of that state is set aside", [this] { return set_aside("after"); }));
    TM_TRY(step("the database is overwritten with rubbish, half of the tree deleted", [this] { return do_damage(); }));
    TM_TRY(step("the damage is copied to the site too", [this] { return ship_damage(); }));
    TM_TRY(step("the primary is killed (SIGKILL) and its directory removed", [this] { return lose_primary(); }));
    TM_TRY(step("restore from the site at mark 'after'", [this] { return restore("after"); }));
    TM_TRY(step("compare with the reference: content, names, modes, owners, ns times, xattrs, links",
                [this] { return compare("after"); }));
    TM_TRY(step("restore from the site at mark 'before'", [this] { return restore("before"); }));
    TM_TRY(step("compare with the reference", [this] { return compare("before"); }));
    return step("SQLite's integrity check on both", [this] { return check_databases(); });
  }

 private:
  using Action = std::function<Result<std::string>()>;

  // Runs one step and says what came of it and how long it took.
  Status step(const std::string& what, const Action& action) {
    if (interrupted_flag()->load()) return Status(Code::kInterrupted, "interrupted");
    bool colour = use_colour(stdout);
    std::printf("%s%2d. %s%s\n", colour ? "\033[1m" : "", ++steps_, what.c_str(), colour ? "\033[0m" : "");
    TM_TRY(flush_output());
    int64_t began = system_clock().steady_ns();
    Result<std::string> done = action();
    if (!done.ok()) return done.status().within("step " + std::to_string(steps_) + " (" + what + ")");
    double seconds = static_cast<double>(system_clock().steady_ns() - began) / 1e9;
    print_line("      " + *done + (done->empty() ? "" : "; ") + human_seconds(seconds));
    return flush_output();
  }

  Result<std::string> start_site() {
    TM_ASSIGN(site_, DemoSite::start(binary_, work_ / "site"));
    return "listening on " + site_->endpoint();
  }

  Result<std::string> start_primary() {
    TM_TRY(primary_.init_and_mount());
    TM_TRY(primary_.pair_with(*site_));
    return primary_.directory() + " at " + primary_.mountpoint();
  }

  Result<std::string> work() {
    TM_TRY(add_orders(database(), kOrdersBefore));
    TM_ASSIGN(std::string from, copy_source_tree(tree(), kSourceFilesMax));
    TM_ASSIGN(database_before_, ask_database(database()));
    TM_ASSIGN(TreeSize size, measure_tree(primary_.mountpoint()));
    return "a database with " + database_before_ + ", and files of " + from + ": " + tree_text(size);
  }

  Result<std::string> mark_by_command() {
    TM_ASSIGN(Finished made, run_child({binary_, "mark", "create", primary_.mountpoint(), "before", "--wait", "all",
                                        "--note", "from the demonstration", "--json"}));
    return "seq " + human_count(number_field(Json::parse(made.out, nullptr, false), "seq"));
  }

  Result<std::string> mark_by_ioctl() {
    int fd = ::open(database().c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) return errno_status(errno, "cannot open " + database());
    uint64_t seq = 0;
    int result = ::tidemark_mark(fd, "after", "from the demonstration", "all", kMarkTimeoutMs, &seq);
    int error = errno;
    ::close(fd);
    if (result != 0) return errno_status(error, "the mark ioctl");
    return "seq " + human_count(seq);
  }

  Result<std::string> set_aside(const std::string& mark) {
    TM_TRY(copy_reference(primary_.mountpoint(), work_ / ("reference-" + mark)));
    TM_ASSIGN(TreeSize size, measure_tree(work_ / ("reference-" + mark)));
    return tree_text(size);
  }

  Result<std::string> work_on() {
    TM_TRY(add_orders(database(), kOrdersAfter));
    TM_TRY(edit_tree(tree()));
    TM_ASSIGN(database_after_, ask_database(database()));
    return database_after_;
  }

  Result<std::string> do_damage() {
    TM_TRY(overwrite_with_rubbish(database()));
    TM_ASSIGN(uint64_t deleted, delete_half(tree()));
    if (ask_database(database()).ok()) return Status(Code::kIo, "SQLite still reads the database: it was not overwritten");
    return human_count(deleted) + " files deleted, SQLite refuses the database";
  }

  Result<std::string> ship_damage() {
    TM_TRY(primary_.wait_shipped(kShipTimeout));
    return std::string("everything is durable there");
  }

  Result<std::string> lose_primary() {
    TM_ASSIGN(int pid, primary_.kill());
    std::error_code error;
    std::filesystem::remove_all(primary_.directory(), error);
    if (error) return errno_status(error.value(), "cannot remove " + primary_.directory());
    return "process " + std::to_string(pid) + " is gone";
  }

  Result<std::string> restore(const std::string& mark) {
    TM_ASSIGN(Finished done, run_child({binary_, "--config", kNoConfig, "restore", site_->endpoint() + "/demo@" + mark,
                                        "--target", work_ / ("restored-" + mark), "--json"}));
    Json report = Json::parse(done.out, nullptr, false);
    if (!report.is_object()) return Status(Code::kIo, "restore printed no JSON");
    return human_count(number_field(report, "entries")) + " entries, " + human_bytes(number_field(report, "data_bytes"));
  }

  Result<std::string> compare(const std::string& mark) {
    TM_ASSIGN(std::string differences, compare_trees(work_ / ("reference-" + mark), work_ / ("restored-" + mark)));
    if (!differences.empty()) return Status(Code::kCorrupt, "the restored tree differs:\n" + differences.substr(0, 4000));
    return std::string("rsync -aHAXn --delete --checksum finds nothing");
  }

  Result<std::string> check_databases() {
    TM_ASSIGN(std::string before, ask_database(work_ / "restored-before/shop.db"));
    TM_ASSIGN(std::string after, ask_database(work_ / "restored-after/shop.db"));
    if (before != database_before_ || after != database_after_) {
      return Status(Code::kCorrupt, "the databases hold '" + before + "' and '" + after + "' instead of '" +
                                        database_before_ + "' and '" + database_after_ + "'");
    }
    return "ok: " + before + "; " + after;
  }

  [[nodiscard]] std::string database() const { return primary_.mountpoint() + "/shop.db"; }
  [[nodiscard]] std::string tree() const { return primary_.mountpoint() + "/src"; }

  WorkDirectory& work_;
  std::string binary_;
  std::unique_ptr<DemoSite> site_;  // before the primary: ended after it
  DemoPrimary primary_;
  std::string database_before_;
  std::string database_after_;
  int steps_ = 0;
};

}  // namespace

Status run_demo(const DemoOptions& options) {
  interrupted_flag();
  TM_TRY(check_tools());
  std::error_code error;
  std::string binary = std::filesystem::read_symlink("/proc/self/exe", error).string();
  if (error) return errno_status(error.value(), "cannot find the tidemark binary");
  TM_ASSIGN(std::string path, make_work_path(options.parent));
  WorkDirectory work(path, options.keep);
  print_line("Tidemark demonstration, in " + path);
  int64_t began = system_clock().steady_ns();
  {
    Demo demo(work, binary);
    TM_TRY(demo.run());
  }
  double seconds = static_cast<double>(system_clock().steady_ns() - began) / 1e9;
  print_line("\nEverything came back exactly as it was at both marks, from the site alone. " + human_seconds(seconds) +
             " in all.");
  return Status();
}

}  // namespace tidemark::cli
