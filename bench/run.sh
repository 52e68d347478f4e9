#!/bin/sh
# Runs the benchmarks and their twins in Go, turn by turn, and prints one Markdown table: the median of
# each, and the lowest and the highest value as the noise. Progress goes to standard error.
#
#   bench/run.sh [SUBJECT...]         spawn_burst, yield, ...; all if not told
#
#   RUNS=5  PROCS="1 2"               how often each, and with how many Ps
#   B=build/release                   the programs are built already, in $B/bench and $B/examples; else
#   LIB=build/libgoro.a  CC=cc        they are compiled here, with this library and compiler
#   FOLDER=/usr/include               what wordcount counts
#
# The lines themselves, in the format of Go's benchmarks, stay in build/bench/goro.txt and go.txt: compare
# them with benchstat. Without a `go` only goro is measured. The status is 1 if anything failed.
set -u
cd "$(dirname "$0")/.." || exit 1
LC_ALL=C
export LC_ALL
unset GODEBUG GOGC GOMEMLIMIT GORODEBUG GO111MODULE GOFLAGS

runs=${RUNS:-5}
all_procs=${PROCS:-1 2}
cc=${CC:-cc}
folder=${FOLDER:-/usr/include}
out=build/bench
lib=${LIB:-build/libgoro.a}

