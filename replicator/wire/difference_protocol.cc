#include "replicator/wire/difference_protocol.h"

#include "log/format/position.h"

namespace tidemark {
namespace {

Status malformed(std::string_view what) { return Status(Code::kCorrupt, "malformed " + std::string(what)); }

}  // namespace

std::string encode_offer(const DifferenceOffer& offer, uint64_t session) {
  MessageWriter writer;
  Encoder body = writer.body();
  put_position(body, offer.from);
  put_position(body, offer.target.base);
  body.put(offer.target.time_ns).put(offer.target.tombstones_from.value());
  body.put(offer.target.next_ino.value()).put(offer.target.next_mark.value()).put(offer.target.inodes);
  body.put_raw(as_text(offer.target.group));
  return writer.finish(MessageType::kOffer, session, 0);
}

Result<DifferenceOffer> decode_offer(Bytes bytes) {
  Decoder body(bytes);
  DifferenceOffer offer;
  offer.from = get_position(body);
  offer.target.base = get_position(body);
  offer.target.time_ns = body.get<int64_t>();
  offer.target.tombstones_from = Seq(body.get<uint64_t>());
  offer.target.next_ino = Ino(body.get<uint64_t>());
  offer.target.next_mark = MarkId(body.get<uint64_t>());
  offer.target.inodes = body.get<uint64_t>();
  const Bytes group = body.get_raw(offer.target.group.size());
  if (!body.finished()) return malformed("OFFER");
  std::copy(group.begin(), group.end(), offer.target.group.begin());
  // Nothing that counts up from here may go over.
  if (offer.target.base.seq.value() >= UINT64_MAX / 2) return malformed("OFFER");
  return offer;
}

std::string encode_accept(const Accept& accept, uint64_t session) {
  MessageWriter writer;
  writer.body().put(accept.next_ino.value()).put(accept.staged.value());
  return writer.finish(MessageType::kAccept, session, 0);
}

Result<Accept> decode_accept(Bytes bytes) {
  Decoder body(bytes);
  Accept accept;
  accept.next_ino = Ino(body.get<uint64_t>());
  accept.staged = Seq(body.get<uint64_t>());
  if (!body.finished()) return malformed("ACCEPT");
  return accept;
}

std::string encode_difference(const DifferencePart& part, uint64_t session, uint64_t number) {
  CHECK_INVARIANT(part.piece.kind != DifferencePiece::Kind::kNothing);
  MessageWriter writer;
  Encoder body = writer.body();
  body.put(static_cast<uint8_t>(part.piece.kind));
  if (part.piece.kind != DifferencePiece::Kind::kEnd) {
    body.put_raw(as_text(part.piece.bytes));
  } else {
    const size_t held = part.held_marks ? part.held_marks->size() : 0;
    CHECK_INVARIANT(held <= kHeldMarksMax);
    body.put(static_cast<uint8_t>(part.held_marks.has_value())).put(static_cast<uint32_t>(held));
    for (size_t i = 0; i < held; ++i) body.put((*part.held_marks)[i].value());
  }
  return writer.finish(MessageType::kDifference, session, number);
}

Result<DifferencePart> decode_difference(Bytes bytes) {
  Decoder body(bytes);
  DifferencePart part;
  part.piece.kind = static_cast<DifferencePiece::Kind>(body.get<uint8_t>());
  switch (part.piece.kind) {
    case DifferencePiece::Kind::kRecords:
    case DifferencePiece::Kind::kRows:
      part.piece.bytes = body.rest();
      if (body.failed() || part.piece.bytes.empty() || part.piece.bytes.size() > kRunMax) return malformed("DIFFERENCE");
      return part;
    case DifferencePiece::Kind::kEnd: {
      const auto said = body.get<uint8_t>();
      const auto count = body.get<uint32_t>();
      if (said > 1 || count > kHeldMarksMax || (said == 0 && count != 0)) return malformed("DIFFERENCE");
      if (said == 1) part.held_marks.emplace();
      for (uint32_t i = 0; i < count; ++i) part.held_marks->push_back(MarkId(body.get<uint64_t>()));
      if (!body.finished()) return malformed("DIFFERENCE");
      return part;
    }
    default: return malformed("DIFFERENCE");
  }
}

}  // namespace tidemark
