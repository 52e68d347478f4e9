#!/bin/sh
# Runs every example, and wordcount against the pipeline that its head names. TAP on standard output;
# status 0 when all held, 1 when not.
#
#   tests/examples/run.sh [FOLDER]
#
# FOLDER holds the built examples; without it those are run which are compiled here, in the way that the
# head of goro.h tells users. CC names the compiler, LIB the library, build/libgoro.a if not told.
set -u
cd "$(dirname "$0")/../.." || exit 1
LC_ALL=C
export LC_ALL
unset GOMAXPROCS GORODEBUG

lib=${LIB:-build/libgoro.a}
cc=${CC:-cc}
tmp=$(mktemp -d) || exit 1
redis=
trap '[ -z "$redis" ] || kill "$redis"; rm -rf "$tmp"' EXIT
trap 'exit 1' HUP INT TERM
chmod 755 "$tmp"
number=0
failures=0

ok() { # ok STATUS NAME
	number=$((number + 1))
	if [ "$1" = 0 ]; then
		echo "ok $number - $2"
	else
		echo "not ok $number - $2"
		failures=$((failures + 1))
	fi
}

skip() { # skip NAME WHY
	number=$((number + 1))
	echo "ok $number - $1 # SKIP $2"
}

# The program's output in $tmp/out, its messages in $tmp/err, its status in $status.
run() {
	timeout -k 5 "${limit:-60}" "$@" >"$tmp/out" 2>"$tmp/err"
	status=$?
}

# The status and the output are as told, and nothing is on standard error.
gives() { # gives STATUS OUTPUT
	[ "$status" = "$1" ] && [ "$(cat "$tmp/out")" = "$2" ] && [ ! -s "$tmp/err" ] && return 0
	echo "# expected status $1, output:"
	printf '%s\n' "$2" | sed 's/^/#   /'
	echo "# got status $status, output, messages:"
	head -n 40 "$tmp/out" | sed 's/^/#   /'
	head -n 40 "$tmp/err" | sed 's/^/#   /'
	return 1
}

# The status is as told, and standard error has a line with the text.
complains() { # complains STATUS TEXT
	[ "$status" = "$1" ] && grep -q -F -e "$2" "$tmp/err" && return 0
	echo "# expected status $1, message: $2"
	echo "# got status $status, messages:"
	head -n 40 "$tmp/err" | sed 's/^/#   /'
	return 1
}

# --- build ------------------------------------------------------------------------------------------

blocks=
case $($cc --version 2>/dev/null) in *clang*) blocks=-fblocks ;; esac
for file in examples/*.c; do
	program=$tmp/$(basename "$file" .c)
	flags=
	case $file in
	*/sqlworkers.c) needs=sqlite3 ;;
	*/rediscrawl.c) needs=hiredis ;;
	*/tls_echo.c) needs=openssl ;;
	*) needs= ;;
	esac
	if [ -n "$needs" ] && ! flags=$(pkg-config --cflags --libs $needs 2>/dev/null); then
		skip "$file" "pkg-config does not find $needs"
		continue
	fi
	if [ "$file" = examples/httpd.c ]; then # pkg-config does not know it
		if ! echo '#include <http_parser.h>' | $cc -E -xc - >/dev/null 2>&1; then
			skip "$file" "there is no http_parser.h"
			continue
		fi
		flags=-lhttp_parser
	fi
	$cc -std=gnu11 -O2 -Wall -Wextra $blocks -Iinclude "$file" "$lib" $flags -pthread -o "$program" 2>"$tmp/err"
	[ $? = 0 ] && [ ! -s "$tmp/err" ] || { sed 's/^/# /' "$tmp/err"; false; }
	ok $? "$file compiles without a warning"
done
bin=${1:-$tmp}

# --- the small ones ---------------------------------------------------------------------------------

