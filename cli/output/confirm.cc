#include "cli/output/confirm.h"

#include <tidemark/exit_code.h>
#include <unistd.h>

#include <iostream>

#include "cli/output/output.h"

namespace tidemark::cli {

Result<bool> confirm(const std::string& what, bool yes) {
  if (yes) return true;
  if (::isatty(STDIN_FILENO) != 1) {
    return Status(Code::kInvalid, what + " Nothing has been done: there is no terminal to ask at; add --yes to do it");
  }
  print_note(what);
  std::cerr << "Go on? [y/N] " << std::flush;
  std::string answer;
  std::getline(std::cin, answer);
  return answer == "y" || answer == "Y" || answer == "yes";
}

int not_confirmed() {
  print_note("nothing has been done");
  return TIDEMARK_EXIT_FAILURE;
}

}  // namespace tidemark::cli
