"""Which passwords are good enough: long ones that nobody guesses first. No rule on their composition."""

import unicodedata

from appliance.accounts.model import WeakPasswordError

LEAST_LENGTH = 12
MOST_LENGTH = 512
"""Beyond this nothing is gained, and hashing would only cost."""

_LEAST_DIFFERENT = 5

_GUESSED_FIRST = frozenset(
    (
        "admin",
        "adminadminadmin",
        "administrator",
        "administrators",
        "changeme",
        "changemeplease",
        "correcthorsebatterystaple",
        "dashboard",
        "defaultpassword",
        "gateway",
        "headworks",
        "headworksheadworks",
        "iloveyou",
        "iloveyouforever",
        "internetofthings",
        "letmein",
        "letmeinletmein",
        "letmeinplease",
        "mypasswordispassword",
        "password",
        "passwordpassword",
        "passwordsarehard",
        "passwort",
        "qwerty",
        "qwertypassword",
        "raspberrypi",
        "secret",
        "secretpassword",
        "superadministrator",
        "supersecretpassword",
        "thisismypassword",
        "welcome",
        "welcomewelcome",
        "whateverwhatever",
    )
)
"""Without the digits and signs at either end, which are guessed along."""

_RUNS = (
    "abcdefghijklmnopqrstuvwxyz",
    "01234567890123456789",
    "qwertyuiopasdfghjklzxcvbnm",
    "qwertzuiopasdfghjklyxcvbnm",
    "azertyuiopqsdfghjklmwxcvbn",
    "1qaz2wsx3edc4rfv5tgb6yhn7ujm8ik9ol0p",
    "1q2w3e4r5t6y7u8i9o0p",
)
"""What fingers do on a keyboard."""


def prepared(password: str) -> bytes:
    """The password in the one form in which it is hashed: two keyboards may compose `é` differently."""
    # A browser may send half of a surrogate pair; that is a wrong password, not a defect.
    return _normal(password).encode("utf-8", "surrogatepass")


def check(password: str, email: str) -> None:
    """Let a good password pass. Raises `WeakPasswordError`, which says what is wrong with it."""
    if len(password) < LEAST_LENGTH:
        raise WeakPasswordError(f"the password has {len(password)} characters, expected at least {LEAST_LENGTH}")
    if len(password) > MOST_LENGTH:
        raise WeakPasswordError(f"the password has {len(password)} characters, expected at most {MOST_LENGTH}")
    if is_guessed_first(_normal(password).casefold(), email.casefold()):
        raise WeakPasswordError("the password is among the first that are guessed: a few unrelated words are better")


def is_guessed_first(password: str, email: str) -> bool:
    """Whether a casefolded password is one of those that every guesser begins with."""
    letters = password.strip("0123456789!?.,-_#*$@ ")
    return (
        len(set(password)) < _LEAST_DIFFERENT
        or letters in _GUESSED_FIRST
        or any(password in run + run or password in (run + run)[::-1] for run in _RUNS)
        or letters in (email, email.partition("@")[0])
        or _is_repeated(password)
    )


def _is_repeated(password: str) -> bool:
    """Whether the password is a short word over and over; found inside its own double, as rotations are."""
    return password in (password + password)[1:-1]


def _normal(password: str) -> str:
    return unicodedata.normalize("NFKC", password)
