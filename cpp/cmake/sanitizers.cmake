# Sanitizers are switched on for everything that is compiled here, or for nothing.
if(D2DEPLOY_SANITIZE)
  add_compile_options(-fsanitize=${D2DEPLOY_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${D2DEPLOY_SANITIZE})
endif()

# libFuzzer steers by what the inputs reach, so the library is instrumented too; a fuzzer itself links with
# -fsanitize=fuzzer (tests/fuzz).
if(D2DEPLOY_FUZZ)
  if(NOT CMAKE_CXX_COMPILER_ID MATCHES "Clang")
    message(FATAL_ERROR "D2DEPLOY_FUZZ needs clang, found ${CMAKE_CXX_COMPILER_ID}. On Debian and Ubuntu: apt-get install "
                        "clang, then: scripts/fuzz")
  endif()
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()
