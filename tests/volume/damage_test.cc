// One flipped bit anywhere in a volume's directory: it is found and named by the check of that directory, what is read is right or an
// error, and what is not damaged can still be read. Thousands of flips on one volume, on several threads.
#include <sys/stat.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <map>
#include <mutex>
#include <random>
#include <set>
#include <thread>

#include "base/hash.h"
#include "base/logging.h"
#include "log/repair/verify.h"
#include "tests/support/scratch.h"
#include "tests/volume/random_ops.h"
#include "volume/check/directory_check.h"
#include "volume/group/directory.h"
#include "volume/group/sealed_json.h"

namespace tidemark::test {
namespace {

namespace fs = std::filesystem;

constexpr unsigned kThreads = 4;  // each flip waits for the disk more than for a processor
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr int kFlipsLeast = 200;  // each takes many times as long
#else
constexpr int kFlipsLeast = 2000;
#endif
constexpr int kFlipsMost = 4000;
constexpr std::chrono::seconds kTimeMax{40};  // after the least; a slow machine stops there

using Tree = std::map<std::string, std::string>;  // path → attributes and a sum of the content

struct Seen {
  Tree tree;
  std::set<std::string> damaged;  // paths whose content is kCorrupt
};

// Everything but damaged content, which is noted; any other failure ends it.
Status read_tree(TreeView& view, const Attr& attr, const std::string& path, Seen& seen) {
  std::string content;
  if (S_ISREG(attr.mode)) {
    content.resize(attr.size);
    auto got = view.read(attr.ino, 0, {reinterpret_cast<std::byte*>(content.data()), content.size()});
    if (got.status().code() == Code::kCorrupt) {
      seen.damaged.insert(path);
      return Status();
    }
    TM_TRY(got.status());
  }
  if (S_ISLNK(attr.mode)) {
    TM_ASSIGN(content, view.read_link(attr.ino));
  }
  TM_ASSIGN(auto names, view.list_xattr(attr.ino));
  for (const std::string& name : names) {
    TM_ASSIGN(std::string value, view.get_xattr(attr.ino, name));
    content += name + "=" + value;
  }
  seen.tree[path] = std::to_string(attr.mode) + " " + std::to_string(attr.size) + " " +
                    std::to_string(attr.mtime.nanoseconds) + " " + std::to_string(hash64(as_bytes(content)));
  if (!S_ISDIR(attr.mode)) return Status();
  TM_ASSIGN(auto entries, view.list(attr.ino, "", 1000));
  for (const DirEntry& entry : entries) {
    TM_ASSIGN(Attr child, view.lookup(attr.ino, entry.name));
    TM_TRY(read_tree(view, child, path.empty() ? entry.name : path + "/" + entry.name, seen));
  }
  return Status();
}

Status read_point(Group& group, Seq point, Seen& seen) {
  TM_ASSIGN(auto view, group.view(point));
  TM_ASSIGN(Attr root, view->get_attr(kRootIno));
  return read_tree(*view, root, "", seen);
}

GroupOptions small_options() {
  GroupOptions options;
  options.log.segment_bytes = 256 * 1024;
  options.index_write_buffer_bytes = 64 * 1024;
  return options;
}

// The volume that is damaged, and what it shows at some of its points.
struct Original {
  std::string directory;
  std::vector<fs::path> files;  // below the directory, those with content
  std::map<Seq, Tree> expected;
  Seq newest;

  Original(const std::string& where, uint64_t seed) : directory(where) {
    REQUIRE(Group::init(directory, {.name = "test"}, small_options()).ok());
    {
      auto group = Group::open(directory, OpenMode::kPrimary, small_options()).value();
      RandomOps ops(group->volume(), seed);
      for (int i = 0; i < 500; ++i) {
        ops.step();
        if (i % 100 == 99) REQUIRE(group->create_mark({.name = "m" + std::to_string(i)}).ok());
        if (i % 150 == 149) REQUIRE(group->checkpoint().ok());
      }
      newest = group->newest();
    }
    std::ofstream(directory + "/pairs.json") << seal_json({{"format", 1}, {"pairs", nlohmann::ordered_json::array()}});
    auto group = Group::open(directory, OpenMode::kRead, small_options()).value();
    for (uint64_t part = 1; part <= 4; ++part) {
      const Seq point(newest.value() * part / 4);
      Seen seen;
      REQUIRE(read_point(*group, point, seen).ok());
      REQUIRE(seen.damaged.empty());
      expected[point] = std::move(seen.tree);
    }
    for (const auto& entry : fs::recursive_directory_iterator(directory)) {
      if (entry.is_regular_file() && entry.file_size() > 0) files.push_back(fs::relative(entry.path(), directory));
    }
    std::sort(files.begin(), files.end());
  }

