// A primary that has a successor: it writes no more, whatever its pairs say, and remembers that (role "fenced").
//
//   DIR/fenced.json   by which epoch, who said so, when. Who knows that it is wrong removes it while the volume is not mounted.
#pragma once

#include <tidemark/types.h>

#include <optional>
#include <string>

#include "base/file.h"

namespace tidemark {

struct Superseded {
  Epoch epoch;          // the successor's; 0: newer than ours, the number was not said
  Epoch own;            // of our newest record then
  std::string told_by;  // the site that said so
  int64_t time_ns = 0;  // wall time
};

inline std::string superseded_path(const std::string& directory) { return directory + "/fenced.json"; }

// nullopt: there is no such file. kCorrupt: it is damaged, so that there is a successor, but nothing is known of it.
Result<std::optional<Superseded>> load_superseded(const std::string& directory, FileSystem& files);
// Durable on return.
Status save_superseded(const std::string& directory, const Superseded& by, FileSystem& files);
// What it means and what to do, for people.
std::string superseded_text(const std::string& directory, const Superseded& by);

}  // namespace tidemark
