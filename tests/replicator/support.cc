#include "tests/replicator/support.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <fstream>
#include <random>

#include "log/format/body.h"
#include "log/log.h"
#include "log/write/writer.h"

extern char** environ;

namespace tidemark::test {

GroupOptions small_options() {
  GroupOptions options;
  options.index_write_buffer_bytes = 16u << 20;
  return options;
}

std::unique_ptr<Group> open_group(const std::string& directory, OpenMode mode) {
  Result<std::unique_ptr<Group>> group = Group::open(directory, mode, small_options());
  INFO(group.status().text());
  REQUIRE(group.ok());
  return std::move(*group);
}

std::unique_ptr<Group> make_primary(const std::string& directory, const std::string& name) {
  InitOptions init;
  init.name = name;
  Status made = Group::init(directory, init, small_options());
  INFO(made.text());
  REQUIRE(made.ok());
  return open_group(directory, OpenMode::kPrimary);
}

void begin_epoch(const std::string& directory, Epoch epoch) {
  auto log = LogWriter::open(posix_file_system(), system_clock(), directory + "/log", {}, Seq(0), nullptr);
  INFO(log.status().text());
  REQUIRE(log.ok());
  EpochChange change;
  change.previous = (*log)->tail_position().epoch;
  change.site = "here";
  change.reason = "takeover";
  const std::string body = encode_epoch(change);
  const RecordDraft draft = make_draft(RecordType::kEpoch, 0, Ino(0), body);
  REQUIRE((*log)->append({&draft, 1}, epoch).ok());
  REQUIRE((*log)->sync(kLatest).ok());
}

namespace {

Ino make(Group& group, Ino parent, const std::string& name, uint32_t mode, const std::string& target = "") {
  NewNode node;
  node.mode = mode;
  node.symlink_target = target;
  Result<Attr> made = group.volume().make_node(parent, name, node);
  INFO(made.status().text());
  REQUIRE(made.ok());
  return made->ino;
}

void write_all(Group& group, Ino ino, uint64_t at, Bytes data) {
  constexpr size_t kStep = 128 * 1024;
  for (size_t done = 0; done < data.size(); done += kStep) {
    Result<Attr> written =
        group.volume().write(ino, at + done, data.subspan(done, std::min(kStep, data.size() - done)), false);
    INFO(written.status().text());
    REQUIRE(written.ok());
  }
}

}  // namespace

void fill(Group& group, uint64_t bytes, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::string tag = std::to_string(seed);
  Ino top = make(group, kRootIno, "dir" + tag, S_IFDIR | 0755);
  make(group, top, "link", S_IFLNK | 0777, "../some/where");
  make(group, top, "pipe", S_IFIFO | 0600);
  make(group, top, "empty", S_IFREG | 0644);
  Ino sub = make(group, top, "sub", S_IFDIR | 0700);
  std::vector<uint64_t> words(1u << 17);  // 1 MiB
  for (uint64_t& word : words) word = random();
  uint64_t left = bytes;
  for (int i = 0; left > 0 || i < 8; ++i) {
    Ino file = make(group, i % 2 ? top : sub, "file" + std::to_string(i), S_IFREG | 0640);
    uint64_t size = std::min<uint64_t>(left, i < 8 ? 1000 + random() % 200000 : uint64_t{8} << 20);
    for (uint64_t done = 0; done < size;) {
      size_t step = std::min<uint64_t>(size - done, words.size() * 8);
      words[random() % words.size()] = random();
      // Every third file has a hole at its beginning.
      write_all(group, file, done + (i % 3 == 0 ? 1u << 20 : 0), Bytes(reinterpret_cast<std::byte*>(words.data()), step));
      done += step;
    }
    left -= size;
    if (i % 4 == 0) REQUIRE(group.volume().set_xattr(file, "user.seed", tag, Volume::XattrMode::kEither).ok());
  }
  MarkRequest mark;
  mark.name = "filled-" + tag;
  mark.note = "all of it";
  REQUIRE(group.create_mark(mark).ok());
}

void touch(Group& group, const std::string& name, const std::string& content) {
  write_all(group, make(group, kRootIno, name, S_IFREG | 0644), 0, as_bytes(content));
}

bool eventually(const std::function<bool()>& done, std::chrono::milliseconds timeout) {
  auto deadline = std::chrono::steady_clock::now() + timeout;
  while (!done()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return true;
}

std::unique_ptr<Shipper> start_shipping(Group& group, const std::vector<PairConfig>& configs) {
  auto known = load_pairs(group.directory());
  REQUIRE(known.ok());
  std::vector<Pair> pairs;
  for (const PairConfig& config : configs) {
    pairs.push_back({config, {}});
    for (const Pair& pair : *known) {
      if (pair.config.site == config.site) pairs.back().status = pair.status;
    }
  }
  REQUIRE(save_pairs(group.directory(), pairs).ok());
  auto shipper = Shipper::start(group);
  INFO(shipper.status().text());
  REQUIRE(shipper.ok());
  return std::move(*shipper);
}

SiteProgress progress(Group& group, const std::string& site) {
  auto all = group.watermarks().snapshot();
  return all.contains(site) ? all[site] : SiteProgress();
}

bool caught_up(Group& group, const std::string& site, std::chrono::milliseconds timeout) {
  Seq goal = group.log().durable();
  bool done = eventually([&] { return progress(group, site).durable >= goal; }, timeout);
  if (!done && timeout.count() > 0) {
    SiteProgress now = progress(group, site);
    WARN(site << " is " << now.state << " at " << now.durable.value() << " of " << goal.value() << ": " << now.last_error);
  }
  return done;
}

void LocalSite::start(const SiteOptions& options) {
  Result<std::unique_ptr<Site>> site = Site::open(options);
  INFO(site.status().text());
  REQUIRE(site.ok());
  site_ = std::move(*site);
  thread_ = std::thread([this] { ended_ = site_->serve(); });
}

LocalSite::LocalSite(const SiteOptions& options) { start(options); }

LocalSite::LocalSite(const std::string& directory, const std::string& listen) {
  SiteOptions options;
  options.directory = directory;
  options.listen = listen;
  options.group = small_options();
  start(options);
}

LocalSite::~LocalSite() {
  site_->stop();
  thread_.join();
  CHECK(ended_.ok());
}

Process::Process(const std::vector<std::string>& arguments) {
  int ends[2];
  REQUIRE(pipe2(ends, O_CLOEXEC) == 0);
  std::string program = PEER_PROGRAM;
  std::vector<char*> argv{program.data()};
  std::vector<std::string> copies = arguments;
  for (std::string& argument : copies) argv.push_back(argument.data());
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
  REQUIRE(posix_spawn(&pid_, program.c_str(), &actions, nullptr, argv.data(), environ) == 0);
  posix_spawn_file_actions_destroy(&actions);
  ::close(ends[1]);
  output_ = ends[0];
  for (char c = 0; ::read(output_, &c, 1) == 1 && c != '\n';) first_line_ += c;
}

Process::~Process() {
  kill();
  ::close(output_);
}

void Process::signal(int number) const {
  if (pid_ > 0) ::kill(pid_, number);
}

void Process::kill() {
  if (pid_ <= 0) return;
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
  pid_ = 0;
}

uint64_t Process::memory() const {
  std::ifstream file("/proc/" + std::to_string(pid_) + "/statm");
  uint64_t total = 0, resident = 0;
  file >> total >> resident;
  return resident * 4096;
}

std::unique_ptr<Process> site_process(const std::string& directory, const std::string& listen) {
  auto process = std::make_unique<Process>(std::vector<std::string>{"site", directory, listen});
  REQUIRE(process->first_line().find("://") != std::string::npos);
  return process;
}

namespace {

void compare_files(TreeView& here, TreeView& there, const Attr& attr, const std::string& path,
                   std::vector<std::string>& out) {
  auto ranges = here.data_ranges(attr.ino, 0, attr.size, 100000);
  auto others = there.data_ranges(attr.ino, 0, attr.size, 100000);
  if (!ranges.ok() || !others.ok() || *ranges != *others) out.push_back(path + ": data ranges");
  size_t step = std::min<uint64_t>(attr.size + 1, 3u << 20);
  std::vector<std::byte> a(step), b(step);
  for (uint64_t at = 0; at < attr.size; at += a.size()) {
    auto x = here.read(attr.ino, at, a);
    auto y = there.read(attr.ino, at, b);
    if (!x.ok() || !y.ok() || *x != *y || !std::equal(a.begin(), a.begin() + static_cast<long>(*x), b.begin())) {
      out.push_back(path + ": content " + x.status().text() + y.status().text());
      return;
    }
  }
}

void compare_xattrs(TreeView& here, TreeView& there, Ino ino, const std::string& path, std::vector<std::string>& out) {
  auto names = here.list_xattr(ino);
  auto others = there.list_xattr(ino);
  if (!names.ok() || !others.ok() || *names != *others) {
    out.push_back(path + ": xattrs");
    return;
  }
  for (const std::string& name : *names) {
    auto a = here.get_xattr(ino, name);
    auto b = there.get_xattr(ino, name);
    if (!a.ok() || !b.ok() || *a != *b) out.push_back(path + ": xattr " + name);
  }
}

void compare_inode(TreeView& here, TreeView& there, Ino ino, const std::string& path, std::vector<std::string>& out) {
  auto a = here.get_attr(ino);
  auto b = there.get_attr(ino);
  if (!a.ok() || !b.ok() || *a != *b) {
    out.push_back(path + ": attributes " + a.status().text() + b.status().text());
    return;
  }
  compare_xattrs(here, there, ino, path, out);
  if (S_ISREG(a->mode)) compare_files(here, there, *a, path, out);
  if (S_ISLNK(a->mode)) {
    auto x = here.read_link(ino);
    auto y = there.read_link(ino);
    if (!x.ok() || !y.ok() || *x != *y) out.push_back(path + ": target");
  }
  if (!S_ISDIR(a->mode)) return;
  auto x = here.list(ino, "", 100000);
  auto y = there.list(ino, "", 100000);
  if (!x.ok() || !y.ok() || *x != *y) {
    out.push_back(path + ": names");
    return;
  }
  for (const DirEntry& entry : *x) {
    auto found = there.lookup(ino, entry.name);
    if (!found.ok() || found->ino != entry.ino) out.push_back(path + "/" + entry.name + ": lookup");
    compare_inode(here, there, entry.ino, path + "/" + entry.name, out);
  }
}

}  // namespace

std::vector<std::string> compare_views(TreeView& here, TreeView& there) {
  std::vector<std::string> out;
  compare_inode(here, there, kRootIno, "", out);
  return out;
}

void check_equal(Group& primary, Group& replica) {
  CHECK(primary.log().tail_position() == replica.log().tail_position());
  CHECK(primary.identity().id == replica.identity().id);
  auto here = primary.index_fingerprint();
  auto there = replica.index_fingerprint();
  REQUIRE(here.ok());
  REQUIRE(there.ok());
  CHECK(*here == *there);
}

}  // namespace tidemark::test