  [[nodiscard]] uint64_t sum() const {
    uint64_t all = 0;
    for (const fs::path& file : files) {
      if (file != "lock")
        all = hash64(as_bytes(read_file(posix_file_system(), directory + "/" + file.string()).value()), all);
    }
    return all;
  }
};

struct Flip {
  fs::path file;
  uint64_t byte = 0;
  unsigned bit = 0;
  [[nodiscard]] std::string text() const {
    return file.string() + " byte " + std::to_string(byte) + " bit " + std::to_string(bit);
  }
};

// The volume with one bit flipped. Only the flipped file is a copy, and the lock; nothing writes into the others.
void make_damaged(const Original& original, const std::string& directory, const Flip& flip) {
  for (const auto& entry : fs::recursive_directory_iterator(original.directory)) {
    const fs::path file = fs::relative(entry.path(), original.directory);
    const fs::path to = fs::path(directory) / file;
    fs::create_directories(entry.is_directory() ? to : to.parent_path());
    if (!entry.is_regular_file()) continue;
    if (file == flip.file || file == "lock") {
      fs::copy_file(entry.path(), to);
    } else {
      fs::create_hard_link(entry.path(), to);
    }
  }
  std::fstream file(fs::path(directory) / flip.file, std::ios::in | std::ios::out | std::ios::binary);
  file.seekg(static_cast<std::streamoff>(flip.byte));
  const int value = file.get();
  file.seekp(static_cast<std::streamoff>(flip.byte));
  file.put(static_cast<char>(value ^ (1 << flip.bit)));
}

// Every byte of these is content: whatever is flipped in them must be found. In RocksDB's other files much is comment.
bool every_byte_matters(const fs::path& file) {
  return file.extension() == ".seg" || file.extension() == ".json" || file.extension() == ".sst";
}

class Round {
 public:
  Round(const Original& original, std::string directory, const Flip& flip)
      : original_(original), directory_(std::move(directory)), flip_(flip) {}

  // "" or what went wrong.
  std::string run() {
    make_damaged(original_, directory_, flip_);
    std::string wrong = check();
    if (wrong.empty()) wrong = read();
    fs::remove_all(directory_);
    return wrong.empty() ? "" : flip_.text() + ": " + wrong;
  }
  bool found = false;
  bool opened = false;

 private:
  std::string check() {
    auto findings = check_directory(directory_);
    if (!findings.ok()) return "check_directory: " + findings.status().text();
    auto log = verify_log(posix_file_system(), log_directory(directory_), kLatest, nullptr);
    if (!log.ok()) return "verify_log: " + log.status().text();
    for (const Finding& each : *findings) named_.insert(each.file);
    for (const LogDamage& each : log->damage) {
      named_.insert("log/" + each.segment);
      if (each.seq != Seq()) records_.push_back(each.seq);
    }
    found = !named_.empty();
    const std::string file = flip_.file.string();
    const bool named = named_.contains(file) || (file.starts_with("index/") && named_.contains("index"));
    if (found && !named) return "blames " + *named_.begin();
    if (!found && every_byte_matters(flip_.file)) return "not found by the check";
    return "";
  }

  std::string read() {
    auto group = Group::open(directory_, OpenMode::kPrimary, small_options());
    opened = group.ok();
    if (!group.ok()) {
      if (!found) return "does not open, and the check found nothing: " + group.status().text();
      if (group.status().code() != Code::kCorrupt) return "not called damage: " + group.status().text();
      GroupOptions options = small_options();
      options.salvage = true;
      group = Group::open(directory_, OpenMode::kRead, options);
      if (!group.ok()) return "not even salvaged: " + group.status().text();
    }
    if ((*group)->newest() != original_.newest) return "the newest records are gone";
    auto shown = (*group)->where_shown(records_);
    if (!shown.ok()) return "where_shown: " + shown.status().text();
    for (const auto& [point, expected] : original_.expected) {
      Seen seen;
      if (Status status = read_point(**group, point, seen); !status.ok()) {
        // Damage in a table of the index shows only here: the index is given up as a whole.
        return flip_.file.extension() == ".sst" && status.code() == Code::kCorrupt ? "" : "reading: " + status.text();
      }
      if (std::string wrong = compare(point, expected, seen, *shown); !wrong.empty()) return wrong;
    }
    return "";
  }

