"""No test is collected here: the modules need slicer-core and PySide6, which a plain checkout may lack."""

collect_ignore_glob = ["*.py"]
