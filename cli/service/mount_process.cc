#include "cli/service/mount_process.h"

#include "base/logging.h"
#include "base/pinned.h"
#include "cli/service/closing.h"
#include "cli/service/control.h"
#include "cli/service/group_control.h"
#include "cli/service/signals.h"
#include "fs/mount.h"
#include "replicator/remote/site_source.h"
#include "replicator/source/pair.h"
#include "replicator/source/pair_history.h"
#include "replicator/source/shipper.h"
#include "volume/check/scrub.h"
#include "volume/group/group.h"
#include "volume/history/history_keeper.h"

namespace tidemark::cli {
namespace {

constexpr std::chrono::milliseconds kDrainTimeout{2000};  // what a pair still lacks after it is shipped after the next mount

MountOptions mount_options(const MountJob& job, const std::string& source_name) {
  MountOptions options;
  options.mountpoint = job.mountpoint;
  options.options = job.options;
  options.source_name = source_name;
  return options;
}

// Serves until unmounted or told to stop by a signal.
Status serve_until_stopped(Mount& mount, const std::string& what, Readiness& readiness) {
  StopOnSignal stop([&mount] { mount.stop(); });
  log_info(what);
  readiness.ready();
  return mount.serve();
}

Status serve_live(Group& group, const MountJob& job, Readiness& readiness) {
  TM_ASSIGN(auto mount, Mount::create({&group, nullptr}, mount_options(job, group.directory())));
  TM_ASSIGN(std::unique_ptr<Shipper> shipper, Shipper::start(group));
  auto history =
      std::make_unique<HistoryKeeper>(group, history_options_with_pairs(group, [&shipper] { return shipper.get(); }));
  TM_ASSIGN(auto control, ControlServer::start(group.directory(), control_handler({&group, mount.get(), nullptr,
                                                                                   shipper.get(), job.mountpoint})));
  // A read that comes upon damage has the record fetched again from a site. The pairs are read from their file: a shipper may be
  // what reads, and hold the lock of its pair.
  group.log().set_record_source(make_site_source(group.identity(), [directory = group.directory()] {
    std::vector<PairConfig> configs;
    auto pairs = load_pairs(directory);
    for (const Pair& pair : pairs.ok() ? *pairs : std::vector<Pair>()) configs.push_back(pair.config);
    return configs;
  }));
  std::unique_ptr<Scrubber> scrubber = Scrubber::start();
  scrubber->add(group);
  Status served = serve_until_stopped(*mount, group.directory() + " is mounted at " + job.mountpoint, readiness);
  scrubber.reset();
  history.reset();
  control.reset();
  group.log().set_record_source(nullptr);
  if (Status drained = shipper->drain(kDrainTimeout); !drained.ok()) log_warning(drained.text());
  shipper->stop();
  return served;
}

Status mount_live(const MountJob& job, Readiness& readiness) {
  GroupOptions options;
  options.purpose = kMountPurpose + job.mountpoint;
  TM_TRY(wait_until_closed(job.source.directory));
  TM_TRY(use_history(options, job.history));
  TM_ASSIGN(auto group, Group::open(job.source.directory, OpenMode::kPrimary, options));
  if (!group->recovery().text.empty()) log_info(group->recovery().text);
  Status served = serve_live(*group, job, readiness);
  Status closed = group->close();
  if (served.ok() && closed.ok()) log_info(where_now(job.source.directory) + " is unmounted and closed");
  return served.ok() ? closed : served;
}

Status mount_point(const MountJob& job, Readiness& readiness) {
  TM_ASSIGN(Reader reader, Reader::open(job.source, job.keys, job.salvage));
  if (!reader.damage().ok()) log_warning("the volume is damaged; only its sound part is shown: " + reader.damage().text());
  TM_ASSIGN(Seq point, reader.point());
  TM_ASSIGN(std::shared_ptr<TreeView> view, reader.view(point));
  std::string shown = job.source.point.empty() ? "seq:" + std::to_string(view->point().value()) : job.source.point;
  std::string name = (job.source.remote ? job.source.text : job.source.directory) + "@" + shown;
  TM_ASSIGN(auto mount, Mount::create({nullptr, view}, mount_options(job, name)));
  view.reset();
  Status served = serve_until_stopped(*mount, name + " is mounted at " + job.mountpoint + ", read-only", readiness);
  mount.reset();  // before the reader: it still shows the view
  return served;
}

}  // namespace

Status run_mount(const MountJob& job, Readiness& readiness) {
  if (job.source.remote || job.salvage || !job.source.point.empty()) return mount_point(job, readiness);
  TM_ASSIGN(GroupIdentity identity, Group::identify(job.source.directory));
  return identity.role == Role::kPrimary ? mount_live(job, readiness) : mount_point(job, readiness);
}

}  // namespace tidemark::cli
