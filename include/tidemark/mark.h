/*
 * Tidemark's mark API: name a good state of a mounted volume.  C ABI, usable from C and C++.
 *
 * A mark contains every write (in any file of the mount) that returned before the call, and none that started after it
 * returned. It is durable in the local log before the call returns. `fd` may be any open file or directory of the mount:
 * it only selects the mount.
 */
#ifndef TIDEMARK_MARK_H
#define TIDEMARK_MARK_H

#include <stdint.h>
#include <sys/ioctl.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TIDEMARK_MARK_NAME_MAX 255u /* bytes, UTF-8, without the NUL; none of  @ / :  nor control characters */
#define TIDEMARK_MARK_NOTE_MAX 4096u
#define TIDEMARK_MARK_SITE_MAX 63u

/* The argument and the result of TIDEMARK_IOC_MARK. Strings end in NUL. The layout is the same for 32 and 64 bit callers. */
struct tidemark_mark_request {
  uint32_t struct_size; /* in: sizeof(struct tidemark_mark_request) */
  uint32_t timeout_ms;  /* in: how long to wait for sites; 0 = 30,000 */
  uint64_t mark_id;     /* out */
  uint64_t seq;         /* out: sequence number of the mark record */
  char name[TIDEMARK_MARK_NAME_MAX + 1];
  char wait[TIDEMARK_MARK_SITE_MAX + 1]; /* in: "" or "local", a site's name, or "all" */
  char application[64];                  /* in: the application; "" = the name of the calling process */
  char note[TIDEMARK_MARK_NOTE_MAX + 1]; /* in */
  char reserved[7];                      /* in: zero */
};

#define TIDEMARK_IOC_MARK _IOWR('T', 0x4d, struct tidemark_mark_request)

/*
 * Makes a mark. `fd` is any open file or directory of the mount. `note` and `wait` may be NULL. Writes the sequence number
 * to `*seq` if `seq` is not NULL (also with ETIMEDOUT). Returns 0, or -1 with errno:
 *   EEXIST     a mark of that name exists          EINVAL  the name or note is not allowed
 *   ENOTTY     `fd` is not on a Tidemark mount     EROFS   the mount is a point, or writes are refused
 *   ENOSPC     no room for the record              EIO     the log has failed; nothing is accepted until the next mount
 *   ETIMEDOUT  the mark is made and durable here, but the sites in `wait` did not confirm it in time
 *   ENOENT     `wait` names no site of this volume, or is "all" and there is no site (no mark is made)
 * Thread-safe. Blocks until the mark is durable.
 */
int tidemark_mark(int fd, const char* name, const char* note, const char* wait, uint32_t timeout_ms, uint64_t* seq);

/* The same, given any path inside the mount. Also: errno of open(2). */
int tidemark_mark_path(const char* path, const char* name, const char* note, const char* wait, uint32_t timeout_ms,
                       uint64_t* seq);

#ifdef __cplusplus
} /* extern "C" */

#ifndef __cpp_static_assert
#error "C++11 or later is needed"
#endif
static_assert(sizeof(tidemark_mark_request) == 4512, "the ioctl's layout is fixed");
#endif

#endif /* TIDEMARK_MARK_H */
