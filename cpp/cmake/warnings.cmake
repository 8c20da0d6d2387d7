# d2deploy_warnings(<target>): our warnings, for our own sources only.
function(d2deploy_warnings target)
  target_compile_options(${target} PRIVATE -Wall -Wextra -Wshadow -Wconversion -Wno-sign-conversion)
  if(D2DEPLOY_WERROR)
    target_compile_options(${target} PRIVATE -Werror)
  endif()
endfunction()
