"""Every number and choice a user may change, once, with unit, range and meaning."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cache
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, Literal, get_args, get_type_hints

from PyPeTLib.errors import InputError, decimal_comma, reason_of

if TYPE_CHECKING:
    from PyPeTLib.geometry import Geometry

#: Less than this share of a pixel is tolerated as motion.
LEAST_PIXELS = 0.2

MotionCorrection = Literal["auto", "on", "off"]
BeyondLimit = Literal["keep", "leave-out"]
DenoiseMethod = Literal["bilateral", "gaussian", "curvature-flow", "none"]
DriftCorrection = Literal["auto", "off"]
BrainMethod = Literal["skull", "fast-marching"]
DeconvolutionMethod = Literal["bayesian", "bSVD", "sSVD", "oSVD", "tikhonov", "nlr", "stable-spline", "max-slope"]
ResidueShape = Literal[
    "automatic", "exponential", "gamma-1.5", "gamma-2", "gamma-3", "gamma-5", "gamma-10", "linear", "box"
]
TransitPrior = Literal["weak", "flat"]
VoxelTissues = Literal["two", "one"]
TimingPrior = Literal["neighbours", "patient", "none"]
PartialVolumeMethod = Literal["venous", "none"]
StrengthChoice = Literal["gcv", "fixed"]
BiasCorrection = Literal["none", "simulation"]
Normalisation = Literal["none", "brain-mean"]
Colours = Literal["even", "ASIST-like"]
LesionRule = Literal["RAPID-like", "Cereda", "MIStar-like", "Philips-like", "own"]
CoreMap = Literal["rCBF", "CBV"]
HypoperfusionMap = Literal["Tmax", "delay", "rMTT"]
CoreInside = Literal["hypoperfusion", "anywhere"]
Value = float | int | str
#: Letters of a settings file, some ten thousand with all comments; longer ones may take minutes to understand.
LONGEST_FILE = 2**16
#: Methods that tell the delay of tissue from its transit time.
WITH_DELAY: tuple[DeconvolutionMethod, ...] = ("bayesian", "nlr", "stable-spline")
#: Methods that are a matrix made from the arterial input; they have the bias that ``correction`` removes.
LINEAR: tuple[DeconvolutionMethod, ...] = ("bSVD", "sSVD", "oSVD", "tikhonov")
#: Settings that count with some words of a choice only, and with which; a choice or word that is not here has none.
READ_WITH: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "motion": {
        "auto": ("motion_tolerance_mm", "motion_limit_mm", "motion_beyond"),
        "on": ("motion_limit_mm", "motion_beyond"),
    },
    "denoise": {
        "bilateral": ("bilateral_sigma_mm", "bilateral_similarity", "bilateral_anatomy"),
        "gaussian": ("gaussian_sigma_mm",),
        "curvature-flow": ("curvature_flow_iterations", "curvature_flow_step"),
    },
    "method": {
        "bayesian": ("residue", "mtt_prior", "timing_prior", "voxel_tissues", "late_probability"),
        "bSVD": ("bsvd_cutoff", "correction"),
        "sSVD": ("ssvd_cutoff", "correction"),
        "oSVD": ("oscillation_index", "correction"),
        "tikhonov": ("tikhonov_choice", "correction"),
        "max-slope": ("slope_window_s",),
    },
    "tikhonov_choice": {"fixed": ("tikhonov_strength",)},
    "correction": {"simulation": ("residue",)},
    "residue": {"automatic": ("mtt_prior",)},
    "lesion_rule": {"own": ("core_map", "hypoperfusion_map")},
    "core_map": {"rCBF": ("core_rcbf",), "CBV": ("core_cbv",)},
    "hypoperfusion_map": {
        "Tmax": ("hypoperfusion_tmax_s",),
        "delay": ("hypoperfusion_delay_s",),
        "rMTT": ("hypoperfusion_rmtt",),
    },
}


def _number(default: float, unit: str, low: float, high: float, meaning: str) -> Any:
    """Declare a numeric setting with unit and closed range."""
    return field(
        default=default, metadata={"default": default, "unit": unit, "low": low, "high": high, "meaning": meaning}
    )


def _choice(default: str, meaning: str) -> Any:
    """Declare a setting that takes one of the words of its ``Literal``."""
    return field(
        default=default, metadata={"default": default, "unit": "", "low": None, "high": None, "meaning": meaning}
    )


@dataclass(frozen=True)
class Settings:
    """What a run can be told; checked when made.

    Raises
    ------
    InputError
        If a value has the wrong type, lies outside its range or is no known word.

    Examples
    --------
    >>> Settings(method="sSVD").method
    'sSVD'
    """

    motion: MotionCorrection = _choice(
        "auto", "motion of the head: correct frames that moved beyond the tolerance, all frames, or none"
    )
    motion_tolerance_mm: float = _number(
        0.35, "mm", 0.0, 5.0, "auto: frames in which the skull moved less, or by a fifth of a pixel, stay; 0: none"
    )
    motion_limit_mm: float = _number(10.0, "mm", 0.5, 100.0, "frames in which the skull moved further are flagged")
    motion_beyond: BeyondLimit = _choice("keep", "what becomes of frames beyond the limit of motion")

    denoise: DenoiseMethod = _choice("bilateral", "how noise is removed from the curves")
    bilateral_sigma_mm: float = _number(7.0, "mm", 0.3, 10.0, "bilateral: standard deviation of the spatial kernel")
    bilateral_similarity: float = _number(
        2.5, "noise SD", 0.5, 50.0, "bilateral: time courses further apart than this are not averaged"
    )
    bilateral_anatomy: float = _number(
        2.5, "noise SD", 0.5, 50.0, "bilateral: voxels whose mean HU are further apart than this are not averaged"
    )
    gaussian_sigma_mm: float = _number(2.5, "mm", 0.3, 10.0, "gaussian: standard deviation of the kernel")
    curvature_flow_iterations: int = _number(10, "", 1, 50, "curvature flow: number of iterations")
    curvature_flow_step: float = _number(0.0625, "", 0.01, 0.125, "curvature flow: time step")

    brain: BrainMethod = _choice("skull", "how the brain mask is made when none is given")
    bone_hu: float = _number(300.0, "HU", 100.0, 800.0, "voxels of the mean image above this are bone")
    tissue_low_hu: float = _number(-20.0, "HU", -200.0, 20.0, "mean image: lower bound of what lies inside the skull")
    tissue_high_hu: float = _number(
        300.0,
        "HU",
        60.0,
        800.0,
        "mean image: inside the skull less is no bone (at its border: half of the bone beside)",
    )
    brain_opening_mm: float = _number(6.0, "mm", 1.0, 15.0, "openings of the skull narrower than twice this are shut")

    arrival_rise: float = _number(
        0.05, "share", 0.01, 0.5, "rise of the contrast measure, as a share of its maximal rise, that is arrival"
    )
    minimum_enhancement_hu: float = _number(5.0, "HU", 1.0, 50.0, "a vascular peak below this is no bolus")

    drift: DriftCorrection = _choice(
        "auto",
        "HU of the brain that drift, or jump from frame to frame: take them off, or nothing",
    )

    aif_minimum_volume_ml: float = _number(0.01, "mL", 0.0, 1.0, "smallest arterial cluster")
    aif_maximum_volume_ml: float = _number(2.0, "mL", 0.05, 20.0, "largest arterial cluster")
    partial_volume: PartialVolumeMethod = _choice("venous", "scale the arterial area to the venous one, or not at all")

    csf_hu: float = _number(20.0, "HU", 0.0, 30.0, "darker voxels of the brain mask, without contrast, are CSF")
    bone_rim_hu: float = _number(
        100.0, "HU", 60.0, 300.0, "brighter voxels of the brain mask, without contrast, share bone"
    )
    vessel_cbv: float = _number(
        8.0, "mL/100 g", 2.0, 100.0, "voxels of more blood, and of three times the brain's median, are large vessels"
    )

    method: DeconvolutionMethod = _choice("bayesian", "how flow, volume and times are found from the curves")
    residue: ResidueShape = _choice(
        "automatic", "bayesian, correction: shape of the residue function, or that which suits this patient best"
    )
    mtt_prior: TransitPrior = _choice(
        "weak", "bayesian: mean transit times of 1.3 to 19 s in 90 %, or none preferred (flat in the logarithm)"
    )
    timing_prior: TimingPrior = _choice(
        "neighbours",
        "bayesian, expected are: the patient's transit times and the delays around a voxel; the former alone; or any",
    )
    voxel_tissues: VoxelTissues = _choice(
        "two", "bayesian: a voxel may be shared by usual and late tissue (edges of a territory), or is of one"
    )
    bsvd_cutoff: float = _number(0.10, "share", 0.001, 0.9, "bSVD: smaller singular values, over the largest, are cut")
    ssvd_cutoff: float = _number(0.20, "share", 0.001, 0.9, "sSVD: smaller singular values, over the largest, are cut")
    oscillation_index: float = _number(0.10, "", 0.001, 2.0, "oSVD: largest oscillation index of an accepted residue")
    tikhonov_strength: float = _number(
        0.10, "share", 0.001, 2.0, "tikhonov, fixed: regularisation as a share of the largest singular value"
    )
    tikhonov_choice: StrengthChoice = _choice(
        "gcv", "tikhonov: strength from generalised cross-validation of this patient's curves, or the one given"
    )
    correction: BiasCorrection = _choice(
        "none",
        "SVD, tikhonov: remove the bias of flow and times, known from simulated tissue of this arterial input, or not",
    )
    slope_window_s: float = _number(4.0, "s", 0.5, 10.0, "max-slope: slopes are means over so long a time")

    tissue_density_g_ml: float = _number(1.05, "g/mL", 0.9, 1.2, "density of brain tissue (CAPLEX Q.PH1.011)")
    hematocrit_large: float = _number(0.45, "", 0.0, 0.8, "hematocrit of large vessels")
    hematocrit_small: float = _number(0.25, "", 0.0, 0.8, "hematocrit of small vessels")

    map_smoothing_mm: float = _number(
        0.0, "mm", 0.0, 20.0, "if not 0: SD of a smoothing of the maps, written beside them"
    )
    normalise: Normalisation = _choice("none", "write maps divided by their mean over the brain as well")
    colours: Colours = _choice(
        "even", "colours of the maps: perceptually even ones, or from black over blue, green and yellow to red"
    )

    lesion_rule: LesionRule = _choice(
        "RAPID-like", "what core and hypoperfusion are: thresholds of a trial or product, or your own"
    )
    core_map: CoreMap = _choice("rCBF", "own: core is less than a share of normal CBF, or less than an amount of CBV")
    core_rcbf: float = _number(30.0, "% of normal", 1.0, 100.0, "own, rCBF: core is below this share of normal CBF")
    core_cbv: float = _number(2.0, "mL/100 g", 0.1, 10.0, "own, CBV: core is below this")
    hypoperfusion_map: HypoperfusionMap = _choice("Tmax", "own: hypoperfusion has a late Tmax, delay, or a long MTT")
    hypoperfusion_tmax_s: float = _number(6.0, "s", 0.5, 20.0, "own, Tmax: hypoperfusion is above this")
    hypoperfusion_delay_s: float = _number(3.0, "s", 0.5, 20.0, "own, delay: hypoperfusion is above this")
    hypoperfusion_rmtt: float = _number(
        145.0, "% of normal", 100.0, 1000.0, "own, rMTT: hypoperfusion is above this share of normal MTT"
    )
    core_inside: CoreInside = _choice(
        "hypoperfusion", "where core is sought: inside the hypoperfusion, or anywhere in the tissue"
    )
    late_probability: float = _number(
        0.9, "share", 0.5, 0.999, "late is what is later than the median (at most normal_tmax_s) so probably, by its SD"
    )
    vessel_margin_mm: float = _number(
        2.0, "mm", 0.0, 10.0, "tissue so near a large vessel counts as the nearest farther away, and not as normal"
    )
    smallest_lesion_ml: float = _number(1.0, "mL", 0.0, 20.0, "smaller connected parts of a lesion are noise")
    normal_tmax_s: float = _number(
        4.0, "s", 0.5, 20.0, "tissue of the other side up to this Tmax is normal: relative values are against its mean"
    )
    both_sides_share: float = _number(
        0.3, "share", 0.05, 1.0, "both sides are ill where the smaller hypoperfusion is this share of the larger"
    )
    both_sides_ml: float = _number(
        10.0, "mL", 0.0, 200.0, "both sides are ill only where the smaller hypoperfusion has this volume as well"
    )
    midplane_limit_degrees: float = _number(
        50.0, "degrees", 5.0, 60.0, "the mid-sagittal plane is sought up to this angle from the patient's axis"
    )

    def __post_init__(self) -> None:
        for name, value in self.items():
            object.__setattr__(self, name, _plain(value))
            _check(name, getattr(self, name))
        if self.aif_minimum_volume_ml > self.aif_maximum_volume_ml or self.tissue_low_hu >= self.tissue_high_hu:
            raise InputError(
                "Settings: a minimum below its maximum is needed; found AIF volumes of "
                f"{self.aif_minimum_volume_ml:g} to {self.aif_maximum_volume_ml:g} mL and tissue of "
                f"{self.tissue_low_hu:g} to {self.tissue_high_hu:g} HU. Change one of them."
            )
        by_delay = self.lesion_rule == "MIStar-like"
        by_delay |= self.lesion_rule == "own" and self.hypoperfusion_map == "delay"
        if by_delay and self.method not in WITH_DELAY:
            raise InputError(
                f"Setting lesion_rule={self.lesion_rule}: a method that gives the delay is needed "
                f"({', '.join(WITH_DELAY)}); found method={self.method}. Change one of them."
            )

    def items(self) -> Iterator[tuple[str, Value]]:
        """Yield name and value of every setting."""
        for entry in fields(self):
            yield entry.name, getattr(self, entry.name)

    @property
    def hematocrit_factor(self) -> float:
        """κ = (1 − Hct_large) / (1 − Hct_small) (CAPLEX Q.PH1.013)."""
        return (1.0 - self.hematocrit_large) / (1.0 - self.hematocrit_small)

    @property
    def bias_removed(self) -> bool:
        """Whether the method has a bias that is removed."""
        return self.method in LINEAR and self.correction != "none"

    @property
    def residue_sought(self) -> bool:
        """Whether the shape of the residue is needed and is to be found in the patient's curves."""
        return self.residue == "automatic" and (self.method == "bayesian" or self.bias_removed)

    @property
    def with_usual_denoising(self) -> Settings:
        """The same settings with the default denoising."""
        usual = Settings()
        return self.changed({name: getattr(usual, name) for name in ("denoise", *READ_WITH["denoise"][usual.denoise])})

    def tolerated_motion_mm(self, geometry: Geometry) -> float:
        """Return by how much a frame may have moved and stays where it is, in mm: poses on coarse grids are no better.

        Examples
        --------
        >>> from PyPeTLib import Geometry
        >>> [round(Settings().tolerated_motion_mm(Geometry((9, 9, 9), (x, x, 8.0))), 2) for x in (0.5, 1.0, 3.0)]
        [0.35, 0.35, 0.6]
        """
        if self.motion != "auto" or not self.motion_tolerance_mm:
            return 0.0
        return max(self.motion_tolerance_mm, LEAST_PIXELS * geometry.pixel_mm)

    def changed(self, changes: Mapping[str, Value]) -> Settings:
        """Return a copy with some values changed; unknown names are refused with the nearest ones."""
        for name in changes:
            _known(name)
        return replace(self, **changes)  # type: ignore[arg-type]