if [ $# = 0 ]; then
	set -- spawn_burst spawn_join yield pingpong chan_buffered select sieve skynet parked sleep_late sleepers \
		mutex rwmutex cond waitgroup once timer ctx wordcount \
		syscall preempt slices latency
fi
go=$(command -v go)
[ -n "$go" ] || echo "bench/run.sh: there is no go here: only goro is measured" >&2

# --- build: all before the first measurement ----------------------------------------------------------

mkdir -p $out/goro $out/go || exit 1
rm -f $out/goro/* $out/go/*
blocks=
case $($cc --version 2>/dev/null) in *clang*) blocks=-fblocks ;; esac

provide() { # provide bench/SUBJECT PROGRAM
	if [ -n "${B:-}" ]; then
		cp "$B/$1" "$2" || exit 1
	elif [ -f "$lib" ]; then
		$cc -std=gnu11 -O2 $blocks -Iinclude "$1.c" "$lib" -pthread -o "$2" || exit 1
	else
		echo "bench/run.sh: there is no $lib: run make first" >&2
		exit 1
	fi
}

for subject; do
	provide "bench/$subject" "$out/goro/$subject"
	[ "$subject" = wordcount ] && provide examples/wordcount $out/goro/wordcount_example
	if [ -n "$go" ] && [ -f "bench/go/$subject.go" ]; then
		echo "building the twin of $subject" >&2
		GOCACHE=${GOCACHE:-${HOME:+$HOME/.cache/go-build}}
		GOCACHE=${GOCACHE:-$PWD/$out/cache} GOPROXY=off GO111MODULE=off GOTOOLCHAIN=local \
			"$go" build -o "$out/go/$subject" "bench/go/$subject.go" bench/go/bench.go || exit 1
	fi
done

# --- measure --------------------------------------------------------------------------------------------

: >$out/goro.txt
: >$out/go.txt
failed=0

measure() { # measure WHO PROCS SUBJECT PROGRAM [ARGUMENT...]
	who=$1
	procs=$2
	subject=$3
	shift 3
	if ! GORO_MAXPROCS=$procs GOMAXPROCS=$procs timeout -k 5 60 "$@" >>$out/$who.txt; then
		echo "bench/run.sh: $subject failed, $who, $procs Ps" >&2
		failed=1
	fi
}

run=1
while [ $run -le "$runs" ]; do
	for subject; do
		echo "run $run of $runs: $subject" >&2
		for procs in $all_procs; do
			case $subject in
			wordcount)
				measure goro $procs wordcount $out/goro/wordcount $out/goro/wordcount_example "$folder"
				;;
			latency)
				measure goro $procs latency $out/goro/latency
				measure goro $procs latency env GORODEBUG=preempt=0 $out/goro/latency
				[ -x $out/go/latency ] && measure go $procs latency $out/go/latency
				;;
			*)
				measure goro $procs $subject $out/goro/$subject
				[ -x $out/go/$subject ] && measure go $procs $subject $out/go/$subject
				;;
			esac
		done
	done
	run=$((run + 1))
done

# --- the table ------------------------------------------------------------------------------------------

cpu=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)
echo "Median of $runs runs (lowest to highest); one run of everything, goro and Go by turns."
echo "$(nproc) CPUs ($cpu), Linux $(uname -r), $($cc --version | head -n 1)${go:+, $("$go" version)}."
[ -n "$go" ] || echo "There is no go on this machine: no figures of Go's."
echo

awk -v procs_list="$all_procs" -v with_go="${go:+1}" -v goro=$out/goro.txt -v go=$out/go.txt '
function label(name, text) {
	if (!(name in labels))
		labels[name] = text
}
BEGIN {
	label("SpawnBurst", "spawn a million in a burst, new process")
	label("SpawnBurstWarm", "the same again")
	label("SpawnJoin", "spawn one and wait for it")
	label("YieldAlone", "yield, alone")
	label("YieldTwo", "yield, two goroutines")
	label("PingPong", "round trip, unbuffered")
	label("ChanFree", "send and receive, buffered, nobody waits")
	label("Chan4x4", "buffered channel, 4 senders, 4 receivers")
	label("SelectReady2", "select of 2, one ready, and a send")
	label("SelectReady8", "select of 8, one ready, and a send")
	label("SelectBlock2", "select of 2 that waits for a sender")
	label("SelectBlock8", "select of 8 that waits for a sender")
	label("SelectSend2", "select of 2 sends that waits for a receiver")
	label("SelectDefault1", "select of 1 and a default, not ready")
	label("SelectDefault2", "select of 2 and a default, not ready")
	label("Sieve", "sieve, 2000 primes")
	label("Skynet", "skynet, a million leaves")
	label("ParkedCreate", "create one that waits, of a million")
	label("ParkedMemory", "memory of one that waits")
	label("ParkedWake", "wake it until it has ended")
	label("ParkedLeft", "memory left 1 s after all have ended")
	label("Sleep100us", "lateness of a sleep of 100 us")
	label("Sleep1ms", "lateness of a sleep of 1 ms")
	label("Sleepers", "sleep of 1 to 1000 us, 100 000 at a time")
	label("MutexFree", "mutex: lock and unlock, free")
	label("Mutex4", "mutex, four contenders")
	label("RWMutexRead", "rwmutex: a reader, alone")
	label("RWMutexRead4", "rwmutex, four readers")
	label("RWMutexMixed4", "rwmutex, four, 1 % writers")
	label("CondPingPong", "round trip by a cond")
	label("WaitGroupAddDone", "wait group: add and done")
	label("WaitGroup4", "wait group: start four, wait for them")
	label("Once", "once, after the first")
	label("TimerAddStop", "timer with a function: made, stopped, freed")
	label("TimerChanAddStop", "timer with a channel: made, stopped, freed")
	label("TimerReset", "timer reset")
	label("TimerMillionAdd", "each of a million timers made")
	label("TimerMillionAddLongest", "the slowest of these")
	label("TimerAddStopAmongMillion", "made, stopped, freed, beside a million")
	label("TimerResetAmongMillion", "reset, beside a million")
	label("TimerMillionStop", "each of a million stopped, freed")
	label("CtxMake", "context, made and dropped")
	label("CtxMakeDeadline", "the same with a deadline")
	label("CtxCancelTree", "cancel one of a thousand contexts below")
	label("CtxCancelWaiters", "cancel one of a thousand that wait, until it has ended")
	label("GroupGoWait", "child of a group, of a hundred")
	label("ChanBesideCancelled", "send and receive while a cancelled context exists")
	label("ChanBesideNone", "the same while none does")
	label("Getppid", "getppid, unannounced")
	label("GetppidAnnounced", "the same, announced")
	label("BlockingCalls", "1000 goroutines, ten calls of 1 ms each")
	label("BlockingThreads", "1000 plain threads, the same")
	label("PreemptLoop", "lateness beside loops without a call")
	label("PreemptCheckpoint", "lateness beside loops with goro_checkpoint")
	label("SlicesLoop", "4 loops without a call, percent of an equal share")
	label("SlicesCheckpoint", "4 loops with goro_checkpoint, percent of an equal share")
	label("LatencyLoop", "request beside 2 loops without a call")
	label("LatencyCheckpoint", "request beside 2 loops with goro_checkpoint")
	label("LatencyNoPreempt", "request beside 2 loops that nothing stops")
	label("Wordcount", "wordcount, whole program")
	units["ns/op"] = "ns"
	units["cpu-ns/op"] = "ns of CPU"
	units["rss-B/goroutine"] = "bytes"
	units["pte-B/goroutine"] = "bytes of page tables"
	units["late-p50-ns"] = "us, median"
	units["late-p99-ns"] = "us, 99th percentile"
	units["p50-ns"] = "us, median"
	units["p99-ns"] = "us, 99th percentile"
	units["p99.9-ns"] = "us, 99.9th percentile"
	units["wall-ms"] = "ms"
	units["share-min-%"] = "the least favoured"
	units["share-max-%"] = "the most favoured"
}
{
	who = FILENAME == goro ? "goro" : "go"
	dash = match($1, /-[0-9]+$/)
	name = substr($1, 10, dash - 10)
	procs = substr($1, dash + 1)
	for (field = 3; field < NF; field += 2) {
		row = name SUBSEP $(field + 1)
		if (!(row in seen)) {
			seen[row] = 1
			rows[++row_count] = row
		}
		cell = row SUBSEP procs SUBSEP who
		value[cell, ++count[cell]] = $field + 0
	}
}
function number(x, scale) {
	x /= scale
	return sprintf(x < 100 && scale == 1 ? "%.1f" : x < 100 ? "%.2f" : "%.0f", x)
}
function median(cell, i, j, n, x, middle) {
	n = count[cell]
	for (i = 2; i <= n; i++) {
		x = value[cell, i]
		for (j = i - 1; j > 0 && value[cell, j] > x; j--)
			value[cell, j + 1] = value[cell, j]
		value[cell, j + 1] = x
	}
	middle = int((n + 1) / 2)
	return n % 2 ? value[cell, middle] : (value[cell, middle] + value[cell, middle + 1]) / 2
}
function show(cell, scale) {
	if (!(cell in count))
		return "-"
	return number(median(cell), scale) " (" number(value[cell, 1], scale) " to " \
		number(value[cell, count[cell]], scale) ")"
}
END {
	columns = split(procs_list, procs_of, " ")
	line = "| what |"
	rule = "|---|"
	for (c = 1; c <= columns; c++) {
		line = line " goro, " procs_of[c] " P |" (with_go ? " Go, " procs_of[c] " P |" : "")
		rule = rule "---:|" (with_go ? "---:|" : "")
	}
	print line
	print rule
	for (r = 1; r <= row_count; r++) {
		split(rows[r], part, SUBSEP)
		scale = 1
		unit = part[2] in units ? units[part[2]] : part[2]
		if (part[2] ~ /^(late-)?p[0-9.]+-ns$/)
			scale = 1e3
		if (part[2] == "ns/op" && (part[1] == "Sieve" || part[1] == "Skynet" || part[1] == "Wordcount")) {
			scale = 1e6
			unit = "ms"
		}
		line = "| " (part[1] in labels ? labels[part[1]] : part[1]) ", " unit " |"
		for (c = 1; c <= columns; c++) {
			line = line " " show(rows[r] SUBSEP procs_of[c] SUBSEP "goro", scale) " |"
			if (with_go)
				line = line " " show(rows[r] SUBSEP procs_of[c] SUBSEP "go", scale) " |"
		}
		print line
	}
	one = "Wordcount" SUBSEP "ns/op" SUBSEP "1" SUBSEP "goro"
	two = "Wordcount" SUBSEP "ns/op" SUBSEP "2" SUBSEP "goro"
	if (one in count && two in count)
		printf "\nwordcount with two Ps is %.2f times as fast as with one.\n", median(one) / median(two)
}' $out/goro.txt $out/go.txt

[ $failed = 0 ]
