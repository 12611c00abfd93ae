// Importing is a restore with the sides exchanged: the tree is a directory of this machine, the target a live volume.
#include <chrono>

#include "restore/executor.h"
#include "restore/native_view.h"
#include "restore/volume_target.h"
#include "volume/group/group.h"

namespace tidemark {

Result<RestoreReport> import_directory(const std::string& from, Group& into, const RestoreOptions& options) {
  auto begun = std::chrono::steady_clock::now();
  Warnings warnings;
  TM_ASSIGN(std::unique_ptr<NativeView> view, NativeView::open(from, into.directory(), warnings));
  RestoreReport report;
  TM_ASSIGN(report.plan, make_plan(*view, {options.include, options.jobs, options.interrupted, &warnings}));
  TM_ASSIGN(Tree tree, tree_of(report.plan));
  {
    VolumeSink sink(tree, into.volume());
    ExecuteOptions execute = execute_options(options);
    execute.vanishing = true;
    Status written = write_tree(*view, tree, sink, warnings, execute);
    if (written.ok()) written = into.sync();
    if (!written.ok()) {
      return Status(written.code(), written.text() + "; the import is incomplete: the volume holds only part of the tree",
                    written.sys_errno());
    }
  }
  report.warnings = warnings.take();
  report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
  return report;
}

}  // namespace tidemark
