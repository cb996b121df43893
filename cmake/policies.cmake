# SPDX-License-Identifier: Apache-2.0
# Builds data/policies/*.yaml into the core/scheduling room, so that `policy: <name>` needs no file
# at run time. A new or changed file is noticed by the next build.
set(policy_dir ${PROJECT_SOURCE_DIR}/data/policies)
file(GLOB policy_files CONFIGURE_DEPENDS ${policy_dir}/*.yaml)
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${policy_files})

set(policy_names ${policy_files})
list(TRANSFORM policy_names REPLACE "^.*/([^/]+)\\.yaml$" "\\1")
list(SORT policy_names)  # Without the ending, as the program compares them.
set(policy_rows "")
foreach(policy_name ${policy_names})
  file(READ ${policy_dir}/${policy_name}.yaml policy_text)
  string(APPEND policy_rows "    {\"${policy_name}\", R\"policy(${policy_text})policy\"},\n")
endforeach()
file(CONFIGURE OUTPUT ${PROJECT_BINARY_DIR}/generated/shipped_policies.cpp @ONLY CONTENT
"// Made from data/policies by cmake/policies.cmake.
#include \"core/scheduling/policy_config.h\"

namespace fairlead::scheduling {

std::span<const ShippedPolicy> shipped_policies() {
  static constexpr ShippedPolicy kPolicies[] = {
@policy_rows@  };
  return kPolicies;
}

}  // namespace fairlead::scheduling
")
target_sources(fairlead_core_scheduling PRIVATE
  ${PROJECT_BINARY_DIR}/generated/shipped_policies.cpp)
