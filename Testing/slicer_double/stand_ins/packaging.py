"""``slicer.packaging``: says what is installed, and refuses to install."""

from __future__ import annotations

import importlib.metadata
import re


def pip_check(req) -> bool:
    """Whether the packages are there; versions are not compared."""
    requirements = [req] if isinstance(req, str) else req
    return all(_is_installed(re.split(r"[^\w.-]", str(requirement).strip())[0]) for requirement in requirements)


def pip_ensure(
    requirements,
    constraints=None,
    skip_packages=None,
    prompt_install=True,
    prompt_restart=True,
    requester=None,
    skip_in_testing=True,
    show_progress=True,
):
    """Return if everything is there; else ask, as Slicer does, and refuse."""
    import slicer.util

    if pip_check(requirements):
        return None
    if prompt_install and not slicer.util.confirmOkCancelDisplay(f"{requester} needs {requirements}. Install?"):
        raise RuntimeError("the user declined to install")
    return pip_install(requirements)


def pip_install(requirements, **_):
    raise RuntimeError(f"the test double installs nothing: {requirements}")


def _is_installed(name: str) -> bool:
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True
