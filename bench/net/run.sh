#!/bin/sh
# Measures network servers, turn by turn, each under the same load, and prints Markdown tables: the median
# of each, for requests/s with the lowest and the highest. Progress goes to standard error.
#
#   bench/net/run.sh [SECTION...]     echo, httpd, redisd, syscalls; the first three if not told
#
#   echo       goro, raw epoll, Go, under our load generator (net/load.c)
#   httpd      examples/httpd, nginx, Go's net/http, under wrk -c64
#   redisd     examples/redisd, redis-server, under redis-benchmark, without and with -P 16, and under our load
#              generator, which costs less; with -P 16 also a server that keeps nothing and never waits (epoll):
#              about what the client can do, where each has a CPU for itself
#   syscalls   system calls per request of all of these, counted by perf, or else by strace, which slows
#              them so much that more requests come at a time
#
#   RUNS=5  DURATION=2                how often, and for how many seconds, each
#   CONNECTIONS="1 64 1000 10000"     of echo
#   PROCS=                            GORO_MAXPROCS and GOMAXPROCS, if not the number of CPUs
#   TRACER=perf|strace                what counts the system calls
#   B=build/release                   the programs are built already, in $B/bench/net and $B/examples; else
#   LIB=build/libgoro.a  CC=cc        they are compiled here, with this library and compiler
#
# What is not on this machine, or not there yet, is left out with a message. The figures of each run stay in
# build/bench/net/*.txt. The status is 1 if anything failed.
set -u
cd "$(dirname "$0")/../.." || exit 1
LC_ALL=C
export LC_ALL
unset GODEBUG GOGC GOMEMLIMIT GORODEBUG GO111MODULE GOFLAGS
[ -z "${PROCS:-}" ] || export GORO_MAXPROCS="$PROCS" GOMAXPROCS="$PROCS"

runs=${RUNS:-5}
duration=${DURATION:-2}
connections=${CONNECTIONS:-1 64 1000 10000}
keys=100000 # of redisd
cc=${CC:-cc}
lib=${LIB:-build/libgoro.a}
out=$PWD/build/bench/net
failed=0
pid= # the server that runs
helper= # what runs beside it
ulimit -S -n "$(ulimit -H -n)"

say() {
	echo "bench/net/run.sh: $*" >&2
}
fail() {
	say "$*"
	failed=1
}
end() {
	for one in $pid $helper; do
		kill "$one" 2>/dev/null && wait "$one" 2>/dev/null
	done
}
trap end EXIT
trap 'exit 1' INT TERM HUP

[ $# -gt 0 ] || set -- echo httpd redisd
for section; do
	case $section in
	echo | httpd | redisd | syscalls) ;;
	*)
		say "there is no section $section"
		exit 2
		;;
	esac
done
wanted() { # wanted SECTION... : is one of them asked for?
	for one; do
		case " $sections " in *" $one "*) return 0 ;; esac
	done
	return 1
}
sections="$*"

# --- build: all before the first measurement ----------------------------------------------------------

mkdir -p "$out" || exit 1
rm -rf "$out"
mkdir -p "$out/goro" "$out/go" "$out/c" "$out/www" "$out/tmp" || exit 1
blocks=
case $($cc --version 2>/dev/null) in *clang*) blocks=-fblocks ;; esac

provide_c() { # provide_c NAME : plain C, without the library
	if [ -n "${B:-}" ]; then
		cp "$B/bench/net/$1" "$out/c/$1" || exit 1
	else
		$cc -std=gnu11 -O2 "bench/net/$1.c" -pthread -o "$out/c/$1" || exit 1
	fi
}
provide_goro() { # provide_goro FOLDER/NAME : false if it is not there
	if [ -n "${B:-}" ]; then
		[ -x "$B/$1" ] && cp "$B/$1" "$out/goro/"
	else
		[ -f "$1.c" ] && [ -f "$lib" ] || return 1
		$cc -std=gnu11 -O2 $blocks -Iinclude "$1.c" "$lib" -pthread -o "$out/goro/${1##*/}"
	fi
}
go=$(command -v "${GO:-go}") || say "there is no Go here"
provide_go() { # provide_go NAME
	[ -n "$go" ] || return 1
	say "building the twin of $1"
	GOCACHE=${GOCACHE:-${HOME:+$HOME/.cache/go-build}}
	GOCACHE=${GOCACHE:-$out/cache} GOPROXY=off GO111MODULE=off GOTOOLCHAIN=local \
		"$go" build -o "$out/go/$1" "bench/go/$1.go" || exit 1
}