@dataclass(frozen=True)
class SettingInfo:
    """Name, default, unit, range (or words) and meaning of one setting."""

    name: str
    default: Value
    unit: str
    low: float | None
    high: float | None
    choices: tuple[str, ...]
    meaning: str

    @property
    def allowed(self) -> str:
        """The range or the words, as text."""
        return " | ".join(self.choices) if self.choices else f"{self.low:g} … {self.high:g}"


@cache
def describe_settings() -> tuple[SettingInfo, ...]:
    """Return what is known of every setting, in order.

    Examples
    --------
    >>> describe_settings()[0].choices
    ('auto', 'on', 'off')
    """
    kinds = get_type_hints(Settings)
    return tuple(
        SettingInfo(name=entry.name, choices=get_args(kinds[entry.name]), **entry.metadata)
        for entry in fields(Settings)
    )


def is_read(name: str, chosen: object) -> bool:
    """Tell whether a setting has any effect beside the words that were chosen for others.

    Parameters
    ----------
    name : str
        Of the setting.
    chosen : object
        Has the chosen words under the names of the choices, as `Settings` has.

    Examples
    --------
    >>> is_read("bsvd_cutoff", Settings()), is_read("bsvd_cutoff", Settings(method="bSVD"))
    (False, True)
    """
    choices = _choices_of(name)
    return not choices or any(
        name in READ_WITH[choice].get(getattr(chosen, choice), ()) and is_read(choice, chosen) for choice in choices
    )


