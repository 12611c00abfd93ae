#include "volume/difference/gap_rows.h"

#include "volume/history/base_image.h"
#include "volume/index/rows.h"

namespace tidemark {
namespace {

constexpr size_t kBatchBytes = size_t{4} << 20;

}  // namespace

std::string gap_rows_path(const std::string& directory, Seq to) {
  const std::string image = base_image_path(directory, to);
  return image.substr(0, image.rfind('.')) + ".gap";
}

Status load_gap_rows(FileSystem& files, const std::string& directory, const Gap& gap, Index& index) {
  TM_ASSIGN(const auto rows, RowFileReader::open(files, gap_rows_path(directory, gap.to.seq)));
  const BaseHeader& header = rows->header();
  if (header.base != gap.to || header.tombstones_from != gap.from.seq) return rows->damaged("it is of another gap");
  IndexBatch batch;
  const RowVisitor load = [&](std::string_view key, std::string_view value) -> Status {
    if (key[0] == 'I') {
      const Ino ino(load_be64(key.data() + 1));
      Attr attr;
      attr.nlink = 1;
      if (!value.empty()) {
        TM_ASSIGN(attr, decode_inode_row(ino, seq_of(key), value));
      }
      if (attr.nlink == 0) {
        batch.put(unnamed_key(ino), "");
      } else {
        batch.remove(unnamed_key(ino));
      }
    }
    batch.put(key, value);
    if (batch.bytes() < kBatchBytes) return Status();
    TM_TRY(index.write(batch));
    batch.clear();
    return Status();
  };
  TM_TRY(rows->each(load));
  Meta meta;
  meta.applied = gap.to;
  meta.next_ino = header.next_ino;
  meta.next_mark = header.next_mark;
  meta.inodes = header.inodes;
  meta.group = header.group;
  batch.put(kMetaKey, encode_meta(meta));
  return index.write(batch);
}

}  // namespace tidemark
