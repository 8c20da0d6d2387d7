# cmake -DBUILD=<folder of a build> -DEXAMPLE=<folder of a model> -P test.cmake: installs the build into a folder,
# builds the program here against it, by find_package alone, and runs it.
set(prefix "${BUILD}/consumer/prefix")
file(REMOVE_RECURSE "${BUILD}/consumer")
function(run)
  execute_process(COMMAND ${ARGN} COMMAND_ERROR_IS_FATAL ANY)
endfunction()
run("${CMAKE_COMMAND}" --install "${BUILD}" --prefix "${prefix}")
run("${CMAKE_COMMAND}" -S "${CMAKE_CURRENT_LIST_DIR}" -B "${BUILD}/consumer/build" "-DCMAKE_PREFIX_PATH=${prefix}")
run("${CMAKE_COMMAND}" --build "${BUILD}/consumer/build")
run("${BUILD}/consumer/build/consumer" "${EXAMPLE}")
run("${prefix}/bin/caffe2_mask_rcnn" --version)