million='^[0-9]* round trips, [0-9.]* ns each$'
for procs in 1 2 4; do
	GORO_MAXPROCS=$procs
	export GORO_MAXPROCS

	run "$bin/numbers"
	rows="$(grep '[1-3]' "$tmp/out" | tr '\n' ' ')$(grep '[4-6]' "$tmp/out" | tr '\n' ' ')"
	[ "$status" = 0 ] && [ "$rows" = "1 2 3 4 5 6 " ] && [ "$(wc -l <"$tmp/out")" = 6 ] && [ ! -s "$tmp/err" ]
	ok $? "numbers prints both rows in order, $procs Ps"

	run "$bin/sieve"
	gives 0 "2000 primes, the last is 17389"
	ok $? "sieve finds the first 2000 primes, $procs Ps"

	run "$bin/skynet"
	gives 0 499999500000
	ok $? "skynet sums up its million leaves, $procs Ps"

	run "$bin/group" 10000
	gives 0 east
	ok $? "group takes the first answer and leaves nobody, $procs Ps"

	run "$bin/group" 1
	gives 1 "context deadline exceeded
nobody"
	ok $? "group gives up at its deadline, $procs Ps"

	run "$bin/pingpong"
	[ "$status" = 0 ] && grep -q "$million" "$tmp/out" && grep -q '^1000000 ' "$tmp/out" && [ ! -s "$tmp/err" ]
	ok $? "pingpong goes to and fro a million times, $procs Ps"
done
unset GORO_MAXPROCS

run "$bin/sieve" 1
gives 0 "1 primes, the last is 2"
ok $? "sieve 1"
run "$bin/sieve" 168
gives 0 "168 primes, the last is 997"
ok $? "sieve 168"
run "$bin/pingpong" 1
grep -q '^1 round trips' "$tmp/out"
ok $? "pingpong 1"
for bad in "numbers 1" "sieve 0" "sieve -1" "sieve x" "sieve 1x" "sieve 1 2" "sieve 99999999999999999999" \
	"pingpong 0" "pingpong x" "pingpong 1 1" "skynet 10" "wordcount" "wordcount -n 0 ." "wordcount -n -1 ." \
	"wordcount -n x ." "wordcount -n 1x ." "wordcount -n" "wordcount -n 1" "wordcount -x ."; do
	run "$bin/"$bad
	complains 2 "usage: "
	ok $? "usage, status 2: $bad"
done

# --- with a library -----------------------------------------------------------------------------------

if [ -x "$bin/sqlworkers" ]; then
	for workers in 1 8 200; do
		for again in "" ", the file of the last run"; do
			run "$bin/sqlworkers" "$tmp/rows" $workers
			gives 0 "1000 rows by $workers workers, sum 499500"
			ok $? "sqlworkers with $workers workers$again"
		done
	done
	run "$bin/sqlworkers" "$tmp/missing/rows"
	complains 1 "sqlworkers: $tmp/missing/rows: unable to open database file"
	ok $? "sqlworkers names a file that it cannot open"
	for bad in "sqlworkers" "sqlworkers file 0" "sqlworkers file x" "sqlworkers file 1 1"; do
		run "$bin/"$bad
		complains 2 "usage: "
		ok $? "usage, status 2: $bad"
	done
fi

redis_answers() {
	for i in $(seq 1 100); do
		redis-cli -s "$tmp/redis.sock" ping >/dev/null 2>&1 && return 0
		kill -0 "$redis" 2>/dev/null || return 1
		sleep 0.1
	done
	return 1
}

