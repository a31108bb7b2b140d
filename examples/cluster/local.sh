#!/bin/sh
# Runs three nodes on this machine without containers, with the built-in simulator in place of Claude:
#
#   sh examples/cluster/local.sh          # http://127.0.0.1:8080/v1, until Ctrl-C
#
# It needs `dragoman[cluster]`, and the programs of PostgreSQL, Redis and nginx (Debian: postgresql redis-server nginx).
set -eu
here=$(cd "$(dirname "$0")" && pwd)
port=${PORT:-8080}
folder=$(mktemp -d)
chmod 755 "$folder"
programs=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | tail -1)
PATH="$PATH:${programs:-/usr/bin}:/usr/sbin"

# PostgreSQL does not run as root.
as_postgres() {
    if [ "$(id -u)" = 0 ]; then su postgres -s /bin/sh -c "$*"; else sh -c "$*"; fi
}

stop() {
    trap - EXIT
    trap '' INT TERM # a second Ctrl-C must not leave PostgreSQL running
    # shellcheck disable=SC2046
    kill $(cat "$folder"/*.pid) 2>/dev/null || true
    wait
    as_postgres "cd / && $(command -v pg_ctl) -D '$folder/data' -m fast stop" >/dev/null || true
    rm -rf "$folder"
}
trap stop EXIT INT TERM

mkdir "$folder/data" "$folder/socket"
[ "$(id -u)" != 0 ] || chown postgres "$folder/data" "$folder/socket"
as_postgres "cd / && $(command -v initdb) -D '$folder/data' -U postgres -A trust --no-sync" >/dev/null
as_postgres "cd / && $(command -v pg_ctl) -D '$folder/data' -l '$folder/data/log' -w \
    -o \"-k '$folder/socket' -c listen_addresses=''\" start" >/dev/null
redis-server --port 0 --save '' --unixsocket "$folder/redis.sock" >"$folder/redis.log" &
echo $! >"$folder/redis.pid"

export DRAGOMAN_DATABASE="postgresql://postgres@/postgres?host=$folder/socket"
export DRAGOMAN_REDIS="unix://$folder/redis.sock"
DRAGOMAN_ENCRYPTION_KEY=$(od -An -N32 -tx1 /dev/urandom | tr -d ' \n')
export DRAGOMAN_ENCRYPTION_KEY DRAGOMAN_SIMULATE=true DRAGOMAN_BACKEND=api DRAGOMAN_SHUTDOWN_DELAY=1s DRAGOMAN_ADMIN_KEY=admin
nodes=''
for number in 1 2 3; do
    dragoman serve --quiet --port $((port + number)) --node-address "127.0.0.1:$((port + 100 + number))" \
        --state-dir "$folder/node$number" --log-file "$folder/node$number.log" &
    echo $! >"$folder/node$number.pid"
    nodes="$nodes -e s/node$number:8787/127.0.0.1:$((port + number))/"
done

# shellcheck disable=SC2086
sed $nodes -e "s/listen 8080/listen 127.0.0.1:$port/" -e 's/^worker_processes .*/worker_processes 1;/' \
    -e "s|^http {|http { access_log off; client_body_temp_path $folder/body; proxy_temp_path $folder/proxy; \
fastcgi_temp_path $folder/fastcgi; uwsgi_temp_path $folder/uwsgi; scgi_temp_path $folder/scgi;|" \
    "$here/nginx.conf" >"$folder/nginx.conf"
echo "The nodes are http://127.0.0.1:$((port + 1)) to $((port + 3)), and their address is http://127.0.0.1:$port/v1"
echo "Their files, with the ids of their processes, are in $folder. Ctrl-C stops them."
nginx -c "$folder/nginx.conf" -g "daemon off; pid $folder/nginx.pid; error_log $folder/nginx.log;" &
wait
