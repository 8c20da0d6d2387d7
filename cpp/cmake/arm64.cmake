# Cross-compiling for 64-bit ARM with Debian's g++-aarch64-linux-gnu; what is built runs on the host under qemu-user.
# The environment's D2DEPLOY_SYSROOT is a folder with the libraries that are linked, of Debian's arm64 packages
# (scripts/test_arm64 makes it); those of C and C++ come with the compiler.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_LIBRARY_ARCHITECTURE aarch64-linux-gnu)
set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)
set(compiler_root /usr/aarch64-linux-gnu)
set(CMAKE_CROSSCOMPILING_EMULATOR qemu-aarch64 -L ${compiler_root})

set(CMAKE_FIND_ROOT_PATH "$ENV{D2DEPLOY_SYSROOT}" ${compiler_root})
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER) # protoc runs on the host
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)

# Where the libraries are whose names stand in those that are linked, for the linker and in the run.
set(libraries lib/aarch64-linux-gnu usr/lib usr/lib/aarch64-linux-gnu usr/lib/aarch64-linux-gnu/blas
  usr/lib/aarch64-linux-gnu/lapack)
list(TRANSFORM libraries PREPEND "$ENV{D2DEPLOY_SYSROOT}/")
list(JOIN libraries ":" libraries)
set(CMAKE_EXE_LINKER_FLAGS_INIT "-Wl,--disable-new-dtags,-rpath,${libraries},-rpath-link,${libraries}")
set(CMAKE_SHARED_LINKER_FLAGS_INIT "${CMAKE_EXE_LINKER_FLAGS_INIT}")
