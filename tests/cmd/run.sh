#!/bin/sh
# run.sh - the command, as a user types it. TAP on standard output.
#
#   B=build/release tests/cmd/run.sh [pattern]    only the cases whose name matches
#
# Each case is a function case_NAME: it runs in a folder of its own, with TMPDIR in an empty folder
# that must be empty again afterwards, and fails by returning non-zero. 77 means skipped, for $why.
set -u

top=$(cd "$(dirname "$0")/../.." && pwd)
self=$top/tests/cmd/run.sh
B=${B:-build/release}
case $B in /*) ;; *) B=$top/$B ;; esac
GORO=$B/goro
work=$(mktemp -d "${TMPDIR:-/tmp}/goro-cmd-test-XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
unset CC CXX CFLAGS CXXFLAGS LDFLAGS GORO_MAXPROCS GOMAXPROCS GORODEBUG MAKEFLAGS MAKELEVEL MFLAGS

# --- helpers ---

# Runs a command; its output is in ./out and ./err, its status in $status.
t() {
	"$@" >out 2>err </dev/null
	status=$?
}
want_status() {
	[ "$status" = "$1" ] && return 0
	echo "status $status, not $1; standard error:"
	cat err
	return 1
}
# want_in FILE TEXT: the text stands in the file, literally.
want_in() {
	grep -qF -- "$2" "$1" && return 0
	echo "no '$2' in $1:"
	cat "$1"
	return 1
}
want_same() {
	[ "$1" = "$2" ] && return 0
	echo "got:  $1"
	echo "want: $2"
	return 1
}
want_empty() {
	[ ! -s "$1" ] && return 0
	echo "$1 is not empty:"
	cat "$1"
	return 1
}
want_no_leftovers() {
	want_same "$(ls -A "$TMPDIR")" ""
}
# wait_for FILE: until it is there; 20 seconds at most.
wait_for() {
	tries=0
	until [ -e "$1" ]; do
		tries=$((tries + 1))
		[ $tries -le 400 ] || { echo "$1 did not come"; return 1; }
		sleep 0.05
	done
}
# wait_gone PID: until no such process runs; 10 seconds at most.
wait_gone() {
	tries=0
	while kill -0 "$1" 2>/dev/null && ! grep -q '^State:.Z' "/proc/$1/status" 2>/dev/null; do
		tries=$((tries + 1))
		[ $tries -le 200 ] || { echo "process $1 still runs"; return 1; }
		sleep 0.05
	done
}
# program FILE BODY: a program whose goro_main has that body.
program() {
	cat >"$1" <<-EOT
		#include <goro.h>
		#include <signal.h>
		#include <stdio.h>
		#include <stdlib.h>
		#include <string.h>
		#include <unistd.h>
		int goro_main(int argc, char **argv)
		{
			(void)argc, (void)argv;
			$2
		}
	EOT
}
# waiting_program FILE HANDLER SIGNAL: says that it is there (./ready, with its pid) and waits; a
# signal whose number is not 0 is handled by the body HANDLER.
waiting_program() {
	cat >"$1" <<-EOT
		#include <goro.h>
		#include <signal.h>
		#include <stdio.h>
		#include <stdlib.h>
		#include <unistd.h>
		static volatile sig_atomic_t count;
		static void on_signal(int signo)
		{
			(void)signo;
			$2
		}
		int goro_main(int argc, char **argv)
		{
			(void)argc, (void)argv;
			if ($3)
				signal($3, on_signal);
			FILE *f = fopen("ready.new", "w");
			fprintf(f, "%d\\n", (int)getpid());
			fclose(f);
			rename("ready.new", "ready");
			for (int i = 0; i < 600 && !count; i++)
				usleep(50000);
			/* Time enough for a second one. */
			for (int i = 0; i < 10; i++)
				usleep(50000);
			return 40 + count;
		}
	EOT
}

# --- run ---

case_run_passes_the_exit_status_on() {
	program p.c 'return atoi(argv[1]);'
	for n in 0 7 255; do
		t "$GORO" run p.c $n
		want_status $n && want_empty err || return 1
	done
}

