# SPDX-License-Identifier: Apache-2.0
# Builds the live page, web/*, into the fronts/admin room. A new or changed file is noticed by the
# next build.
set(web_dir ${PROJECT_SOURCE_DIR}/web)
file(GLOB web_files CONFIGURE_DEPENDS ${web_dir}/*.html ${web_dir}/*.css ${web_dir}/*.js
  ${web_dir}/*.svg)
list(SORT web_files)
set(web_rows "")
set(web_bytes "")
set(web_number 0)
foreach(file ${web_files})
  get_filename_component(web_name ${file} NAME)
  math(EXPR web_number "${web_number} + 1")
  set(symbol fairlead_web_${web_number})
  string(APPEND web_bytes "
asm(\".section .rodata\\n.balign 16\\n\"
    \"${symbol}: .incbin \\\"${file}\\\"\\n\"
    \"${symbol}_end: .byte 0\\n.previous\");
extern \"C\" __attribute__((visibility(\"hidden\"))) const char ${symbol}[], ${symbol}_end[];")
  string(APPEND web_rows "      {\"${web_name}\", {${symbol}, ${symbol}_end}},\n")
endforeach()
file(CONFIGURE OUTPUT ${PROJECT_BINARY_DIR}/generated/web_files.cpp @ONLY CONTENT
"// Made from web/ by cmake/web_files.cmake.
#include \"fronts/admin/web_files.h\"
@web_bytes@

namespace fairlead::admin {

std::span<const WebFile> web_files() {
  static const WebFile kFiles[] = {
@web_rows@  };
  return kFiles;
}

}  // namespace fairlead::admin
")
target_sources(fairlead_fronts_admin PRIVATE ${PROJECT_BINARY_DIR}/generated/web_files.cpp)
# Link-time optimisation may part an assembler label from its users.
set_source_files_properties(${PROJECT_BINARY_DIR}/generated/web_files.cpp
  PROPERTIES OBJECT_DEPENDS "${web_files}" COMPILE_OPTIONS -fno-lto SKIP_PRECOMPILE_HEADERS ON)
