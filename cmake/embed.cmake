# SPDX-License-Identifier: Apache-2.0
# Builds files into the program, so that it needs none beside itself. A new or changed file is
# noticed by the next build, where the caller globbed with CONFIGURE_DEPENDS.
#
#   fairlead_embed(embedded_data SOURCE data/ HEADER embedded_data.h NAMESPACE fairlead::app
#     TYPE EmbeddedFile FUNCTION embedded_files FILES ${files})
#
# writes generated/embedded_data.cpp, which defines std::span<const TYPE> FUNCTION() as HEADER
# declares it; TYPE is {name, bytes}, sorted by folder and name. The caller compiles that file.
function(fairlead_embed unit)
  cmake_parse_arguments(EMBED "" "SOURCE;HEADER;NAMESPACE;TYPE;FUNCTION" "FILES" ${ARGN})
  list(SORT EMBED_FILES)
  set(rows "")
  set(bytes "")
  set(number 0)
  foreach(file ${EMBED_FILES})
    get_filename_component(name ${file} NAME)
    math(EXPR number "${number} + 1")
    set(symbol fairlead_${unit}_${number})
    string(APPEND bytes "
asm(\".section .rodata\\n.balign 16\\n\"
    \"${symbol}: .incbin \\\"${file}\\\"\\n\"
    \"${symbol}_end: .byte 0\\n.previous\");
extern \"C\" __attribute__((visibility(\"hidden\"))) const char ${symbol}[], ${symbol}_end[];")
    string(APPEND rows "      {\"${name}\", {${symbol}, ${symbol}_end}},\n")
  endforeach()
  set(source ${PROJECT_BINARY_DIR}/generated/${unit}.cpp)
  file(CONFIGURE OUTPUT ${source} @ONLY CONTENT
"// Made from @EMBED_SOURCE@ by cmake/embed.cmake.
#include \"@EMBED_HEADER@\"
@bytes@

namespace @EMBED_NAMESPACE@ {

std::span<const @EMBED_TYPE@> @EMBED_FUNCTION@() {
  static const @EMBED_TYPE@ kFiles[] = {
@rows@  };
  return kFiles;
}

}  // namespace @EMBED_NAMESPACE@
")
  # Link-time optimisation may part an assembler label from its users.
  set_source_files_properties(${source} PROPERTIES
    OBJECT_DEPENDS "${EMBED_FILES}" COMPILE_OPTIONS -fno-lto SKIP_PRECOMPILE_HEADERS ON)
endfunction()
