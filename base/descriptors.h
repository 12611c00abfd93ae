// How many files this process may have open, and who gets how many of them.
#pragma once

#include <cstddef>

#include "base/status.h"

namespace tidemark {

// The soft limit becomes the hard one. Shells start programs with a small limit for the sake of select(), which nothing here uses.
void raise_descriptor_limit();

// A part of the limit as it is now, for somebody who keeps files open to have them at hand: limit / `share`, between `least` and `most`.
size_t descriptors_for(size_t share, size_t least, size_t most);

// kLimit (EMFILE) where fewer than `wanted` more can be opened this moment: asked before something is begun that cannot be given up for the
// lack of one in the middle. `what` begins the text ("a pair").
Status check_descriptors(size_t wanted, std::string_view what);

}  // namespace tidemark
