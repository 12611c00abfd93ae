#include "log/repair/check_records.h"

#include <utility>

#include "log/format/record_walker.h"

namespace tidemark {
namespace {

using Step = RecordWalker::Step;

void tell(const RecordWalker& walker, const RecordCheckup& checkup) {
  const RecordFault fault = walker.fault();
  const bool header_there = fault == RecordFault::kWrongOrder || fault == RecordFault::kPayloadDamaged;
  checkup.damaged(walker.at(), header_there ? &walker.record().header : nullptr, fault);
  if (fault == RecordFault::kWrongOrder && walker.payload_damaged())
    checkup.damaged(walker.at(), &walker.record().header, RecordFault::kPayloadDamaged);
}

}  // namespace

Status check_records(RecordWalker& walker, Seq last, const RecordCheckup& checkup) {
  uint64_t read = walker.next_at();
  while (walker.position().seq < last) {
    TM_ASSIGN(Step step, walker.next());
    if (step == Step::kDamage && walker.fault() == RecordFault::kUnwritten) {
      const uint64_t zeros = walker.at();
      TM_ASSIGN(step, walker.next());
      if (step == Step::kEnd) {
        walker.seek(zeros, walker.position());
        break;
      }
    }
    if (step == Step::kEnd) return checkup.advance(walker.next_at() - read);
    if (step == Step::kDamage) {
      tell(walker, checkup);
      if (walker.fault() != RecordFault::kHeaderDamaged) walker.accept(walker.record().header);
    }
    if (walker.next_at() != walker.at()) checkup.found(walker.record().header);
    TM_TRY(checkup.advance(walker.next_at() - std::exchange(read, walker.next_at())));
  }
  return Status();
}

}  // namespace tidemark
