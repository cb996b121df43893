# SPDX-License-Identifier: Apache-2.0
# Builds data/engines/*.yaml and the traces of data/traces into the program, so that it needs no
# file beside itself. A new or changed file is noticed by the next build.
set(embedded_dir ${PROJECT_SOURCE_DIR}/data)
file(GLOB embedded_files CONFIGURE_DEPENDS
  ${embedded_dir}/engines/*.yaml ${embedded_dir}/traces/*.gz)
list(SORT embedded_files)
set(embedded_rows "")
set(embedded_bytes "")
set(embedded_number 0)
foreach(file ${embedded_files})
  get_filename_component(embedded_name ${file} NAME)
  math(EXPR embedded_number "${embedded_number} + 1")
  set(symbol fairlead_embedded_${embedded_number})
  string(APPEND embedded_bytes "
asm(\".section .rodata\\n.balign 16\\n\"
    \"${symbol}: .incbin \\\"${file}\\\"\\n\"
    \"${symbol}_end: .byte 0\\n.previous\");
extern \"C\" __attribute__((visibility(\"hidden\"))) const char ${symbol}[], ${symbol}_end[];")
  string(APPEND embedded_rows "    {\"${embedded_name}\", {${symbol}, ${symbol}_end}},\n")
endforeach()
file(CONFIGURE OUTPUT ${PROJECT_BINARY_DIR}/generated/embedded_data.cpp @ONLY CONTENT
"// Made from data/ by cmake/embedded_data.cmake.
#include \"embedded_data.h\"
@embedded_bytes@

namespace fairlead::app {

std::span<const EmbeddedFile> embedded_files() {
  static const EmbeddedFile kFiles[] = {
@embedded_rows@  };
  return kFiles;
}

}  // namespace fairlead::app
")
set_source_files_properties(${PROJECT_BINARY_DIR}/generated/embedded_data.cpp
  PROPERTIES OBJECT_DEPENDS "${embedded_files}" COMPILE_OPTIONS "-fno-lto")
