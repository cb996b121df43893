// SPDX-License-Identifier: Apache-2.0
#include "io/net/unique_fd.h"

#include <unistd.h>

namespace fairlead::net {

void UniqueFd::close() {
  // EINTR leaves the descriptor closed on Linux, so there is nothing to repeat.
  if (fd_ >= 0) ::close(std::exchange(fd_, -1));
}

}  // namespace fairlead::net
