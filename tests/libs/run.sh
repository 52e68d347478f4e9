#!/bin/sh
# run.sh - real libraries, unmodified, each from a crowd of goroutines, while a ticker keeps its beat.
#
#   tests/libs/run.sh [LIBRARY]...         all if not told: sqlite, curl, redis, postgres
#
# CC names the compiler, LIB the library, build/libgoro.a if not told. Servers are started here, on a
# Unix socket in a temporary folder and a free port of 127.0.0.1, and are ended by their ids. What needs
# a package or a server that is missing is skipped by name; "make deps" installs all. Prints TAP.
set -u
LC_ALL=C
export LC_ALL
unset GOMAXPROCS GORODEBUG
cd "$(dirname "$0")/../.." || exit 1
lib=${LIB:-build/libgoro.a}
cc=${CC:-cc}
blocks=
case $($cc --version 2>/dev/null) in *clang*) blocks=-fblocks ;; esac

work=$(mktemp -d /tmp/goro-libs.XXXXXX) || exit 1
servers=
tap_says=1
. tests/harness/tap.sh

# end PID: it is asked to end, and waited for; after ten seconds it is killed.
end()
{
	kill -TERM "$1" 2>/dev/null || return
	for i in $(seq 1 100); do
		kill -0 "$1" 2>/dev/null || return
		sleep 0.1
	done
	kill -KILL "$1"
}

leave()
{
	for pid in $servers; do
		end "$pid"
	done
	rm -rf "$work"
}
trap leave EXIT
trap 'exit 1' HUP INT TERM

# built NAME PACKAGE: the program of that name, in $work. False: skipped, or it does not compile.
built()
{
	if ! flags=$(pkg-config --cflags --libs "$2" 2>/dev/null); then
		skip "$1" "pkg-config does not find $2"
		return 1
	fi
	$cc -std=gnu11 -O2 -g -Wall -Wextra $blocks -Iinclude "tests/libs/$1.c" "$lib" $flags -pthread \
		-o "$work/$1" >"$log" 2>&1 && [ ! -s "$log" ]
	built=$?
	result $built "$1 is built without a warning"
	return $built
}

# crowd NAME PROGRAM ARGUMENT...: it ends well at several numbers of Ps.
crowd()
{
	name=$1 program=$2
	shift 2
	for procs in 1 2 4; do
		# QUIT shows what every goroutine is at.
		GORO_MAXPROCS=$procs timeout -s QUIT -k 20 150 "$work/$program" "$@" >"$log" 2>&1
		result $? "$name, $procs Ps"
	done
}

# A port of 127.0.0.1 that nobody listens on; somebody may be faster, so the caller tries again.
free_port()
{
	for i in $(seq 1 100); do
		port=$((20000 + $(od -An -N2 -tu2 /dev/urandom) % 12000))
		grep -q ":$(printf '%04X' "$port") 00000000:0000 0A" /proc/net/tcp || return
	done
}

# ready PID COMMAND...: the command holds within 30 s, and the process is there.
ready()
{
	pid=$1
	shift
	for i in $(seq 1 300); do
		kill -0 "$pid" 2>/dev/null || return 1
		"$@" >/dev/null 2>&1 && return 0
		sleep 0.1
	done
	return 1
}

# --- SQLite, libcurl --------------------------------------------------------------------------------------

test_sqlite()
{
	built sqlite sqlite3 || return
	crowd "SQLite, a connection each" sqlite own "$work/own.db"
	crowd "SQLite, a connection each, in goro_blocking" sqlite announced "$work/announced.db"
	crowd "SQLite, one connection for all" sqlite shared "$work/shared.db"
}

test_curl()
{
	built curl libcurl || return
	unset http_proxy all_proxy HTTP_PROXY ALL_PROXY
	crowd "libcurl" curl plain
	crowd "libcurl in goro_blocking" curl announced
	crowd "libcurl with a name to resolve" curl name
}

# --- hiredis ----------------------------------------------------------------------------------------------

redis_start()
{
	for try in 1 2 3; do
		free_port
		redis-server --bind 127.0.0.1 --port "$port" --unixsocket "$work/redis.sock" --save '' \
			--appendonly no --daemonize no --dir "$work" >"$log" 2>&1 &
		server=$!
		if ready $server redis-cli -s "$work/redis.sock" ping; then
			servers="$servers $server"
			return 0
		fi
		end $server
	done
	return 1
}

test_redis()
{
	if ! command -v redis-server >/dev/null || ! command -v redis-cli >/dev/null; then
		skip redis "there is no redis-server, or no redis-cli"
		return
	fi
	built redis hiredis || return
	redis_start || { result 1 "redis-server starts"; return; }
	crowd "hiredis over a Unix socket" redis plain unix "$work/redis.sock"
	crowd "hiredis over TCP" redis plain tcp 127.0.0.1 "$port"
	crowd "hiredis in goro_blocking" redis announced unix "$work/redis.sock"
}

# --- libpq ------------------------------------------------------------------------------------------------

# In a shell of its own, which becomes the command: PostgreSQL refuses to run as root.
unprivileged()
{
	if [ "$(id -u)" != 0 ]; then
		exec "$@"
	else
		exec setpriv --reuid "$pg_user" --regid "$(id -g "$pg_user")" --clear-groups "$@"
	fi
}

postgres_start()
{
	data=$work/pg
	mkdir "$data" && chmod 755 "$work" && chown "$pg_user" "$data" || return 1
	(unprivileged "$pg_bin/initdb" -D "$data/db" -U goro -A trust --no-sync) >"$log" 2>&1 || return 1
	for try in 1 2 3; do
		free_port
		(unprivileged "$pg_bin/postgres" -D "$data/db" -k "$data" -p "$port" \
			-c listen_addresses=127.0.0.1 -c fsync=off -c max_connections=100) >"$log" 2>&1 &
		server=$!
		if ready $server "$pg_bin/pg_isready" -h "$data" -p "$port"; then
			servers="$servers $server"
			return 0
		fi
		end $server
	done
	return 1
}

test_postgres()
{
	pg_bin=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | tail -n 1)
	[ -n "$pg_bin" ] || pg_bin=$(pg_config --bindir 2>/dev/null)
	if ! [ -x "$pg_bin/postgres" ] || ! [ -x "$pg_bin/initdb" ]; then
		skip postgres "there is no PostgreSQL server"
		return
	fi
	if [ "$(id -u)" = 0 ] && ! command -v setpriv >/dev/null; then
		skip postgres "root may not run it, and there is no setpriv"
		return
	fi
	pg_user=nobody
	[ "$(id -u)" = 0 ] || pg_user=$(id -un)
	id postgres >/dev/null 2>&1 && [ "$(id -u)" = 0 ] && pg_user=postgres
	built postgres libpq || return
	postgres_start || { result 1 "PostgreSQL starts"; return; }
	crowd "libpq over a Unix socket" postgres plain "host=$data port=$port user=goro dbname=postgres"
	crowd "libpq over TCP" postgres plain "host=127.0.0.1 port=$port user=goro dbname=postgres"
	crowd "libpq in goro_blocking" postgres announced "host=$data port=$port user=goro dbname=postgres"
}

for one in ${*:-sqlite curl redis postgres}; do
	case $one in
	sqlite | curl | redis | postgres) test_$one ;;
	*) echo "Bail out! there is no library $one"; exit 1 ;;
	esac
done
tap_end