if [ -x "$bin/rediscrawl" ]; then
	run "$bin/rediscrawl" 127.0.0.1 1
	complains 1 "rediscrawl: 127.0.0.1:1: Connection refused"
	ok $? "rediscrawl without a server"
	run "$bin/rediscrawl" 127.0.0.1
	complains 2 "usage: "
	ok $? "usage, status 2: rediscrawl 127.0.0.1"
	port=$((20000 + $(od -An -N2 -tu2 /dev/urandom) % 12000))
	if command -v redis-server >/dev/null && command -v redis-cli >/dev/null; then
		redis-server --bind 127.0.0.1 --port $port --unixsocket "$tmp/redis.sock" --save '' \
			--dir "$tmp" >"$tmp/redis.log" 2>&1 &
		redis=$!
	fi
	if [ -n "$redis" ] && redis_answers; then
		fill='for i = 1, 3000 do redis.call("SET", "key:" .. i, "value") end
			return redis.call("MEMORY", "USAGE", "key:1")'
		redis-cli -s "$tmp/redis.sock" SET other x >/dev/null
		each=$(redis-cli -s "$tmp/redis.sock" EVAL "$fill" 0)
		run "$bin/rediscrawl" 127.0.0.1 $port 'key:?'
		gives 0 "9 keys, $((9 * each)) bytes"
		ok $? "rediscrawl measures the keys of a pattern"
		run "$bin/rediscrawl" 127.0.0.1 $port
		[ "$status" = 0 ] && grep -q '^3001 keys, [0-9]* bytes$' "$tmp/out" && [ ! -s "$tmp/err" ]
		ok $? "rediscrawl walks all keys"
	else
		skip "rediscrawl against a server" "there is none, or it did not start: $(tail -n 1 "$tmp/redis.log" 2>/dev/null)"
	fi
fi

# --- wordcount on /usr/include ------------------------------------------------------------------------

# What the head of wordcount.c says; the reader is cat, or adds the end of line that a file lacks.
pipeline() { # pipeline READER PATH...
	reader=$1
	shift
	case $reader in
	cat) find -H "$@" -type f -exec cat {} + ;;
	lines) find -H "$@" -type f -exec grep -ah '' {} + ;;
	esac | tr -cs A-Za-z '\n' | grep . | sort | uniq -c | sort -k1,1nr -k2 | sed 's/^ *//'
}

if [ -d /usr/include ]; then
	reader=cat
	if [ "$(find -H /usr/include -type f -exec tail -qc1 {} + | tr -dc A-Za-z | wc -c)" != 0 ]; then
		echo "# a file in /usr/include ends in a word without an end of line: cat would join it"
		reader=lines
	fi
	pipeline "$reader" /usr/include >"$tmp/expected"
	head -n 20 "$tmp/expected" >"$tmp/expected20"
	for procs in 1 2 4; do
		run env GORO_MAXPROCS=$procs "$bin/wordcount" -n 1000000000 /usr/include
		[ "$status" = 0 ] && [ ! -s "$tmp/err" ] && [ -s "$tmp/expected" ] && cmp "$tmp/expected" "$tmp/out"
		ok $? "wordcount /usr/include: all $(wc -l <"$tmp/expected") words as the pipeline has them, $procs Ps"
		run env GORO_MAXPROCS=$procs "$bin/wordcount" /usr/include
		[ "$status" = 0 ] && [ ! -s "$tmp/err" ] && cmp "$tmp/expected20" "$tmp/out"
		ok $? "wordcount /usr/include: the 20 most frequent, $procs Ps"
	done
else
	skip "wordcount /usr/include" "there is no such folder"
fi

# --- wordcount on a tree of corner cases ----------------------------------------------------------------

tree=$tmp/tree
mkdir -p "$tree/a/b c/.hidden" "$tree/empty" "$tmp/outside"
printf 'one two two Two TWO' >"$tree/no end of line"
printf 'three two\nthree' >"$tree/a/b c/next"
printf 'nul\0nul\377four_four4four' >"$tree/a/bytes"
printf '.hidden words\n' >"$tree/a/b c/.hidden/.file"
printf 'strange name' >"$tree/new
line"
: >"$tree/empty file"
printf 'outside outside outside' >"$tmp/outside/file"
ln -s "$tmp/outside" "$tree/link to folder"
ln -s "$tmp/outside/file" "$tree/link to file"
ln -s "$tree" "$tree/a/loop"
ln -s /nowhere "$tree/dangling"
mkfifo "$tree/fifo"
# Words as long as the reads and the buffers, to both sides, and one of a megabyte.
for size in 65534 65535 65536 65537 131071 131072 1048576; do
	head -c $size /dev/zero | tr '\0' w
	printf ' x '
