# SPDX-License-Identifier: Apache-2.0
# Builds data/policies/*.yaml and data/policies/peers/*.yaml into the core/scheduling room, so that
# `policy: <name>` needs no file at run time. A new or changed file is noticed by the next build.
function(read_policies folder rows)
  file(GLOB files CONFIGURE_DEPENDS ${folder}/*.yaml)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${files})
  set(names ${files})
  list(TRANSFORM names REPLACE "^.*/([^/]+)\\.yaml$" "\\1")
  list(SORT names)  # Without the ending, as the program compares them.
  set(text "")
  foreach(name ${names})
    file(READ ${folder}/${name}.yaml yaml)
    string(APPEND text "    {\"${name}\", R\"policy(${yaml})policy\"},\n")
  endforeach()
  set(${rows} "${text}" PARENT_SCOPE)
endfunction()
read_policies(${PROJECT_SOURCE_DIR}/data/policies policy_rows)
read_policies(${PROJECT_SOURCE_DIR}/data/policies/peers peer_rows)
file(CONFIGURE OUTPUT ${PROJECT_BINARY_DIR}/generated/shipped_policies.cpp @ONLY CONTENT
"// Made from data/policies by cmake/policies.cmake.
#include \"core/scheduling/policy_config.h\"

namespace fairlead::scheduling {

std::span<const ShippedPolicy> shipped_policies() {
  static constexpr ShippedPolicy kPolicies[] = {
@policy_rows@  };
  return kPolicies;
}

std::span<const ShippedPolicy> peer_policies() {
  static constexpr ShippedPolicy kPolicies[] = {
@peer_rows@  };
  return kPolicies;
}

}  // namespace fairlead::scheduling
")
target_sources(fairlead_core_scheduling PRIVATE
  ${PROJECT_BINARY_DIR}/generated/shipped_policies.cpp)
