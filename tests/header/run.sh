#!/bin/sh
# run.sh - goro.h alone under every language and compiler, and go() in every shape, compiler and level.
#
#   tests/header/run.sh [path to libgoro.a]
#
# Prints TAP. The go() tests run on the fake runtime, and, when a library is there (the argument, else
# build/libgoro.a), on that too. What needs a tool that is missing is skipped by name.

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
lib=${1:-$root/build/libgoro.a}
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1

strict="-Wall -Wextra -Wpedantic -Werror -Wno-psabi -I$root/include -I$here"
. "$here/../harness/tap.sh"

have()
{
	command -v "$1" >/dev/null 2>&1
}

# compiles NAME COMMAND...
compiles()
{
	name=$1
	shift
	"$@" >log 2>&1
	result $? "$name"
}

# refuses NAME TEXT COMMAND...: the compiler fails, and says TEXT.
refuses()
{
	name=$1
	text=$2
	shift 2
	if "$@" >log 2>&1; then
		false
	else
		grep -q "$text" log
	fi
	result $? "$name"
}

# runs NAME RUNNER COMMAND...: the command makes ./prog, which runs well and has no executable stack.
runs()
{
	name=$1
	runner=$2
	shift 2
	"$@" -o prog >log 2>&1 &&
		timeout 20 $runner ./prog >log 2>&1 &&
		grep -q ' checks, 0 failed' log &&
		readelf -lW prog >elf && grep -q 'GNU_STACK.* RW ' elf
	status=$?
	[ $status = 0 ] || grep GNU_STACK elf >>log 2>/dev/null
	result $status "$name"
}

# --- goro.h alone -----------------------------------------------------------------------------------

echo '#include "goro.h"' >alone.c
cp alone.c alone.cpp
for cc in gcc clang; do
	for std in c11 gnu11 gnu17; do
		if have $cc; then
			compiles "goro.h alone, $cc -std=$std" $cc -std=$std $strict -fsyntax-only alone.c
		else
			skip "goro.h alone, $cc -std=$std" "no $cc"
		fi
	done
done
for cxx in g++ clang++; do
	for std in c++17 c++20; do
		if have $cxx; then
			compiles "goro.h alone, $cxx -std=$std" $cxx -std=$std $strict -fsyntax-only alone.cpp
		else
			skip "goro.h alone, $cxx -std=$std" "no $cxx"
		fi
	done
done

# --- select's cases -----------------------------------------------------------------------------------

cp "$here/select.c" select.cpp
for cc in gcc clang; do
	have $cc && compiles "select's cases, $cc" $cc -std=c11 $strict -Wshadow -fsyntax-only "$here/select.c"
done
for cxx in g++ clang++; do
	have $cxx && compiles "select's cases, $cxx" $cxx -std=c++17 $strict -Wshadow -fsyntax-only select.cpp
done

# --- goro_once_do: inline, and of the library all the same -----------------------------------------

cat >once.c <<-EOT
	#include "goro.h"
	#ifdef __cplusplus
	extern "C" {
	#endif
	typedef void once_fn(goro_once *once, void (*fn)(void *), void *arg);
	void by_name(goro_once *once, void (*fn)(void *));
	once_fn *address(void);
	void by_name(goro_once *once, void (*fn)(void *)) { goro_once_do(once, fn, once); }
	once_fn *address(void) { return goro_once_do; }
	#ifdef __cplusplus
	}
	#endif
EOT
cp once.c once.cpp
has_look() { # the object compares with DONE before it calls, and calls nothing but the library's
	nm once.o | grep -q ' U goro_once_do$' && nm once.o | grep -q ' U goro_once_do_$' &&
		objdump -d --no-show-raw-insn once.o | sed -n '/<by_name>:/,/^$/p' | grep -q 'cmp.*\$0x4,\|cmp.*#0x4'
}
for cc in gcc clang g++ clang++; do
	have $cc || continue
	std=c11 file=once.c
	case $cc in *++) std=c++17 file=once.cpp ;; esac
	compiles "once, $cc -O2" $cc -std=$std -O2 $strict -Wshadow -Wredundant-decls -c $file -o once.o
	has_look
	result $? "once, $cc -O2 looks before it calls"
	compiles "once, $cc -O0" $cc -std=$std -O0 $strict -Wshadow -Wredundant-decls -c $file -o once.o
	! has_look
	result $? "once, $cc -O0 calls"
done

# --- what must not compile --------------------------------------------------------------------------