done >"$tree/long words"
deep=$tree/deep
for level in $(seq 1 1200); do deep=$deep/d; done
mkdir -p "$deep"
printf 'bottom' >"$deep/file"

pipeline lines "$tree" >"$tmp/expected"
for procs in 1 2 4; do
	run env GORO_MAXPROCS=$procs "$bin/wordcount" -n 1000 "$tree"
	[ "$status" = 0 ] && [ ! -s "$tmp/err" ] && [ "$(wc -l <"$tmp/expected")" = 20 ] && cmp "$tmp/expected" "$tmp/out"
	ok $? "wordcount: links, fifo, bytes, long words, 1200 levels, $procs Ps"
done

run "$bin/wordcount" "$tree/link to folder" "$tree/link to file" "$tree/empty"
gives 0 "6 outside"
ok $? "wordcount follows the links that it is given, and counts a file that it is given"
run "$bin/wordcount" -n 2 "$tree/a/" "$tree/no end of line"
gives 0 "3 four
3 two"
ok $? "wordcount takes several paths, and puts equals in byte order"
run "$bin/wordcount" "$tree/empty"
gives 0 ""
ok $? "wordcount of nothing prints nothing"

run "$bin/wordcount" "$tmp/missing" "$tmp/outside"
[ "$(cat "$tmp/out")" = "3 outside" ] && complains 1 "wordcount: $tmp/missing: No such file or directory"
ok $? "wordcount names a path that is missing, and counts the others"
run "$bin/wordcount" "$tree/fifo" "$tmp/outside"
[ "$(cat "$tmp/out")" = "3 outside" ] && complains 1 "fifo: Neither a file nor a folder"
ok $? "wordcount does not wait on a fifo that it is given"
run "$bin/wordcount" ""
complains 1 "No such file"
ok $? "wordcount of an empty path"
run "$bin/wordcount" /proc/self/mem "$tmp/outside"
[ "$(cat "$tmp/out")" = "3 outside" ] && complains 1 "wordcount: /proc/self/mem: Input/output error"
ok $? "wordcount names a file that cannot be read"

name="wordcount names what it may not open"
chmod 000 "$tmp/outside/file"
mkdir -m 000 "$tmp/outside/closed"
if [ "$(id -u)" != 0 ]; then
	run "$bin/wordcount" "$tmp/outside"
elif command -v setpriv >/dev/null && setpriv --reuid 65534 --clear-groups test -x "$bin/wordcount"; then
	run setpriv --reuid 65534 --clear-groups "$bin/wordcount" "$tmp/outside"
else
	status=skip
fi
if [ "$status" = skip ]; then
	skip "$name" "root may open everything, and there is no setpriv"
else
	complains 1 "outside/file: Permission denied" && complains 1 "outside/closed: Permission denied"
	ok $? "$name"
fi
chmod 644 "$tmp/outside/file"

# Below PATH_MAX no path reaches.
level=$(head -c 250 /dev/zero | tr '\0' l)
(
	cd "$tmp/outside" || exit 1
	for i in $(seq 1 20); do
		mkdir "$level" && cd -P "$level" || exit 1
	done
	echo lost >file
)
run "$bin/wordcount" "$tmp/outside"
[ "$(cat "$tmp/out")" = "3 outside" ] && complains 1 "File name too long"
ok $? "wordcount names a folder that lies too deep"

timeout 60 "$bin/wordcount" "$tmp/outside/file" >/dev/full 2>"$tmp/err"
status=$?
complains 1 "wordcount: standard output: No space left on device"
ok $? "wordcount says when its output is lost"

echo "1..$number"
[ $failures = 0 ]
