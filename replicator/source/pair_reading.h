// What a pair has to read from its disk before it can send more. PairCore orders it and takes the message; whoever runs the pair reads,
// without the pair's lock: a disk may take its time, and what is damaged is fetched from a site meanwhile.
#pragma once

#include <memory>

#include "log/read/cursor.h"
#include "replicator/wire/protocol.h"
#include "replicator/wire/socket.h"
#include "volume/group/group.h"

namespace tidemark {

struct PairReading {
  enum class Kind {
    kRun,         // records, as they lie in the log
    kDifference,  // a difference that is to be offered
    kPiece,       // a piece of it
    kFetched,     // records that the site wants again
  } kind = Kind::kRun;
  uint64_t session = 0;
  size_t bytes_max = 0;
  std::shared_ptr<LogCursor> cursor;             // kRun
  Seq last;                                      // kRun: not above
  bool tells = true;                             // kRun: the site may be told what is settled here
  Seq from;                                      // kDifference: where the site stands
  std::shared_ptr<DifferenceReader> difference;  // kPiece
  FetchRequest fetch;                            // kFetched
  uint64_t request = 0;                          // kPiece: the number of the piece; kFetched: that of the question
};

struct PairMessage {
  PairReading::Kind kind = PairReading::Kind::kRun;
  uint64_t session = 0;
  bool ready = false;  // false: there is nothing to send yet
  Message message;     // DATA or DIFFERENCE
  Seq settled;         // kRun: what the message says of it
  Seq last;            // kRun
  Location begin, end;
  bool whole = false;                            // kPiece: the last one
  std::shared_ptr<DifferenceReader> difference;  // kDifference
  std::string answer;                            // kFetched
};

Result<PairMessage> read_for(const PairReading& wanted, Group& group);

}  // namespace tidemark
