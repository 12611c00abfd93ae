#include "cli/output/confirm.h"

#include <tidemark/exit_code.h>
#include <unistd.h>

#include <iostream>

#include "cli/output/output.h"

namespace tidemark::cli {

Result<bool> confirm(const std::string& what, bool yes) {
  if (yes) return true;
  if (::isatty(STDIN_FILENO) != 1) {
    return Status(Code::kInvalid, what + " Nothing was done, because there is no terminal to confirm on; add --yes");
  }
  print_note(what);
  std::cerr << "Continue? [y/N] " << std::flush;
  std::string answer;
  std::getline(std::cin, answer);
  return answer == "y" || answer == "Y" || answer == "yes";
}

int not_confirmed() {
  print_note("nothing was done");
  return TIDEMARK_EXIT_FAILURE;
}

}  // namespace tidemark::cli
