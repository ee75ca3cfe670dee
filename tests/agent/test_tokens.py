"""The pairing token and its file."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

import pytest

from getnet_pos import ConfigurationError
from getnet_pos.agent.tokens import default_token_path, read_or_make_token

posix = pytest.mark.skipif(os.name != "posix", reason="this system has no rights of a file")


def test_a_token_is_made_once(tmp_path: Path) -> None:
    path = tmp_path / "state" / "token"
    token, made = read_or_make_token(path)
    assert made
    assert re.fullmatch(r"([a-z2-9]{5}-){4}[a-z2-9]{5}", token)
    assert read_or_make_token(path) == (token, False)
    assert read_or_make_token(tmp_path / "another")[0] != token


@posix
def test_nobody_else_reads_it(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        read_or_make_token(tmp_path / "state" / "token")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "state" / "token").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o700


@posix
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o660, 0o777])
def test_a_file_that_others_reach_is_refused_with_what_to_do(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "token"
    read_or_make_token(path)
    path.chmod(mode)
    with pytest.raises(ConfigurationError, match=f"chmod 600 {re.escape(str(path))}"):
        read_or_make_token(path)
    path.chmod(0o400)
    assert not read_or_make_token(path)[1]


@posix
def test_a_file_of_another_user_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "token"
    read_or_make_token(path)
    if os.geteuid() != 0:
        pytest.skip("only root can give a file away")
    os.chown(path, 12345, -1)
    with pytest.raises(ConfigurationError, match="another user"):
        read_or_make_token(path)


@pytest.mark.parametrize(
    "text", ["", "\n", "short", "with blanks in the middle of it", "slash/slash/slash/slash/", "x" * 201]
)
def test_what_is_no_token_is_refused_and_not_shown(tmp_path: Path, text: str) -> None:
    path = tmp_path / "token"
    path.touch(mode=0o600)
    path.write_text(text)
    with pytest.raises(ConfigurationError, match="contains no token: delete the file") as caught:
        read_or_make_token(path)
    assert not text.strip() or text not in str(caught.value)


def test_a_token_of_ones_own_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.touch(mode=0o600)
    path.write_text("a-token_of~my.own-0123\n")
    assert read_or_make_token(path) == ("a-token_of~my.own-0123", False)


def test_a_place_where_it_cannot_be_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "file" / "token", tmp_path):
        with pytest.raises(ConfigurationError, match="--token-file"):
            read_or_make_token(path)


def test_it_is_kept_beside_the_journal() -> None:
    assert default_token_path().name == "agent-token"
    assert default_token_path().parent.name == "getnet-pos"
