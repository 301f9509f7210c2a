"""The folder of a report: its name, figures as PNG, SVG and PDF, files that replace others in one step."""

import hashlib
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from reports.errors import ReportError
from reports.figures.charts import Chart
from reports.figures.still import set_style, still_figure
from reports.figures.still_shapes import drawable
from storage.files import write_whole

REPORTS = Path("runs/reports")
LONGEST_NAME = 80
PNG_DPI = 300
CANVASES = {"png": FigureCanvasAgg, "svg": FigureCanvasSVG, "pdf": FigureCanvasPdf}
"""Canvas class of each image format."""
FORMATS = tuple(CANVASES)
Report = TypeVar("Report")


@dataclass(frozen=True, kw_only=True, slots=True)
class Written(Generic[Report]):
    """Files of a report that were written, with their content."""

    folder: Path
    paths: tuple[Path, ...]
    """The page first, then data and tables, then figures."""
    json: Path
    """The file with all of the content."""
    report: Report


def default_folder(study_name: str) -> Path:
    """`runs/reports/<study>/`, the name made fit for a folder.

    A name that had to be changed ends in a few digits of its hash, so that two studies never share one.
    """
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", study_name).strip(".-")[:LONGEST_NAME]
    if name != study_name or not name:
        digits = hashlib.sha256(study_name.encode("utf-8", "surrogatepass")).hexdigest()[:8]
        name = f"{name}-{digits}" if name else digits
    return REPORTS / name


def write_files(folder: Path, contents: Mapping[str, bytes]) -> tuple[Path, ...]:
    """Write files, each in one step, into a folder that is made if need be.

    Args:
        folder: where to.
        contents: name of each file, with folders below this one, to content.

    Raises:
        ReportError: they cannot be written there.
    """
    try:
        for name, content in contents.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            write_whole(folder / name, content)
    except OSError as error:
        reason = error.strerror or str(error)
        raise ReportError(
            f"cannot write the report to {folder}: {reason}; choose another folder with --out"
        ) from error
    return tuple(folder / name for name in contents)


def figure_files(study: str, shown: Sequence[Chart]) -> Iterator[tuple[str, bytes]]:
    """Name and content of the files of every figure."""
    for chart in shown:
        with mpl.rc_context():
            set_style()
            figure = still_figure(chart)
            title = drawable(f"{chart.title}, study {study}")
            for kind in FORMATS:
                yield f"{chart.key}.{kind}", _image(figure, kind, title)
                figure.set_layout_engine("none")  # laid out once for all of them


def encoded(texts: Mapping[str, str]) -> dict[str, bytes]:
    """Content of text files by name; what UTF-8 cannot hold is written as its escape."""
    return {name: text.encode("utf-8", "backslashreplace") for name, text in texts.items()}


def stills(images: Mapping[str, bytes], shown: Sequence[Chart]) -> dict[str, bytes]:
    """SVG of every figure, by its key, as a page takes them."""
    return {chart.key: images[f"{chart.key}.svg"] for chart in shown}


def _image(figure: Figure, kind: str, title: str) -> bytes:
    metadata: dict[str, dict[str, Any]] = {
        "png": {"Software": None},
        "svg": {"Date": None, "Creator": None, "Title": title},
        "pdf": {"CreationDate": None, "Producer": None, "Creator": None, "Title": title},
    }
    content = io.BytesIO()
    figure.dpi = PNG_DPI  # of the images within SVG and PDF as well, which set it to 72 for all else
    # Not by savefig, which draws a figure with a layout engine twice, even when it is laid out already.
    getattr(CANVASES[kind](figure), f"print_{kind}")(content, metadata=metadata[kind])
    return content.getvalue()
