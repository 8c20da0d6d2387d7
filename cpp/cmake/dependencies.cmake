# What the project is built with, and where to get it when it is missing. All that is missing is named at once.
set(missing)
macro(d2deploy_need name package)
  if(NOT ${name}_FOUND)
    list(APPEND missing "${name}: apt-get install ${package}")
  endif()
endmacro()

find_package(Protobuf QUIET)
d2deploy_need(Protobuf "libprotobuf-dev protobuf-compiler")

option(D2DEPLOY_PROGRAM "Build the program caffe2_mask_rcnn; needs OpenCV, gflags and glog, which the library does not" ON)
if(D2DEPLOY_PROGRAM OR D2DEPLOY_TESTS OR D2DEPLOY_BENCHMARKS)
  find_package(OpenCV QUIET COMPONENTS core imgproc imgcodecs)
  d2deploy_need(OpenCV libopencv-dev)
  find_package(gflags QUIET)
  d2deploy_need(gflags libgflags-dev)
endif()
if(D2DEPLOY_PROGRAM)
  find_package(glog QUIET)
  d2deploy_need(glog libgoogle-glog-dev)
endif()

if(D2DEPLOY_TESTS)
  find_package(GTest QUIET)
  d2deploy_need(GTest libgtest-dev)
endif()
if(D2DEPLOY_BENCHMARKS)
  find_package(benchmark QUIET)
  d2deploy_need(benchmark libbenchmark-dev)
endif()
if(missing)
  list(JOIN missing "\n  " missing)
  message(FATAL_ERROR "Not found on this machine; on Debian and Ubuntu (scripts/setup installs everything):\n  ${missing}\n"
    "Without OpenCV, gflags and glog the library and the Python module can be built, with -DD2DEPLOY_PROGRAM=OFF "
    "-DD2DEPLOY_TESTS=OFF -DD2DEPLOY_BENCHMARKS=OFF")
endif()

if(D2DEPLOY_ONEDNN)
  find_package(dnnl 3.2 QUIET CONFIG)
  if(NOT dnnl_FOUND)
    message(FATAL_ERROR "oneDNN 3.2 or newer was not found. Either: pip install onednn-devel-cpu-gomp==2023.2.0 into a virtual "
                        "environment and add -DCMAKE_PREFIX_PATH=<its folder> (scripts/setup does this), or: -DD2DEPLOY_ONEDNN=OFF "
                        "to use the portable kernels alone")
  endif()
  message(STATUS "oneDNN ${dnnl_VERSION}: ${dnnl_DIR}")
endif()

# Loops run on threads of our own, but where oneDNN is: on its OpenMP. Threads of two kinds would wait for the same CPUs,
# each spinning.
find_package(Threads REQUIRED)
if(D2DEPLOY_ONEDNN)
  find_package(OpenMP QUIET COMPONENTS CXX)
  if(NOT OpenMP_CXX_FOUND)
    message(FATAL_ERROR "oneDNN runs on OpenMP, which was not found beside ${CMAKE_CXX_COMPILER}. Either: install it (with g++: "
                        "libgomp-12-dev or its like), or: -DD2DEPLOY_ONEDNN=OFF to use the portable kernels alone")
  endif()
endif()

# The Python module is built where its tools are there, unless somebody decides otherwise.
find_package(Python 3.10 QUIET COMPONENTS Interpreter Development.Module OPTIONAL_COMPONENTS Development.SABIModule)
if(Python_FOUND)
  execute_process(COMMAND "${Python_EXECUTABLE}" -m nanobind --cmake_dir OUTPUT_VARIABLE nanobind_ROOT
    OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  find_package(nanobind 3.1 QUIET CONFIG)
endif()
if(Python_FOUND AND nanobind_FOUND AND PROJECT_IS_TOP_LEVEL)
  set(python_default ON)
else()
  set(python_default OFF)
endif()
option(D2DEPLOY_PYTHON "Build the Python module; needs nanobind and Python's headers" ${python_default})
if(D2DEPLOY_PYTHON)
  if(NOT Python_FOUND)
    message(FATAL_ERROR "Python 3.10 or newer with its headers was not found, and D2DEPLOY_PYTHON is ON. On Debian and Ubuntu: "
                        "apt-get install python3-dev (scripts/setup installs everything)")
  endif()
  if(NOT nanobind_FOUND)
    message(FATAL_ERROR "nanobind 3.1 or newer was not found beside ${Python_EXECUTABLE}, and D2DEPLOY_PYTHON is ON. "
                        "Either: pip install nanobind, or: -DPython_EXECUTABLE=<another Python>")
  endif()
  message(STATUS "Python ${Python_VERSION}: ${Python_EXECUTABLE}; nanobind: ${nanobind_DIR}")
endif()