def without_effect(settings: Settings) -> dict[str, str]:
    """Return the settings that were changed in vain, by name, and the choices that leave them unread.

    Examples
    --------
    >>> without_effect(Settings(bsvd_cutoff=0.2, mtt_prior="flat"))
    {'bsvd_cutoff': 'method=bayesian'}
    """
    in_vain = [
        info.name
        for info in describe_settings()
        if getattr(settings, info.name) != info.default and not is_read(info.name, settings)
    ]
    return {name: ", ".join(dict.fromkeys(_why_unread(name, settings))) for name in in_vain}


def _why_unread(name: str, settings: Settings) -> Iterator[str]:
    """Yield the choices for which a setting is not read: of one that is itself not read, those for which it is not."""
    for choice in _choices_of(name):
        if is_read(choice, settings):
            yield f"{choice}={getattr(settings, choice)}"
        else:
            yield from _why_unread(choice, settings)


def _choices_of(name: str) -> list[str]:
    """Return the choices that decide whether a setting is read."""
    return [choice for choice, words in READ_WITH.items() if any(name in own for own in words.values())]


def parse_assignment(text: str) -> tuple[str, Value]:
    """Read ``NAME=VALUE`` as typed on a command line.

    Examples
    --------
    >>> parse_assignment("bilateral_sigma_mm=1.5")
    ('bilateral_sigma_mm', 1.5)
    """
    name, equals, word = text.partition("=")
    if not equals:
        raise InputError(f"A setting is given as NAME=VALUE; found '{text}'.")
    info = _known(name.strip())
    if info.choices:
        return info.name, word.strip()
    try:
        return info.name, type(info.default)(word)
    except ValueError:
        need = f"{_kind(info)} in {info.allowed} is needed"
        raise InputError(f"Setting {info.name}: {need}; found '{word}'.{decimal_comma(word)}") from None