echo_servers= httpd_servers= redisd_servers=
if wanted echo syscalls; then
	provide_c load
	provide_c epoll_echo
	if provide_goro bench/net/echo; then echo_servers=goro; else say "echo is not built: left out"; fi
	echo_servers="$echo_servers epoll"
	provide_go echo && echo_servers="$echo_servers go"
fi
if wanted httpd syscalls && ! command -v wrk >/dev/null; then
	say "there is no wrk: httpd is left out"
elif wanted httpd syscalls && ! provide_goro examples/httpd; then
	say "examples/httpd is not built: httpd is left out"
elif wanted httpd syscalls; then
	httpd_servers=goro
	if command -v nginx >/dev/null; then httpd_servers="goro nginx nginx-tuned"; else say "there is no nginx"; fi
	provide_go httpd && httpd_servers="$httpd_servers go"
	head -c 1024 /dev/zero | tr '\0' x >"$out/www/file.txt"
fi
if wanted redisd syscalls && ! command -v redis-benchmark >/dev/null; then
	say "there is no redis-benchmark: redisd is left out"
elif wanted redisd syscalls && ! provide_goro examples/redisd; then
	say "examples/redisd is not built: redisd is left out"
elif wanted redisd syscalls; then
	provide_c load
	provide_c epoll_redis
	redisd_servers=goro
	if command -v redis-server >/dev/null; then redisd_servers="goro redis"; else say "there is no redis-server"; fi
fi

# --- servers --------------------------------------------------------------------------------------------

listens() { # listens PORT
	awk -v port="$(printf '%04X' "$1")" '
		$4 == "0A" && $2 ~ ":" port "$" { found = 1 }
		END { exit !found }' /proc/net/tcp /proc/net/tcp6 2>/dev/null
}

# Below the ports that the system gives to clients, and each only once.
port=20000
next_port() {
	port=$((port + 1))
	while listens $port; do
		port=$((port + 1))
	done
}

nginx_configuration() { # nginx_configuration WHO
	http="sendfile on; tcp_nopush on;"
	reuseport=
	if [ "$1" = nginx-tuned ]; then
		http="sendfile off; open_file_cache max=1000;"
		reuseport=reuseport
	fi
	[ "$(id -u)" != 0 ] || echo "user root;"
	cat <<-END
		daemon off;
		worker_processes ${PROCS:-$(nproc)};
		pid $out/tmp/nginx.pid;
		error_log $out/tmp/nginx.log;
		events { worker_connections 4096; }
		http {
			access_log off;
			$http
			keepalive_requests 1000000000;
			client_body_temp_path $out/tmp;
			proxy_temp_path $out/tmp;
			fastcgi_temp_path $out/tmp;
			uwsgi_temp_path $out/tmp;
			scgi_temp_path $out/tmp;
			types { text/plain txt; }
			server { listen 127.0.0.1:$port $reuseport; root $out/www; }
		}
	END
}

# In the shell that is put into the background, so that its pid is the server's.
serve() { # serve SECTION WHO
	case $1/$2 in
	echo/goro) exec "$out/goro/echo" $port ;;
	echo/epoll) exec "$out/c/epoll_echo" $port ;;
	echo/go) exec "$out/go/echo" $port ;;
	httpd/goro) exec "$out/goro/httpd" 127.0.0.1:$port "$out/www" ;;
	httpd/go) exec "$out/go/httpd" $port "$out/www" ;;
	httpd/nginx*)
		nginx_configuration "$2" >"$out/tmp/nginx.conf"
		exec nginx -e "$out/tmp/nginx.log" -c "$out/tmp/nginx.conf"
		;;
	redisd/goro) exec "$out/goro/redisd" 127.0.0.1:$port ;;
	redisd/epoll) exec "$out/c/epoll_redis" $port ;;
	redisd/redis) exec redis-server --port $port --bind 127.0.0.1 --save "" --appendonly no ;;
	esac
}

