/* Exit codes of the `tidemark` command. They are part of the public interface: scripts rely on them. */
#pragma once

enum tidemark_exit_code {
  TIDEMARK_EXIT_OK = 0,
  TIDEMARK_EXIT_FAILURE = 1,
  TIDEMARK_EXIT_USAGE = 2,
  TIDEMARK_EXIT_PARTIAL = 3,
  TIDEMARK_EXIT_NOT_FOUND = 10, /* no such volume, mark or point */
  TIDEMARK_EXIT_BUSY = 11,
  TIDEMARK_EXIT_NOT_AUTHORISED = 12,
  TIDEMARK_EXIT_CORRUPTION = 13,
  TIDEMARK_EXIT_SITE_TIMEOUT = 14, /* a site was not reached, or did not answer in time */
  TIDEMARK_EXIT_RPO_EXCEEDED = 15,
  TIDEMARK_EXIT_INTERRUPTED = 130
};
