"""Optional packages: installed when something needs them and the user agrees, never otherwise."""

import importlib
import importlib.util
import sys
from subprocess import CalledProcessError

import slicer

from PyPeTLib.similarity import ssim_available

#: What is asked before anything is installed.
QUESTION = """The structural similarity (SSIM) of two maps needs scikit-image, an open-source package for images, \
which is not installed. All other metrics do without.

Install it now? It is downloaded from the internet into the Python environment of this 3D Slicer, {folder}, where \
other modules can use it as well."""


def ensure_skimage() -> bool:
    """Tell whether scikit-image can be used; where it is missing, ask the user once and install it.

    Returns
    -------
    bool
        False where the user says no, nobody can be asked (testing mode, no main window) or the installation fails,
        which is shown. Nothing is remembered: the next call asks again.
    """
    if ssim_available():
        return True
    if slicer.app.testingEnabled() or slicer.util.mainWindow() is None:
        return False
    if not slicer.util.confirmOkCancelDisplay(QUESTION.format(folder=sys.prefix), windowTitle="PyPeT"):
        return False
    if not _installed():
        return False
    importlib.invalidate_caches()
    return ssim_available()


def _installed() -> bool:
    """Install scikit-image with Slicer's own means; show what went wrong."""
    try:
        _install("scikit-image")
    except (CalledProcessError, RuntimeError, OSError) as error:
        if not _shown_by_slicer(error):
            slicer.util.errorDisplay(
                f"scikit-image could not be installed: {error}. Check the connection to the internet and that you may "
                f"write to {sys.prefix}; the other metrics do without.",
                windowTitle="PyPeT",
            )
        return False
    return True


def _install(package: str) -> None:
    if importlib.util.find_spec("slicer.packaging") is None:  # before Slicer 5.12
        with slicer.util.WaitCursor():
            slicer.util.pip_install(package)
        return
    from slicer.packaging import pip_ensure

    pip_ensure(package, prompt_install=False, requester="PyPeT")


def _shown_by_slicer(error: Exception) -> bool:
    """Tell whether Slicer has shown the failure of pip already, with its log: since 5.12."""
    return isinstance(error, CalledProcessError) and importlib.util.find_spec("slicer.packaging") is not None
