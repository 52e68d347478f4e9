#!/bin/sh
# run.sh - what the library shows to the outside: names, segments, what it needs.
#
#   B=build/release CC=cc tests/abi/run.sh
#
# symbols.txt beside this file lists the interface; a name that comes or goes has to be written there.
# TAP on standard output, status 1 when something does not hold.
set -u

here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../.." && pwd)
B=${B:-build/release}
case $B in /*) ;; *) B=$top/$B ;; esac
cc=${CC:-cc}
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
LC_ALL=C
export LC_ALL
. "$top/tests/harness/tap.sh"
blocks=
case $($cc --version) in *clang*) blocks=-fblocks ;; esac
flags="-std=gnu11 -O2 -Wall -Wextra $blocks -I$top/include -pthread"

same() { # same FILE FILE: "<" is missing, ">" is too much
	diff "$1" "$2" >log 2>&1
}
# A program with that body in goro_main; compiled with the rest of the arguments.
program() { # program BODY ARGUMENTS...
	cat >prog.c <<-EOT
		#include <goro.h>
		int goro_main(int argc, char **argv)
		{
			(void)argc, (void)argv;
			$1
		}
	EOT
	shift
	# shellcheck disable=SC2086
	$cc $flags prog.c "$@" -o prog >>log 2>&1
}
gives() { # gives STATUS COMMAND...
	want=$1
	shift
	"$@" >>log 2>&1
	status=$?
	[ $status = "$want" ] && return 0
	echo "$* ended with status $status, not $want" >>log
	return 1
}

grep -v -e '^#' -e '^$' "$here/symbols.txt" | sort >want

# --- names ---

sed -n 's/^GORO_API .*[ *]\(goro_[a-z0-9_]*\)(.*/\1/p' "$top/include/goro.h" | sort >declared
same want declared
result $? "goro.h declares what symbols.txt lists"

nm -g --defined-only "$B/libgoro.a" | awk 'NF == 3 && $3 != "main" {print $3}' | sort >exported
same want exported
result $? "libgoro.a defines these names and no other, but for main"

nm -D --defined-only "$B/libgoro.so" | awk '$2 != "A" {sub(/@.*/, "", $3); print $3}' | sort >exported
same want exported
result $? "libgoro.so exports these names and no other"

ar t "$B/libgoro.a" >members
[ "$(wc -l <members)" = 2 ] && nm -g --defined-only "$B/main.o" | awk '{print $3}' >log && [ "$(cat log)" = main ]
result $? "libgoro.a is two members, and main stands alone in the second"

