"""Lesson 8's sliders: each move reads the ensemble again and draws the picture anew."""

from __future__ import annotations

import gc
import importlib
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure

from lab.answers.plan.levers import CHUNK
from lab.answers.plan.precomputed import Ensemble
from lab.errors import RigError
from lab.lessons import planning
from lab.lessons.figures.planning import picture
from lab.lessons.planning import GIB, Choice
from lab.report import plots
from lab.text import MIB
from lab.units import format_bytes

if TYPE_CHECKING:
    import ipywidgets

PICTURE, SIZE = "lab-picture", "lab-size"
"""Classes of the picture and of the data size's slider in the page."""

RISKS_PERCENT = (0.5, 1, 2, 5, 10, 20)
DPI = 96

_DATA_STEPS, _METADATA_STEPS = 40, 32
"""Steps of a slider up to the planned size."""


def planner(ensembles: Sequence[Ensemble]) -> ipywidgets.VBox:
    """Sliders, answers and the picture of one plan at a time.

    Raises RigError where ipywidgets is not installed, and ValueError for no ensemble.
    """
    if not ensembles:
        raise ValueError("ensembles is empty; one at least")
    widgets = _ipywidgets()
    chosen = widgets.Dropdown(options=[(one.plan.name, place) for place, one in enumerate(ensembles)], value=0,
                              description="plan", style={"description_width": "10em"})
    box = widgets.VBox([chosen, Panel(widgets, ensembles[0]).box])

    def another(change: dict[str, Any]) -> None:
        box.children = (chosen, Panel(widgets, ensembles[change["new"]]).box)

    chosen.observe(another, names="value")
    return box


def _ipywidgets() -> Any:
    try:
        return importlib.import_module("ipywidgets")
    except ImportError as error:
        raise RigError(f"the sliders need ipywidgets: {error}", remedy="pip install 'thinpool-lab[notebook]'") from None


class Panel:
    """One ensemble's controls, by name; the answers as a table, and the picture.  ``box`` holds them all."""

    def __init__(self, widgets: Any, ensemble: Ensemble) -> None:
        self._ensemble, self._planned = ensemble, planning.as_planned(ensemble)
        self.controls: dict[str, Any] = _controls(widgets, ensemble, self._planned)
        self.answers, self.picture = widgets.HTML(), widgets.Image(format="png")
        self.picture.add_class(PICTURE)
        self.controls["data"].add_class(SIZE)
        for control in self.controls.values():
            control.observe(self._show, names="value")
        self._show()
        side_by_side = widgets.Layout(flex_flow="row wrap")         # few rows: the picture stays in view beside them
        self.box = widgets.VBox([widgets.Box(list(self.controls.values()), layout=side_by_side), self.picture,
                                 self.answers])

    def choice(self) -> Choice:
        """What the controls say; what has no control is as planned."""
        planned, said = self._planned, {name: control.value for name, control in self.controls.items()}
        changed = [said[name] for name in ("chunk", "lever") if said.get(name, planned.variant) != planned.variant]
        return Choice(changed[0] if changed else planned.variant, round(said["data"] * GIB),
                      round(said["metadata"] * MIB) if "metadata" in said else planned.metadata_bytes,
                      said["risk"] / 100, said["min_free"] / 100 if "min_free" in said else planned.min_free_share,
                      said["alert"])

    def _show(self, change: dict[str, Any] | None = None) -> None:
        """Reads and draws.  An ensemble has one change at a time: while one is made, the other control is locked."""
        choice = self.choice()
        for name, other in (("chunk", "lever"), ("lever", "chunk")):
            if name in self.controls and other in self.controls:
                self.controls[name].disabled = self.controls[other].value != self._planned.variant
        found = planning.answer(self._ensemble, choice)
        self.answers.value = planning.answer_table(found).to_html(header=False, index_names=False, border=0)
        with _collected_young():
            self.picture.value = _soon_png(picture(self._ensemble, found))


@contextmanager
def _collected_young() -> Iterator[None]:
    """What is made within is collected right after it.

    A figure is full of cycles.  If it is looked at while it is drawn, it counts as long-lived, and every tenth picture
    waits until all objects of the process have been looked at.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.collect(0)
        if was_on:
            gc.enable()


@plots.styled
def _soon_png(figure: Figure) -> bytes:
    """Larger than ``plots.to_png``'s, and there in half the time."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=DPI, pil_kwargs={"compress_level": 1})
    return file.getvalue()


def _controls(widgets: Any, ensemble: Ensemble, planned: Choice) -> dict[str, Any]:
    common = {"style": {"description_width": "10em"}, "layout": widgets.Layout(width="31em")}
    slider = {**common, "continuous_update": False}     # a picture for each value that is let go of
    is_pool = ensemble.demands[planned.variant].is_pool
    controls = {"data": _sizes(widgets, "data, GiB", planned.data_bytes / GIB, _DATA_STEPS, 3 * _DATA_STEPS, slider)}
    if is_pool:
        controls["metadata"] = _sizes(widgets, "metadata, MiB", planned.metadata_bytes / MIB, _METADATA_STEPS,
                                      4 * _METADATA_STEPS, slider)
    chunks = _chunks(ensemble, planned)
    if len(chunks) > 1:
        controls["chunk"] = widgets.SelectionSlider(options=chunks, value=planned.variant, description="data block",
                                                    **slider)
    levers = [name for name in ensemble.demands if not name.startswith(CHUNK)]
    controls["lever"] = widgets.Dropdown(options=levers, value=planned.variant, description="what is changed", **common)
    percent = ensemble.plan.accepted_risk_percent
    controls["risk"] = widgets.SelectionSlider(options=sorted({*RISKS_PERCENT, percent}), value=percent,
                                               description="accepted risk, %", **slider)
    if is_pool:
        controls["min_free"] = widgets.IntSlider(value=round(100 * planned.min_free_share), min=0, max=99,
                                                 description="min_free_space, %", **slider)
    controls["alert"] = widgets.IntSlider(value=planned.alert_percent, min=1, max=99, description="alert at, %",
                                          **slider)
    return controls


def _sizes(widgets: Any, words: str, planned: float, steps: int, most: int, options: dict[str, Any]) -> Any:
    """A slider of so many steps up to the planned size, and of ``most`` altogether."""
    step = planned / steps
    return widgets.FloatSlider(value=planned, min=step, max=most * step, step=step, description=words,
                               readout_format=".4g", **options)


def _chunks(ensemble: Ensemble, planned: Choice) -> list[tuple[str, str]]:
    """The data blocks, rising, each with its variant's name."""
    names = [planned.variant, *(name for name in ensemble.demands if name.startswith(CHUNK))]
    sizes = {name: ensemble.demands[name].variant.spec.chunk_size_bytes or 0 for name in names}
    return [(format_bytes(sizes[name]), name) for name in sorted(names, key=lambda name: sizes[name])]