for n in 9 10 16 17 19 20 32; do
	arguments=$(seq -s , $n)
	printf '#include "goro.h"\nvoid f(...);\nvoid g(void) { go(f, %s); }\n' "$arguments" >many.cpp
	sed 's/f(\.\.\.)/f()/' many.cpp >many.c
	for cc in gcc "clang -fblocks" "g++ -std=c++17" "clang++ -std=c++17"; do
		have ${cc%% *} || continue
		file=many.c
		case $cc in *++*) file=many.cpp ;; esac
		refuses "$n arguments are refused, $cc" "at most 8 arguments" \
			$cc -I"$root/include" -fsyntax-only $file
	done
done
for cxx in g++ clang++; do
	have $cxx && refuses "C++14 is told what it takes, $cxx" "C++17: compile with -std=c++17" \
		$cxx -std=c++14 -I"$root/include" -fsyntax-only alone.cpp
done
if have clang; then
	refuses "clang without -fblocks is told so" "needs -fblocks" \
		clang -I"$root/include" -fsyntax-only "$here/go_other.c" -I"$here"
fi

if have gcc && [ "$(uname -m)" = x86_64 ]; then
	# Its calls go through a register there, which says nothing of where to.
	refuses "gcc -O0 -mcmodel=large is told what it takes" "use -O1" \
		gcc -O0 -mcmodel=large -I"$root/include" -fsyntax-only "$here/go_other.c" -I"$here"
	compiles "gcc -O1 -mcmodel=large" \
		gcc -O1 -mcmodel=large -I"$root/include" -fsyntax-only "$here/go_other.c" -I"$here"
	compiles "goro.h without go(), gcc -O0 -mcmodel=large" \
		gcc -O0 -mcmodel=large $strict -fsyntax-only alone.c
fi

# --- go() in every shape ----------------------------------------------------------------------------

# flags_of COMPILER: what it needs beyond the strict flags.
flags_of()
{
	case $1 in
	clang) echo "-fblocks" ;;
	*++) echo "-std=c++17" ;;
	esac
}

# sources_of COMPILER: the test's files, in its language.
sources_of()
{
	case $1 in
	*++) echo "$here/go_args.cpp -x c++ $here/go_other.c -x none" ;;
	*) echo "$here/go_args.c $here/go_other.c" ;;
	esac
}

# lto_of COMPILER: the flags for -flto, or nothing when its linker is missing.
lto_of()
{
	case $1 in
	clang*) have ld.lld && echo "-flto -fuse-ld=lld" ;;
	*) echo "-flto" ;;
	esac
}

for cc in gcc clang g++ clang++; do
	if ! have $cc; then
		skip "go(), $cc" "no $cc"
		continue
	fi
	compiles "the fake runtime, $cc" $cc -x c $strict -c "$here/fake_runtime.c" -o fake.o
	base="$cc $(flags_of $cc) $strict -DFAKE $(sources_of $cc) fake.o"
	for level in -O0 -O1 -O2 -O3 -Os; do
		runs "go(), $cc $level" "" $base $level
		lto=$(lto_of $cc)
		if [ -n "$lto" ]; then
			runs "go(), $cc $level -flto" "" $base $level $lto
		else
			skip "go(), $cc $level -flto" "no lld"
		fi
	done
	for san in thread address,undefined; do
		for level in -O0 -O2; do
			echo 'int main(void) { return 0; }' >empty.c
			if $cc -x c -fsanitize=$san empty.c -x none -o empty >/dev/null 2>&1; then
				runs "go(), $cc $level -fsanitize=$san" "" $base $level \
					-fsanitize=$san -fno-sanitize-recover=all
			else
				skip "go(), $cc $level -fsanitize=$san" "no such sanitizer here"
			fi
		done
	done
done

arm=aarch64-linux-gnu-gcc
for level in -O0 -O2; do
	if have $arm && have qemu-aarch64; then
		runs "go(), $arm $level" qemu-aarch64 $arm -static $strict -DFAKE $level \
			$(sources_of gcc) "$here/fake_runtime.c"
	else
		skip "go(), $arm $level" "no $arm or no qemu-aarch64"
	fi
done

# --- the same on the library ------------------------------------------------------------------------

for cc in gcc clang g++ clang++; do
	for level in -O0 -O2; do
		if have $cc && [ -f "$lib" ]; then
			runs "go() on the library, $cc $level" "" $cc $(flags_of $cc) $strict \
				$(sources_of $cc) $level "$lib" -pthread
		else
			skip "go() on the library, $cc $level" "no $cc or no $lib"
		fi
	done
done

for cxx in g++ clang++; do
	for level in -O0 -O2; do
		if have $cxx && [ -f "$lib" ]; then
			runs "GORO_GROUP in C++, $cxx $level" "" $cxx -std=c++17 $strict "$here/group.cpp" \
				$level "$lib" -pthread
		else
			skip "GORO_GROUP in C++, $cxx $level" "no $cxx or no $lib"
		fi
	done
done

tap_end
