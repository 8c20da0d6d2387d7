# What goes into the Python wheel, when scikit-build-core builds one: the program and the Python module.
# Both find libdnnl in the environment's folder lib, where the package onednn-cpu-gomp puts it: beside bin, and above
# lib/python3.x/site-packages/d2deploy.
if(SKBUILD AND TARGET caffe2_mask_rcnn)
  set_target_properties(caffe2_mask_rcnn PROPERTIES INSTALL_RPATH "$ORIGIN/../lib")
  install(TARGETS caffe2_mask_rcnn RUNTIME DESTINATION "${SKBUILD_SCRIPTS_DIR}")
endif()
if(SKBUILD AND TARGET _ext)
  set_target_properties(_ext PROPERTIES INSTALL_RPATH "$ORIGIN/../../..")
  install(TARGETS _ext LIBRARY DESTINATION d2deploy)
endif()
