# d2deploy_warnings(<target>): our warnings, for our own sources only.
# Clang does not know "GCC ivdep", which is only a hint.
# -Wrestrict and -Wstringop-overflow are left out: GCC 12 reports them falsely for std::string (GCC bug 105651).
function(d2deploy_warnings target)
  set(options -Wall -Wextra -Wshadow -Wconversion -Wno-sign-conversion
    "$<$<CXX_COMPILER_ID:GNU>:-Wno-restrict;-Wno-stringop-overflow>" $<$<CXX_COMPILER_ID:Clang>:-Wno-unknown-pragmas>)
  if(D2DEPLOY_WERROR)
    list(APPEND options -Werror)
  endif()
  target_compile_options(${target} PRIVATE "$<$<COMPILE_LANGUAGE:CXX>:${options}>")
endfunction()
