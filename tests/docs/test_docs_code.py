"""The names and paths in the code that the docs mention exist."""

import ast
import re
from collections.abc import Iterator
from functools import cache, reduce
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest
from pages import PAGE_IDS, PAGES, ROOT, read

PACKAGE = ROOT / "src" / "dragoman"
ARCHITECTURE = ROOT / "docs" / "architecture.md"
NAME = re.compile(r"\bdragoman(?:\.[A-Za-z_]\w*)+")
FILE_TYPES = {"toml", "fish", "service"}
PATH = re.compile(r"`([\w/<>*.]+\.py)`")
CLASS_NAME = re.compile(r"`([A-Z][a-z]\w*)(?:\.(\w+))?`")
TEST = re.compile(r"`(tests/[\w/]+\.py)?::(test_\w+)`")
NAMED_PAGES = [(page, name) for page, name in zip(PAGES, PAGE_IDS, strict=True) if name != "CHANGELOG.md"]


def dotted_names(page: Path) -> Iterator[str]:
    """Yield the names in the package that a page mentions; not files such as `dragoman.toml`."""
    yield from (name for name in NAME.findall(read(page)) if name.rpartition(".")[2] not in FILE_TYPES)


def resolve(name: str) -> object:
    """Import a dotted name.

    Raises:
        AttributeError: There is no such name.
    """
    module = name
    rest: list[str] = []
    while not has_module(module):
        module, _, last = module.rpartition(".")
        rest.insert(0, last)
    return reduce(getattr, rest, import_module(module))


def has_module(name: str) -> bool:
    """Return whether a module exists. Its parents are imported."""
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:  # the parent is a module or a class
        return False


@pytest.mark.parametrize("page", [page for page, _ in NAMED_PAGES], ids=[name for _, name in NAMED_PAGES])
def test_dotted_names(page: Path) -> None:
    """Each `dragoman.…` name in the docs can be imported. The changelog also has names of the past."""
    for name in dotted_names(page):
        resolve(name)


def test_a_name_that_does_not_exist_is_found() -> None:
    """A missing module and a missing attribute."""
    assert resolve("dragoman.stores.base.ResponseStore.add")
    for name in ("dragoman.nothing", "dragoman.stores.base.Nothing"):
        with pytest.raises(AttributeError):
            resolve(name)


def missing_paths(text: str) -> Iterator[str]:
    """Yield the paths in a text that do not exist.

    A path begins in the package or in the repository. A file name alone is one in a folder that its line named before
    it. Without one it may be anywhere in the package. `<dialect>` is any folder.
    """
    for line in text.splitlines():
        folders: list[str] = []
        for path in PATH.findall(line):
            pattern = re.sub(r"<\w+>", "*", path)
            if "/" in path:
                folders.append(pattern.rpartition("/")[0])
                found = any(PACKAGE.glob(pattern)) or any(ROOT.glob(pattern))
            else:
                found = any(any(PACKAGE.glob(f"{folder}/{pattern}")) for folder in folders or ["**"])
            if not found:
                yield path


def test_paths() -> None:
    """Each file in the page on the architecture exists."""
    assert list(missing_paths(read(ARCHITECTURE))) == []


def test_a_path_that_does_not_exist_is_found() -> None:
    """With a folder, and as a name alone."""
    text = "`core/pricing.py`, `gone.py`\n`core/gone.py`\n`dialects/<dialect>/gone.py`\n`dialects/<dialect>/request.py`"
    assert list(missing_paths(text)) == ["gone.py", "core/gone.py", "dialects/<dialect>/gone.py"]


@cache
def members() -> dict[str, set[str]]:
    """Return the names that each class in the package defines, by the class's name."""
    found: dict[str, set[str]] = {}
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(read(path))):
            if isinstance(node, ast.ClassDef):
                found.setdefault(node.name, set()).update(names_in(node))
    return found


def names_in(node: ast.ClassDef) -> Iterator[str]:
    """Yield the names of the methods and fields of a class."""
    for part in node.body:
        match part:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.AnnAssign(target=ast.Name(id=name)):
                yield name
            case _:
                pass


def test_classes_and_methods() -> None:
    """Each class in the page on the architecture exists, and has the method or field that is named with it."""
    named = CLASS_NAME.findall(read(ARCHITECTURE))
    assert len(named) > 10
    assert [name for name, _ in named if name not in members()] == []
    assert [(name, part) for name, part in named if part and part not in members()[name]] == []


@cache
def functions_in(path: str) -> frozenset[str]:
    """Return the names of the functions in a file."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    return frozenset(node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def test_each_named_test_exists() -> None:
    """Each test that a page names exists. A name without a file is in the file of the name before it."""
    missing, count = [], 0
    for page in PAGES:
        path = ""
        for found, name in TEST.findall(read(page)):
            path = found or path
            count += 1
            if name not in functions_in(path):
                missing.append(f"{page.name}: {path}::{name}")
    assert missing == []
    assert count > 20
