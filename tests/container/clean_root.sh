#!/bin/sh
# Stands in for a container engine: an overlay over this machine's root, in which the steps of the image are taken and
# then nothing may be written but the volumes. Run in mount and process namespaces of its own, it ends with the gateway
# as their first process; all that was mounted goes with it.
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

# What the Dockerfile does.
PYTHON=$python chroot "$root" sh /source/container/install.sh application /source >&2
USER_ID=$uid GROUP_ID=$uid chroot "$root" sh /source/container/install.sh account >&2

# What an engine does with --read-only: volumes keep what is in the image's directories, /tmp is new.
umount "$root/source"
for hidden in /root /home; do mount -t tmpfs -o mode=0700 tmpfs "$root$hidden"; done
for volume in /state /sign-in /workspace; do
    mount -t tmpfs -o "uid=$uid,gid=$uid,mode=$(stat -c %a "$root$volume")" tmpfs "$root$volume"
done
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
mount -o remount,ro "$root"

exec chroot "$root" setpriv --reuid="$uid" --regid="$uid" --clear-groups --no-new-privs --bounding-set=-all \
    env -i -C /workspace "$@"
