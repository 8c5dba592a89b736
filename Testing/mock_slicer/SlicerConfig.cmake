# Stands for a build tree of 3D Slicer in `find_package(Slicer)`: nothing is compiled, and what Slicer would refuse,
# drop in silence, or only notice on the user's machine is an error here. Testing/test_extension.py configures with it.
set(Slicer_QTSCRIPTEDMODULES_LIB_DIR lib/Slicer-5.12/qt-scripted-modules)
set(Slicer_USE_FILE ${CMAKE_CURRENT_LIST_DIR}/UseSlicer.cmake)
set(Slicer_EXTENSION_GENERATE_CONFIG ${CMAKE_CURRENT_LIST_DIR}/GenerateConfig.cmake)
set(Slicer_EXTENSION_CPACK ${CMAKE_CURRENT_LIST_DIR}/Package.cmake)
