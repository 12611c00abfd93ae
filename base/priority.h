// How much a background thread may disturb the others.
#pragma once

namespace tidemark {

// The calling thread yields to others from now on: processor and, where the disk's scheduler knows that, disk. A wish: nothing fails.
void lower_own_priority();

}  // namespace tidemark
