// What a record says, for people and programs.
#pragma once

#include <string>

#include "cli/output/json.h"
#include "log/format/record.h"

namespace tidemark::cli {

// {"seq", "epoch", "time", "type", "ino", "bytes", "detail": {…}}; `detail` depends on the type (docs/GUIDE.md). A payload that
// does not decode has the detail {"damaged": reason}.
[[nodiscard]] Json record_json(const RecordView& record);
// The detail as words: `name="a.txt" in=1 …`.
[[nodiscard]] std::string detail_text(const Json& detail);
// True where the record is about `ino` or about a name in the directory `ino`.
[[nodiscard]] bool record_concerns(const RecordView& record, Ino ino);

}  // namespace tidemark::cli