start() { # start SECTION WHO : false if it does not listen within 10 s
	next_port
	serve "$1" "$2" >"$out/tmp/server.log" 2>&1 &
	pid=$!
	tries=0
	until listens $port; do
		tries=$((tries + 1))
		if [ $tries -gt 200 ] || ! kill -0 $pid 2>/dev/null; then
			fail "$1 of $2 does not start:"
			cat "$out/tmp/server.log" >&2
			stop
			return 1
		fi
		sleep 0.05
	done
}

has_ended() {
	[ ! -d /proc/"$pid" ] || grep -q '^State:.Z' /proc/"$pid"/status 2>/dev/null
}

stop() {
	kill "$pid" 2>/dev/null
	tries=0
	until has_ended; do
		tries=$((tries + 1))
		if [ $tries -gt 200 ]; then
			fail "the server does not end on SIGTERM"
			kill -KILL "$pid" 2>/dev/null
			break
		fi
		sleep 0.05
	done
	wait "$pid" 2>/dev/null
	pid=
}

server_pids() {
	echo "$pid" $(cat /proc/"$pid"/task/*/children)
}

# CPU time of the server and its children, in seconds.
server_cpu() {
	for one in $(server_pids); do
		cat /proc/"$one"/stat
	done | awk -v hz="$(getconf CLK_TCK)" '{ sub(/.*\) /, ""); sum += $12 + $13 } END { print sum / hz }'
}

# --- clients: each prints one line of name=value ------------------------------------------------------------

# cpu-s/M of a client that did not look itself: from the server's CPU time before.
with_cpu() { # with_cpu CPU-SECONDS-BEFORE LINE
	after=$(server_cpu)
	echo "$2" | awk -v before="$1" -v after="$after" '{
		for (i = 1; i <= NF; i++)
			if (index($i, "requests=") == 1)
				requests = substr($i, 10)
		if (requests > 0)
			printf "%s cpu-s/M=%.2f\n", $0, (after - before) * 1e6 / requests
	}'
}

ask_httpd() { # ask_httpd SECONDS
	wrk -t1 -c64 -d"$1" -s bench/net/wrk.lua "http://127.0.0.1:$port/file.txt" | grep '^requests='
}

# Every key has a value: load knows what must come.
fill_redisd() {
	awk -v keys=$keys 'BEGIN {
		for (i = 0; i < keys; i++)
			printf "*3\r\n$3\r\nSET\r\n$16\r\nkey:%012d\r\n$3\r\nxxx\r\n", i
	}' | redis-cli -p $port --pipe | grep -q "errors: 0, replies: $keys\$"
}

ask_redisd() { # ask_redisd REQUESTS COMMAND [-P 16]
	requests=$1
	command=$2
	shift 2
	redis-benchmark -p $port -c 64 -n "$requests" -r $keys -t "$command" --precision 3 "$@" |
		tr '\r' '\n' | awk -v requests="$requests" '
		/% <= / && !tail && $1 + 0 >= 99.9 { tail = $3 * 1e3 }
		/throughput summary/ { rate = $3 }
		/^ *avg +min/ { getline; p50 = $3 * 1e3; p99 = $5 * 1e3 }
		END {
			if (!rate)
				exit 1
			printf "requests=%d requests/s=%.0f p50-us=%.1f p99-us=%.1f p99.9-us=%.1f errors=0\n",
				requests, rate, p50, p99, tail
		}'
}

# --- measure --------------------------------------------------------------------------------------------

record() { # record FILE WHAT WHO LINE
	case $4 in
	"") fail "$2 of $3: nothing was measured" ;;
	*" errors=0 "* | *" errors=0") echo "$2 $3 $4" >>"$out/$1" ;;
	*) fail "$2 of $3: errors: $4" ;;
	esac
}

measure_echo() {
	for count in $connections; do
		if [ "$(ulimit -n)" -lt $((count + 100)) ]; then
			say "$count connections need more descriptors than $(ulimit -n): left out"
			continue
		fi
		for who in $echo_servers; do
			say "run $run of $runs: echo, $count connections, $who"
			start echo $who || continue
			line=$("$out/c/load" -c "$count" -d "$duration" -p "$pid" 127.0.0.1:$port)
			record echo.txt "$count" $who "$line"
			stop
		done
	done
}

measure_httpd() {
	for who in $httpd_servers; do
		say "run $run of $runs: httpd, $who"
		start httpd $who || continue
		ask_httpd 1 >/dev/null # to warm up
		cpu=$(server_cpu)
		line=$(ask_httpd "$duration")
		record httpd.txt file $who "$(with_cpu "$cpu" "$line")"
		stop
	done
}

ask_redisd_and_record() { # ask_redisd_and_record WHO COMMAND DEPTH
	cpu=$(server_cpu)
	line=$(ask_redisd $((duration * 40000 * ($3 > 1 ? 16 : 1))) "$2" -P "$3")
	record redisd.txt "$2,-P,$3" "$1" "$(with_cpu "$cpu" "$line")"
}

load_redisd_and_record() { # load_redisd_and_record WHO COMMAND
	line=$("$out/c/load" -c 64 -r "$2" -P 16 -k $keys -d "$duration" -p "$pid" 127.0.0.1:$port)
	record redisd.txt "$2,-P,16,our,load" "$1" "${line%% rss-B*}"
}

measure_redisd() {
	for who in $redisd_servers; do
		start redisd $who || continue
		for command in set get; do
			for depth in 1 16; do
				say "run $run of $runs: redisd, $command, -P $depth, $who"
				ask_redisd_and_record $who $command $depth
			done
		done
		for command in set get; do
			say "run $run of $runs: redisd, $command, -P 16, our load, $who"
			if fill_redisd; then
				load_redisd_and_record $who $command
			else
				fail "$who does not take $keys values"
			fi
		done
		stop
	done
	start redisd epoll || return
	for command in set get; do
		say "run $run of $runs: redisd, $command, -P 16, a server that keeps nothing"
		ask_redisd_and_record epoll $command 16
		load_redisd_and_record epoll $command
	done
	stop
}

# --- system calls -----------------------------------------------------------------------------------------

tracer=${TRACER:-}
if [ -z "$tracer" ]; then
	if perf stat -e raw_syscalls:sys_enter true >/dev/null 2>&1; then tracer=perf; else tracer=strace; fi
fi
calls="read write readv writev recvfrom sendto recvmsg sendmsg sendfile64 splice openat newfstat newfstatat close
	accept4 setsockopt getsockname epoll_ctl epoll_wait epoll_pwait epoll_pwait2 futex nanosleep clock_nanosleep
	sched_yield membarrier tgkill rt_sigreturn timerfd_settime madvise io_uring_enter"

trace_begin() { # of the server that runs; returns when it counts
	if [ $tracer = perf ]; then
		events=raw_syscalls:sys_enter
		for call in $calls; do
			[ ! -d /sys/kernel/tracing/events/syscalls ] ||
				[ -d /sys/kernel/tracing/events/syscalls/sys_enter_"$call" ] || continue
			events=$events,syscalls:sys_enter_$call
		done
		rm -f "$out/tmp/control" "$out/tmp/answer"
		mkfifo "$out/tmp/control" "$out/tmp/answer"
		perf stat -x, -D -1 --control fifo:"$out/tmp/control","$out/tmp/answer" -e $events \
			-p "$(server_pids | tr ' ' ,)" -o "$out/tmp/trace" 2>"$out/tmp/tracer.log" &
		helper=$!
		exec 5<>"$out/tmp/control" 6<>"$out/tmp/answer"
		echo enable >&5
		read -r answer <&6
		exec 5>&- 6<&-
	else
		: >"$out/tmp/tracer.log"
		strace -f -c -o "$out/tmp/trace" $(server_pids | sed 's/[0-9][0-9]*/-p &/g') 2>"$out/tmp/tracer.log" &
		helper=$!
		until grep -q attached "$out/tmp/tracer.log" || ! kill -0 $helper 2>/dev/null; do
			sleep 0.05
		done
	fi
}

trace_end() { # trace_end FILE WHAT WHO LINE : what was counted, for each request of LINE
	kill -INT "$helper" 2>/dev/null || fail "$tracer failed: $(cat "$out/tmp/tracer.log")"
	wait "$helper"
	helper=
	count=$(echo "$4" | sed -n 's/.*requests=\([0-9]*\) .*/\1/p')
	[ "${count:-0}" -gt 0 ] || { fail "$2 of $3: no request while $tracer counted"; return; }
	if [ $tracer = perf ]; then
		awk -F, '$3 ~ /sys_enter/ { sub(/.*sys_enter_?/, "", $3); print $3 == "" ? "total" : $3, $1 }' "$out/tmp/trace"
	else
		awk '$1 ~ /^[0-9.]+$/ && NF >= 5 { print $NF == "total" ? "total" : $NF, $4 }' "$out/tmp/trace"
	fi | awk -v requests="$count" -v what="$2" -v who="$3" '
		$1 == "total" { total = $2; next }
		{ named += $2 }
		$2 / requests >= 0.005 { calls[$1] = $2 / requests }
		END {
			calls["other"] = (total - named) / requests
			printf "| %s | %s | %.2f |", what, who, total / requests
			while (length(calls) > 0) {
				best = ""
				for (name in calls)
					if (best == "" || calls[name] > calls[best])
						best = name
				if (calls[best] >= 0.005)
					printf " %s %.2f", best, calls[best]
				delete calls[best]
			}
			print " |"
		}' >>"$out/$1"
}

# load waits at its gate until the server is watched, and hangs up when it is not any more.
trace_echo() { # trace_echo CONNECTIONS WHO
	start echo "$2" || return
	rm -f "$out/tmp/gate" "$out/tmp/said"
	mkfifo "$out/tmp/gate" "$out/tmp/said"
	"$out/c/load" -g -c "$1" -n 100000 127.0.0.1:$port <"$out/tmp/gate" >"$out/tmp/said" &
	load=$!
	exec 3>"$out/tmp/gate" 4<"$out/tmp/said"
	line=
	if read -r line <&4; then
		trace_begin
		echo >&3
		read -r line <&4
		trace_end syscalls.txt "echo, -c $1" "$2" "$line"
	fi
	exec 3>&- 4<&-
	wait $load || fail "echo, -c $1, of $2 while traced: $line"
	stop
}

trace_all() {
	for who in $echo_servers; do
		for count in 1 64 1000; do
			say "system calls: echo, $count connections, $who"
			trace_echo $count $who
		done
	done
	for who in $httpd_servers; do
		say "system calls: httpd, $who"
		start httpd $who || continue
		trace_begin
		line=$(ask_httpd "$duration")
		trace_end syscalls.txt "httpd, wrk -c64" $who "$line"
		stop
	done
	for who in $redisd_servers; do
		for depth in 1 16; do
			say "system calls: redisd, -P $depth, $who"
			start redisd $who || continue
			trace_begin
			line=$(ask_redisd $((50000 * depth)) get -P $depth)
			trace_end syscalls.txt "redisd, get, -P $depth" $who "$line"
			stop
		done
	done
}

run=1
while [ $run -le "$runs" ]; do
	if wanted echo; then measure_echo; fi
	if wanted httpd; then measure_httpd; fi
	if wanted redisd; then measure_redisd; fi
	run=$((run + 1))
done
if wanted syscalls; then trace_all; fi

# --- the tables -----------------------------------------------------------------------------------------

cpu_model=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)
echo "Median of $runs runs of about $duration s (requests/s: lowest to highest); the servers by turns; client and server on one machine:"
echo "$(nproc) CPUs ($cpu_model), Linux $(uname -r), $($cc --version | head -n 1)${go:+, $("$go" version)}."
table() { # table SECTION BASE TITLE
	[ -s "$out/$1.txt" ] || return
	printf '\n%s\n\n' "$3"
	awk -v base="$2" -f bench/net/table.awk "$out/$1.txt"
}
table echo epoll "Echo, 64 bytes. Memory is what an idle connection adds to the server, at 1000 connections and more: resident set; share of memory (Pss) and page tables. CPU time is the server's."
table httpd go "A file of 1 KiB, wrk -t1 -c64. nginx is set as Debian sets it; nginx-tuned has open_file_cache, reuseport and no sendfile, which for so small a file was its best."
table redisd redis "redis-benchmark -c 64 -r $keys, and our load generator with as many connections and keys. With -P 16 a latency is that of sixteen. epoll keeps nothing and never waits: what the client can do, where each has a CPU for itself; its CPU is all that there is. What else used the CPUs is known for our load only."
if [ -s "$out/syscalls.txt" ]; then
	printf '\nSystem calls per request, counted by %s.\n\n| what | server | all | of these |\n|---|---|---:|---|\n' $tracer
	cat "$out/syscalls.txt"
fi

[ $failed = 0 ]
