"""What `compose.yaml` promises: loopback, a key, nothing to write to but its volumes."""

import yaml
from image import ROOT, environment, said

from dragoman.config.loading import variables
from dragoman.config.settings import Settings

FILE = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))
SERVICE = FILE["services"]["dragoman"]


def test_it_is_published_on_loopback() -> None:
    """Only this machine reaches it, at the port that the image listens on."""
    [port] = SERVICE["ports"]
    assert port == f"127.0.0.1:{Settings.model_fields['port'].default}:{said('EXPOSE')[0]}"


def test_it_has_a_key() -> None:
    """From a secret of its own file, which is kept out of the repository and the image."""
    [name] = SERVICE["secrets"]
    assert SERVICE["environment"]["DRAGOMAN_API_KEY_FILE"] == f"/run/secrets/{name}"
    folder = FILE["secrets"][name]["file"].removeprefix("./").partition("/")[0]
    assert f"{folder}/" in (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
    assert f"!{folder}" not in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()


def test_it_can_do_little() -> None:
    """A root that cannot be written to, no capabilities, no way to more; what it starts is reaped."""
    assert SERVICE["read_only"] is SERVICE["init"] is True
    assert SERVICE["cap_drop"] == ["ALL"]
    assert SERVICE["security_opt"] == ["no-new-privileges:true"]
    assert SERVICE["tmpfs"] == ["/tmp"]  # noqa: S108 - in there


def test_its_volumes() -> None:
    """Each directory that the image writes to outlives it, and each volume that is used is declared."""
    volumes = dict(reversed(volume.split(":")) for volume in SERVICE["volumes"])
    assert {*environment().values(), *said("WORKDIR")} & {"/state", "/sign-in", "/workspace"} == set(volumes)
    assert set(volumes.values()) == set(FILE["volumes"])


def test_its_variables() -> None:
    """Each is a setting's."""
    known = {variable for name in Settings.model_fields for variable in variables(name)}
    given = {*SERVICE["environment"], *environment()} - {"PATH", "HOME"}
    assert {name for name in given if not name.startswith("PYTHON")} <= known


def test_it_has_time_to_stop() -> None:
    """More than answers have to end, and a moment for the processes."""
    assert int(SERVICE["stop_grace_period"].removesuffix("s")) >= Settings.model_fields["shutdown_grace"].default + 5
