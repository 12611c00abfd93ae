// When a copy's source was last heard, and how far it was: DIR/GROUP/heard. After a loss of both ends this is what says how old the copy is.
//
// One block, written in place about once a second and never synced: it survives the site's process, and a loss of power costs about as long
// as the kernel keeps what is written (half a minute). site.json has a time that is durable, of the last change.
//   byte  size  field
//      0     8  magic    TIDEHEAR
//      8     8  time     i64 ns, wall time here of the source's newest message
//     16     8  newest   u64, newest record that it said is durable there
//     24     8  check    XXH3-64 over bytes 0..23
#pragma once

#include <tidemark/types.h>

#include <cstdint>
#include <memory>
#include <string>

#include "base/file.h"

namespace tidemark {

struct Heard {
  int64_t time_ns = 0;  // 0: not known
  Seq newest;
};

// What is missing or damaged counts as not known.
Heard read_heard(FileSystem& files, const std::string& directory);

// Writes it. Not thread-safe.
class HeardNote {
 public:
  HeardNote(FileSystem& files, std::string directory) : files_(files), directory_(std::move(directory)) {}
  Status write(const Heard& heard);

 private:
  FileSystem& files_;
  const std::string directory_;
  std::unique_ptr<File> file_;
};

}  // namespace tidemark
