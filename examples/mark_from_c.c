/*
 * An application that marks: it writes a batch, makes it durable, and names the state.
 *
 *   mark_from_c DIRECTORY [BATCHES]
 *
 * DIRECTORY lies in a Tidemark mount. After each batch there is a mark "batch-N-of-PID"; `tidemark restore` at any of them
 * gives a ledger that ends with that batch, whole. Build it anywhere: cc mark_from_c.c -ltidemark
 */
#include <tidemark/mark.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int fail(const char* what) {
  fprintf(stderr, "%s: %s\n", what, strerror(errno));
  return 1;
}

/* The ioctl itself, for programs that link nothing of ours. libtidemark's tidemark_mark() does the same. */
static int mark_by_ioctl(int fd, const char* name, const char* note, uint64_t* seq) {
  struct tidemark_mark_request request;
  memset(&request, 0, sizeof request);
  request.struct_size = sizeof request;
  snprintf(request.name, sizeof request.name, "%s", name);
  snprintf(request.note, sizeof request.note, "%s", note);
  if (ioctl(fd, TIDEMARK_IOC_MARK, &request) != 0) return -1;
  *seq = request.seq;
  return 0;
}

static int write_batch(int fd, int batch) {
  char line[64];
  int entry;
  for (entry = 0; entry < 100; ++entry) {
    int length = snprintf(line, sizeof line, "batch %d entry %d\n", batch, entry);
    if (write(fd, line, (size_t)length) != length) return -1;
  }
  return 0;
}

int main(int argc, char** argv) {
  int batches = argc > 2 ? atoi(argv[2]) : 3;
  char path[4096];
  int fd, batch;
  if (argc < 2) {
    fprintf(stderr, "usage: %s DIRECTORY_IN_A_MOUNT [BATCHES]\n", argv[0]);
    return 2;
  }
  snprintf(path, sizeof path, "%s/ledger", argv[1]);
  fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (fd < 0) return fail(path);

  for (batch = 1; batch <= batches; ++batch) {
    char name[64];
    uint64_t seq = 0;
    int odd = batch % 2, result;
    if (write_batch(fd, batch) != 0) return fail("write");
    /* A mark holds what was written even without this; it is here because a careful application has it anyway. */
    if (fsync(fd) != 0) return fail("fsync");
    snprintf(name, sizeof name, "batch-%d-of-%ld", batch, (long)getpid());
    result = odd ? mark_by_ioctl(fd, name, "a whole batch", &seq)
                 : tidemark_mark(fd, name, "a whole batch", NULL, 0, &seq); /* NULL: do not wait for sites */
    if (result != 0) return fail(name);
    printf("%s seq %llu\n", name, (unsigned long long)seq);
  }
  return close(fd) == 0 ? 0 : fail(path);
}
