"""Layout of `benchmarks/`."""

from pathlib import Path

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


def test_a_file_is_run_or_lies_among_helpers() -> None:
    files = [path for path in BENCHMARKS.rglob("*.py") if path.name != "__init__.py"]
    can_be_run = {path for path in files if '\nif __name__ == "__main__":' in path.read_text("utf-8")}
    assert can_be_run == {path for path in files if path.parent.name != "helpers"}
    for path in can_be_run:
        command = f"python {path.relative_to(BENCHMARKS.parent).as_posix()}"
        assert command in path.read_text("utf-8"), f"{path} does not say how it is run"
