#!/bin/sh
# Makes the keys of the cluster, unless they exist. Keep a copy of encryption_key: without it stored thinking is lost.
set -eu
cd "$(dirname "$0")"
umask 077
mkdir -p secrets
for name in api_key admin_key encryption_key; do
    [ -s "secrets/$name" ] || openssl rand -hex 32 >"secrets/$name"
done
