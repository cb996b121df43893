// SPDX-License-Identifier: Apache-2.0
#include "router/access_log.h"

namespace fairlead::router {

void AccessLog::write(const exchange::AccessRecord& record, std::string& scratch) {
  scratch.clear();
  exchange::append_access_line(record, scratch);
  write_line(scratch);
}

}  // namespace fairlead::router
