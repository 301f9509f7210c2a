"""`python -m search explain`: attribution maps of an exported model on a standard ECG sheet."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search.commands.parser import add_command, add_json, chosen_options, print_json, whole_number
from search.commands.predict import POLICIES, add_csv_options, add_model_and_records, add_person_options

if TYPE_CHECKING:
    from rich.console import Console

FORMATS = (".png", ".svg", ".pdf", ".html")
OTHER_FORMATS = (".jpg", ".jpeg", ".gif", ".tif", ".tiff", ".bmp", ".webp", ".eps", ".ps", ".htm", ".json")
"""Suffixes that show a file, not a folder, to be meant."""
DEFAULT_OUT = Path("runs/explanations")


def add_explain(commands: Any) -> None:
    """Add `explain`."""
    parser = add_command(
        commands,
        "explain",
        "draw where an exported model looked in a record",
        "explain exported/trial-12 ward3/00017 --class CLBBB --out sheet.pdf",
    )
    parser.set_defaults(command=_explain)
    add_model_and_records(parser)
    parser.add_argument(
        "--class",
        dest="classes",
        action="append",
        default=[],
        metavar="NAME",
        help="class to explain; may be repeated (default: the most probable of each record)",
    )
    parser.add_argument(
        "--method",
        choices=("gradcam", "ig"),
        default="gradcam",
        help="Grad-CAM over time, or integrated gradients of each lead (default: gradcam)",
    )
    parser.add_argument(
        "--window",
        type=whole_number,
        metavar="N",
        help="window of a long record, or beat of an annotated one, from 1 (default: that of highest "
        "probability)",
    )
    parser.add_argument(
        "--compare",
        action="store_true",
        help="for a model of beats: normal against abnormal beats, mean beat and mean map of every class",
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="PATH",
        help=f"file for a single sheet ({', '.join(FORMATS)}), else a folder (default: {DEFAULT_OUT})",
    )
    parser.add_argument(
        "--format",
        choices=[suffix.removeprefix(".") for suffix in FORMATS],
        default="png",
        help="kind of the files in a folder (default: png)",
    )
    parser.add_argument(
        "--policy", choices=POLICIES, default="f1", help="thresholds, as for predict (default: f1)"
    )
    add_csv_options(parser)
    add_person_options(parser)
    add_json(parser)


def _explain(chosen: argparse.Namespace, console: Console) -> int:
    from search.commands.console import working
    from search.errors import UsageError

    with working(console, "Starting"):
        from search.explain import comparison, words
        from search.explain.comparison import Comparison, compare_beats
        from search.explain.explain import ExplainOptions, Explanation, explain
        from search.explain.files import comparison_document, document, paths_of, save

    out = chosen.out
    is_file = out is not None and out.suffix.lower() in FORMATS
    if out is not None and not is_file and (out.is_file() or out.suffix.lower() in OTHER_FORMATS):
        raise UsageError(f"--out: {out} is a file; give a folder, or a file of kind {', '.join(FORMATS)}")
    options = chosen_options(
        chosen, ExplainOptions, records=tuple(chosen.records), classes=tuple(chosen.classes)
    )
    found: list[Explanation | Comparison] = []
    with working(console, "Explaining"):
        if chosen.compare:
            found += compare_beats(options)
        else:
            found += explain(options)
    paths: list[Path | None] = [None] * len(found)
    if is_file and len(found) > 1:
        raise UsageError(
            f"--out: {out} is one file for {len(found):,} sheets; give a folder, or one record and one class"
        )
    if is_file:
        paths = [out]
    elif out is not None or not chosen.json:
        paths = list(paths_of(found, out or DEFAULT_OUT, chosen.format))
    for explained, path in zip(found, paths, strict=True):
        if path is not None:
            save(explained, path)
        if not chosen.json:
            said = (
                comparison.summary(explained)
                if isinstance(explained, Comparison)
                else words.summary(explained)
            )
            console.print(said, highlight=False, markup=False)
            console.print(f"  {path}", highlight=False, markup=False, soft_wrap=True)
    if chosen.json:
        print_json(
            [
                comparison_document(each, path) if isinstance(each, Comparison) else document(each, path)
                for each, path in zip(found, paths, strict=True)
            ]
        )
    return 0
