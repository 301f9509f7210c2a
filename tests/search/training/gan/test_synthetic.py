"""Generated records in batches, and the files in which trials share them."""

import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from training_samples import seeded

from search.errors import TrainingError
from search.training.gan.records import SyntheticRecords, cached, n_synthetic
from search.training.gan.settings import GanSettings, cache_key

KEY = {"fingerprint": "0" * 64, "fold": 1, "tier": "subclass", "seed": 0}


def records(n: int = 6, seconds: float = 1.25) -> SyntheticRecords:
    x_MLT = torch.arange(n * 2 * 3).reshape(n, 2, 3).to(torch.int16) - 7
    y_MC = (torch.arange(n)[:, None] == torch.tensor([0, 1, 2])).float()
    return SyntheticRecords(x_MLT=x_MLT, y_MC=y_MC, seconds=seconds)


# ---------------------------------------------------------------------------------------------------------
# Batches


@pytest.mark.parametrize(
    ("n_real", "share", "expected"), [(32, 0, 0), (32, 0.25, 11), (32, 0.5, 32), (30, 0.25, 10), (1, 0.25, 0)]
)
def test_number_of_generated_records(n_real: int, share: float, expected: int) -> None:
    assert n_synthetic(n_real, share) == expected


@given(st.integers(2, 256), st.floats(0, 0.9))
def test_share_is_that_of_the_whole_batch(n_real: int, share: float) -> None:
    n = n_synthetic(n_real, share)
    assert abs(n - share * (n_real + n)) <= 0.5 + 1e-9


@pytest.mark.parametrize("share", [0, 0.25, 0.5])
def test_real_records_all_stay_and_come_first(share: float) -> None:
    real, y_BC = torch.full((8, 2, 3), 99, dtype=torch.int16), torch.ones(8, 3)
    made = records()
    x_BLT, mixed_BC = made.mix_into(real, y_BC, share, seeded())
    assert len(x_BLT) == len(mixed_BC) == 8 + n_synthetic(8, share)
    assert x_BLT.dtype == torch.int16
    assert torch.equal(x_BLT[:8], real)
    assert torch.equal(mixed_BC[:8], y_BC)
    for x_LT, y_C in zip(x_BLT[8:], mixed_BC[8:], strict=True):
        number = (int(x_LT[0, 0]) + 7) // 6  # the labels are those of the same record
        assert torch.equal(x_LT, made.x_MLT[number])
        assert torch.equal(y_C, made.y_MC[number])


def test_drawing_depends_on_the_generator_alone() -> None:
    real, y_BC = torch.zeros(20, 2, 3, dtype=torch.int16), torch.zeros(20, 3)
    state = torch.get_rng_state()
    first, again, other = (records().mix_into(real, y_BC, 0.5, seeded(seed))[0] for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize(("made", "share"), [(records(0), 0.5), (records(), 0.0)])
def test_nothing_to_mix_draws_no_number(made: SyntheticRecords, share: float) -> None:
    real, y_BC, generator = torch.zeros(4, 2, 3, dtype=torch.int16), torch.zeros(4, 3), seeded()
    before = generator.get_state()
    x_BLT, mixed_BC = made.mix_into(real, y_BC, share, generator)
    assert x_BLT is real
    assert mixed_BC is y_BC
    assert torch.equal(generator.get_state(), before)


# ---------------------------------------------------------------------------------------------------------
# Files


def never() -> SyntheticRecords:
    raise AssertionError("made again")


def same(one: SyntheticRecords, other: SyntheticRecords) -> bool:
    return (
        torch.equal(one.x_MLT, other.x_MLT)
        and one.x_MLT.dtype == other.x_MLT.dtype
        and torch.equal(one.y_MC, other.y_MC)
        and one.y_MC.dtype == other.y_MC.dtype
        and one.seconds == other.seconds
    )


@pytest.mark.parametrize("n", [0, 6])
def test_what_is_kept_comes_back_with_its_cost(tmp_path: Path, n: int) -> None:
    made = cached(tmp_path / "gan", KEY, lambda: records(n, 12.345678901234567))
    kept = cached(tmp_path / "gan", KEY, never)
    assert same(made, kept)
    assert kept.seconds == 12.345678901234567
    assert len(list((tmp_path / "gan").iterdir())) == 1


@pytest.mark.parametrize("change", [{"fold": 2}, {"tier": "all"}, {"seed": 1}, {"filter": "baseline"}])
def test_another_key_is_another_file(tmp_path: Path, change: dict[str, object]) -> None:
    cached(tmp_path, KEY, lambda: records(6))
    assert len(cached(tmp_path, {**KEY, **change}, lambda: records(4))) == 4
    assert len(cached(tmp_path, KEY, never)) == 6


@pytest.mark.parametrize("damage", ["empty", "cut", "bit", "foreign"])
def test_a_damaged_file_is_made_again(tmp_path: Path, damage: str) -> None:
    cached(tmp_path, KEY, records)
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    flipped = whole[:-10] + bytes([whole[-10] ^ 1]) + whole[-9:]
    damaged = {"empty": b"", "cut": whole[:-5], "bit": flipped, "foreign": b"GIF89a" * 50}
    path.write_bytes(damaged[damage])
    assert len(cached(tmp_path, KEY, lambda: records(5))) == 5
    assert len(cached(tmp_path, KEY, never)) == 5
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_under_the_wrong_name_is_not_believed(tmp_path: Path) -> None:
    cached(tmp_path, KEY, records)
    (first,) = tmp_path.iterdir()
    cached(tmp_path, {**KEY, "fold": 2}, lambda: records(4))
    (second,) = set(tmp_path.iterdir()) - {first}
    second.write_bytes(first.read_bytes())
    assert len(cached(tmp_path, {**KEY, "fold": 2}, lambda: records(3))) == 3


def test_many_at_once_see_whole_files_only(tmp_path: Path) -> None:
    found: list[SyntheticRecords] = []
    workers = [
        threading.Thread(target=lambda: found.append(cached(tmp_path, KEY, lambda: records(500))))
        for _ in range(8)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(found) == 8
    assert all(same(one, records(500)) for one in found)
    assert len(list(tmp_path.iterdir())) == 1


def test_a_failure_leaves_nothing_behind(tmp_path: Path) -> None:
    def fails() -> SyntheticRecords:
        raise TrainingError("diverged", "no numbers")

    with pytest.raises(TrainingError, match="no numbers"):
        cached(tmp_path / "gan", KEY, fails)
    assert not (tmp_path / "gan").exists()


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(TrainingError, match=r"cannot keep generated records in .*file"):
        cached(tmp_path / "file", KEY, records)


def test_a_key_holds_everything_that_decides_the_records(tmp_path: Path) -> None:
    facts: dict[str, Any] = {
        "fingerprint": "0" * 64,
        "tier": "subclass",
        "fold": 1,
        "n_training": 100,
        "seed": 0,
        "signal_filter": "none",
        "device": "cpu",
        "settings": GanSettings(),
    }
    others: dict[str, Any] = {
        "fingerprint": "1" * 64,
        "tier": "all",
        "fold": 2,
        "n_training": 99,
        "seed": 1,
        "signal_filter": "baseline",
        "device": "cuda",
        "settings": GanSettings(n_steps=301),
    }
    cached(tmp_path, cache_key(**facts), records)
    for name, other in others.items():
        cached(tmp_path, cache_key(**{**facts, name: other}), records)
    assert len(list(tmp_path.iterdir())) == 1 + len(facts)
    cached(tmp_path, cache_key(**facts), never)
