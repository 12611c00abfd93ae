/*
 * Latency of marks made through the ioctl while another thread writes: one line of microseconds for each mark.
 *
 *   marklat DIR COUNT PREFIX WRITES_PER_SECOND
 *
 * The load appends 4 KiB of incompressible data at a time to DIR/load. Marks are 10 ms apart. Names are PREFIX-N.
 */
#define _GNU_SOURCE
#include <err.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tidemark/mark.h"

struct load {
  int fd;
  long per_second;
  atomic_int stop;
};

static int64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void sleep_ns(int64_t ns) {
  struct timespec t = {ns / 1000000000, ns % 1000000000};
  nanosleep(&t, NULL);
}

static void* write_load(void* arg) {
  struct load* l = arg;
  static uint64_t block[4096 / sizeof(uint64_t)];
  uint64_t x = 88172645463325252u;
  while (!atomic_load(&l->stop)) {
    for (size_t i = 0; i < sizeof block / sizeof block[0]; i++) {
      x ^= x << 13;
      x ^= x >> 7;
      x ^= x << 17;
      block[i] = x;
    }
    if (write(l->fd, block, sizeof block) != (ssize_t)sizeof block) err(1, "write");
    sleep_ns(1000000000 / l->per_second);
  }
  return NULL;
}

static void make_marks(int dir, const char* prefix, long count) {
  for (long i = 0; i < count; i++) {
    struct tidemark_mark_request request;
    memset(&request, 0, sizeof request);
    request.struct_size = sizeof request;
    snprintf(request.name, sizeof request.name, "%s-%ld", prefix, i);
    int64_t start = now_ns();
    if (ioctl(dir, TIDEMARK_IOC_MARK, &request) != 0) err(1, "mark %s", request.name);
    printf("%.1f\n", (double)(now_ns() - start) / 1e3);
    sleep_ns(10000000);
  }
}

int main(int argc, char** argv) {
  if (argc != 5) errx(2, "usage: marklat DIR COUNT PREFIX WRITES_PER_SECOND");
  struct load l = {.per_second = atol(argv[4])};
  int dir = open(argv[1], O_RDONLY | O_DIRECTORY);
  if (dir < 0) err(1, "open %s", argv[1]);
  l.fd = openat(dir, "load", O_WRONLY | O_CREAT | O_APPEND, 0644);
  if (l.fd < 0) err(1, "open load");
  pthread_t thread;
  if (l.per_second > 0 && pthread_create(&thread, NULL, write_load, &l) != 0) errx(1, "pthread_create");
  make_marks(dir, argv[3], atol(argv[2]));
  atomic_store(&l.stop, 1);
  if (l.per_second > 0) pthread_join(thread, NULL);
  return 0;
}
