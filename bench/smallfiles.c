/*
 * Creates, stats and removes many small files, and prints the seconds each pass took. One thread, no sync: a pass ends when
 * its last system call returns, on every filesystem alike.
 *
 *   smallfiles create|stat|remove DIR COUNT PER_DIR BYTES
 *
 * stat walks the tree as find(1) does (readdir, then fstatat of every name) and fails unless it meets COUNT files.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <err.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { kMaxBytes = 64 * 1024 };

struct job {
  const char* root;
  long count;
  long per_dir;
  long bytes;
};

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Incompressible, and different for every file. */
static void fill(uint64_t* words, size_t n, uint64_t seed) {
  uint64_t x = seed * 0x9E3779B97F4A7C15u + 1;
  for (size_t i = 0; i < n; i++) {
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    words[i] = x;
  }
}

static int open_dir(const struct job* j, long index, int create) {
  char path[4096];
  snprintf(path, sizeof path, "%s/d%05ld", j->root, index);
  if (create && mkdir(path, 0755) != 0) err(1, "mkdir %s", path);
  int fd = open(path, O_RDONLY | O_DIRECTORY);
  if (fd < 0) err(1, "open %s", path);
  return fd;
}

static void create_files(const struct job* j) {
  static uint64_t data[kMaxBytes / sizeof(uint64_t)];
  char name[32];
  int dir = -1;
  for (long i = 0; i < j->count; i++) {
    if (i % j->per_dir == 0) {
      if (dir >= 0) close(dir);
      dir = open_dir(j, i / j->per_dir, 1);
    }
    snprintf(name, sizeof name, "f%07ld", i);
    fill(data, ((size_t)j->bytes + 7) / 8, (uint64_t)i + 1);
    int fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL, 0644);
    if (fd < 0) err(1, "create %s", name);
    if (write(fd, data, (size_t)j->bytes) != j->bytes) err(1, "write %s", name);
    if (close(fd) != 0) err(1, "close %s", name);
  }
  if (dir >= 0) close(dir);
}

static long stat_one_dir(const struct job* j, long index) {
  DIR* d = fdopendir(open_dir(j, index, 0));
  if (d == NULL) err(1, "fdopendir");
  long met = 0;
  for (struct dirent* e; (e = readdir(d)) != NULL;) {
    if (e->d_name[0] == '.') continue;
    struct stat st;
    if (fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0) err(1, "stat %s", e->d_name);
    if (st.st_size != j->bytes) errx(1, "%s has %ld bytes, %ld expected", e->d_name, (long)st.st_size, j->bytes);
    met++;
  }
  closedir(d);
  return met;
}

static void stat_files(const struct job* j) {
  long met = 0;
  for (long i = 0; i * j->per_dir < j->count; i++) met += stat_one_dir(j, i);
  if (met != j->count) errx(1, "met %ld files, %ld expected", met, j->count);
}

static void remove_files(const struct job* j) {
  char name[4096];
  for (long d = 0; d * j->per_dir < j->count; d++) {
    int dir = open_dir(j, d, 0);
    for (long i = d * j->per_dir; i < (d + 1) * j->per_dir && i < j->count; i++) {
      snprintf(name, sizeof name, "f%07ld", i);
      if (unlinkat(dir, name, 0) != 0) err(1, "unlink %s", name);
    }
    close(dir);
    snprintf(name, sizeof name, "%s/d%05ld", j->root, d);
    if (rmdir(name) != 0) err(1, "rmdir %s", name);
  }
}

int main(int argc, char** argv) {
  if (argc != 6) errx(2, "usage: smallfiles create|stat|remove DIR COUNT PER_DIR BYTES");
  struct job j = {argv[2], atol(argv[3]), atol(argv[4]), atol(argv[5])};
  if (j.count < 1 || j.per_dir < 1 || j.bytes < 1 || j.bytes > kMaxBytes) errx(2, "a number is out of range");
  double start = now();
  if (strcmp(argv[1], "create") == 0)
    create_files(&j);
  else if (strcmp(argv[1], "stat") == 0)
    stat_files(&j);
  else if (strcmp(argv[1], "remove") == 0)
    remove_files(&j);
  else
    errx(2, "unknown pass: %s", argv[1]);
  printf("%.6f\n", now() - start);
  return 0;
}
