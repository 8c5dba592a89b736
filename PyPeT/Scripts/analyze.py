"""Run without a window: ``Slicer --no-splash --no-main-window --python-script FILE -- ARGUMENTS``.

With a clone ``--additional-module-paths PyPeT`` comes before ``--python-script``. Does what ``pypet run`` does, and
writes the scene into the same folder; arguments and exit codes are those of ``pypet run``, e.g.
``-- scan_ctp.nii.gz -o out``; 1 after an error that nobody foresaw. This file has ASCII letters only: Slicer reads it
in the encoding of the machine.
"""

import importlib.util
import sys
import traceback
from pathlib import Path

MODULE = Path(__file__).resolve().parents[1]


def find_packages():
    """Let the library be imported from the source tree, too."""
    for name, folder in (("PyPeTScene", MODULE), ("PyPeTLib", MODULE.parent)):
        if importlib.util.find_spec(name) is None:
            sys.path.append(str(folder))


def analyze(arguments):
    """Run as ``pypet run`` and write the scene beside its files; return the exit code."""
    from PyPeTLib.cli import main

    return main(["run", "--scene", *arguments])


def own_arguments(arguments):
    """Return what follows ``--``, which Slicer leaves in place or takes away."""
    return arguments[arguments.index("--") + 1 :] if "--" in arguments else arguments


def run(arguments):
    """Return the exit code, whatever happens: without one Slicer stays, and there is no window to close it by."""
    try:
        find_packages()
        return analyze(own_arguments(arguments))
    except Exception:
        traceback.print_exc()
        return 1


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
