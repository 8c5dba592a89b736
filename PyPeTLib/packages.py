"""Optional packages: which of them can be used, and the cure where one cannot."""

from __future__ import annotations

from importlib import import_module

from PyPeTLib.errors import installing

#: What is imported of each package where it is used, as "module" or "module:name": the compiled parts are those that
#: break, and some packages load them late.
PARTS = {
    "matplotlib": "matplotlib.backends.backend_agg",
    "jinja2": "jinja2",
    "scikit-image": "skimage.metrics:structural_similarity",
    "openpyxl": "openpyxl",
    "weasyprint": "weasyprint",
    "tqdm": "tqdm",
    "slicer-core": "slicer:vtkMRMLScene",
}
ABSENT = "is not installed"


def why_not(package: str) -> str:
    """Return why an optional package cannot be used, "" where it can; it is imported, for it may be there and broken.

    Parameters
    ----------
    package : str
        The name under which it is installed, one of `PARTS`.

    Examples
    --------
    >>> why_not("jinja2") in ("", "is not installed")
    True
    """
    module, _, name = PARTS[package].partition(":")
    top = module.partition(".")[0]
    try:
        import_module(top)
        part = import_module(module)
        if name:
            getattr(part, name)
    except Exception as error:  # a broken package raises what it likes: of files, of versions, of values
        if isinstance(error, ModuleNotFoundError) and error.name == top:
            return ABSENT
        lines = str(error).strip().splitlines() or [type(error).__name__]
        return f"does not load ({lines[0]})"
    return ""


def usable(*packages: str) -> bool:
    """Tell whether all of some optional packages can be used."""
    return not any(map(why_not, packages))


def mending(*packages: str) -> str:
    """Return the command that brings packages, after the reason where one is there but broken."""
    broken = {name: why for name in packages if (why := why_not(name)) not in ("", ABSENT)}
    told = "".join(f"{name} {why}: " for name, why in broken.items())
    return told + installing(*["--force-reinstall"] * bool(broken), *packages)
