# d2deploy_add_operators(<target> <op>:<Type>[:<struct>] | <family>/<op>:<Type>[:<struct>] ...)
#
# Registers the operators under cpp/src/operators and writes the registry's sources. The definition is a struct named
# as the type, unless a third part tells its name. An operator has a folder <op> with <op>.h and <op>_cpu.cpp, and
# maybe <op>_avx512.cpp, <op>_onednn.cpp, <op>_winograd.cpp, <op>_packed.cpp, <op>_cudnn.cpp, <op>_cuda.cu. Operators that share
# kernels are a family: the definitions <op>.h stand in one folder, <family>; its kernels are templates over the
# operator, <family>_<backend>_kernels<Op>() in <family>_<backend>.h, which are instantiated here, and what is no
# template may stand in <family>_<backend>.cpp. tests/cases/<op>.cases must exist. A folder that is not listed stops
# the configure step.
function(d2deploy_add_operators target)
  set(root "${CMAKE_CURRENT_SOURCE_DIR}")
  set(generated "${CMAKE_CURRENT_BINARY_DIR}/registry")
  set(folders "")
  set(ops "")
  foreach(item IN LISTS ARGN)
    string(REPLACE ":" ";" parts "${item}")
    list(GET parts 0 path)
    list(GET parts 1 type)
    list(GET parts -1 struct)
    cmake_path(GET path FILENAME op)
    string(REGEX REPLACE "/.*" "" folder "${path}")
    list(APPEND folders "${folder}")
    list(APPEND ops "${path}")
    set(header "operators/${folder}/${op}.h")
    set(kernels "${folder}/${op}")
    set(family FALSE)
    if(EXISTS "${root}/${folder}/${folder}_cpu.h")
      set(family TRUE)
      set(kernels "${folder}/${folder}")
      set(portable "${root}/${kernels}_cpu.h")
    else()
      set(portable "${root}/${kernels}_cpu.cpp")
    endif()
    set(cases)
    if(D2DEPLOY_TESTS)
      set(cases "${PROJECT_SOURCE_DIR}/tests/cases/${op}.cases")
    endif()
    foreach(required "${root}/${folder}/${op}.h" "${portable}" ${cases})
      if(NOT EXISTS "${required}")
        message(FATAL_ERROR "operator ${type}: ${required} is missing. Every operator has a definition, a portable kernel and test cases")
      endif()
    endforeach()
    set(template_arguments "${struct}")
    foreach(backend avx512 onednn winograd packed cudnn cuda cpu)
      set(suffix cpp)
      if(backend STREQUAL "cuda")
        set(suffix cu)
      endif()
      if(family)
        set(source "${kernels}_${backend}.h")
      else()
        set(source "${kernels}_${backend}.${suffix}")
      endif()
      if(NOT EXISTS "${root}/${source}"
          OR (backend STREQUAL "onednn" AND NOT D2DEPLOY_ONEDNN)
          OR (backend MATCHES "^cud" AND NOT D2DEPLOY_CUDA)
          OR (backend STREQUAL "avx512" AND NOT CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64"))
        continue()
      endif()
      string(APPEND template_arguments ", Backend::${backend}")
      string(APPEND declarations "template <>\nKernels<${struct}> kernels<${struct}, Backend::${backend}>();\n")
      if(EXISTS "${root}/${kernels}_${backend}.${suffix}")
        list(APPEND sources_${backend} "${root}/${kernels}_${backend}.${suffix}")
      endif()
      if(family)
        set(instances "${folder}_${backend}")
        list(APPEND families "${instances}")
        string(APPEND includes_${instances} "#include \"${header}\"\n")
        string(APPEND definitions_${instances}
          "template <>\nKernels<${struct}> kernels<${struct}, Backend::${backend}>() {\n  return ${instances}_kernels<${struct}>();\n}\n")
      endif()
    endforeach()
    string(APPEND includes "#include \"${header}\"\n")
    string(APPEND entries "      detail::define<${template_arguments}>,\n")
  endforeach()

  list(REMOVE_DUPLICATES folders)
  file(GLOB present LIST_DIRECTORIES true CONFIGURE_DEPENDS RELATIVE "${root}" "${root}/*")
  foreach(folder IN LISTS present)
    if(IS_DIRECTORY "${root}/${folder}" AND NOT folder IN_LIST folders)
      message(FATAL_ERROR "cpp/src/operators/${folder} is not listed: add it to cpp/src/operators/CMakeLists.txt, in alphabetical order")
    endif()
  endforeach()
  set(sorted ${ops})
  list(SORT sorted)
  if(NOT "${sorted}" STREQUAL "${ops}")
    message(FATAL_ERROR "cpp/src/operators/CMakeLists.txt: the operators are not in alphabetical order; wanted ${sorted}")
  endif()

  list(REMOVE_DUPLICATES families)
  foreach(instances IN LISTS families)
    string(REGEX REPLACE "_[a-z0-9]+$" "" folder "${instances}")
    set(source "${generated}/${instances}.cpp")
    if(instances MATCHES "_cuda$")
      set(source "${generated}/${instances}.cu")
      list(APPEND sources_cuda "${source}")
    endif()
    file(CONFIGURE OUTPUT "${source}" CONTENT
"// Written by cpp/cmake/operators.cmake. Do not edit.
#include \"operators/@folder@/@instances@.h\"
${includes_${instances}}
namespace d2deploy {

${definitions_${instances}}
}  // namespace d2deploy
" @ONLY)
    target_sources(${target} PRIVATE "${source}")
  endforeach()
  foreach(backend avx512 onednn winograd packed cudnn cuda cpu)
    list(REMOVE_DUPLICATES sources_${backend})
    target_sources(${target} PRIVATE ${sources_${backend}})
  endforeach()
  d2deploy_cuda_sources(${target} ${sources_cuda})

  file(CONFIGURE OUTPUT "${CMAKE_CURRENT_BINARY_DIR}/registry.cpp" CONTENT
"// Written by cpp/cmake/operators.cmake. Do not edit.
@includes@
namespace d2deploy {

@declarations@
const std::map<std::string, Operator, std::less<>>& operators() {
  static constexpr void (*kDefinitions[])(Operator&) = {
@entries@  };
  static const auto all = detail::table(kDefinitions);
  return all;
}

}  // namespace d2deploy
" @ONLY)
  target_sources(${target} PRIVATE "${CMAKE_CURRENT_BINARY_DIR}/registry.cpp")
endfunction()
