#include "fs/rights/acl.h"

#include <algorithm>

#include "base/bytes.h"

namespace tidemark::fs {
namespace {

// The form of the xattr's value: a version, then entries of 8 bytes.
constexpr uint32_t kVersion = 2;
constexpr uint16_t kUserObj = 0x01;
constexpr uint16_t kUser = 0x02;
constexpr uint16_t kGroupObj = 0x04;
constexpr uint16_t kGroup = 0x08;
constexpr uint16_t kMask = 0x10;
constexpr uint16_t kOther = 0x20;
constexpr uint16_t kPermissions = 07;

constexpr uint16_t bits_of(uint32_t mode, unsigned shift) { return static_cast<uint16_t>((mode >> shift) & kPermissions); }

}  // namespace

Result<Acl> Acl::parse(std::string_view value) {
  const Status malformed(Code::kInvalid, "not a POSIX ACL");
  Decoder decoder(value);
  if (decoder.get<uint32_t>() != kVersion || (value.size() - sizeof(uint32_t)) % 8 != 0) return malformed;
  Acl acl;
  unsigned named = 0;
  while (!decoder.finished() && !decoder.failed()) {
    Entry entry;
    entry.tag = decoder.get<uint16_t>();
    entry.perm = decoder.get<uint16_t>();
    entry.id = decoder.get<uint32_t>();
    const bool is_named = entry.tag == kUser || entry.tag == kGroup;
    const bool known =
        is_named || entry.tag == kUserObj || entry.tag == kGroupObj || entry.tag == kMask || entry.tag == kOther;
    if (!known || entry.perm > kPermissions) return malformed;
    if (!is_named && acl.find(entry.tag) != nullptr) return malformed;
    named += is_named ? 1 : 0;
    acl.entries_.push_back(entry);
  }
  if (decoder.failed() || !acl.find(kUserObj) || !acl.find(kGroupObj) || !acl.find(kOther)) return malformed;
  if (named > 0 && !acl.find(kMask)) return malformed;
  return acl;
}

std::string Acl::format() const {
  std::string value;
  Encoder encoder(value);
  encoder.put(kVersion);
  for (const Entry& entry : entries_) encoder.put(entry.tag).put(entry.perm).put(entry.id);
  return value;
}

bool Acl::is_plain() const {
  return std::all_of(entries_.begin(), entries_.end(),
                     [](const Entry& e) { return e.tag == kUserObj || e.tag == kGroupObj || e.tag == kOther; });
}

uint32_t Acl::apply_to(uint32_t mode) const {
  const Entry* group = find(kMask) ? find(kMask) : find(kGroupObj);
  const uint32_t bits = (uint32_t{find(kUserObj)->perm} << 6) | (uint32_t{group->perm} << 3) | find(kOther)->perm;
  return (mode & ~uint32_t{0777}) | bits;
}

void Acl::change_mode(uint32_t mode) {
  Entry* group = find(kMask) ? find(kMask) : find(kGroupObj);
  find(kUserObj)->perm = bits_of(mode, 6);
  group->perm = bits_of(mode, 3);
  find(kOther)->perm = bits_of(mode, 0);
}

Acl Acl::restricted_to(uint32_t mode) const {
  Acl acl = *this;
  auto keep = [](Entry* entry, uint16_t bits) { entry->perm = static_cast<uint16_t>(entry->perm & bits); };
  keep(acl.find(kUserObj), bits_of(mode, 6));
  keep(acl.find(kMask) ? acl.find(kMask) : acl.find(kGroupObj), bits_of(mode, 3));
  keep(acl.find(kOther), bits_of(mode, 0));
  return acl;
}

Acl::Entry* Acl::find(uint16_t tag) {
  auto found = std::find_if(entries_.begin(), entries_.end(), [&](const Entry& e) { return e.tag == tag; });
  return found == entries_.end() ? nullptr : &*found;
}

}  // namespace tidemark::fs
