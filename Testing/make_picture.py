"""Draw docs/maps.png, the picture of the README: the maps of the demonstration phantom."""

from pathlib import Path

from PyPeTLib.figures import maps_figure
from PyPeTLib.phantom import head_phantom
from PyPeTLib.pipeline import analyze

if __name__ == "__main__":
    target = Path(__file__).parents[1] / "docs" / "maps.png"
    maps_figure(analyze(head_phantom().series)).savefig(target, dpi=80)
