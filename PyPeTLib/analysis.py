"""What comes out of a run: maps, lesions, and everything that led to them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Literal

from PyPeTLib.checks import Check
from PyPeTLib.geometry import Image, MaskArray
from PyPeTLib.records import Bolus, Curves, Drift, Jumps, Midplane, Motion, VascularCurve
from PyPeTLib.scan import Series

if TYPE_CHECKING:
    from PyPeTLib.settings import Settings

#: The patient's side of a lesion.
Side = Literal["left", "right", "both", "none", "unknown"]
#: Units of the maps; mass basis (per 100 g of tissue).
MAP_UNITS = {"cbf": "mL/100 g/min", "cbv": "mL/100 g", "mtt": "s", "tmax": "s", "ttp": "s", "delay": "s"}


@dataclass(frozen=True)
class Maps:
    """Perfusion maps on the scan's grid; NaN outside the brain mask.

    Parameters
    ----------
    cbf : Image
        Cerebral blood flow (CAPLEX Q.PH1.003) in mL/100 g/min.
    cbv : Image
        Cerebral blood volume (Q.PH1.001) in mL/100 g.
    mtt : Image
        Mean transit time (Q.PH1.006) in s.
    tmax : Image
        Time of the maximum of the impulse response in s, negative where tissue is earlier than the AIF.
    ttp : Image
        Time from bolus arrival to the peak of the tissue curve (Q.CD1.010) in s.
    delay : Image or None
        Arrival after the arterial input (Q.PH1.007) in s, where the method gives one.
    sd : mapping of str to Image
        Standard deviations of ``cbf``, ``cbv``, ``mtt`` and ``delay`` under their names, where the method gives them.
    residue : str
        Shape of the residue function that the maps assume; empty where they assume none.
    strength : float or None
        Of the regularisation that made the maps, as a share of the largest singular value, where it is Tikhonov's.
    uncorrected : mapping of str to Image
        ``tmax`` as it was before the bias of a linear deconvolution was removed, under its name; for thresholds that
        were found with it. Empty where nothing was removed.
    """

    cbf: Image
    cbv: Image
    mtt: Image
    tmax: Image
    ttp: Image
    delay: Image | None = None
    sd: Mapping[str, Image] = field(default_factory=dict)
    residue: str = ""
    strength: float | None = None
    uncorrected: Mapping[str, Image] = field(default_factory=dict)

    def items(self) -> Iterator[tuple[str, Image]]:
        """Yield name and image of every map that there is, without what accompanies them."""
        for entry in fields(self):
            image = getattr(self, entry.name)
            if isinstance(image, Image):
                yield entry.name, image

    def companions(self) -> Iterator[tuple[str, Image]]:
        """Yield name and image of the standard deviations, as "cbf_sd", and of what was corrected, as it was before."""
        for name, image in self.sd.items():
            yield f"{name}_sd", image
        for name, image in self.uncorrected.items():
            yield f"{name}_uncorrected", image


@dataclass(frozen=True)
class Volume:
    """A volume in mL, with bounds of what noise does to it; NaN where they are not known.

    `lesions.find_lesions` states what the bounds assume.
    """

    ml: float
    low_ml: float = float("nan")
    high_ml: float = float("nan")


@dataclass(frozen=True)
class Criterion:
    """Whether the volumes meet a published criterion: a fact about numbers, no advice.

    Parameters
    ----------
    name : str
        The trial.
    met : bool or None
        Whether all conditions are met; None where one is not known and none is failed.
    conditions : mapping of str to bool or None
        Each condition in words, and whether it is met.
    """

    name: str
    met: bool | None
    conditions: Mapping[str, bool | None]


@dataclass(frozen=True)
class Lesions:
    """What the maps say about ischaemia. Research use only.

    Parameters
    ----------
    rule : str
        What core and hypoperfusion are, in words and numbers.
    midplane : Midplane or None
        The plane between the halves of the brain; None where it was not found.
    side : str
        Of the hypoperfusion (the patient's): "left", "right", "both", "none" where there is none, "unknown" where there
        is no plane, or no normal tissue to find a relative one against.
    core, hypoperfusion, mismatch : Image or None
        Masks (bool); mismatch is hypoperfusion without core. None where they rest on relative values that are withheld.
    volumes_ml : mapping of str to Volume
        ``core``, ``hypoperfusion``, ``mismatch``, ``tmax_over_4s`` ... ``tmax_over_10s``, ``rcbf_below_20`` ...
        ``rcbf_below_38``.
    mismatch_ratio : float
        Hypoperfusion over core; NaN where there is no core, or it is not known.
    hir : float
        Hypoperfusion intensity ratio: volume of Tmax > 10 s over that of Tmax > 6 s; NaN where there is none.
    cbv_index : float
        Mean CBV where Tmax > 6 s over that of normal tissue; NaN where there is none.
    normal : mapping of str to float
        Mean ``cbf``, ``cbv`` and ``mtt`` of normal tissue, in the unit of the maps, against which relative values are;
        empty where these are withheld.
    criteria : tuple of Criterion
        Published criteria, met or not.
    regions : mapping of str to ndarray of bool, shape (z, y, x)
        What was measured for ``volumes_ml``, under the same names; those that are not known are left out.
    """

    rule: str
    midplane: Midplane | None
    side: Side
    core: Image | None
    hypoperfusion: Image | None
    mismatch: Image | None
    volumes_ml: Mapping[str, Volume]
    mismatch_ratio: float
    hir: float
    cbv_index: float
    normal: Mapping[str, float]
    criteria: tuple[Criterion, ...]
    regions: Mapping[str, MaskArray] = field(default_factory=dict)

    def masks(self) -> Iterator[tuple[str, Image]]:
        """Yield name and mask of core, hypoperfusion and mismatch, where they are known."""
        for name in ("core", "hypoperfusion", "mismatch"):
            mask = getattr(self, name)
            if mask is not None:
                yield name, mask


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A run up to the curves that are deconvolved.

    Parameters
    ----------
    series : Series
        The scan the curves were measured on: as read, but for frames that were left out, or, where the head moved, in
        the position of the first frame.
    raw : Series
        The scan as it was read; the same where no frame moved or was left out.
    settings : Settings
        What the run was told.
    motion : Motion or None
        Where the head is in every frame; None where it was not measured.
    brain : Image
        Brain mask (bool): everything inside the skull.
    inside : Image
        The same, also where frames that moved do not show it (``brain`` is all of it where none moved).
    brain_source : str
        "automatic", "scan without its skull" or "user's mask".
    bolus : Bolus
        Arrival and baseline.
    drift : Drift or None
        How the HU change before the bolus; None where it could not be judged.
    jumps : Jumps
        How the HU of the brain jump from frame to frame.
    slice_jumps : Jumps
        How those of its slices do beyond that.
    curves : Curves
        Denoised enhancement of the brain.
    shaped : Curves or None
        The same by the default denoising, where the shape of the residue is sought and the denoising is another.
    aif, vof : VascularCurve
        Arterial input and venous output; None where no vein was found.
    csf, vessels, bone : Image
        CSF, large vessels, and what shares bone, inside the brain mask (bool); no voxel is in two of them.
    checks : tuple of Check
        What was looked at, in the order of the analysis, and whether it passed.
    seconds : mapping of str to float
        Time spent in each step.
    """

    series: Series
    raw: Series
    settings: Settings
    motion: Motion | None = None
    brain: Image
    inside: Image
    brain_source: str
    bolus: Bolus
    drift: Drift | None = None
    jumps: Jumps
    slice_jumps: Jumps
    curves: Curves
    shaped: Curves | None = None
    aif: VascularCurve
    vof: VascularCurve | None
    csf: Image
    vessels: Image
    bone: Image
    checks: tuple[Check, ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)

    @property
    def tissue(self) -> Image:
        """The brain mask without CSF, large vessels and bone (bool): what statistics are about."""
        no_tissue = self.csf.values | self.vessels.values | self.bone.values
        return Image(self.brain.values & ~no_tissue, self.brain.geometry)


@dataclass(frozen=True, kw_only=True)
class Analysis(Prepared):
    """Everything one run found out: what `Prepared` holds, and the maps.

    Parameters
    ----------
    maps : Maps
        The perfusion maps.
    lesions : Lesions
        Core, hypoperfusion and mismatch.
    derived : mapping of str to Image
        Optional smoothed or normalised maps, by file name.
    methods_text : str
        Methods made of the steps that ran: three paragraphs with empty lines between them.
    """

    maps: Maps
    lesions: Lesions
    derived: Mapping[str, Image] = field(default_factory=dict)
    methods_text: str = ""
