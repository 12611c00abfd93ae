// Who looks after the groups of a process: few threads for all of them.
#pragma once

#include <memory>

#include "base/task_pool.h"

namespace tidemark {

// What is done for a group now and then is quick, but for pruning. So many prunes can run, or hang, before anybody waits for one of them;
// mostly there are two threads.
inline constexpr size_t kHousekeepersMax = 64;

// The one of this process; it ends with the last who uses it.
std::shared_ptr<TaskPool> housekeeping();

}  // namespace tidemark
