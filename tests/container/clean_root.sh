#!/bin/sh
# Replaces a container engine in tests: runs the image's build steps in an overlay over this machine's root file system,
# then makes all of it read-only but the volumes, and runs a command in it. Run this script in its own mount and process
# namespaces. The command becomes their first process, and all mounts disappear with them.
#
#   clean_root.sh SCRATCH SOURCE PYTHON UID -- NAME=VALUE... COMMAND...
set -eu
scratch=$1 source=$2 python=$3 uid=$4
shift 5
root=$scratch/root

mount -t tmpfs -o mode=0755 tmpfs "$scratch"
mkdir "$scratch/upper" "$scratch/work" "$root"
mount -t overlay -o "lowerdir=/,upperdir=$scratch/upper,workdir=$scratch/work" overlay "$root"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mkdir "$root/source"
mount --bind "$source" "$root/source"

# The steps of the Dockerfile.
PYTHON=$python chroot "$root" sh /source/container/install.sh application /source >&2
USER_ID=$uid GROUP_ID=$uid chroot "$root" sh /source/container/install.sh account >&2

# The same as an engine with --read-only: volumes have the modes of the image's directories, and /tmp is empty.
umount "$root/source"
for hidden in /root /home; do mount -t tmpfs -o mode=0700 tmpfs "$root$hidden"; done
for volume in /state /sign-in /workspace; do
    mount -t tmpfs -o "uid=$uid,gid=$uid,mode=$(stat -c %a "$root$volume")" tmpfs "$root$volume"
done
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
mount -o remount,ro "$root"

exec chroot "$root" setpriv --reuid="$uid" --regid="$uid" --clear-groups --no-new-privs --bounding-set=-all \
    env -i -C /workspace "$@"
