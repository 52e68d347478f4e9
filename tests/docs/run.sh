#!/bin/sh
# run.sh - the documents say what is so: the README's program runs, links and names lead somewhere.
#
#   tests/docs/run.sh          LIB, B and CC from the environment, else build/libgoro.a, build and cc
#
# The README marks its program, command and output with comments "test: ...". Of the documents in
# docs/internals, the order labels and the numbered invariants are compared with those in src, both ways.
# Prints TAP.
set -u
LC_ALL=C
export LC_ALL
cd "$(dirname "$0")/../.." || exit 1
root=$PWD
: "${B:=build}" "${CC:=cc}" "${LIB:=build/libgoro.a}"
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
. tests/harness/tap.sh

# part NAME: the fenced block that follows the README's comment "test: NAME".
part()
{
	awk -v mark="<!-- test: $1 -->" '
		$0 == mark { is_next = 1; next }
		/^```/ && is_in { exit }
		is_in { print }
		/^```/ && is_next { is_in = 1; is_next = 0 }' README.md
}

# none FILE NAME: the check passes when the file, with what is wrong, is empty.
none()
{
	cp "$1" "$log"
	[ ! -s "$1" ]
	result $? "$2"
}

# --- the README's program -----------------------------------------------------------------------------

case $LIB in /*) lib=$LIB ;; *) lib=$root/$LIB ;; esac
case $B in /*) goro=$B/goro ;; *) goro=$root/$B/goro ;; esac
blocks=
case $($CC --version 2>/dev/null) in *clang*) blocks=-fblocks ;; esac

mkdir -p "$work/readme/build"
ln -s "$root/include" "$work/readme/include"
ln -s "$lib" "$work/readme/build/libgoro.a"
part 'program squares.c' >"$work/readme/squares.c"
part output >"$work/expected"
command=$(part command | sed "s|^cc |$CC $blocks |")
: >"$log"
[ -s "$work/readme/squares.c" ] && [ -s "$work/expected" ] && [ -n "$command" ]
result $? "the README has a program, a command and an output"

(cd "$work/readme" && sh -c "$command") >"$work/output" 2>"$log"
status=$?
diff "$work/expected" "$work/output" >>"$log" || status=1
[ ! -s "$log" ] || status=1
result $status "the README's command compiles its program without a warning, and the output is the one shown"

lines=$(wc -l <"$work/readme/squares.c")
echo "it has $lines lines" >"$log"
[ "$lines" -le 22 ]
result $? "the README's program has about 20 lines"

(cd "$work/readme" && CC="$CC" "$goro" run squares.c) >"$work/output" 2>"$log"
status=$?
diff "$work/expected" "$work/output" >>"$log" || status=1
result $status "goro run does the same"

# The command lines of "How to use it", as they stand there.
echo '#include <goro.h>
int goro_main(int argc, char **argv) { (void)argc, (void)argv; return 17; }' >"$work/readme/prog.c"
cp "$work/readme/prog.c" "$work/readme/prog.cc"
for compiler in cc clang c++; do
	command -v $compiler >/dev/null || continue
	(cd "$work/readme" && rm -f a.out && sh -c "$(sed -n "s/^$compiler -std=.* prog\..*/&/p" "$root/README.md")" &&
		./a.out) >"$log" 2>&1
	[ $? = 17 ] && [ "$(wc -c <"$log")" = 0 ]
	result $? "the README's line for $compiler makes a program"
done
(cd "$root" && sh -c "$(grep -o 'build/goro run examples/sieve\.c' README.md | sed "s|^build/goro|$goro|")") >"$log" 2>&1
result $? "the README's line for one example runs it"

echo "bench and /bench must each stand alone on a line" >"$log"
[ "$(grep -c -x -e '<!-- bench -->' -e '<!-- /bench -->' README.md)" = 2 ]
result $? "the README has the place for the figures"

# --- links and names --------------------------------------------------------------------------------------

find . -name build -prune -o -name .git -prune -o -name '*.md' -print | sed 's|^\./||' | sort >"$work/documents"