def settings_from_toml(text: str, *, source: str) -> dict[str, Value]:
    """Read a settings file: one ``name = value`` a line, as ``pypet settings --toml`` writes it.

    Raises
    ------
    InputError
        If the text is no such file or names an unknown setting.
    """
    if len(text) > LONGEST_FILE:
        need = f"at most {LONGEST_FILE} letters are needed; found {len(text)}"
        raise InputError(f"Settings file {source}: {need}. Leave out what is no setting.")
    try:
        values = _load_toml(text)
    except (ValueError, RecursionError) as error:
        found = reason_of(error)
        need = f"Settings file {source}: lines of the form name = value are needed"
        raise InputError(f"{need}; found: {found}.{_comma_in_toml(text)}") from error
    for name, value in values.items():
        try:
            _check(name, value)
        except InputError as error:
            raise InputError(f"Settings file {source}: {error}") from None
    return values


def settings_to_toml(settings: Settings) -> str:
    """Return a settings file with a comment for every entry, in ASCII: a shell writes it in any character set."""
    lines = ["# PyPeT settings; delete the lines that should keep their default."]
    for info in describe_settings():
        value = getattr(settings, info.name)
        unit = f" [{info.unit}]" if info.unit else ""
        lines += ["", f"# {info.meaning}{unit}; {info.allowed.replace('…', 'to')}"]
        lines.append(f"{info.name} = {json.dumps(value)}")
    return "\n".join(lines) + "\n"


