// Writes a tree into a live volume.
#pragma once

#include "restore/sink.h"
#include "volume/tree/volume.h"

namespace tidemark {

class VolumeSink final : public Sink {
 public:
  // Into the root of `volume`, which is empty. `tree` and `volume` outlive the sink.
  VolumeSink(const Tree& tree, Volume& volume);

  Status make_directory(size_t index) override;
  Result<std::unique_ptr<SinkFile>> make_file(size_t index) override;
  Status make_other(size_t index) override;
  Status make_link(size_t index, size_t first) override;
  Status finish_directory(size_t index) override;

  // For SinkFiles: the file was not finished.
  void take_back(size_t index);

 private:
  Result<Ino> make_node(size_t index);

  const Tree& tree_;
  Volume& volume_;
  std::vector<Ino> made_;  // by entry; 0: not made. Each written by one thread, read after it is done.
};

}  // namespace tidemark