# Every global name inside the library, as a function of the program's own.
nm -g --defined-only "$B/goro_all.o" "$B"/src/arch/*.o |
	awk 'NF == 3 && $3 !~ /^goro_/ && $3 ~ /^[a-z_][A-Za-z0-9_]*$/ {print $3}' | sort -u >inside
{
	awk '{printf "int %s(void);\nint %s(void)\n{\n\treturn 1;\n}\n", $1, $1}' inside
	echo 'int everything(void);'
	echo 'int everything(void)'
	echo '{'
	awk '{printf "\t%s();\n", $1}' inside
	printf '\treturn 21;\n}\n'
} >clash.c
[ "$(wc -l <inside)" -gt 20 ] &&
	program 'extern int everything(void); return everything();' -fno-builtin clash.c "$B/libgoro.a" &&
	gives 21 ./prog
result $? "a program may use all $(wc -l <inside) names that the library uses inside"

# --- structures ---

cat >sizes.c <<'EOT'
#include <goro.h>
#include <stdio.h>
int goro_main(int argc, char **argv)
{
	(void)argc, (void)argv;
	printf("goro_attr %zu\n", sizeof(struct goro_attr));
	printf("goro_case %zu\n", sizeof(struct goro_case));
	printf("goro_cond %zu\n", sizeof(goro_cond));
	printf("goro_group %zu\n", sizeof(goro_group));
	printf("goro_mutex %zu\n", sizeof(goro_mutex));
	printf("goro_once %zu\n", sizeof(goro_once));
	printf("goro_rwmutex %zu\n", sizeof(goro_rwmutex));
	printf("goro_sem %zu\n", sizeof(goro_sem));
	printf("goro_waitgroup %zu\n", sizeof(goro_waitgroup));
	return 0;
}
EOT
# shellcheck disable=SC2086
$cc $flags sizes.c "$B/libgoro.a" -o sizes >>log 2>&1 && ./sizes | sort >sizes.now &&
	sort "$here/sizes.txt" >sizes.want && same sizes.want sizes.now
result $? "public structures have the sizes of sizes.txt"

# --- segments ---

# no_exec_data FILE: no segment is writable and executable, the stack is not executable, no text relocation.
no_exec_data() {
	readelf -lW "$1" | awk '/^ +[A-Z_0-9]+ +0x/ {print}' >segments
	[ -s segments ] || return 1
	if grep -E '(RWE|GNU_STACK.* RWE)' segments >log; then
		return 1
	fi
	grep -q GNU_STACK segments || { echo "no GNU_STACK" >log; return 1; }
	! readelf -dW "$1" | grep TEXTREL >log
}
no_exec_data "$B/libgoro.so"
result $? "libgoro.so: nothing is writable and executable, no text relocation"
no_exec_data "$B/goro"
result $? "goro: likewise"
program 'return 22;' "$B/libgoro.a" && no_exec_data ./prog
result $? "a program with libgoro.a: likewise"
for level in 0 1 2 3; do
	cat >spawn.c <<-'EOT'
		#include <goro.h>
		static void send(goro_chan *c, int x)
		{
			goro_put(c, x);
		}
		int goro_main(int argc, char **argv)
		{
			(void)argc, (void)argv;
			goro_chan *c = goro_chan_of(int, 0);
			go(send, c, 33);
			return goro_get(c, int);
		}
	EOT
	# shellcheck disable=SC2086
	$cc $flags -O$level spawn.c "$B/libgoro.a" -o prog >log 2>&1 && [ ! -s log ] &&
		no_exec_data ./prog && gives 33 ./prog
	result $? "a program that spawns with go() at -O$level: likewise, no warning, and it runs"
done

# --- what it needs ---

readelf -dW "$B/libgoro.so" | sed -n 's/.*NEEDED.*\[\(.*\)\]/\1/p' >needed
grep -v -e '^libc\.so' -e '^ld-linux' needed >log
[ ! -s log ] && [ -s needed ]
result $? "libgoro.so needs the C library and nothing else"
readelf -dW "$B/libgoro.so" | grep SONAME | tee log | grep -qF "[libgoro.so.0]"
result $? "libgoro.so is named libgoro.so.0"

# --- kinds of program ---

program 'return 23;' "$B/libgoro.a" -pie -fPIE && gives 23 ./prog
result $? "position-independent program"
program 'return 24;' "$B/libgoro.a" -no-pie -fno-pie && gives 24 ./prog
result $? "program at a fixed address"
program 'return 25;' "$B/libgoro.a" -static && gives 25 ./prog
result $? "static program"
cat >names.c <<'EOT'
#include <errno.h>
#include <goro.h>
int goro_main(int argc, char **argv)
{
	(void)argc, (void)argv;
	int one = goro_dial("tcp", "localhost:1", GORO_FOREVER);
	int other = goro_dial("tcp", "no.such.name.invalid:1", goro_now() + GORO_MS(50));
	return one == -ECONNREFUSED && (other == -ENOENT || other == -EAGAIN || other == -ETIMEDOUT) ? 31 : 1;
}
EOT
# shellcheck disable=SC2086
$cc $flags names.c "$B/libgoro.a" -static -o prog >log 2>&1 && ! grep dlopen log && gives 31 ./prog
result $? "static program that dials names: no dlopen, and it runs"
# shellcheck disable=SC2086
$cc $flags names.c "$B/libgoro.a" -o prog >log 2>&1 && [ ! -s log ] && gives 31 ./prog &&
	! readelf -dW prog | grep -qi cares
result $? "program that dials names: nothing to link with"
# shellcheck disable=SC2086
$cc $flags spawn.c "$B/libgoro.so" "$B/libgoro.a" -Wl,-rpath,"$B" -o prog >log 2>&1 && gives 33 ./prog &&
	readelf -dW prog | grep -q 'NEEDED.*libgoro.so.0'
result $? "program with libgoro.so, and main() from libgoro.a"
cat >own.c <<'EOT'
#include <goro.h>
static int start(void *arg)
{
	return *(int *)arg;
}
int main(void)
{
	int value = 27;
	return goro_run(start, &value);
}
EOT
# shellcheck disable=SC2086
$cc $flags own.c "$B/libgoro.a" -o prog >log 2>&1 && gives 27 ./prog
result $? "program with a main() of its own"
cat >load.c <<'EOT'
#include <dlfcn.h>
#include <stdio.h>
static int start(void *arg)
{
	return *(int *)arg;
}
int main(int argc, char **argv)
{
	int value = 28;
	void *library = dlopen(argv[argc - 1], RTLD_NOW);
	int (*run)(int (*)(void *), void *) = NULL;
	if (library)
		*(void **)&run = dlsym(library, "goro_run");
	if (!run)
		return puts(dlerror());
	return run(start, &value);
}
EOT
# shellcheck disable=SC2086
$cc $flags load.c -o prog -ldl >log 2>&1 && gives 28 ./prog "$B/libgoro.so"
result $? "libgoro.so loaded at run time"

tap_end
