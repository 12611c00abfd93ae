// What is remembered of how far a log was durable: DIR/log/durable. Damage at or before it is never taken for a torn tail, whatever the
// records themselves can prove (those of another site prove nothing here).
//
// The file has two slots, 4,096 bytes apart, written in turn: so a write that is torn leaves the one before. A slot:
//   byte  size  field
//      0     8  magic      TIDEDURA
//      8     2  version    2; 1: there is no `settled`, and the check covers bytes 0..63
//     10     6             0
//     16    16  group
//     32    24  position   epoch, seq, chain of a record that was durable, with all before it, when this was written
//     56     8  boot       XXH3-64 of the machine's boot id then; 0: not known
//     64     8  settled    of a copy: records up to this seq are durable at its source, as that had said
//     72     8  check      XXH3-64 over bytes 0..71
#pragma once

#include <memory>
#include <string>

#include "base/file.h"
#include "log/format/body.h"
#include "log/format/record.h"

namespace tidemark {

struct DurableKnowledge {
  Position position;  // zeros: nothing is known
  Seq settled;
  bool same_boot = false;  // the machine has not been started anew since: what programs had written by then is not torn
};
// A note that is missing, damaged or another group's counts as none.
DurableKnowledge read_durable_note(FileSystem& files, const std::string& directory, const GroupId& group);

// Writes it. Not thread-safe.
class DurableNote {
 public:
  DurableNote(FileSystem& files, std::string directory, const GroupId& group);
  // Durable on return. Costs one fdatasync into a block that exists, except the first time.
  Status write(const Position& position, Seq settled);
  // The log ends earlier from now on: neither slot says more.
  Status lower(const Position& position, Seq settled);
  [[nodiscard]] Seq noted() const { return known_.position.seq; }
  [[nodiscard]] Seq settled() const { return known_.settled; }

 private:
  Status open();

  FileSystem& files_;
  const std::string directory_;
  const GroupId group_;
  const uint64_t boot_;
  std::unique_ptr<File> file_;
  DurableKnowledge known_;
  uint64_t next_slot_ = 0;
};

}  // namespace tidemark
