#!/bin/sh
# The build steps of the image. The Dockerfile runs each step as root. They also work without a container engine:
# tests/container runs them in a separate root file system.
#
#   install.sh application SOURCE   installs the gateway from a source tree into /opt/dragoman, at the pinned versions
#   install.sh account              creates the gateway's user, and the directories that this user writes to
#
# Variables: PYTHON is the interpreter, EXTRAS the optional parts (comma-separated), USER_ID and GROUP_ID the user.
set -eu

prefix=/opt/dragoman

application() {
    "${PYTHON:-python3}" -m venv "$prefix"
    "$prefix/bin/python" -m pip install --disable-pip-version-check --quiet \
        --constraint "$1/constraints.txt" "$1${EXTRAS:+[$EXTRAS]}"
    # The image needs no installer at run time.
    "$prefix/bin/python" -m pip uninstall --quiet --yes --root-user-action ignore pip setuptools
    "$prefix/bin/dragoman" --version
}

account() {
    uid=${USER_ID:-1000}
    gid=${GROUP_ID:-1000}
    groupadd --gid "$gid" dragoman
    useradd --uid "$uid" --gid "$gid" --no-create-home --home-dir /state --shell /usr/sbin/nologin dragoman
    for directory in /state /sign-in /workspace; do
        install --directory --owner "$uid" --group "$gid" --mode 0700 "$directory"
    done
}

case ${1:-} in
    application) application "$2" ;;
    account) account ;;
    *) echo "usage: install.sh application SOURCE | install.sh account" >&2; exit 2 ;;
esac
