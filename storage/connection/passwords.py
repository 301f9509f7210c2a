"""Passwords of database URLs, and how they are kept out of everything that is shown or stored.

Whatever leaves the program as text with a URL in it goes through `without_passwords` first: the name of a
database in messages, the command that a worker writes down, the line that explains an error.
"""

import re

_HIDDEN = "***"
# Greedy to the last @: a password whose own @ was not written as %40 is hidden as a whole. One slash, too:
# that is what is left of the two where a URL was taken for a path.
_USER_AND_PASSWORD = re.compile(r"(\w:/{1,2}[^\s:/?#]*):.+@", re.DOTALL)
_PASSWORD_OPTION = re.compile(
    r"([?&]\w*password=)[^&\s]+", re.IGNORECASE
)  # password and sslpassword of libpq


def without_password(argument: str) -> str:
    """A URL, or an argument that holds one, with `***` for its passwords; any other text as it is."""
    hidden = _USER_AND_PASSWORD.sub(rf"\1:{_HIDDEN}@", argument)
    return _PASSWORD_OPTION.sub(rf"\1{_HIDDEN}", hidden)


def torn_without_password(text: str) -> str:
    """The same of a text that is no URL, but may have been meant as one: without scheme, without host."""
    if "://" not in text:
        return f"{_HIDDEN}{text[text.rfind('@') :]}" if "@" in text else text
    return re.sub(r"(://[^:/@]*):[^@]*$", rf"\1:{_HIDDEN}", without_password(text))


def without_passwords(text: str) -> str:
    """A text with `***` for the passwords of all URLs in it."""
    return re.sub(r"\S+", lambda word: without_password(word[0]), text)
