"""The compose file: port, key, restrictions, volumes, variables and time to stop."""

import yaml
from image import ROOT, environment, instructions

from dragoman.config.loading import variables
from dragoman.config.settings import Settings

FILE = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))
SERVICE = FILE["services"]["dragoman"]


def test_port_is_published_on_loopback() -> None:
    """The port that the image listens on is published on 127.0.0.1 only."""
    [port] = SERVICE["ports"]
    assert port == f"127.0.0.1:{Settings.model_fields['port'].default}:{instructions('EXPOSE')[0]}"


def test_api_key() -> None:
    """The API key is a secret in a separate file, which is not in the repository and not in the image."""
    [name] = SERVICE["secrets"]
    assert SERVICE["environment"]["DRAGOMAN_API_KEY_FILE"] == f"/run/secrets/{name}"
    folder = FILE["secrets"][name]["file"].removeprefix("./").partition("/")[0]
    assert f"{folder}/" in (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
    assert f"!{folder}" not in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()


def test_restrictions() -> None:
    """The root is read-only, and there are no capabilities and no new privileges. An init process reaps children."""
    assert SERVICE["read_only"] is SERVICE["init"] is True
    assert SERVICE["cap_drop"] == ["ALL"]
    assert SERVICE["security_opt"] == ["no-new-privileges:true"]
    assert SERVICE["tmpfs"] == ["/tmp"]  # noqa: S108 - in the container


def test_volumes() -> None:
    """Each directory that the image writes to is a volume, and each used volume is declared."""
    volumes = dict(reversed(volume.split(":")) for volume in SERVICE["volumes"])
    assert {*environment().values(), *instructions("WORKDIR")} & {"/state", "/sign-in", "/workspace"} == set(volumes)
    assert set(volumes.values()) == set(FILE["volumes"])


def test_variables() -> None:
    """Each variable belongs to a setting."""
    known = {variable for name in Settings.model_fields for variable in variables(name)}
    used = {*SERVICE["environment"], *environment()} - {"PATH", "HOME"}
    assert {name for name in used if not name.startswith("PYTHON")} <= known


def test_stop_grace_period() -> None:
    """The container has five seconds more to stop than the gateway's own grace period."""
    assert int(SERVICE["stop_grace_period"].removesuffix("s")) >= Settings.model_fields["shutdown_grace"].default + 5
