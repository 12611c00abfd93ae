// A site or a primary as a process, for tests that stop and kill one.
//   replicator_peer site DIR LISTEN [KEY ALLOW]  first line: the endpoint
//   replicator_peer primary DIR SITE ENDPOINT    opens DIR, ships it, and writes and syncs until it is killed; first line: "up"
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <string>
#include <vector>

#include "base/logging.h"
#include "replicator/pair.h"
#include "replicator/site.h"

namespace tidemark {
namespace {

GroupOptions options() {
  GroupOptions made;
  made.index_cache_bytes = 32u << 20;
  made.index_write_buffer_bytes = 16u << 20;
  return made;
}

int fail(const Status& status) {
  std::fprintf(stderr, "%s\n", status.text().c_str());
  return 1;
}

int run_site(const std::vector<std::string>& arguments) {
  SiteOptions settings;
  settings.directory = arguments[1];
  settings.listen = arguments[2];
  if (arguments.size() == 5) {
    settings.key = arguments[3];
    settings.allow = arguments[4];
  }
  settings.group = options();
  Result<std::unique_ptr<Site>> site = Site::open(settings);
  if (!site.ok()) return fail(site.status());
  std::printf("%s\n", (*site)->endpoint().c_str());
  std::fflush(stdout);
  Status ended = (*site)->serve();
  return ended.ok() ? 0 : fail(ended);
}

int run_primary(const std::string& directory, const std::string& site, const std::string& endpoint) {
  Result<std::unique_ptr<Group>> opened = Group::open(directory, OpenMode::kPrimary, options());
  if (!opened.ok()) return fail(opened.status());
  Group& group = **opened;
  if (Status saved = save_pairs(directory, {{{site, endpoint, "", ""}, {}}}); !saved.ok()) return fail(saved);
  Result<std::unique_ptr<Shipper>> shipper = Shipper::start(group);
  if (!shipper.ok()) return fail(shipper.status());
  std::printf("up\n");
  std::fflush(stdout);
  std::string content(100'000, 'x');
  for (uint64_t i = 0;; ++i) {
    NewNode node;
    node.mode = S_IFREG | 0644;
    std::string name = "n" + std::to_string(getpid()) + "-" + std::to_string(i);
    Result<Attr> made = group.volume().make_node(kRootIno, name, node);
    if (!made.ok()) return fail(made.status());
    content[i % content.size()] = static_cast<char>('a' + i % 26);
    if (Result<Attr> written = group.volume().write(made->ino, 0, as_bytes(content), false); !written.ok()) {
      return fail(written.status());
    }
    if (Status synced = group.sync(); !synced.ok()) return fail(synced);
  }
}

}  // namespace
}  // namespace tidemark

int main(int argc, char** argv) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);  // a test that dies takes it along
  tidemark::log_to_stderr(tidemark::LogLevel::kError);
  std::vector<std::string> arguments(argv + 1, argv + argc);
  if ((arguments.size() == 3 || arguments.size() == 5) && arguments[0] == "site") return tidemark::run_site(arguments);
  if (arguments.size() == 4 && arguments[0] == "primary") {
    return tidemark::run_primary(arguments[1], arguments[2], arguments[3]);
  }
  return 2;
}
