# Sanitizers are switched on for everything that is compiled here, or for nothing.
if(D2DEPLOY_SANITIZE)
  add_compile_options(-fsanitize=${D2DEPLOY_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${D2DEPLOY_SANITIZE})
endif()
