"""The registry of running gateways, after some of them were killed."""

from pathlib import Path

from dragoman.cli.instances import InstanceRecord, InstanceRegistry


def _record(port: int) -> InstanceRecord:
    return InstanceRecord(host="127.0.0.1", port=port, grace=1.0, arguments=())


def _leave(folder: Path, name: str, content: bytes) -> Path:
    """Leave a file as a killed gateway does: without a lock."""
    path = folder / name
    path.write_bytes(content)
    return path


def test_the_next_start_deletes_what_killed_gateways_left(tmp_path: Path) -> None:
    """Their records, and those that they had begun. The record of a running gateway stays."""
    registry = InstanceRegistry(tmp_path)
    with registry.register(_record(1)):
        [running] = (tmp_path / "gateways").glob("*.json")
        left = [
            _leave(running.parent, "dead.json", running.read_bytes()),
            _leave(running.parent, "begun.draft", b""),
            _leave(running.parent, "other.json", b"not a record"),
        ]
        with registry.startup_lock():
            pass
        assert running.exists()
        assert not any(path.exists() for path in left)
    assert not running.exists()


def test_a_listing_deletes_them_too(tmp_path: Path) -> None:
    """`dragoman status` lists them, and so does every other command."""
    registry = InstanceRegistry(tmp_path)
    with registry.register(_record(1)):
        [running] = (tmp_path / "gateways").glob("*.json")
        dead = _leave(running.parent, "dead.json", running.read_bytes())
        assert [record.port for record in registry.running()] == [1]
        assert not dead.exists()