  std::string compare(Seq point, const Tree& expected, const Seen& seen, const std::vector<ShownDamage>& shown) const {
    for (const auto& [path, content] : expected) {
      if (seen.damaged.contains(path)) continue;
      const auto got = seen.tree.find(path);
      if (got == seen.tree.end()) return path + " is missing at seq " + std::to_string(point.value());
      if (got->second != content) return path + " reads wrong at seq " + std::to_string(point.value());
    }
    if (seen.tree.size() + seen.damaged.size() != expected.size()) return "more names than there were";
    if (!seen.damaged.empty() && !found) return "unreadable, and the check found nothing";
    for (const std::string& path : seen.damaged) {
      bool told = false;
      for (const ShownDamage& each : shown) told = told || (each.from <= point && point < each.until && each.path != "");
      if (!told) return path + " is damaged at seq " + std::to_string(point.value()) + ", and nobody says so";
    }
    return "";
  }

  const Original& original_;
  const std::string directory_;
  const Flip flip_;
  std::set<std::string> named_;
  std::vector<Seq> records_;
};

// Memory where there is any: each flip opens RocksDB, which syncs.
class FastScratch {
 public:
  FastScratch() {
    if (fs::is_directory("/dev/shm")) ::setenv("TMPDIR", "/dev/shm", 0);
    scratch_.emplace();
  }
  std::string operator/(const std::string& name) const { return *scratch_ / name; }

 private:
  std::optional<Scratch> scratch_;
};

}  // namespace

TEST_CASE("a flipped bit anywhere is found, named, and never read as data") {
  const uint64_t seed = Catch::rngSeed() != 0 ? Catch::rngSeed() : 20261120;
  std::cout << "seed " << seed << "\n";
  log_to_stderr(LogLevel::kError);  // thousands of reports of damage, as they should be
  FastScratch scratch;
  const Original original(scratch / "original", seed);
  const uint64_t sum = original.sum();
  const auto end = std::chrono::steady_clock::now() + kTimeMax;
  std::atomic<int> next{0};
  std::mutex mutex;
  std::vector<std::string> wrong;
  int found = 0, harmless = 0, closed = 0;
  std::map<std::string, int> rounds;
  const auto work = [&] {
    for (int round; (round = next++) < kFlipsMost;) {
      if (round >= kFlipsLeast && std::chrono::steady_clock::now() > end) return;
      std::mt19937_64 random(seed * kFlipsMost + static_cast<uint64_t>(round));
      Flip flip;
      do {  // every second time in the log, however small its share of the files is
        flip.file = original.files[random() % original.files.size()];
      } while (round % 2 == 0 && flip.file.extension() != ".seg");
      flip.byte = random() % fs::file_size(fs::path(original.directory) / flip.file);
      if (random() % 8 == 0) flip.byte = flip.byte % 256;  // headers
      flip.byte %= fs::file_size(fs::path(original.directory) / flip.file);
      flip.bit = static_cast<unsigned>(random() % 8);
      Round one(original, scratch / ("damaged" + std::to_string(round)), flip);
      const std::string problem = one.run();
      std::scoped_lock lock(mutex);
      if (!problem.empty()) wrong.push_back("round " + std::to_string(round) + ": " + problem);
      ++rounds[flip.file.extension().empty() ? flip.file.filename().string().substr(0, 8) : flip.file.extension().string()];
      ++(one.found ? found : harmless);
      if (!one.opened) ++closed;
    }
  };
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < kThreads; ++i) threads.emplace_back(work);
  for (std::thread& thread : threads) thread.join();
  log_to_stderr(LogLevel::kInfo);

  std::cout << found + harmless << " flips: " << found << " found, " << harmless << " of no consequence, " << closed
            << " volumes that opened only for salvage\n";
  for (const auto& [kind, count] : rounds) std::cout << "  " << kind << ": " << count << "\n";
  for (size_t i = 0; i < wrong.size() && i < 20; ++i) FAIL_CHECK(wrong[i]);
  CHECK(wrong.empty());
  CHECK(found + harmless >= kFlipsLeast);
  CHECK(closed > 0);
  CHECK(original.sum() == sum);  // nothing wrote into what was shared
}

}  // namespace tidemark::test