def _load_toml(text: str) -> dict[str, Any]:
    """Parse with the standard library, or, on Python 3.10, the flat subset that settings need."""
    try:
        import tomllib
    except ModuleNotFoundError:
        return _flat_toml(text)
    return tomllib.loads(text)


def _comma_in_toml(text: str) -> str:
    """Return where in a settings file that cannot be read a number has a decimal comma, and what to do about it."""
    for number, line in enumerate(text.splitlines(), start=1):
        name, _, word = line.partition("#")[0].partition("=")
        if cure := decimal_comma(word):
            return f" Line {number}, {name.strip()}:{cure}"
    return ""


def _flat_toml(text: str) -> dict[str, Any]:
    """Parse ``name = number`` and ``name = "word"`` lines with comments."""
    values: dict[str, Any] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        bare = line.partition("#")[0].strip()
        if not bare:
            continue
        name, equals, word = (part.strip() for part in bare.partition("="))
        if not (equals and name and word) or name in values:
            raise ValueError(f"line {number}: '{line.strip()}'")
        quoted = f'"{word[1:-1]}"' if len(word) > 1 and word[0] == word[-1] == "'" else word
        try:
            values[name] = json.loads(quoted)
        except ValueError:
            raise ValueError(f"line {number}: '{line.strip()}'") from None
    return values


