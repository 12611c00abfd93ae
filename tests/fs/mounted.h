// A volume mounted for a test, served by a process of its own as in real life: a test that served itself could wait for itself.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "tests/support/scratch.h"

namespace tidemark::test {

// False, with a loud word, where nothing can be mounted here. In CI that is a failure.
bool can_mount();
// False, with a word, for whoever is not root.
bool is_root();

struct MountSetup {
  std::vector<std::string> options;
  std::string point;  // mounts this point instead of the live tree
  int commit_interval_ms = 100;
  std::string mountpoint;   // another one than path()
  std::string source_name;  // "": the volume's directory
  unsigned user = 0;        // the daemon runs as this user and group
  bool serve = true;        // false: only mounts, and ends
  std::string site;         // a pair with this site is pretended, whose watermark never moves by itself
  bool sync_pair = false;   // what is to be durable has to be durable there, too: see site()
};

class Mounted {
 public:
  explicit Mounted(MountSetup setup = {});
  ~Mounted();
  Mounted(const Mounted&) = delete;
  Mounted& operator=(const Mounted&) = delete;

  [[nodiscard]] const std::string& path() const { return mountpoint_; }
  [[nodiscard]] std::string operator/(const std::string& name) const { return mountpoint_ + "/" + name; }
  [[nodiscard]] const std::string& volume() const { return volume_; }
  [[nodiscard]] Scratch& scratch() { return scratch_; }
  [[nodiscard]] pid_t daemon() const { return daemon_; }

  // Starts a daemon for the same volume and mountpoint. "" or why it failed.
  std::string start(MountSetup setup);
  // As whoever mounted it; then the daemon's exit code (0: its log is closed).
  int unmount();
  void kill();         // SIGKILL: the mountpoint stays, dead
  int wait_for_end();  // of the daemon: its exit code

  // Asks the daemon.
  struct Seqs {
    uint64_t appended = 0;
    uint64_t durable = 0;
    uint64_t unnamed = 0;  // inodes without a name, at most 1000
  };
  Seqs seqs();
  std::string mark(const std::string& name, const std::string& wait = "");  // through Mount::mark(): "" or the error
  void stop();                                                              // through Mount::stop()
  // Of the pretended sync pair: "slow" acknowledges nothing new, "quick" everything, "lost" fences the volume.
  void site(const std::string& is);

 private:
  std::string ask(const std::string& command);

  Scratch scratch_;
  std::string volume_;
  std::string mountpoint_;
  pid_t daemon_ = -1;
  unsigned user_ = 0;
  int control_ = -1;
};

// Runs `body` as user and group `id` in a process of its own; its return value (0 … 125).
int as_user(unsigned id, const std::function<int()>& body);
// Runs a command; its output, and "exit N" where N is not 0.
std::string run(const std::string& command);

std::string read_file(const std::string& path);
void write_file(const std::string& path, const std::string& content);

}  // namespace tidemark::test
