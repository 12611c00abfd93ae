#include "replicator/source/pair_reading.h"

#include "log/read/cursor.h"
#include "replicator/wire/difference_protocol.h"

namespace tidemark {
namespace {

Status read_run(const PairReading& wanted, const Group& group, PairMessage& out) {
  TM_ASSIGN(const LogCursor::Run run, wanted.cursor->read(wanted.bytes_max, wanted.last));
  if (run.bytes.empty()) return Status();
  out.message = Message(kWireHeaderSize + kDataFixed + run.bytes.size());
  out.settled = wanted.tells ? group.settled() : Seq();
  encode_data_message(out.message.span(), {run.first, run.last, run.bytes, out.settled}, wanted.session, 0);
  out.last = run.last;
  out.begin = run.location;
  out.end = {run.location.segment, run.location.offset + static_cast<uint32_t>(run.bytes.size())};
  out.ready = true;
  return Status();
}

Status read_piece(const PairReading& wanted, PairMessage& out) {
  DifferencePart part;
  TM_ASSIGN(part.piece, wanted.difference->next(wanted.bytes_max));
  if (part.piece.kind == DifferencePiece::Kind::kNothing) return Status();
  out.whole = part.piece.kind == DifferencePiece::Kind::kEnd;
  if (out.whole) part.held_marks = wanted.difference->held_marks();
  out.message = Message::own(encode_difference(part, wanted.session, wanted.request));
  out.ready = true;
  return Status();
}

// As it lies here: what is damaged here too is not fetched from anybody, least of all from the site that asks.
std::string read_again(const PairReading& wanted, Log& log) {
  const FetchRequest& fetch = wanted.fetch;
  if (fetch.packed) {
    auto packed = log.read_packed(fetch.from, wanted.bytes_max);
    return packed.ok() && packed->size() <= kRunMax ? std::move(*packed) : std::string();
  }
  if (fetch.from > log.durable()) return "";
  LogCursor cursor(log, fetch.from);
  cursor.leave_damage();
  const auto run = cursor.read(wanted.bytes_max, log.durable());
  return run.ok() ? std::string(as_text(run->bytes)) : "";
}

}  // namespace

Result<PairMessage> read_for(const PairReading& wanted, Group& group) {
  PairMessage out;
  out.kind = wanted.kind;
  out.session = wanted.session;
  switch (wanted.kind) {
    case PairReading::Kind::kRun: TM_TRY(read_run(wanted, group, out)); break;
    case PairReading::Kind::kPiece: TM_TRY(read_piece(wanted, out)); break;
    case PairReading::Kind::kFetched:
      out.answer = encode_fetched(read_again(wanted, group.log()), wanted.session, wanted.request);
      out.ready = true;
      break;
    case PairReading::Kind::kDifference: {
      Position from;
      if (wanted.from != Seq()) {
        TM_ASSIGN(from, group.log().position_at(wanted.from));
      }
      TM_ASSIGN(out.difference, group.read_difference(from));
      out.ready = true;
    }
  }
  return out;
}

}  // namespace tidemark