def _known(name: str) -> SettingInfo:
    """Return what is known of a setting, or refuse with the nearest names."""
    known = {info.name: info for info in describe_settings()}
    if name in known:
        return known[name]
    holding = [other for other in known if len(name) > 2 and name.lower() in other]
    near = holding[:3] or difflib.get_close_matches(name, known, n=3, cutoff=0.4)
    hint = f"nearest: {', '.join(near)}; " if near else ""
    raise InputError(f"Unknown setting '{name}' ({hint}'pypet settings' lists all).")


def _kind(info: SettingInfo) -> str:
    return "a whole number" if isinstance(info.default, int) else "a number"


def _plain(value: Value) -> Value:
    """Return a number of numpy's, as a series of values from ``np.arange`` has them, as one of Python's."""
    if isinstance(value, bool) or not isinstance(value, Real):
        return value
    return int(value) if isinstance(value, Integral) else float(value)


def _check(name: str, value: object) -> None:
    """Refuse a value of the wrong type, outside its range, or an unknown word."""
    info = _known(name)
    if info.choices:
        if value not in info.choices:
            folded = {choice.casefold(): choice for choice in info.choices}
            near = difflib.get_close_matches(str(value).casefold(), folded, n=1)
            hint = f" (nearest: {folded[near[0]]})" if near else ""
            raise InputError(f"Setting {name}: one of {info.allowed} is needed; found '{value}'{hint}. Choose one.")
        return
    number = isinstance(value, int) or (isinstance(value, float) and not isinstance(info.default, int))
    assert info.low is not None and info.high is not None
    if isinstance(value, bool) or not number or not info.low <= value <= info.high:  # type: ignore[operator]
        raise InputError(
            f"Setting {name}: {_kind(info)} in {info.allowed} {info.unit}".rstrip()
            + f" is needed; found {value!r}.{decimal_comma(value)}"
        )
