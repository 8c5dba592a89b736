if(NOT COMMAND slicerMacroBuildScriptedModule)
  message(FATAL_ERROR "Slicer_EXTENSION_GENERATE_CONFIG is included before Slicer_USE_FILE")
endif()
set(CONFIG_GENERATED ON)