while read -r document; do
	grep -o ']([^)]*)' "$document" | sed 's/^](//; s/)$//; s/#.*//' | while read -r link; do
		case $link in
		'' | http://* | https://* | mailto:*) ;;
		*) [ -e "$(dirname "$document")/$link" ] || echo "$document: there is no $link" ;;
		esac
	done
done <"$work/documents" >"$work/wrong"
none "$work/wrong" "links between the documents resolve"

# `sched/find.c` is in src; `tests/model/wake.c` stands where it says. STYLE.md names files as examples.
while read -r document; do
	[ "$document" = STYLE.md ] && continue
	grep -o '`[a-zA-Z0-9_]*/[a-zA-Z0-9_/*.]*\.[a-zA-Z]*`' "$document" | tr -d '`' | sort -u |
		while read -r path; do
			case $path in build/*) continue ;; esac
			for found in $path src/$path include/$path; do
				[ -e "$found" ] && continue 2
			done
			echo "$document: there is no $path"
		done
done <"$work/documents" >"$work/wrong"
none "$work/wrong" "files that the documents name exist"

# Lines of shell blocks: "make a b VAR=x" wants targets a and b.
while read -r document; do
	awk '/^```sh/ { is_in = 1; next } /^```/ { is_in = 0 } is_in' "$document" | sed 's/#.*//; s/&&/\n/g' |
		sed -n 's/^ *make  *//p' | tr ' ' '\n' | grep -x '[a-z][a-z0-9-]*' | sort -u |
		while read -r target; do
			grep -q "^\(\.PHONY:.* \)\{0,1\}$target\( \|:\|\$\)" Makefile && continue
			case $target in
			exec-*) grep -q "exec-${target#exec-}:\|^program_suites :=.* ${target#exec-}\|^program_suites := ${target#exec-}" \
				Makefile && continue ;;
			esac
			echo "$document: make has no target $target"
		done
done <"$work/documents" >"$work/wrong"
none "$work/wrong" "what the documents tell make to do, it can"

# Column 3 of go-map.md: every name with an underscore is somewhere in src, include or the tools.
awk -F'|' '/^\|/ && NF > 5 { print $4 }' docs/internals/go-map.md | grep -o '`[a-z0-9_]*`' | tr -d '`' |
	grep _ | sort -u >"$work/names"
while read -r name; do
	grep -rqw -- "$name" src include || echo "go-map.md: src has no $name"
done <"$work/names" >"$work/wrong"
[ -s "$work/names" ] || echo "go-map.md names nothing" >"$work/wrong"
none "$work/wrong" "functions that go-map.md names exist"

# The fields of schedtrace's lines: of each kind of line in dumps.md and of a program's.
cat >"$work/trace.c" <<'EOT'
#include <goro.h>
static void locks(void)
{
	goro_lock_thread();
	goro_chan_recv(NULL, NULL);
}
int goro_main(int argc, char **argv)
{
	(void)argc, (void)argv;
	go(locks);
	go(goro_sleep, GORO_SEC(100));
	goro_sleep(GORO_MS(1));
	for (int64_t end = goro_now() + GORO_MS(100); goro_now() < end;)
		continue;
	return 0;
}
EOT
fields()
{
	grep -E '^(SCHED [0-9]|  [PMG][0-9]+: )' | sed -E 's/^( *)([A-Z]+) *[0-9]+[a-z:]*/\2/
		s/=waiting\([^=]*\)/=waiting()/; s/=(waiting\(\))/_\1/; s/=[^ ]*/=/g; s/\[[0-9 ]*\]/[]/' | sort -u
}
: >"$log"
for detail in 0 1; do
	(cd "$work" && CC="$CC" GORODEBUG=schedtrace=10,scheddetail=$detail "$goro" run trace.c)
done 2>&1 | fields >"$work/in_output"
fields <docs/internals/dumps.md >"$work/in_docs"
# The table has a heading of its own, which the document does not repeat.
sed -i '/^SCHED.*[^]]$/d' "$work/in_output"
diff "$work/in_docs" "$work/in_output" >"$work/wrong"
[ -s "$work/in_docs" ] || echo "dumps.md has no sample" >"$work/wrong"
none "$work/wrong" "the samples of schedtrace in dumps.md have the fields of the real lines"

