"""Without a window: ``Slicer --no-splash --no-main-window --additional-module-paths PyPeT --python-script FILE -- …``.

Does what ``pypet run`` does, and writes the scene into the same folder; arguments and exit codes are those of
``pypet run``, e.g. ``-- scan_ctp.nii.gz -o out``.
"""

import importlib.util
import sys
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


if __name__ == "__main__":
    find_packages()
    sys.exit(analyze(own_arguments(sys.argv[1:])))
