# SPDX-License-Identifier: Apache-2.0
"""The typed form of a token: the loader's C and the package read the same, and say the same."""

import random
import re
import subprocess
from pathlib import Path

import pytest

from tests import loader_program
from tests.documents import load
from verity.formats import bundle, challenge, typed_token
from verity.formats.records import Fragment, RecordKind
from verity.values.errors import ContentError

_DOC = Path("docs/formats.md").read_text(encoding="utf-8")
_EXAMPLE = re.search(r"```example challenge\n(.*?)```", _DOC, re.DOTALL)
CHALLENGE = _EXAMPLE[1] if _EXAMPLE else ""
HERE = challenge.parse(CHALLENGE.encode())
GOOD, BAD = load("typed-token")
MUTATIONS = 3000
ALL = 100_000


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return loader_program.build(tmp_path_factory.mktemp("typed"))


def in_c(program: Path, folder: Path, texts: list[bytes], status: str = CHALLENGE) -> list[str]:
    """What the C program says of each text."""
    (folder / "status").write_text(status, encoding="utf-8")
    for number, text in enumerate(texts):
        (folder / f"{number}").write_bytes(text)
    names = ["status", *map(str, range(len(texts)))]
    done = subprocess.run(
        [program, "typed", *names], cwd=folder, capture_output=True, text=True, timeout=60
    )
    assert not done.stderr, done.stderr
    return done.stdout.split("\n\n")[:-1] if texts else [done.stdout]


def in_python(text: bytes, here: challenge.Challenge = HERE) -> str:
    """The same of the package, in the same words."""
    try:
        token, signatures = typed_token.rebuild(typed_token.decode(text), here)
    except ContentError as error:
        kind = "more" if error.code == typed_token.INCOMPLETE else "wrong"
        return f"{kind} {error.message}\n{error.hint}"
    return "\n".join(one.hex() for one in (token, *signatures))


def test_both_say_the_same_of_every_vector(program: Path, tmp_path: Path) -> None:
    documents = [*GOOD.values(), *BAD.values()]
    said = in_c(program, tmp_path, [one.data for one in documents])
    assert said == [in_python(one.data) for one in documents]
    assert all(text.startswith("93766572697479") for text in said[: len(GOOD)])


@pytest.mark.parametrize(
    "seed", [0, *(pytest.param(one, marks=pytest.mark.full) for one in range(1, ALL // MUTATIONS))]
)
def test_both_say_the_same_of_mutations(program: Path, tmp_path: Path, seed: int) -> None:
    pick = random.Random(seed)
    pieces = [
        b"\n",
        b" ",
        b"0",
        b"O",
        b"U",
        b"Z",
        b"\xc2\xad",
        b"> ",
        b"\x00",
        b"end verity unlock",
    ]
    texts = []
    for _ in range(MUTATIONS):
        data = bytearray(pick.choice(list(GOOD.values())).data)
        for _ in range(pick.choice((1, 1, 1, 2, 5))):
            at = pick.randrange(len(data))
            end = at + pick.choice((0, 1, 1, 2, 30))
            data[at:end] = pick.choice(pieces) if pick.random() < 0.7 else b""
        texts.append(bytes(data))
    said = in_c(program, tmp_path, texts)
    expected = [in_python(text) for text in texts]
    assert said == expected
    kinds = {text.split(":")[0].split(" ")[0] for text in expected}
    # A text that is a whole beginning, "more", is too rare for each seed; the vectors have it.
    assert "wrong" in kinds and len(kinds) > 2


NONCE, HOST = "5a" * 32, "c3" * 32
OTHERS = {
    "another boot": (CHALLENGE.replace(NONCE, "5b" * 32), "another boot: 5a5a5a5a"),
    "another host": (CHALLENGE.replace(HOST, "c4" * 32), "another host: c3c3c3c3"),
    "another policy": (CHALLENGE.replace("serial 4", "serial 5"), "another policy: 4, and here"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_a_token_for_something_else(program: Path, tmp_path: Path, name: str) -> None:
    status, words = OTHERS[name]
    text = GOOD["a path, one signature"].data
    (said,) = in_c(program, tmp_path, [text], status)
    assert words in said
    assert said == in_python(text, challenge.parse(status.encode()))


BAD_STATUS = {
    "no nonce": CHALLENGE.replace("boot_nonce", "nonce"),
    "a short nonce": CHALLENGE.replace(NONCE, NONCE[2:]),
    "a long host id": CHALLENGE.replace(HOST, HOST + "00"),
    "capitals": CHALLENGE.replace(HOST, HOST.upper()),
    "no clock": CHALLENGE.replace("boot_clock_s", "clock_s"),
    "no host id": CHALLENGE.replace(HOST, "00" * 32),
}


@pytest.mark.parametrize("name", BAD_STATUS)
def test_a_status_that_is_no_challenge(program: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "text").write_bytes(b"")
    (tmp_path / "status").write_text(BAD_STATUS[name])
    done = subprocess.run([program, "typed", "status", "text"], cwd=tmp_path, capture_output=True)
    expected = b"has no host id" if name == "no host id" else b"of another version"
    assert done.returncode == 1 and expected in done.stdout


# --- a file

TOKEN, *SIGNATURES = (
    bytes.fromhex(line) for line in in_python(GOOD["a session, two signatures"].data).split("\n")
)
FILE = bundle.encode([Fragment(kind=RecordKind.UNLOCK, blob=TOKEN, signatures=tuple(SIGNATURES))])
FILES = {
    "empty": (b"", "a token without a signature"),
    "cut": (FILE[:-1], "cut off, or no token"),
    "cut in a head": (FILE[:426], "cut off, or no token"),
    "doubled": (FILE + FILE, "no token, or more than one"),
    "without a signature": (FILE[:424], "a token without a signature"),
    "nine signatures": (FILE[:424] + FILE[424:] * 5, "no token, or more than one"),
    "a challenge": (CHALLENGE.encode(), "cut off, or no token"),
    "grants": (b"\x04" + FILE[1:], "no token, or more than one"),
    "a signature of 253 bytes": (
        FILE[:424] + (16).to_bytes(4, "little") + (253).to_bytes(4, "little") + bytes(253),
        "no token",
    ),
}


def run_token(program: Path, folder: Path, data: bytes) -> str:
    (folder / "file").write_bytes(data)
    done = subprocess.run(
        [program, "token", "file"], cwd=folder, capture_output=True, text=True, timeout=60
    )
    assert not done.stderr, done.stderr
    return done.stdout


def test_a_file(program: Path, tmp_path: Path) -> None:
    said = run_token(program, tmp_path, FILE)
    assert said.split() == [one.hex() for one in (TOKEN, *SIGNATURES)]


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_no_token(program: Path, tmp_path: Path, name: str) -> None:
    data, words = FILES[name]
    assert words in run_token(program, tmp_path, data)


def test_the_helper_has_words_for_every_refusal() -> None:
    header = (loader_program.GATE / "verity.h").read_text(encoding="utf-8")
    names = set(re.findall(r"#define (VERITY_REFUSED_\w+) 3", header))
    bounds = {"VERITY_REFUSED_FIRST", "VERITY_REFUSED_LAST"}
    table = (loader_program.LOADER / "import.c").read_text(encoding="utf-8")
    assert set(re.findall(r"\{ (VERITY_REFUSED_\w+),", table)) == names - bounds
