# d2deploy_add_operators(<target> <folder>:<Type>[:<struct>]...)
#
# The definition is a struct named as the type, unless a third part tells its name.
# Registers each operator folder under cpp/src/operators and writes the registry's source. A folder
# <op> must hold <op>.h and <op>_cpu.cpp, and may hold <op>_onednn.cpp and <op>_avx512.cpp;
# tests/cases/<op>.cases must exist. A folder that is not listed stops the configure step.
function(d2deploy_add_operators target)
  set(root "${CMAKE_CURRENT_SOURCE_DIR}")
  set(listed "")
  foreach(item IN LISTS ARGN)
    string(REPLACE ":" ";" pair "${item}")
    list(GET pair 0 op)
    list(GET pair 1 type)
    list(GET pair -1 struct)
    list(APPEND listed "${op}")
    foreach(required "${root}/${op}/${op}.h" "${root}/${op}/${op}_cpu.cpp" "${PROJECT_SOURCE_DIR}/tests/cases/${op}.cases")
      if(NOT EXISTS "${required}")
        message(FATAL_ERROR "operator ${type}: ${required} is missing. Every operator has a definition, a portable kernel and test cases")
      endif()
    endforeach()
    set(backends "")
    if(EXISTS "${root}/${op}/${op}_avx512.cpp" AND CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
      list(APPEND backends avx512)
      set_source_files_properties("${root}/${op}/${op}_avx512.cpp" TARGET_DIRECTORY ${target} PROPERTIES
        COMPILE_OPTIONS "-O3;-mavx512f;-mavx512vl;-mavx512bw;-mavx512dq;-mfma;-mprefer-vector-width=512")
    endif()
    if(EXISTS "${root}/${op}/${op}_onednn.cpp" AND D2DEPLOY_ONEDNN)
      list(APPEND backends onednn)
    endif()
    list(APPEND backends cpu)
    set(declarations "")
    set(template_arguments "${struct}")
    foreach(backend IN LISTS backends)
      target_sources(${target} PRIVATE "${root}/${op}/${op}_${backend}.cpp")
      string(APPEND declarations "template <>\nstd::vector<KernelOf<${struct}>> kernels<${struct}, Backend::${backend}>();\n")
      string(APPEND template_arguments ", Backend::${backend}")
    endforeach()
    # A source of its own, so that a changed operator compiles that one alone.
    file(CONFIGURE OUTPUT "${CMAKE_CURRENT_BINARY_DIR}/registry/${op}.cpp" CONTENT
"// Written by cpp/cmake/operators.cmake. Do not edit.
#include \"operators/@op@/@op@.h\"

namespace d2deploy {

@declarations@
Operator make_@op@() { return detail::make<@template_arguments@>(); }

}  // namespace d2deploy
" @ONLY)
    target_sources(${target} PRIVATE "${CMAKE_CURRENT_BINARY_DIR}/registry/${op}.cpp")
    string(APPEND makers "Operator make_${op}();\n")
    string(APPEND entries "      {\"${type}\", make_${op}()},\n")
  endforeach()
  file(GLOB present LIST_DIRECTORIES true CONFIGURE_DEPENDS RELATIVE "${root}" "${root}/*")
  foreach(op IN LISTS present)
    if(IS_DIRECTORY "${root}/${op}" AND NOT op IN_LIST listed)
      message(FATAL_ERROR "cpp/src/operators/${op} is not listed: add it to cpp/src/operators/CMakeLists.txt, in alphabetical order")
    endif()
  endforeach()
  set(sorted ${listed})
  list(SORT sorted)
  if(NOT "${sorted}" STREQUAL "${listed}")
    message(FATAL_ERROR "cpp/src/operators/CMakeLists.txt: the operators are not in alphabetical order; wanted ${sorted}")
  endif()
  file(CONFIGURE OUTPUT "${CMAKE_CURRENT_BINARY_DIR}/registry.cpp" CONTENT
"// Written by cpp/cmake/operators.cmake. Do not edit.
#include \"operators/operator.h\"

namespace d2deploy {

@makers@
const std::map<std::string, Operator, std::less<>>& operators() {
  static const std::map<std::string, Operator, std::less<>> all{
@entries@  };
  return all;
}

}  // namespace d2deploy
" @ONLY)
  target_sources(${target} PRIVATE "${CMAKE_CURRENT_BINARY_DIR}/registry.cpp")
endfunction()
