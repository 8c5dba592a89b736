"""A small, strict stand-in for the 3D Slicer application: real MRML from slicer-core, real Qt from PySide6.

Reading order: ``scene`` (nodes and logics), ``hierarchy`` (what the application adds to the subject hierarchy),
``pythonqt`` (Qt as Slicer's Python sees it), ``widgets`` and ``selectors`` (ctk and qMRML), ``ui_loader``,
``application`` (slicer.app and dialogs), ``stand_ins`` (slicer.ScriptedLoadableModule and friends), ``loader``,
``fixtures`` (what a test asks for). Nothing here is imported by the product.
"""

import os

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
os.environ.setdefault("PYSIDE6_OPTION_PYTHON_ENUM", "0x6")  # enums equal numbers, as in PythonQt; read at first import
