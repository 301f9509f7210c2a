"""Age and sex of the person of a recording, where its file has them: WFDB comments, EDF and DICOM headers."""

import math
from datetime import date, datetime
from pathlib import Path
from typing import Final

from search.data.recordings.dicom_file import is_dicom, opened_dicom
from search.data.recordings.edf_file import open_edf
from search.data.recordings.files import DICOM, EDF, WFDB
from search.data.signals.headers import read_comments
from search.data.signals.people import Person, age_of, comment_fields, sex_of
from search.errors import RecordError

_DAYS_OF: Final = {"D": 1.0, "W": 7.0, "M": 365.25 / 12, "Y": 365.25}
"""Units of an age in DICOM (PS3.5, 6.2, value representation AS)."""
_DAYS_OF_YEAR: Final = 365.25


def read_person(path: Path) -> Person:
    """The person of a recording; unknown where its file does not say, or says several things.

    Args:
        path: As in `search.data.recordings.files.Found.paths`, of a recording that can be opened.

    Raises:
        RecordError: The file cannot be read.
        UsageError: The package that reads such files is not installed.
    """
    suffix = path.suffix.lower()
    if suffix == WFDB:
        try:
            fields = comment_fields(read_comments(str(path.with_suffix(""))))
        except OSError as error:
            raise RecordError(f"cannot be read: {error.strerror or type(error).__name__}") from error
        return Person(age=age_of(_only(fields["age"])), sex=sex_of(_only(fields["sex"])))
    if suffix in EDF:
        return _of_edf(path)
    if suffix in DICOM or is_dicom(path):
        return _of_dicom(path)
    return Person()


def _only(values: list[str]) -> str:
    return values[0] if len(values) == 1 else ""


def _of_edf(path: Path) -> Person:
    """Person of an EDF+ file, whose header has fields for sex and date of birth."""
    with open_edf(path) as file:
        born, sex = str(file.getBirthdate(string=True)).strip(), str(file.getSex()).strip()
        begun: datetime = file.getStartdatetime()
    try:
        age = _age_at(begun.date(), datetime.strptime(born, "%d %b %Y").date())
    except ValueError:  # blank
        age = math.nan
    return Person(age=age, sex=sex_of(sex))


def _of_dicom(path: Path) -> Person:
    """Person of a DICOM file: the age as stated, else from the dates of birth and of the study."""
    wanted = ["PatientAge", "PatientSex", "PatientBirthDate", "AcquisitionDateTime", "StudyDate"]
    with opened_dicom(path, wanted) as dataset:
        values = {name: str(dataset.get(name) or "").strip() for name in wanted}
    stated = values["PatientAge"].upper()
    if stated[:-1].isdecimal() and stated[-1:] in _DAYS_OF:
        age = age_of(f"{int(stated[:-1]) * _DAYS_OF[stated[-1]] / _DAYS_OF_YEAR:g}")
    else:
        taken = _date(values["AcquisitionDateTime"]) or _date(values["StudyDate"])
        born = _date(values["PatientBirthDate"])
        age = math.nan if taken is None or born is None else _age_at(taken, born)
    return Person(age=age, sex=sex_of(values["PatientSex"]))


def _date(text: str) -> date | None:
    try:
        return datetime.strptime(text[:8], "%Y%m%d").date()
    except ValueError:
        return None


def _age_at(day: date, born: date) -> float:
    """Whole years; NaN where one of the dates must be wrong."""
    return age_of(str(day.year - born.year - ((day.month, day.day) < (born.month, born.day))))
