# What goes into the Python wheel, when scikit-build-core builds one: the program.
# It finds libdnnl in the lib folder beside its bin, where the package onednn-cpu-gomp puts it.
if(SKBUILD AND TARGET caffe2_mask_rcnn)
  set_target_properties(caffe2_mask_rcnn PROPERTIES INSTALL_RPATH "$ORIGIN/../lib")
  install(TARGETS caffe2_mask_rcnn RUNTIME DESTINATION "${SKBUILD_SCRIPTS_DIR}")
endif()