case_run_passes_arguments_as_they_are() {
	program p.c 'for (int i = 1; i < argc; i++) printf("[%s]\n", argv[i]); return 0;'
	# shellcheck disable=SC2016
	t "$GORO" run p.c 'a b' '' '*' '$HOME' "it's" '"q"' -x --version -- 'x.c' 'line
break'
	want_status 0 || return 1
	want_same "$(cat out)" "[a b]
[]
[*]
[\$HOME]
[it's]
[\"q\"]
[-x]
[--version]
[--]
[x.c]
[line
break]"
}

case_run_gives_the_program_our_standard_input() {
	program p.c 'int c; while ((c = getchar()) != EOF) putchar(c == 97 ? 98 : c); return 0;'
	want_same "$(printf 'banana\n' | "$GORO" run p.c)" "bbnbnb"
}

case_run_keeps_output_and_errors_apart() {
	program p.c 'puts("to out"); fputs("to err\n", stderr); return 0;'
	t "$GORO" run p.c
	want_status 0 && want_same "$(cat out)" "to out" && want_same "$(cat err)" "to err"
}

case_run_shows_compile_errors_and_the_compilers_status() {
	program p.c 'return no_such_name;'
	cc -fsyntax-only -I"$top/include" p.c 2>/dev/null
	expected=$?
	t "$GORO" run p.c
	want_status $expected && want_in err no_such_name && want_in err p.c && want_empty out
}

case_run_passes_any_status_of_the_compiler_on() {
	program p.c 'return 0;'
	printf '#!/bin/sh\necho odd >&2\nexit 3\n' >oddcc
	chmod +x oddcc
	t env CC=./oddcc "$GORO" run p.c
	want_status 3 && want_in err odd
}

case_run_names_a_compiler_that_died() {
	program p.c 'return 0;'
	printf '#!/bin/sh\nkill -9 $$\n' >dyingcc
	chmod +x dyingcc
	t env CC=./dyingcc "$GORO" run p.c
	want_status 137 && want_in err "died of signal 9"
}

case_run_names_a_missing_compiler() {
	program p.c 'return 0;'
	t env CC=/no/such/cc "$GORO" run p.c
	want_status 127 && want_in err "/no/such/cc" && want_in err "No such file" || return 1
	mkdir empty
	t env PATH="$PWD/empty" "$GORO" run p.c
	want_status 127 && want_in err "no C compiler on PATH"
}

case_run_names_a_file_that_is_not_there() {
	t "$GORO" run nothing.c
	want_status 1 && want_in err "nothing.c" && want_in err "No such file" && want_empty out
}

case_run_names_a_folder_given_as_a_file() {
	mkdir folder.c
	t "$GORO" run folder.c
	want_status 1 && want_in err "folder.c" && want_in err "Is a directory"
}

case_run_names_an_unreadable_file() {
	program p.c 'return 0;'
	chmod 000 p.c
	if [ "$(id -u)" = 0 ]; then
		why="root reads everything, and there is no setpriv"
		command -v setpriv >/dev/null || return 77
		cp "$GORO" goro
		chmod 755 "$work" "$work"/[0-9]* . goro
		t setpriv --reuid=65534 --regid=65534 --clear-groups ./goro run p.c
	else
		t "$GORO" run p.c
	fi
	want_status 1 && want_in err "p.c" && want_in err "Permission denied"
}

case_run_dies_of_the_signal_that_the_program_died_of() {
	# shellcheck disable=SC3045
	ulimit -c 0
	program p.c 'signal(atoi(argv[1]), SIG_DFL); raise(atoi(argv[1])); return 0;'
	for n in 9 15 6 11; do
		"$GORO" run p.c $n >out 2>err &
		wait $!
		status=$?
		want_status $((128 + n)) && want_no_leftovers || return 1
	done
	# Not merely such a status: the shell says how goro itself ended.
	why="no python3 that tells a status from a signal"
	command -v python3 >/dev/null || return 77
	want_same "$(python3 -c 'import subprocess, sys; print(subprocess.call(sys.argv[1:]))' \
		"$GORO" run p.c 15)" -15
}

# kill_and_expect SIGNAL STATUS, once the program is ready
kill_and_expect() {
	rm -f ready
	# Under nohup the tests have SIGHUP ignored, and so would all that they start.
	env --default-signal=HUP "$GORO" run p.c >out 2>err </dev/null &
	pid=$!
	wait_for ready || { kill -9 $pid; return 1; }
	kill -"$1" $pid
	wait $pid
	status=$?
	want_status "$2" && wait_gone "$(cat ready)" && want_no_leftovers
}

case_run_forwards_a_signal_and_removes_the_program() {
	# A shell starts background jobs with SIGINT ignored: that one is sent from a terminal below.
	waiting_program p.c '' 0
	kill_and_expect TERM 143 && kill_and_expect HUP 129 && kill_and_expect USR1 138
}

case_run_lets_the_program_handle_a_signal() {
	waiting_program p.c '_exit(5);' SIGTERM
	kill_and_expect TERM 5
}

# in_terminal: runs p.c in a terminal of its own, types the interrupt key once it is ready.
in_terminal() {
	mkfifo keys
	# A shell starts background jobs with SIGINT ignored, which children inherit.
	script -qec "env --default-signal=INT '$GORO' run p.c" /dev/null <keys >out 2>err &
	pid=$!
	exec 3>keys
	wait_for ready && printf '\003' >&3
	wait $pid
	status=$?
	exec 3>&-
}

case_run_passes_an_interrupt_of_the_terminal_on_once() {
	why="no script(1), which makes a terminal"
	command -v script >/dev/null || return 77
	waiting_program p.c 'count++;' SIGINT
	in_terminal
	want_status 41
}

case_run_dies_of_an_interrupt_of_the_terminal() {
	why="no script(1), which makes a terminal"
	command -v script >/dev/null || return 77
	waiting_program p.c '' 0
	in_terminal
	want_status 130 && wait_gone "$(cat ready)" && want_no_leftovers
}

case_run_interrupted_while_it_compiles_leaves_nothing() {
	program p.c 'return 0;'
	cat >slowcc <<-'EOT'
		#!/bin/sh
		[ "$1" = --version ] && exit 0
		for word; do [ "$before" = -o ] && : >"$word"; before=$word; done
		echo $$ >ready.new
		mv ready.new ready
		exec sleep 30
	EOT
	chmod +x slowcc
	export CC=./slowcc
	kill_and_expect TERM 143
}

case_run_keeps_an_ignored_signal_ignored() {
	program p.c 'struct sigaction now; sigaction(SIGHUP, NULL, &now);
		return now.sa_handler == SIG_IGN ? 3 : 4;'
	t sh -c 'trap "" HUP; exec "$0" run p.c' "$GORO"
	want_status 3 || return 1
	t env --default-signal=HUP "$GORO" run p.c
	want_status 4
}

case_run_takes_the_program_along_when_killed() {
	waiting_program p.c '' 0
	"$GORO" run p.c >out 2>err </dev/null &
	pid=$!
	wait_for ready || { kill -9 $pid; return 1; }
	kill -9 $pid
	wait $pid 2>/dev/null
	wait_gone "$(cat ready)" || return 1
	# The one case in which, as the source says, the folder stays behind.
	rm -rf "$TMPDIR"/goro-*
}

case_run_takes_several_sources() {
	program a.c 'extern int other(void); return other() + argc;'
	echo 'int other(void) { return 20; }' >b.c
	t "$GORO" run a.c b.c x y
	want_status 23 || return 1
	# After "--" the name of a source is an argument.
	t "$GORO" run a.c b.c -- z.c
	want_status 22
}

case_run_compiles_cxx() {
	why="no C++ compiler"
	command -v c++ >/dev/null || return 77
	cat >p.cc <<-'EOT'
		#include <goro.h>
		#include <string>
		extern "C" int goro_main(int argc, char **argv)
		{
			return (int)std::string(argv[argc - 1]).size() + (__cplusplus != 201703L);
		}
	EOT
	for suffix in cc cpp cxx C; do
		[ $suffix = cc ] || cp p.cc p.$suffix
		t "$GORO" run p.$suffix four
		want_status 4 || return 1
	done
	program q.c 'return 0;'
	t "$GORO" run p.cc q.c
	want_status 2 && want_in err q.c
}

case_run_knows_what_clang_needs() {
	why="no clang"
	command -v clang >/dev/null || return 77
	program p.c 'int (^twice)(int) = ^(int x) { return 2 * x; }; return twice(21);'
	t env CC=clang "$GORO" run p.c
	want_status 42 || return 1
	# Found out also when the name does not tell.
	printf '#!/bin/sh\nexec clang "$@"\n' >mycc
	chmod +x mycc
	t env CC=./mycc "$GORO" run p.c
	want_status 42
}

case_run_obeys_flags_from_the_environment() {
	program p.c '
	#ifdef __OPTIMIZE__
		return 1;
	#else
		return VALUE;
	#endif'
	t env CFLAGS='-O0   -DVALUE=9 ' "$GORO" run p.c
	want_status 9 || return 1
	program q.c 'extern double tgamma(double); return (int)tgamma(argc + 3.0);'
	t env LDFLAGS=-lm "$GORO" run q.c
	want_status 6 || return 1
	program r.c 'return VALUE;'
	t env CC='cc -DVALUE=8' "$GORO" run r.c
	want_status 8 || return 1
	t env CFLAGS='--no-such-flag' "$GORO" run r.c
	want_status 1 && want_in err no-such-flag
}

case_run_compiles_optimised_gnu11() {
	program p.c '
	#if !defined(__OPTIMIZE__) || __STDC_VERSION__ != 201112L || defined(__STRICT_ANSI__)
		return 1;
	#endif
		return 0;'
	t "$GORO" run p.c
	want_status 0
}

case_run_compiles_with_debug_information() {
	why="no readelf"
	command -v readelf >/dev/null || return 77
	# shellcheck disable=SC2016
	program p.c 'return system("readelf -SW /proc/$PPID/exe | grep -q debug_info") ? 2 : 0;'
	t "$GORO" run p.c
	want_status 0
}

case_run_takes_paths_with_blanks() {
	mkdir -p "a folder" "tmp dir" "a build/include" "a build/b [x]"
	program "a folder/my prog.c" 'return 11;'
	t "$GORO" run "a folder/my prog.c"
	want_status 11 || return 1
	t env TMPDIR="$PWD/tmp dir" "$GORO" run "a folder/my prog.c"
	want_status 11 && want_same "$(ls -A 'tmp dir')" "" || return 1
	cp "$top/include/goro.h" "a build/include/"
	cp "$B/goro" "$B/libgoro.a" "a build/b [x]/"
	t "a build/b [x]/goro" run "a folder/my prog.c"
	want_status 11
}

case_run_works_from_any_folder() {
	mkdir -p one/two
	program one/p.c 'return access("here", F_OK) ? 1 : 12;'
	: >one/two/here
	(cd one/two && "$GORO" run ../p.c)
	want_same $? 12 || return 1
	# Through a link, and found on PATH.
	ln -s "$GORO" one/goro-link
	(cd one/two && ../goro-link run ../p.c)
	want_same $? 12 || return 1
	(cd one/two && PATH="$B:$PATH" && goro run ../p.c)
	want_same $? 12
}

case_run_says_when_there_is_no_room_for_the_program() {
	program p.c 'return 0;'
	t env TMPDIR=/no/such/folder "$GORO" run p.c
	want_status 1 && want_in err /no/such/folder
}

case_run_says_when_the_library_is_not_there() {
	program p.c 'return 0;'
	mkdir alone
	cp "$GORO" alone/
	t alone/goro run p.c
	want_status 1 && want_in err libgoro.a
}

case_run_leaves_nothing_beside_the_source() {
	mkdir clean
	program clean/p.c 'return 0;'
	(cd clean && "$GORO" run p.c) || return 1
	want_same "$(ls -A clean)" p.c
}

# --- build ---

case_build_makes_a_program() {
	program prog.c 'printf("%s", argc > 1 ? argv[1] : "none"); return 3;'
	t "$GORO" build prog.c -o other
	want_status 0 && want_empty out && want_empty err || return 1
	t ./other arg
	want_status 3 && want_same "$(cat out)" arg || return 1
	mkdir folder
	t "$GORO" build -o "folder/with blank" prog.c
	want_status 0 && [ -x "folder/with blank" ] || return 1
	t "$GORO" build ./prog.c
	want_status 0 && [ -x prog ]
}

case_build_hands_flags_to_the_compiler() {
	program p.c 'return VALUE + (int)sizeof(TEXT);'
	t "$GORO" build p.c -o p -- -DVALUE=6 '-DTEXT="a b"'
	want_status 0 || return 1
	t ./p
	want_status 10
}

case_flags_of_the_compiler_on_the_wrong_side_are_told_where_they_go() {
	program p.c 'return LEVEL;'
	t "$GORO" build -O3 p.c
	want_status 2 && want_in err "'-O3'" && want_in err 'goro build prog.c -- -O3' || return 1
	t "$GORO" build p.c -O3
	want_status 2 && want_in err 'come after "--"' || return 1
	t "$GORO" run -O3 p.c
	want_status 2 && want_in err "'-O3'" && want_in err 'CFLAGS=-O3 goro run prog.c' || return 1
	t "$GORO" help
	want_in out 'goro build prog.c -o prog -- -O3' && want_in out '-std=gnu11' && want_in out -fblocks || return 1
	# And there they do what they say, over our own.
	program p.c '
	#ifdef __OPTIMIZE__
		return 1;
	#else
		return 4;
	#endif'
	t "$GORO" build p.c -o p -- -O0
	want_status 0 || return 1
	t ./p
	want_status 4
}

case_build_shows_compile_errors_and_the_compilers_status() {
	program p.c 'return no_such_name;'
	t "$GORO" build p.c -o p
	want_status 1 && want_in err no_such_name && want_empty out && [ ! -e p ]
}

case_build_takes_several_sources() {
	program a.c 'extern int other(void); return other();'
	echo 'int other(void) { return 20; }' >b.c
	t "$GORO" build a.c b.c -o both
	want_status 0 || return 1
	t ./both
	want_status 20
}

case_build_says_when_it_cannot_write() {
	program p.c 'return 0;'
	t "$GORO" build p.c -o /no/such/folder/p
	want_status 1 && want_in err /no/such/folder/p
}

# --- what is wrong on the command line ---

case_bad_usage_is_told_with_status_2() {
	program p.c 'return 0;'
	while read -r line; do
		# shellcheck disable=SC2086
		t "$GORO" $line
		want_status 2 && want_empty out && [ -s err ] || { echo "with: goro $line"; return 1; }
	done <<-EOT

		nonsense
		run
		run notes.txt
		run -x p.c
		build
		build -o
		build p.c -o
		build p.c -x
		build p.c notes.txt
		version extra
		env extra
	EOT
	t "$GORO" nonsense
	want_in err nonsense && want_in err "goro help" || return 1
	t "$GORO" run notes.txt
	want_in err notes.txt
}

case_help_goes_to_standard_output() {
	for words in help -h --help "run --help" "build -h"; do
		# shellcheck disable=SC2086
		t "$GORO" $words
		want_status 0 && want_in out "goro run" && want_empty err || return 1
	done
}

case_a_full_disk_is_not_success() {
	for word in help version env; do
		"$GORO" $word >/dev/full 2>err
		status=$?
		want_status 1 && want_in err "cannot write" || return 1
	done
}

case_make_help_tells_the_targets() {
	t make -C "$top" --no-print-directory help
	want_status 0 && want_in out "make install" && want_in out "SAN=thread|address" && want_in out "make help"
}

# Debian 10 and Ubuntu 20.04 have c-ares 1.14 and 1.15, without what is called. A header that
# cannot be read stands for one that is not there. In a folder of their own: where the library is
# built, they would change what it is built with, while other suites use it.
case_make_does_without_a_c_ares_that_is_too_old() {
	mkdir old new none
	echo 'struct ares_options { int flags; };' >old/ares.h && echo '#error' >none/ares.h
	{ cat old/ares.h && echo 'struct ares_addrinfo_node { int ai_ttl; }; void ares_getaddrinfo(void);'; } >new/ares.h
	t env CPATH="$PWD/new" make -C "$top" --no-print-directory B="$PWD/build" -pn help
	want_status 0 && grep -q '^cares_flags := -DGORO_HAVE_CARES$' out || return 1
	for version in old none; do
		t env CPATH="$PWD/$version" make -C "$top" --no-print-directory B="$PWD/build" -pn help
		want_status 0 && grep -q '^cares_flags := *$' out || return 1
	done
}

case_make_leaves_out_an_example_whose_header_is_away() {
	echo '#error' >http_parser.h
	t env CPATH="$PWD" make -C "$top" --no-print-directory B="$PWD/build" -pn help
	want_status 0 && grep '^examples := ' out | grep -q /examples/echo || return 1
	! grep '^examples := ' out | grep -q /examples/httpd
}

# --- version, env ---

case_version_is_that_of_the_header() {
	t "$GORO" version
	want_status 0 || return 1
	want_same "$(cut -d' ' -f1,2 out)" "goro $(sed -n 's/^.define GORO_VERSION "\(.*\)"$/\1/p' "$top/include/goro.h")"
}

case_env_says_what_the_system_says() {
	t "$GORO" env
	want_status 0 && want_empty err || return 1
	want_same "$(awk '$1 == "vm.max_map_count" {print $2 + 0}' out)" \
		"$(cat /proc/sys/vm/max_map_count)" || return 1
	want_same "$(awk '$1 == "threads-max" {print $2 + 0}' out)" \
		"$(cat /proc/sys/kernel/threads-max)" || return 1
	want_same "$(awk '/CPUs online/ {print $3}' out)" "$(getconf _NPROCESSORS_ONLN)" || return 1
	want_same "$(awk '$1 == "affinity" {print $3}' out)" "$(nproc)" || return 1
	want_same "$(sed -n 's/^library *//p' out)" "$B/libgoro.a" || return 1
	want_same "$(sed -n 's/^headers *//p' out)" "$top/include" || return 1
	want_in out "$(uname -r)" || return 1
	want_same "$(awk '$1 == "cc" {print $2}' out)" "$(command -v cc || echo not)" || return 1
	# shellcheck disable=SC3045
	(ulimit -Sn 123 && "$GORO" env) >out
	want_in out "open files          123 (may be raised"
}

case_env_says_which_guard_is_used() {
	for guard in mprotect canary; do
		t env GORO_STACKGUARD=$guard "$GORO" env
		want_same "$(sed -n 's/^stack guard *\([a-z]*\);.*/\1/p' out)" $guard || return 1
	done
	t "$GORO" env
	grep -Eq '^stack guard +(guard|mprotect);' out
}

# The number of Ps that is printed is the number that a program gets, and the reason is the right one.
case_env_says_how_many_ps_and_why() {
	program p.c 'printf("%d\n", goro_maxprocs(0)); return 0;'
	"$GORO" build p.c -o p || return 1
	for setting in A=1 GORO_MAXPROCS=3 GORO_MAXPROCS=abc GORO_MAXPROCS=-1 GORO_MAXPROCS=0 \
		GORO_MAXPROCS= GORO_MAXPROCS=2x GORO_MAXPROCS=100000 GORO_MAXPROCS=1024 GOMAXPROCS=5 \
		"GORO_MAXPROCS= 3" GORO_MAXPROCS=+3 GORO_MAXPROCS=99999999999999999999; do
		env "$setting" "$GORO" env >out || return 1
		want_same "$setting: $(sed -n 's/^Ps *\([0-9]*\),.*/\1/p' out)" \
			"$setting: $(env "$setting" ./p 2>/dev/null)" || return 1
	done
	# An invalid setting of the first is as good as none.
	for bad in abc 0 -1 ' ' 2x; do
		want_same "$(GORO_MAXPROCS=$bad GOMAXPROCS=7 "$GORO" env | sed -n '/^Ps /p')" \
			"Ps                  7, because GOMAXPROCS=7" || return 1
		want_same "$bad: $(GORO_MAXPROCS=$bad GOMAXPROCS=7 ./p 2>err)" "$bad: 7" || return 1
		want_same "$(cat err)" "goro: GORO_MAXPROCS=$bad is not a positive number: using 7, from GOMAXPROCS" ||
			return 1
	done
	t env GORO_MAXPROCS=0 GOMAXPROCS=7 "$GORO" env
	want_in out "GORO_MAXPROCS     0 (ignored)" || return 1
	# Blanks around a number do no harm, and are seen.
	for blank in ' 3' '3 '; do
		t env GORO_MAXPROCS="$blank" "$GORO" env
		want_in out "3, because GORO_MAXPROCS=\"$blank\"" || return 1
		t env GORO_MAXPROCS="$blank" ./p
		want_same "$(cat out)" 3 && want_empty err || return 1
	done
	t env GORO_MAXPROCS=5000 "$GORO" env
	want_in out "1024, because GORO_MAXPROCS=5000 (the most there can be)" || return 1
	t env GORO_MAXPROCS=1024 "$GORO" env
	grep -q 'GORO_MAXPROCS=1024$' out || { cat out; return 1; }
	t env GORO_MAXPROCS=3 "$GORO" env
	want_in out "3, because GORO_MAXPROCS=3" || return 1
	t env GORO_MAXPROCS=abc "$GORO" env
	want_in out "abc (ignored)" || return 1
	t env GORO_MAXPROCS=3 GOMAXPROCS=4 "$GORO" env
	want_in out "3, because GORO_MAXPROCS=3" && want_in out "4 (ignored)" || return 1
	# One CPU only: an affinity mask cannot be smaller.
	[ "$(nproc)" -gt 1 ] && command -v taskset >/dev/null || return 0
	t taskset -c 0 "$GORO" env
	want_in out "1, because the affinity mask" && want_same "$(taskset -c 0 ./p)" 1
}

case_env_says_which_settings_are_ignored() {
	t env GORO_STACKGUARD=x GORO_MAXSTOPPED=-1 GORODEBUG=schedtrace=5,foo=1,,membarrier=2 "$GORO" env
	want_in out "GORO_STACKGUARD   x (ignored)" && want_in out "GORO_MAXSTOPPED   -1 (ignored)" &&
		want_in out "stopped goroutines  256 at once" && want_in out "foo=1 (ignored: it is not known)" &&
		want_in out "membarrier=2 (ignored: it wants 0 or 1)" || return 1
	grep -q '^GORODEBUG  *schedtrace=5$' out || { cat out; return 1; }
	t env GORO_MAXSTOPPED=7 "$GORO" env
	want_in out "stopped goroutines  7 at once" && grep -q 'GORO_MAXSTOPPED  *7$' out || { cat out; return 1; }
	t env GORO_STACKGUARD=canary GORODEBUG=scheddetail=1 "$GORO" env
	grep -q 'GORO_STACKGUARD  *canary$' out || { cat out; return 1; }
	want_in out "scheddetail=1 (ignored: it does nothing without schedtrace=N)" || return 1
	t env GORODEBUG=membarrier=0 "$GORO" env
	grep -q '^membarrier  *no: ' out || { cat out; return 1; }
	t env GORODEBUG=cares=0 "$GORO" env
	grep -q '^names  *by getaddrinfo; GORODEBUG=cares=0$' out || { cat out; return 1; }
	t env -u GORO_STACKGUARD -u GORODEBUG "$GORO" env
	grep -q -e '^names  *by c-ares [0-9.]* where' -e '^names  *by getaddrinfo; [cl]' out || { cat out; return 1; }
	grep -q '^GORODEBUG  *not set$' out && grep -q 'GORO_STACKGUARD  *not set$' out
}

case_a_program_says_once_which_settings_it_ignores() {
	program p.c 'return 0;'
	"$GORO" build p.c -o p || return 1
	while read -r setting says; do
		t env "$setting" ./p
		want_status 0 && want_same "$(cat err)" "$says" || return 1
	done <<-EOT
		GORO_STACKGUARD=x goro: GORO_STACKGUARD=x is none of guard, mprotect, canary: using $("$GORO" env | sed -n 's/^stack guard *\([a-z]*\);.*/\1/p')
		GORODEBUG=foo=1 goro: GORODEBUG: 'foo=1' is not known: ignored
		GORODEBUG=schedtrac goro: GORODEBUG: 'schedtrac' is not known: ignored
		GORODEBUG=schedtrace goro: GORODEBUG: 'schedtrace' wants a number of milliseconds: ignored
		GORODEBUG=schedtrace=x goro: GORODEBUG: 'schedtrace=x' wants a number of milliseconds: ignored
		GORODEBUG=schedtrace=-1 goro: GORODEBUG: 'schedtrace=-1' wants a number of milliseconds: ignored
		GORODEBUG=membarrier=2 goro: GORODEBUG: 'membarrier=2' wants 0 or 1: ignored
		GORODEBUG=scheddetail=1 goro: GORODEBUG: 'scheddetail=1' does nothing without schedtrace=N: ignored
		GORODEBUG=schedtrace=1000,scheddetail=1
		GORODEBUG=membarrier=0
		GORODEBUG=membarrier=1,,
		GORO_STACKGUARD=canary
	EOT
}

case_a_program_that_cannot_start_says_what_is_missing() {
	why="an instrumented program needs all the address space"
	case $B in *thread* | *address*) return 77 ;; esac
	program p.c 'return 0;'
	"$GORO" build p.c -o p || return 1
	# shellcheck disable=SC3045
	(ulimit -v 20000 && ./p) >out 2>err
	want_same $? 2 && want_in err "no memory for its stacks" && want_in err "goro env"
}

# --- what make install leaves ---

case_an_installed_command_works() {
	why="only the release build of this machine is installed here"
	[ "$B" = "$top/build/release" ] || return 77
	make -C "$top" --no-print-directory install DESTDIR="$PWD" PREFIX=/usr >out 2>err ||
		{ cat out err; return 1; }
	program p.c 'return 13;'
	t usr/bin/goro run p.c
	want_status 13 || return 1
	want_same "$(readlink usr/lib/libgoro.so)" libgoro.so.0 || return 1
	cc -std=gnu11 -pthread -Iusr/include p.c -Lusr/lib -l:libgoro.a -o p && ./p
	want_same $? 13 || return 1
	cmp usr/share/doc/goro/LICENSE "$top/LICENSE" || return 1
	# The notice goes with what it speaks of. Stripped names would hide it: look at the symbols.
	if nm usr/lib/libgoro.a | grep -q backtrace_pcinfo; then
		cmp usr/share/doc/goro/third-party.md "$top/docs/third-party.md" || return 1
	else
		[ ! -e usr/share/doc/goro/third-party.md ] || return 1
	fi
	if command -v pkg-config >/dev/null; then
		# The file names /usr; the copy to test with stands below this folder.
		flags=$(PKG_CONFIG_SYSROOT_DIR=$PWD PKG_CONFIG_ALLOW_SYSTEM_LIBS=1 \
			PKG_CONFIG_ALLOW_SYSTEM_CFLAGS=1 PKG_CONFIG_PATH=usr/lib/pkgconfig \
			pkg-config --cflags --libs goro) || return 1
		program q.c 'return 14;'
		echo 'static int start(void *none) { (void)none; return goro_main(0, 0); }
			int main(void) { return goro_run(start, 0); }' >>q.c
		# shellcheck disable=SC2086
		cc -std=gnu11 q.c $flags -o q || return 1
		LD_LIBRARY_PATH=usr/lib ./q
		want_same $? 14 || return 1
	fi
	make -C "$top" --no-print-directory uninstall DESTDIR="$PWD" PREFIX=/usr >out 2>err ||
		{ cat out err; return 1; }
	want_same "$(find usr ! -type d; find usr -name goro)" ""
}

case_a_relative_prefix_is_refused() {
	for relative in PREFIX=here LIBDIR=lib64; do
		t make -C "$top" --no-print-directory install DESTDIR="$PWD/" "$relative"
		[ "$status" != 0 ] || { echo "make install $relative was done"; return 1; }
		want_in err "$relative is not absolute" || return 1
		want_same "$(find . -type d)" . || return 1
	done
}

# --- the runner ---

passed=0 failed=0 skipped=0 number=0
names=$(sed -n 's/^case_\([a-z0-9_]*\)() {$/\1/p' "$self" | grep -e "${1:-.}")
[ -x "$GORO" ] || { echo "Bail out! no $GORO; run make"; exit 1; }
for name in $names; do
	number=$((number + 1))
	mkdir -p "$work/$number/case" "$work/$number/tmp"
	(
		cd "$work/$number/case" || exit 1
		export TMPDIR="$work/$number/tmp"
		why=
		"case_$name"
		result=$?
		[ $result = 77 ] && echo "$why" >"$work/why"
		if [ $result = 0 ] && ! want_no_leftovers; then
			result=1
		fi
		exit $result
	) >"$work/log" 2>&1
	result=$?
	if [ $result = 0 ]; then
		passed=$((passed + 1))
		echo "ok $number - $name"
	elif [ $result = 77 ]; then
		skipped=$((skipped + 1))
		echo "ok $number - $name # SKIP $(cat "$work/why")"
	else
		failed=$((failed + 1))
		echo "not ok $number - $name"
		sed 's/^/#   /' "$work/log"
	fi
done
echo "1..$number"
echo "$passed passed, $failed failed, $skipped skipped"
[ $failed = 0 ]
