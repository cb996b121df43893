# SPDX-License-Identifier: Apache-2.0
# C++ of protocol-buffer messages, for tests alone: the program has a codec of its own, which
# libprotobuf referees. The code is generated, so it is built without the project's warnings.
#
#   fairlead_protos(dep_ext_proc_protos DIR core/codec/testing/proto FILES envoy/a.proto ...)
find_library(PROTOBUF_LIBRARY protobuf REQUIRED)
find_program(PROTOC protoc REQUIRED)

function(fairlead_protos target)
  cmake_parse_arguments(PROTO "" "DIR" "FILES" ${ARGN})
  set(dir ${CMAKE_CURRENT_SOURCE_DIR}/${PROTO_DIR})
  set(out ${PROJECT_BINARY_DIR}/generated/protos)
  set(inputs)
  set(sources)
  foreach(file ${PROTO_FILES})
    string(REGEX REPLACE "\\.proto$" "" stem ${file})
    list(APPEND inputs ${dir}/${file})
    list(APPEND sources ${out}/${stem}.pb.cc)
  endforeach()
  file(MAKE_DIRECTORY ${out})
  add_custom_command(OUTPUT ${sources} DEPENDS ${inputs} VERBATIM
    COMMAND ${PROTOC} -I ${dir} --cpp_out=${out} ${PROTO_FILES})
  add_library(${target} STATIC EXCLUDE_FROM_ALL ${sources})
  target_include_directories(${target} SYSTEM PUBLIC ${out})
  target_link_libraries(${target} PUBLIC ${PROTOBUF_LIBRARY} Threads::Threads)
endfunction()
