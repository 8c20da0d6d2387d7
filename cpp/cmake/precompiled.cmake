# d2deploy_precompiled_headers(<target> [<header>...]): headers of the standard library that most sources include, and
# those given, are read once for all sources of the target. d2deploy_precompiled_headers(<target> REUSE_FROM <other>):
# with those of another target of the same options.
# Every source still includes what it uses: -D CMAKE_DISABLE_PRECOMPILE_HEADERS=ON builds without them.
function(d2deploy_precompiled_headers target)
  if(ARGV1 STREQUAL "REUSE_FROM")
    target_precompile_headers(${target} REUSE_FROM ${ARGV2})
  else()
    target_precompile_headers(${target} PRIVATE
      <algorithm> <array> <cmath> <cstdint> <cstring> <functional> <map> <memory> <numeric> <optional> <set> <span>
      <string> <string_view> <type_traits> <utility> <variant> <vector> ${ARGN})
  endif()
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    target_compile_options(${target} PRIVATE $<$<COMPILE_LANGUAGE:CXX>:-fpch-preprocess>) # so that ccache can tell what a source includes
  endif()
endfunction()