# --- the tests that threads-and-tls.md names ------------------------------------------------------------------

# A file in backquotes, then names of its cases, each in backquotes, up to the next file.
grep -o '`[^` ]*`' docs/threads-and-tls.md | tr -d '`' | awk '
	/^tests\// { file = $0; next }
	/^[a-z0-9_]+$/ && length($0) > 12 && file != "" { print file, $0 }' |
	grep -v -e ' goro_' -e ' pthread_' -e ' __cxa' -e ' posix_' >"$work/cited"
while read -r file name; do
	grep -qsE "_CASE\($name(,|\))|^check $name" "$file" || echo "threads-and-tls.md: $file has no case $name"
done <"$work/cited" >"$work/wrong"
[ "$(wc -l <"$work/cited")" -ge 30 ] || echo "only $(wc -l <"$work/cited") are named" >>"$work/wrong"
none "$work/wrong" "the tests that threads-and-tls.md names exist"
grep -E '^(\*\*|`goro_(lock|spawn))' docs/threads-and-tls.md | grep -v 'tests/' | cut -c1-60 >"$work/wrong"
none "$work/wrong" "each claim of threads-and-tls.md names its test"

# --- labels and invariants ----------------------------------------------------------------------------------

# both FILE_A FILE_B A B NAME: two sorted lists are equal.
both()
{
	{
		[ -s "$1" ] || echo "nothing found in $3"
		comm -23 "$1" "$2" | sed "s|\$|: only in $3|"
		comm -13 "$1" "$2" | sed "s|\$|: only in $4|"
	} >"$work/wrong"
	none "$work/wrong" "$5"
}

label='[A-Z][A-Z0-9]*-[A-Z][A-Z][A-Z]*'
# Labels stand in comments; nothing else in src looks like one.
grep -rhow "$label" src | sort -u >"$work/in_src"
grep -ow "$label" docs/internals/memory-order.md | sort -u >"$work/in_docs"
both "$work/in_src" "$work/in_docs" src docs/internals/memory-order.md "memory-order.md has every order label of src, and no other"

grep -rhoE '^ \* [A-Z]{2}[0-9]+ ' src | tr -d ' *' | sort -u >"$work/in_src"
cat docs/internals/*.md | grep -owE '[A-Z]{2}[0-9]+' | sort -u >"$work/in_docs"
both "$work/in_src" "$work/in_docs" src docs/internals "docs/internals tells every numbered invariant of src, and no other"

# A row of the glossary begins with names, or with a first and a last one: "FN1 to FN9".
sed -n '/^## Invariants/,/^## The floor/s/^| \([A-Z][A-Z][0-9][^|]*\) |.*/\1/p' docs/internals/glossary.md | tr -d ',' | awk '
	{
		for (i = 1; i <= NF; i++)
			if ($i == "to")
				for (n = substr($(i - 1), 3) + 1; n < substr($(i + 1), 3) + 0; n++)
					print substr($(i + 1), 1, 2) n
			else
				print $i
	}' | sort -u >"$work/in_docs"
both "$work/in_src" "$work/in_docs" src glossary.md "the glossary's index has every numbered invariant of src, and no other"

sed -n '/define LOCK_RANKS/,/^$/s/.*X(\([A-Z][A-Z]*\), .*/\1/p' src/core/lock.h | sort >"$work/in_src"
sed -n '/^## Ranks/,$s/^| \([A-Z][A-Z]*\) |.*/\1/p' docs/internals/locks.md | sort >"$work/in_docs"
both "$work/in_src" "$work/in_docs" core/lock.h locks.md "locks.md has every rank of core/lock.h, and no other"

printf '%s\n' docs/internals/*.md | sed 's/.*\///' | grep -v '^glossary' | sort >"$work/in_src"
sed -n '/^The chapters:/,$p' ARCHITECTURE.md | grep -o 'internals/[a-z-]*[.]md' | sed 's/.*\///' | grep -v '^glossary' |
	sort >"$work/in_docs"
both "$work/in_src" "$work/in_docs" docs/internals ARCHITECTURE.md "ARCHITECTURE.md names every chapter"

tap_end
