"""Age and sex of the person of a recording as inputs of a model: from the command line, else the file."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from search.data.recordings.person import read_person
from search.data.signals.people import OLDEST_AGE, Person, age_of, sex_of
from search.errors import UsageError
from search.export.folder import Preprocessing

_OF_A_PERSON: Final = {"age_years": "age", "sex": "sex"}
"""Features that no signal has, and the attributes that they are."""
SEX_WORDS, NOT_KNOWN = ("male", "female"), "unknown"


def asked_of_person(preprocessing: Preprocessing) -> tuple[str, ...]:
    """Attributes of a person among the inputs of a model: `age`, `sex`, both or neither."""
    wanted = {feature.name for feature in preprocessing.features}
    return tuple(name for feature, name in _OF_A_PERSON.items() if feature in wanted)


def named_person(age: float | None, sex: str | None, asked: Sequence[str], *, n_recordings: int) -> Person:
    """Age and sex from the command line.

    Args:
        age: `--age`, in years.
        sex: `--sex`, `female` or `male`.
        asked: attributes that the model uses.
        n_recordings: number of recordings on the command line.

    Raises:
        UsageError: The model does not use them, there are several recordings, or the age is invalid.
    """
    for name, value in (("age", age), ("sex", sex)):
        if value is None:
            continue
        if name not in asked:
            raise UsageError(
                f"--{name}: the model uses {' and '.join(asked) or 'neither age nor sex'}; leave --{name} out"
            )
        if n_recordings > 1:
            raise UsageError(
                f"--{name} applies to one person, got {n_recordings:,} recordings; leave it out: it is read "
                "from their files"
            )
    if age is not None and not 0 <= age <= OLDEST_AGE:
        raise UsageError(f"--age is a number of years from 0 to {OLDEST_AGE}, got {age:g}")
    return Person(
        age=math.nan if age is None else age_of(f"{age:g}"),
        sex=math.nan if sex is None else sex_of(sex),
    )


def person_of(path: Path, named: Person, asked: Sequence[str]) -> Person:
    """Age and sex of the person of a recording, where the model uses them.

    Args:
        path: of the recording, which can be opened.
        named: from the command line, which takes precedence over the file.
        asked: attributes that the model uses.

    Raises:
        RecordError: The file cannot be read.
        UsageError: The package that reads such files is not installed.
    """
    read = read_person(path) if asked else Person()
    return Person(
        age=read.age if math.isnan(named.age) else named.age,
        sex=read.sex if math.isnan(named.sex) else named.sex,
    )


def person_document(person: Person) -> dict[str, Any]:
    """Age and sex for JSON; null where they are not known."""
    return {
        "age": None if math.isnan(person.age) else round(person.age, 2),
        "sex": None if math.isnan(person.sex) else SEX_WORDS[int(person.sex)],
    }


def person_words(person: Person, asked: Sequence[str]) -> list[str]:
    """Sentence on the age and sex given to the model; none where it has no such inputs."""
    known = person_document(person)
    if not asked:
        return []
    said = ", ".join(f"{name} {NOT_KNOWN if known[name] is None else known[name]}" for name in asked)
    options = " and ".join(f"--{name}" for name in asked if known[name] is None)
    return [f"Patient: {said}" + (f" (give {options})." if options else ".")]
