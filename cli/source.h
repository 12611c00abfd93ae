// SOURCE as written on the command line: what is meant by it. The only place that takes one apart.
//
//   DIR  DIR@POINT                       a volume's directory
//   PATH PATH@POINT                      anything inside a mount stands for the volume mounted there, whatever files it holds
//   tcp://HOST:PORT/GROUP[@POINT]        a group at a site (ipc://PATH/GROUP likewise)
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "fs/mount.h"
#include "replicator/remote/remote.h"

namespace tidemark::cli {

struct SourceText {
  std::string base;
  std::string point;  // "" where none is written
  bool has_point = false;
};
// Takes the point off. Of several '@' the last counts, as no point can hold one; where the whole text exists as a path it is a
// path ("a directory that exists wins").
SourceText split_source(std::string_view text, const std::function<bool(const std::string&)>& exists);

struct Source {
  std::string text;  // for messages: without the point
  bool remote = false;
  RemoteAddress address;                        // remote only
  std::string directory;                        // local only: absolute
  std::string point;                            // "" where none was given
  std::string mountpoint;                       // where the text was a path in a mount
  std::string inside;                           // likewise: the path below the mountpoint, without a leading '/'
  [[nodiscard]] std::string full_text() const;  // text@point
};

// `at` is the value of --at; giving it and another @POINT is kInvalid. kNotFound: nothing there, with what would be.
Result<Source> find_source(std::string_view text, const std::string& at);

// Absolute, without "." and "..", symlinks resolved as far as the path exists; also for a mountpoint whose daemon is gone.
std::string absolute_path(const std::string& path);

// What is mounted there: the mount's source, or where that directory is now, if it was renamed since.
std::string mounted_now(const MountedVolume& mount);

// The mount that `path` (absolute) is in; null if none. Of nested mounts the innermost.
const MountedVolume* find_mount(const std::vector<MountedVolume>& mounts, const std::string& path);

}  // namespace tidemark::cli
