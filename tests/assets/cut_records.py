"""Cut the real records of this folder out of PTB-XL and the MIT-BIH Arrhythmia Database.

    python tests/assets/cut_records.py ../shared/data tests/assets

reads the original files (`ptb-xl-sample` and `mit-bih` of the first folder) and writes `ptb-xl` and `mit-bih`
into the second. The same input gives the same bytes. No code of the project is used, so that what is cut does
not depend on what is tested with it; README.md beside this file states licences and sources.
"""

import csv
import shutil
import struct
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

# fmt: off
ECG_IDS = (
    1, 2, 3, 5, 7, 10, 16, 194,          # nothing but a normal ECG
    17, 18, 20, 449,                     # no diagnostic statement; 17, 18, 20 (and 39) of one patient
    256, 346, 282, 727,                  # age 300, PTB-XL's mark for ninety and over; two of one patient
    32, 39, 45, 77, 138, 146, 261, 266, 269, 273, 274, 291,
    294, 307, 333, 336, 385, 409, 414, 425, 478, 528, 626, 731,
)
# fmt: on
"""Chosen greedily so that every superclass occurs in every strat_fold and, over all folds, every subclass of
the sample (21 of 23) and as many of the 71 statements as 40 records can hold (56)."""
IDS_AT_500_HZ = (1, 2, 3, 5, 7, 10, 17)
TABLE = "ptbxl_database.csv"

RATE_HZ = 360
N_SAMPLES = 3 * 60 * RATE_HZ
MIT_BIH = {"114": 9 * 60 * RATE_HZ, "223": 0}
"""Record and first sample: 114, whose leads stand the other way round, from the ninth minute on (symbols N,
A, V, F, J), and the start of 223 (N, V, F, A, e)."""

SKIP, NUM, SUB, CHN, AUX = 59, 60, 61, 62, 63
"""Codes of the MIT annotation format that stand for no annotation (annot(5) of WFDB)."""


def cut_ptbxl(source: Path, target: Path) -> None:
    """Copy table rows and records; the rows are those of the original, character by character."""
    target.mkdir(parents=True)
    shutil.copyfile(source / "scp_statements.csv", target / "scp_statements.csv")
    with (source / TABLE).open(encoding="utf-8", newline="") as file:
        header, *rows = rows_of_csv(file)
    (columns,) = csv.reader([header])
    kept = []
    for row in rows:
        (cells,) = csv.reader([row])
        of_column = dict(zip(columns, cells, strict=True))
        ecg_id = int(of_column["ecg_id"])
        if ecg_id not in ECG_IDS:
            continue
        kept.append(row)
        copy_record(source, target, of_column["filename_lr"])
        if ecg_id in IDS_AT_500_HZ:
            copy_record(source, target, of_column["filename_hr"])
    if len(kept) != len(ECG_IDS):
        sys.exit(f"cut_records: {source / TABLE} has only {len(kept)} of the {len(ECG_IDS)} records")
    with (target / TABLE).open("w", encoding="utf-8", newline="") as file:
        file.writelines(row.rstrip("\r\n") + "\n" for row in [header, *kept])


def rows_of_csv(lines: Iterable[str]) -> Iterator[str]:
    """Rows of a CSV file as they are written; a report may have line breaks within quotes."""
    row = ""
    for line in lines:
        row += line
        if row.count('"') % 2 == 0:
            yield row
            row = ""


def copy_record(source: Path, target: Path, name: str) -> None:
    """Copy header and samples unchanged."""
    (target / name).parent.mkdir(parents=True, exist_ok=True)
    for extension in ("hea", "dat"):
        shutil.copyfile(source / f"{name}.{extension}", target / f"{name}.{extension}")


def cut_mitbih(source: Path, target: Path) -> None:
    """Cut three minutes out of each record, with its annotations."""
    target.mkdir(parents=True)
    for record, start in MIT_BIH.items():
        # Format 212: a sample of both leads in three bytes.
        samples = (source / f"{record}.dat").read_bytes()[3 * start : 3 * (start + N_SAMPLES)]
        (target / f"{record}.dat").write_bytes(samples)
        header = (source / f"{record}.hea").read_text(encoding="ascii")
        (target / f"{record}.hea").write_text(cut_header(header, samples), encoding="ascii", newline="\n")
        annotations = (source / f"{record}.atr").read_bytes()
        (target / f"{record}.atr").write_bytes(cut_annotations(annotations, start))


def cut_header(header: str, samples: bytes) -> str:
    """Header with the number of samples, first values and checksums of the part."""
    first, *others = header.splitlines()
    name, n_leads, rate_hz, _ = first.split()
    lines = [f"{name} {n_leads} {rate_hz} {N_SAMPLES}"]
    for lead, values in enumerate(unpacked(samples)):
        fields = others[lead].split()
        fields[5], fields[6] = str(values[0]), str(sum(values) % 65_536)
        lines.append(" ".join(fields))
    return "\n".join([*lines, *others[int(n_leads) :], ""])


def unpacked(samples: bytes) -> tuple[list[int], list[int]]:
    """Converter values of both leads: two numbers of twelve bits, two's complement, in three bytes."""
    leads: tuple[list[int], list[int]] = ([], [])
    for low, middle, high in zip(samples[::3], samples[1::3], samples[2::3], strict=True):
        for lead, value in zip(leads, (low | (middle & 0x0F) << 8, high | (middle & 0xF0) << 4), strict=True):
            lead.append(value - 4096 if value >= 2048 else value)
    return leads


def cut_annotations(content: bytes, start: int) -> bytes:
    """Annotations of the part, counted from its first sample.

    An annotation is a word of a six-bit code above the ten-bit distance from the one before, followed by what
    belongs to it (subtype, channel, number, text), which is taken over unchanged.
    """
    words = list(struct.unpack(f"<{len(content) // 2}H", content))
    kept: list[int] = []
    sample, last, position = 0, start, 0
    inside = False
    while words[position]:
        code, number = divmod(words[position], 1024)
        if code == SKIP:
            sample += words[position + 1] << 16 | words[position + 2]
            position += 3
            continue
        n_words = 1
        if code == AUX:
            n_words += (number + 1) // 2
        elif code not in (NUM, SUB, CHN):
            sample += number
            inside = start <= sample < start + N_SAMPLES
            if inside:
                interval = sample - last
                if interval > 1023:
                    kept += [SKIP << 10, interval >> 16, interval & 0xFFFF]
                    interval = 0
                kept.append(code << 10 | interval)
                last = sample
            position += 1
            continue
        if inside:
            kept += words[position : position + n_words]
        position += n_words
    return struct.pack(f"<{len(kept) + 1}H", *kept, 0)


def main() -> None:
    """Cut both databases."""
    if len(sys.argv) != 3:
        sys.exit("usage: python cut_records.py FOLDER_WITH_THE_ORIGINALS FOLDER_TO_WRITE_TO")
    source, target = map(Path, sys.argv[1:])
    for name in ("ptb-xl", "mit-bih"):
        shutil.rmtree(target / name, ignore_errors=True)
    cut_ptbxl(source / "ptb-xl-sample", target / "ptb-xl")
    cut_mitbih(source / "mit-bih", target / "mit-bih")


if __name__ == "__main__":
    main()
