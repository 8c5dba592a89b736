"""Optional packages: installed when something needs them and the user agrees, never otherwise."""

import importlib
import importlib.util
import sys
from collections.abc import Callable, Sequence
from subprocess import CalledProcessError

import slicer
from slicer.i18n import tr as _

from PyPeTLib.report import NEEDED, report_available
from PyPeTLib.similarity import ssim_available

#: What is asked before anything is installed.
QUESTION = _(
    "Install {names} now? Downloaded from the internet into the Python environment of this 3D Slicer, {folder}, where "
    "other modules can use it as well."
)
SSIM = _(
    "The structural similarity (SSIM) of two maps needs scikit-image, an open-source package for images, which is not "
    "installed. All other metrics do without."
)
REPORT = _(
    "The report needs {names}, open-source packages for figures and pages, which are not installed. All other files "
    "do without."
)
FAILED = _(
    "{names} could not be installed: {error}. Check the connection to the internet and that you may write to {folder}; "
    "{others} do without."
)


def ensure_skimage() -> bool:
    """Tell whether scikit-image can be used; where it is missing, ask the user and install it.

    Returns
    -------
    bool
        False where the user says no, nobody can be asked (testing mode, no main window) or the installation fails,
        which is shown. Nothing is remembered: the next call asks again.
    """
    return _ensured(ssim_available, ("scikit-image",), SSIM, _("the other metrics"))


def ensure_report() -> bool:
    """Tell whether the report can be written; where packages are missing, ask the user and install them.

    Returns
    -------
    bool
        As `ensure_skimage`.
    """
    return _ensured(report_available, NEEDED, REPORT, _("the other files"))


def _ensured(available: Callable[[], bool], names: Sequence[str], need: str, others: str) -> bool:
    if available():
        return True
    if slicer.app.testingEnabled() or slicer.util.mainWindow() is None:
        return False
    question = QUESTION.format(names=listed(names), folder=sys.prefix)
    text = f"{need.format(names=listed(names))}\n\n{question}"
    if not slicer.util.confirmOkCancelDisplay(text, windowTitle="PyPeT"):
        return False
    if not _installed(names, others):
        return False
    importlib.invalidate_caches()
    return available()


def listed(names: Sequence[str]) -> str:
    """Return names as words of a sentence."""
    return _(" and ").join(names)


def _installed(names: Sequence[str], others: str) -> bool:
    """Install packages with Slicer's own means; show what went wrong."""
    try:
        for name in names:
            _install(name)
    except (CalledProcessError, RuntimeError, OSError) as error:
        if not _shown_by_slicer(error):
            text = FAILED.format(names=listed(names), error=error, folder=sys.prefix, others=others)
            slicer.util.errorDisplay(text, windowTitle="PyPeT")
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
