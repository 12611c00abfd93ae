#include "restore/volume_target.h"

#include <sys/stat.h>
#include <unistd.h>

#include <chrono>

#include "restore/executor.h"
#include "volume/group/group.h"

namespace tidemark {
namespace {

// An inode is born with at most this much of extended attributes: they travel in one record. The others follow.
constexpr size_t kBornXattrBytesMax = 64 * 1024;

SetAttr times_of(const Attr& attr) {
  SetAttr change;
  change.mask = kSetAtime | kSetMtime;
  change.atime = attr.atime;
  change.mtime = attr.mtime;
  return change;
}

// How many of the entry's extended attributes go into the record that makes it.
size_t born_xattrs(const PlanEntry& entry) {
  size_t bytes = 0;
  size_t count = 0;
  for (const auto& [name, value] : entry.xattrs) {
    bytes += name.size() + value.size() + sizeof(uint64_t);
    if (bytes > kBornXattrBytesMax) break;
    ++count;
  }
  return count;
}

class VolumeFile final : public SinkFile {
 public:
  VolumeFile(VolumeSink& sink, Volume& volume, const Attr& attr, size_t index, Ino ino)
      : sink_(sink), volume_(volume), attr_(attr), index_(index), ino_(ino) {}
  ~VolumeFile() override {
    if (!finished_) sink_.take_back(index_);
  }

  Status write(uint64_t at, Bytes data) override {
    Result<Attr> written = volume_.write(ino_, at, data, true);
    if (!written.ok()) return written.status();
    if (at + data.size() == attr_.size) reached_end_ = true;
    return Status();
  }

  Status finish() override {
    SetAttr change = times_of(attr_);
    if (!reached_end_ && attr_.size != 0) {  // it ends in a hole
      change.mask |= kSetSize;
      change.size = attr_.size;
    }
    Result<Attr> set = volume_.set_attr(ino_, change);
    if (!set.ok()) return set.status();
    finished_ = true;
    return Status();
  }

 private:
  VolumeSink& sink_;
  Volume& volume_;
  const Attr& attr_;
  size_t index_;
  Ino ino_;
  std::atomic<bool> reached_end_{false};
  bool finished_ = false;
};

}  // namespace

VolumeSink::VolumeSink(const Tree& tree, Volume& volume) : tree_(tree), volume_(volume), made_(tree.plan.entries.size()) {}

Result<Ino> VolumeSink::make_node(size_t index) {
  const Attr& attr = tree_.entry(index).attr;
  const PlanEntry& details = tree_.details(index);
  NewNode node;
  node.mode = attr.mode;
  node.uid = attr.uid;
  node.gid = attr.gid;
  node.device = attr.device;
  node.symlink_target = details.symlink_target;
  size_t born = born_xattrs(details);
  node.xattrs.assign(details.xattrs.begin(), details.xattrs.begin() + static_cast<ptrdiff_t>(born));
  TM_ASSIGN(Attr made, volume_.make_node(made_[tree_.parents[index]], tree_.name(index), node));
  made_[index] = made.ino;
  for (size_t i = born; i < details.xattrs.size(); ++i) {
    const auto& [name, value] = details.xattrs[i];
    TM_TRY(volume_.set_xattr(made.ino, name, value, Volume::XattrMode::kEither));
  }
  return made.ino;
}

Status VolumeSink::make_directory(size_t index) {
  if (index != 0) {
    TM_ASSIGN(Ino made, make_node(index));
    static_cast<void>(made);
    return Status();
  }
  made_[0] = volume_.root();
  for (const auto& [name, value] : tree_.entry(0).xattrs) {
    TM_TRY(volume_.set_xattr(volume_.root(), name, value, Volume::XattrMode::kEither));
  }
  return Status();
}

Result<std::unique_ptr<SinkFile>> VolumeSink::make_file(size_t index) {
  TM_ASSIGN(Ino ino, make_node(index));
  return std::unique_ptr<SinkFile>(std::make_unique<VolumeFile>(*this, volume_, tree_.entry(index).attr, index, ino));
}

void VolumeSink::take_back(size_t index) {
  Result<Attr> gone = volume_.unlink(made_[tree_.parents[index]], tree_.name(index));
  if (gone.ok()) static_cast<void>(volume_.free_inodes({made_[index]}));
  made_[index] = Ino();
}

Status VolumeSink::make_other(size_t index) {
  TM_ASSIGN(Ino made, make_node(index));
  Result<Attr> set = volume_.set_attr(made, times_of(tree_.entry(index).attr));
  return set.ok() ? Status() : set.status();
}

Status VolumeSink::make_link(size_t index, size_t first) {
  if (made_[first] == Ino()) return Status(Code::kNotFound, "the original was left out");
  Result<Attr> linked = volume_.link(made_[first], made_[tree_.parents[index]], tree_.name(index));
  if (!linked.ok()) return linked.status();
  made_[index] = made_[first];
  return Status();
}

Status VolumeSink::finish_directory(size_t index) {
  const Attr& attr = tree_.entry(index).attr;
  SetAttr change = times_of(attr);
  if (index == 0) {
    change.mask |= kSetMode | kSetUid | kSetGid;
    change.mode = attr.mode & 07777;
    change.uid = attr.uid;
    change.gid = attr.gid;
  }
  Result<Attr> set = volume_.set_attr(made_[index], change);
  return set.ok() ? Status() : set.status();
}

namespace {

Status write_group(TreeView& view, const Tree& tree, Group& group, Warnings& warnings, const RestoreOptions& options) {
  VolumeSink sink(tree, group.volume());
  TM_TRY(write_tree(view, tree, sink, warnings, execute_options(options)));
  MarkRequest mark;
  mark.name = "restored";
  mark.note = "restored from " + point_text(tree.plan.point);
  mark.application = "tidemark restore";
  mark.pid = static_cast<uint32_t>(::getpid());
  mark.uid = ::getuid();
  Result<Mark> made = group.create_mark(mark);
  return made.ok() ? Status() : made.status().within("mark 'restored'");
}

}  // namespace

Result<RestoreReport> restore_to_volume(TreeView& view, const RestoreOptions& options, const std::string& name) {
  auto begun = std::chrono::steady_clock::now();
  RestoreReport report;
  TM_ASSIGN(report.plan, make_plan(view, {options.include, options.jobs, options.interrupted, nullptr}));
  TM_ASSIGN(Tree tree, tree_of(report.plan));
  const Attr& root = tree.entry(0).attr;
  const std::string unfinished = "restored from " + point_text(report.plan.point);
  TM_TRY(Group::init(options.target, {name, root.mode & 07777, root.uid, root.gid, unfinished}, options.volume));
  GroupOptions group_options = options.volume;
  group_options.purpose = "being restored";
  group_options.finishing = true;
  TM_ASSIGN(std::unique_ptr<Group> group, Group::open(options.target, OpenMode::kPrimary, group_options));
  Warnings warnings;
  Status written = write_group(view, tree, *group, warnings, options);
  Status closed = group->close();
  if (written.ok()) written = closed;
  if (written.ok()) written = Group::declare_finished(options.target, *options.volume.files);
  if (!written.ok()) {
    return Status(written.code(),
                  written.text() + "; the restore is incomplete: the volume in " + options.target +
                      " holds only part of the tree; remove it",
                  written.sys_errno());
  }
  report.damaged = warnings.take_damage();
  report.warnings = warnings.take();
  report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
  return report;
}

}  // namespace tidemark
