// Reading and checking every byte of a log's floor and packs, going on after damage.
#include "log/repair/pack_verify.h"

#include <algorithm>

#include "log/format/record_walker.h"
#include "log/repair/digests.h"
#include "log/repair/verify.h"

namespace tidemark {

RecordFault check_packed_record(Bytes whole, RecordHeader& header) {
  RecordWalker walker(whole, Position(), {.order = false});
  const auto step = walker.next();  // memory can be read
  header = walker.record().header;
  if (*step == RecordWalker::Step::kRecord)
    return walker.next_at() == whole.size() ? RecordFault::kNone : RecordFault::kHeaderDamaged;
  const bool unwritten = *step == RecordWalker::Step::kEnd || walker.fault() == RecordFault::kUnwritten;
  return unwritten ? RecordFault::kHeaderDamaged : walker.fault();
}

Status check_pack_content(const Pack& pack, const std::function<void(const LogDamage&)>& report,
                          const std::function<Status(uint64_t bytes)>& advance) {
  TM_ASSIGN(const auto spoilt, pack.spoilt());
  for (const Pack::Spoilt& each : spoilt) {
    report({pack_name(pack.info()), each.at, Seq(), Ino(), RecordFault::kHeaderDamaged});
  }
  Seq last;
  Buffer buffer(kRecordHeaderSize + kPayloadMax + kRecordAlignment);
  return pack.entries([&](const PackEntry& entry) -> Status {
    const LogDamage place{pack_name(pack.info()), entry.at, Seq(), Ino(), RecordFault::kHeaderDamaged};
    if (entry.size > buffer.size()) {
      report(place);
      return advance(0);
    }
    TM_ASSIGN(const size_t got, pack.records()->read(entry.at, buffer.span().first(entry.size)));
    RecordHeader header;
    RecordFault fault =
        got < entry.size ? RecordFault::kPayloadDamaged : check_packed_record(buffer.bytes().first(entry.size), header);
    if (fault == RecordFault::kNone) {
      if (header.seq <= last) fault = RecordFault::kWrongOrder;
      last = header.seq;
    }
    if (fault != RecordFault::kNone) report({place.segment, entry.at, header.seq, header.ino, fault});
    return advance(entry.size);
  });
}

Result<Floor> verify_packs(FileSystem& files, const std::string& directory, LogVerdict& verdict,
                           const std::function<void(const LogDamage&)>& report,
                           const std::function<void(uint64_t bytes)>& advance) {
  bool damaged = false;
  auto floor = read_floor(files, directory, &damaged);
  if (!floor.ok() && floor.status().code() != Code::kCorrupt) return floor;
  if (!floor.ok() || damaged) report({"floor", 0, Seq(), Ino(), RecordFault::kHeaderDamaged});
  if (!floor.ok()) return Floor();
  TM_ASSIGN(const DigestBook book, DigestBook::load(files, directory, floor->group));
  for (const PackInfo& info : floor->packs) {
    auto pack = Pack::open(files, directory, info, floor->group);
    const auto count = [&verdict](uint64_t bytes) {
      verdict.records += bytes != 0;
      return Status();
    };
    bool sound = true;
    const auto tell = [&](const LogDamage& damage) {
      sound = false;
      report(damage);
    };
    Status checked = pack.ok() ? check_pack_content(**pack, tell, count) : pack.status();
    const auto known = book.find({Seq(), info});
    if (checked.ok() && sound && known) {
      TM_ASSIGN(const Digest digest, (*pack)->digest());
      if (digest != known->digest) report({pack_name(info), 0, Seq(), Ino(), RecordFault::kForged});
    }
    const bool lost = checked.code() == Code::kCorrupt || checked.code() == Code::kNotFound;
    if (!checked.ok() && !lost) return checked;
    if (lost) report({pack_name(info), 0, Seq(), Ino(), RecordFault::kHeaderDamaged});
    advance(info.bytes + info.adopted);
  }
  return floor;
}

}  // namespace tidemark
