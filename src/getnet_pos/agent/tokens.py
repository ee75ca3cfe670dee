"""The pairing token: generated once, and stored in a file that only its owner can read. It checks no request.

Windows has no such file permissions. There the folder protects the file; the default folder belongs to the user.
"""

from __future__ import annotations

import os
import re
import secrets
from pathlib import Path

import platformdirs

from ..errors import ConfigurationError

__all__ = ["default_token_path", "read_or_make_token"]

_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"
"""Without letters that look alike, because a cashier types the token once."""
_GROUPS, _GROUP = 5, 5
_TOKEN = re.compile(r"[A-Za-z0-9._~-]{20,200}")
"""At least 20 characters, all of them valid in a header and in a WebSocket subprotocol."""
_LONGEST = 4096


def default_token_path() -> Path:
    """The file with the token, in the user's state directory, next to the journal."""
    return Path(platformdirs.user_state_dir("getnet-pos", appauthor=False)) / "agent-token"


def read_or_make_token(path: Path) -> tuple[str, bool]:
    """The token in ``path``, and whether it was generated now: 25 letters and digits, about 124 bits.

    Raises:
        ConfigurationError: the file can be neither read nor created, other users can read it, or it has no token.
    """
    try:
        try:
            return _read(path), False
        except FileNotFoundError:
            return _make(path), True
    except FileExistsError:
        return _read(path), False  # Another agent was faster.
    except OSError as error:
        raise ConfigurationError(
            f"the token file {path} can be neither read nor created: {error.strerror or error}; choose another one "
            "with --token-file"
        ) from error


def _make(path: Path) -> str:
    token = "-".join("".join(secrets.choice(_LETTERS) for _ in range(_GROUP)) for _ in range(_GROUPS))
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
        file.write(f"{token}\n")
        file.flush()
        os.fsync(file.fileno())
    return token


def _read(path: Path) -> str:
    with open(path, encoding="utf-8", errors="replace") as file:
        about = os.fstat(file.fileno())
        if os.name == "posix":
            if about.st_mode & 0o077:
                raise ConfigurationError(
                    f"other users can read or change the token in {path}: run chmod 600 {path}, or delete the file to "
                    "get a new token"
                )
            if about.st_uid not in (0, os.geteuid()):
                raise ConfigurationError(f"{path} belongs to another user: choose a file of your own with --token-file")
        token = file.read(_LONGEST).strip()
    if not _TOKEN.fullmatch(token):
        raise ConfigurationError(
            f"{path} contains no token: delete the file to get a new one, or write one of 20 to 200 letters, digits "
            "and . _ ~ -"
        )
    return token
