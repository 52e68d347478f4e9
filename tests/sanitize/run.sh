#!/bin/sh
# run.sh - programs that are compiled with a sanitizer, linked with the release library as users do.
#
#   tests/sanitize/run.sh path/to/libgoro.a
#
# A correct one must stay without a report (clean.c), and what is wrong must still be found (wrong.c). Loops without
# calls are stopped (loops.c).
# Prints TAP. What needs a tool that is missing is skipped by name.

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
lib=${1:-$root/build/libgoro.a}
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1

. "$here/../harness/tap.sh"
export TSAN_OPTIONS="${TSAN_OPTIONS:-atexit_sleep_ms=50}" # a second, otherwise

# ThreadSanitizer of gcc 12 and clang 14 cannot live with wider address randomisation.
fixed=
if [ "$(cat /proc/sys/vm/mmap_rnd_bits 2>/dev/null || echo 0)" -gt 28 ] && setarch -R true 2>/dev/null; then
	fixed="setarch -R"
fi

# clean NAME PROGRAM: it ends well, and its whole output is "clean".
clean()
{
	timeout 60 $fixed "$2" >log 2>&1
	status=$?
	echo "status $status" >>log
	[ "$(cat log)" = "clean
status 0" ]
	result $? "$1"
}

# finds NAME STATUS TEXT COMMAND...: it ends with this status, or, for "bad", with any but 0, and says TEXT.
finds()
{
	name=$1 wanted=$2 text=$3
	shift 3
	timeout 20 $fixed "$@" >log 2>&1
	status=$?
	echo "status $status" >>log
	grep -aq "$text" log &&
		if [ "$wanted" = bad ]; then [ $status != 0 ] && [ $status != 124 ]; else [ $status = "$wanted" ]; fi
	result $? "$name"
}

for cc in gcc clang; do
	for san in thread address,undefined leak; do
		build="$cc -std=gnu11 -g -O1 -fsanitize=$san -I$root/include"
		[ $cc = clang ] && build="$build -fblocks"
		echo 'int main(void) { return 0; }' >empty.c
		if ! command -v $cc >/dev/null 2>&1; then
			skip "$cc -fsanitize=$san" "no $cc"
			continue
		elif ! $build empty.c -o empty 2>/dev/null || ! $fixed ./empty 2>/dev/null; then
			skip "$cc -fsanitize=$san" "it does not work here"
			continue
		fi
		$build "$here/clean.c" "$lib" -pthread -o clean >log 2>&1 &&
			$build -DMAIN "$here/clean.c" "$lib" -pthread -o runs >log 2>&1 &&
			$build "$here/loops.c" "$lib" -pthread -o loops >log 2>&1 &&
			$build "$here/wrong.c" "$lib" -pthread -o wrong >log 2>&1
		result $? "programs are built, $cc -fsanitize=$san"
		for n in 1 2 4; do
			export GORO_MAXPROCS=$n
			clean "a correct program, $n Ps, $cc -fsanitize=$san" ./clean
		done
		export GORO_MAXPROCS=2
		# Goroutines that the end of a run cuts short leave what they hold.
		export ASAN_OPTIONS=detect_leaks=0 LSAN_OPTIONS=detect_leaks=0
		clean "three runs, $cc -fsanitize=$san" ./runs
		unset ASAN_OPTIONS LSAN_OPTIONS
		finds "a deadlock, $cc -fsanitize=$san" 2 "all goroutines are asleep - deadlock!" ./wrong deadlock
		finds "a panic, $cc -fsanitize=$san" 2 "panic: on purpose" ./wrong panic
		for n in 1 2; do
			export GORO_MAXPROCS=$n
			export ASAN_OPTIONS=detect_leaks=0 LSAN_OPTIONS=detect_leaks=0
			for what in procs dump end notify chain work; do
				finds "loops, $what, $n Ps, $cc -fsanitize=$san" 0 "^good$" ./loops $what
			done
			unset ASAN_OPTIONS LSAN_OPTIONS
			finds "loops, quit, $n Ps, $cc -fsanitize=$san" 2 "^SIGQUIT: quit$" ./loops quit
		done
		case $san in
		thread)
			for n in 1 2; do
				export GORO_MAXPROCS=$n
				finds "a race, $n Ps, $cc" bad "ThreadSanitizer: data race" ./wrong race
			done
			;;
		address*)
			finds "a use after free, $cc" bad "heap-use-after-free" ./wrong after-free
			finds "a leak, $cc -fsanitize=$san" bad "detected memory leaks" ./wrong leak
			;;
		leak)
			# The fast unwinder knows no stacks but those of threads, and what it sees no caller of is no leak.
			export LSAN_OPTIONS=fast_unwind_on_malloc=0
			finds "a leak, $cc -fsanitize=$san" bad "detected memory leaks" ./wrong leak
			;;
		esac
		unset GORO_MAXPROCS LSAN_OPTIONS
	done
done

tap_end
