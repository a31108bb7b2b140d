"""`tools/plain_words.py`: finds the old words, and only those."""

from pathlib import Path

import pytest

from tools.plain_words import EXEMPT, ROOT, check_file, check_prose, check_python, main, source_files, split_identifier


def words_in_python(text: str) -> list[str]:
    """Return the words that are found in Python source."""
    return [finding.word for finding in check_python(text, "sample.py")]


def words_in_prose(text: str) -> list[str]:
    """Return the words that are found in a text."""
    return [finding.word for finding in check_prose(text, "sample.md")]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("came_by", "came by"),
        ("CameBy", "came by"),
        ("_MOST_BYTES", "most bytes"),
        ("HTTPServer2", "http server 2"),
        ("__init__", "init"),
    ],
)
def test_split_identifier(name: str, words: str) -> None:
    """Snake case, camel case, capitals and digits are split into words."""
    assert split_identifier(name) == words


@pytest.mark.parametrize(
    ("source", "word"),
    [
        ("class ResponseShelf: ...\n", "shelf"),
        ("def _bury(run): ...\n", "bury"),
        ("came_by = 1\n", "came by"),
        ("run(told=True)\n", "told"),
        ('raise ValueError("There is no such thing, whoever wants it.")\n', "whoever"),
        ('"""Whom it serves."""\n', "whom"),
        ("x = 1  # none where it is empty\n", "none where"),
        ('f"{name} stands here"\n', "stands"),
    ],
)
def test_python(source: str, word: str) -> None:
    """An old word is found in names, strings, docstrings and comments."""
    assert words_in_python(source) == [word]


@pytest.mark.parametrize(
    ("source"),
    [
        "placeholder = stakeholder = 1\n",
        "withstand = 'understands withstands history'\n",
        "text(codec='ascii')\n",
        "import codecs\n",
        "'at the exchange rate of today'\n",
        "'http exchanges'.vaulted\n",
    ],
)
def test_correct_words(source: str) -> None:
    """Words that only contain an old word, and the listed exceptions, are not found."""
    assert words_in_python(source) == []


def test_exceptions_allow_one_use_only() -> None:
    """An exception does not hide another use of the word on the same line."""
    assert words_in_prose("The exchange rate of an exchange.") == ["exchange"]
    assert words_in_python("codec_of = codec\n") == ["codec"]


def test_phrases_across_lines() -> None:
    """A phrase that continues on the next line is found once, at its first line."""
    [finding] = check_prose("This is all the\n    same to us.\n", "page.md")
    assert (finding.path, finding.line, finding.word) == ("page.md", 1, "all the same")
    [comment] = check_prose("# a comment that goes\n# on here\n", "Makefile")
    assert (comment.line, comment.word) == (1, "goes on")


def test_line_numbers() -> None:
    """A finding in a docstring has the line of the file, not of the docstring."""
    [finding] = check_python('def f():\n    """Do it.\n\n    Nobody sees it.\n    """\n', "f.py")
    assert finding.line == 4


def test_exempt_files() -> None:
    """The tool and this test contain the words, so they are not checked; every other file is."""
    names = {path.relative_to(ROOT).as_posix() for path in source_files(ROOT)}
    assert not names & EXEMPT
    assert {"src/dragoman/cli/main.py", "tests/docs/test_docs_words.py", "README.md", "Makefile"} <= names
    assert all((ROOT / name).is_file() for name in EXEMPT)


def test_files(tmp_path: Path) -> None:
    """Python files are read as Python, all other files as prose."""
    (tmp_path / "a.py").write_text("told = 1\n")
    (tmp_path / "b.md").write_text("`codec` and told\n")
    assert [finding.word for finding in check_file(tmp_path / "a.py", tmp_path)] == ["told"]
    assert [finding.word for finding in check_file(tmp_path / "b.md", tmp_path)] == ["codec", "told"]


def test_exit_code_and_summary(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """The exit code is 1 if there is any finding. `--summary` counts words and directories."""
    assert main([], tmp_path) == 0
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "page.md").write_text("Plain.\nNobody, whoever he is.\n")
    assert main([], tmp_path) == 1
    assert "docs/page.md:2: 'nobody' in Nobody, whoever he is.\n" in capsys.readouterr().out
    assert main(["--summary"], tmp_path) == 1
    assert capsys.readouterr().out == (
        "Findings by word:\n      1  nobody\n      1  whoever\n      1  he\n\nFindings by directory:\n      3  docs\n\n"
    )
