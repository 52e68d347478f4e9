#!/bin/sh
# run.sh - the storm of migrations, compiled in every way that a user might.
#
#   tests/storm/run.sh         LIB, CC and CXX from the environment, else build/libgoro.a, cc and c++
#
# STORM_SECONDS is for how long each program runs, 1 if not told; WRAP is a command that runs a program
# of another machine. Also: a program in C whose exceptions are those of a shared library. Prints TAP.
set -u
LC_ALL=C
export LC_ALL
unset GOMAXPROCS GORODEBUG
cd "$(dirname "$0")/../.." || exit 1
: "${LIB:=build/libgoro.a}" "${CC:=cc}" "${CXX:=c++}" "${STORM_SECONDS:=1}" "${WRAP:=}"
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
tap_says=1
. tests/harness/tap.sh

# check NAME CC CXX FLAG...: built with these, it runs at 2 and 4 Ps.
check()
{
	name=$1 cc=$2 cxx=$3
	shift 3
	if ! command -v "$cc" >/dev/null || ! command -v "$cxx" >/dev/null; then
		skip "$name: $cc $*" "$cc or $cxx is not here"
		return
	fi
	blocks= link=
	case $($cc --version 2>/dev/null) in *clang*) blocks=-fblocks ;; esac
	if [ "$blocks" ] && case " $* " in *" -flto "*) true ;; *) false ;; esac; then
		command -v ld.lld >/dev/null && link=-fuse-ld=lld
	fi
	# shellcheck disable=SC2086
	$cc -std=gnu11 -g -Wall -Wextra -frounding-math $blocks -Iinclude "$@" -pthread \
		-c tests/storm/storm.c -o "$work/storm.o" >"$log" 2>&1 &&
		$cxx -std=gnu++17 -g -Wall -Wextra -Iinclude "$@" -pthread \
			-c tests/storm/storm_inside.cc -o "$work/inside.o" >>"$log" 2>&1 &&
		$cxx "$@" $link -pthread "$work/storm.o" "$work/inside.o" "$LIB" -lm -o "$work/storm" >>"$log" 2>&1
	if [ $? != 0 ]; then
		# An installation without what -flto needs says nothing of ours.
		if grep -q -e 'LLVMgold' -e 'lto-wrapper' -e 'invalid linker' "$log"; then
			: >"$log"
			skip "$name: $cc $*" "the compiler has no linker for -flto"
			return
		fi
		result 1 "$name: $cc $*"
		return
	fi
	status=0
	for procs in 2 4; do
		GORO_MAXPROCS=$procs $WRAP "$work/storm" "$STORM_SECONDS" >>"$log" 2>&1 || status=1
	done
	result $status "$name: $cc $*"
}

: >"$log"
gcc=$CC gxx=$CXX
check storm_of_migrations "$gcc" "$gxx" -O3
check storm_of_migrations "$gcc" "$gxx" -O3 -flto
check storm_of_migrations "$gcc" "$gxx" -O2 -static
if [ -z "$WRAP" ]; then
	check storm_of_migrations "$gcc" "$gxx" -O0
	check storm_of_migrations "$gcc" "$gxx" -O3 -march=native -fno-omit-frame-pointer
	case $($gcc --version) in
	*clang*) ;;
	*)
		check storm_of_migrations clang clang++ -O3
		check storm_of_migrations clang clang++ -O3 -flto
		;;
	esac
fi

# A program in C, whose library throws: nothing of C++ is on its own command line.
blocks=
case $($gcc --version 2>/dev/null) in *clang*) blocks=-fblocks ;; esac
# shellcheck disable=SC2086
$gxx -std=gnu++17 -O2 -fPIC -shared -Iinclude tests/storm/storm_inside.cc -o "$work/libinside.so" >"$log" 2>&1 &&
	$gcc -std=gnu11 -O3 $blocks -frounding-math -Iinclude tests/storm/storm.c "$LIB" -L"$work" -linside \
		-Wl,-rpath,"$work" -rdynamic -pthread -lm -o "$work/storm" >>"$log" 2>&1 &&
	GORO_MAXPROCS=4 $WRAP "$work/storm" "$STORM_SECONDS" >>"$log" 2>&1
result $? "storm in C whose exceptions are a shared library's"

tap_end
