// What a target knows of the pair it is part of. After a loss of the source this is what there is to go by.
#pragma once

#include <tidemark/types.h>

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "base/file.h"
#include "replicator/source/pair_state.h"

namespace tidemark {

// How the pair stands at its source, in the source's words.
struct PairNews {
  PairMode mode = PairMode::kAsync;
  PairFence fence = PairFence::kNever;
  PairState state = PairState::kSimplex;
  int64_t since_ns = 0;  // the source's wall time
  std::string source;    // who it says it is, for people
  std::string cause;
};

// Kept in DIR/GROUP/site.json.
struct SourceRecord {
  PairNews news;         // what the source last said
  PairState state{};     // as seen from here: failure-suspended once the source is lost
  int64_t since_ns = 0;  // wall time here
  std::string cause;
  // Of the source itself.
  int64_t heard_ns = 0;    // wall time here of its newest message; 0: not known
  Seq newest;              // what it last said is durable there
  bool connected = false;  // its session is open, as far as is known
  bool ended = false;      // it said that it has ended its work for now
};

inline std::string site_record_path(const std::string& directory) { return directory + "/site.json"; }

// The field "pair" of site.json. nullopt: damaged.
nlohmann::ordered_json source_to_json(const SourceRecord& source);
std::optional<SourceRecord> source_from_json(const nlohmann::ordered_json& json);

// Of a copy that no process serves: from site.json, and when the source was last heard. nullopt: no source has spoken yet. kCorrupt.
Result<std::optional<SourceRecord>> load_source_record(const std::string& directory,
                                                       FileSystem& files = posix_file_system());

}  // namespace tidemark
