#!/bin/sh
# run.sh - the man pages: each public name is on one, each formats, each example prints what its page says.
#
#   tests/man/run.sh           LIB, B and CC from the environment, else build/libgoro.a, build and cc
#
# Prints TAP.
set -u
LC_ALL=C
export LC_ALL
cd "$(dirname "$0")/../.." || exit 1
root=$PWD
: "${B:=build}" "${CC:=cc}" "${LIB:=build/libgoro.a}" "${MAKE:=make}"
case $LIB in /*) lib=$LIB ;; *) lib=$root/$LIB ;; esac
case $B in /*) goro=$B/goro ;; *) goro=$root/$B/goro ;; esac
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
. tests/harness/tap.sh

# empty NAME: the check passes when nothing was said.
empty()
{
	[ ! -s "$log" ]
	result $? "$1"
}

: >"$log"
tools/man -c "$work/man" >"$log" 2>&1
result $? "goro.h, docs/man/families and the examples fit together"
find "$work/man" -name '*.[137]' | sort >"$work/all"
while read -r file; do
	grep -q '^\.so ' "$file" || echo "$file"
done <"$work/all" >"$work/pages"

# --- the generator finds what is wrong --------------------------------------------------------------------

# finds TEXT NAME COMMAND: after the command, in a copy, the generator complains, with the text.
finds()
{
	rm -rf "$work/copy"
	mkdir -p "$work/copy/tools"
	cp tools/man tools/man-*.awk "$work/copy/tools/"
	cp -r include "$work/copy/include"
	mkdir -p "$work/copy/docs"
	cp -r docs/man "$work/copy/docs/man"
	(cd "$work/copy" && sh -c "$3") >"$log" 2>&1
	"$work/copy/tools/man" -c "$work/copy/out" >>"$log" 2>&1
	status=$?
	[ $status = 1 ] && grep -qF -- "$1" "$log"
	result $? "$2"
}
finds "goro_unheard_of of goro.h is in no page" "a function that is in no page is found" \
	"echo 'GORO_API void goro_unheard_of(int a);' >>include/goro.h"
finds "goro_unheard_of of goro.h is in no page" "so is one whose declaration has two lines" \
	"printf 'GORO_API void goro_unheard_of(int a,\n\tint b);\n' >>include/goro.h"
finds "goro_unheard_of of goro.h is in no page" "a macro that is in no page is found" \
	"echo '#define goro_unheard_of(x) (x)' >>include/goro.h"
finds "goro_unheard_of of goro.h is in no page" "a type that is in no page is found" \
	"echo 'typedef struct goro_unheard_of goro_unheard_of;' >>include/goro.h"
finds "goro.h tells nothing of goro_untold" "a function without a comment is found" \
	"echo 'GORO_API void goro_untold(int a);' >>include/goro.h; echo 'has goro_untold' >>docs/man/families"
finds "goro.h has no goro_gone" "a name that goro.h does not have is found" "echo 'has goro_gone' >>docs/man/families"
finds "goro_yield is in two pages" "a name on two pages is found" "echo 'has goro_yield' >>docs/man/families"
finds "goro.h does not say whether goro_id blocks" "a function that does not say whether it blocks is found" \
	"sed -i '/ goro_id - /,/goro_id(void)/s/Does not block\. //' include/goro.h"
finds "what goro.h says of \"Channels\" is in no page" "prose that is in no page is found" \
	"sed -i '/^intro Channels/d' docs/man/families"
finds "there is no example docs/man/examples/goro_run.c" "a page without an example is found" \
	"rm docs/man/examples/goro_run.c"
finds "goro_version: goro.h names no Go counterpart" "a page without a Go counterpart is found" \
	"sed -i '/ goro_version - /,/goro_version(void)/s/Go: //' include/goro.h"
finds "goro_run sees goro_gone, which is no page" "a reference that leads nowhere is found" \
	"sed -i '/^page goro_run /,/^see/s/^see /see goro_gone /' docs/man/families"

# --- names ------------------------------------------------------------------------------------------------

grep -v -e '^#' -e '_$' -e '^$' tests/abi/symbols.txt | while read -r name; do
	[ -s "$work/man/man3/$name.3" ] || echo "man 3 $name finds nothing"
done >"$log"
empty "every exported function has a page of its name"

while read -r file; do
	target=$(sed -n 's/^\.so //p' "$file")
	[ -z "$target" ] || grep -q '^\.TH' "$work/man/$target" || echo "$file leads to $target, which is no page"
done <"$work/all" >"$log"
empty "links lead to pages"

for section in NAME SYNOPSIS DESCRIPTION 'BLOCKING AND CALLERS' 'GO COUNTERPART' EXAMPLE 'SEE ALSO'; do
	for file in $(grep '\.3$' "$work/pages"); do
		grep -qx "\.SH $section" "$file" || echo "$file has no $section"
	done
done >"$log"
empty "every page of section 3 has its sections"

# What a page refers to is there; a few pages are other people's.
cat $(cat "$work/pages") | grep '^\.BR ' | grep -o '[A-Za-z_]* ([137])' | sort -u | while read -r name section; do
	section=$(echo "$section" | tr -d '()')
	case $name in cc) continue ;; esac
	[ -s "$work/man/man$section/$name.$section" ] || echo "there is no $name($section)"
done >"$log"
empty "references lead to pages"

"$goro" help | sed -n 's/^  goro \([a-z]*\).*/\1/p' >"$work/commands"
tr -d '\\' <"$work/man/man1/goro.1" >"$work/goro.1"
[ -s "$work/commands" ] || echo "goro help names no command" >"$log"
while read -r command; do
	grep -q "goro $command" "$work/goro.1" || echo "goro.1 has no command $command"
done <"$work/commands" >>"$log"
for variable in $(grep -oh 'getenv("[A-Z]*")\|"[A-Z]*FLAGS"' cmd/*.c | grep -o '[A-Z][A-Z]*' | grep -vx PATH | sort -u); do
	grep -qw "$variable" "$work/goro.1" || echo "goro.1 has no $variable"
done >>"$log"
empty "goro(1) tells every command and variable"

for variable in $(grep -rhoE '"(GORO_[A-Z]+|GORODEBUG|GOMAXPROCS)"' src | tr -d '"' | sort -u); do
	[ "$variable" = GORO_FAULT ] && continue # of builds for tests
	grep -qw "$variable" "$work/man/man7/goro.7" || echo "goro.7 has no $variable"
done >"$log"
empty "goro(7) tells every variable that the library reads"

# --- formatting -------------------------------------------------------------------------------------------

# What groff would warn of, for machines that have none; and what it would not.
awk '
function bad(text)
{
	printf "%s:%d: %s: %s\n", FILENAME, FNR, text, $0
}
FNR == 1 {
	if (depth)
		print last ": .RS without .RE"
	if (is_example)
		print last ": .EX without .EE"
	depth = is_example = 0
	last = FILENAME
}
/^\./ && !/^\.(TH|SH|SS|PP|TP|IP|RS|RE|EX|EE|B|I|BR|BI|br|nf|fi|ft|sp)( |$)/ && !/^\.\\"/ { bad("not a known request") }
/^'\''/ { bad("an apostrophe opens the line") }
/^\.RS/ { depth++ }
/^\.RE/ { if (--depth < 0) bad("no .RS before") }
/^\.EX/ { if (is_example) bad("within .EX"); is_example = 1 }
/^\.EE/ { if (!is_example) bad("no .EX before"); is_example = 0 }
{
	text = $0
	gsub(/\\f[RBI]/, "", text)
	gsub(/\\(-|e|&|%|"|\(aq|\(ga|\(ha|\(ti|\(bu)/, "", text)
	if (text ~ /\\/)
		bad("not a known escape")
	if (text ~ /\t/)
		bad("a tab")
	if (text ~ /[^ -~]/)
		bad("not ASCII")
	if (is_example && length(text) > 110)
		bad("an example of more than 110 columns")
	gsub(/\\f[BI]/, "(", $0)
	gsub(/\\fR/, ")", $0)
}
END {
	if (depth || is_example)
		print last ": .RS or .EX without an end"
}' $(cat "$work/pages") >"$log"
empty "pages have only what they should"

if command -v man >/dev/null && command -v groff >/dev/null; then
	while read -r file; do
		LC_ALL=C.UTF-8 MANWIDTH=80 man --warnings -E UTF-8 -l -Tutf8 -Z "$file" 2>&1 >/dev/null
		[ -s "$file" ] || echo "$file is empty"
	done <"$work/pages" >"$log"
	empty "man formats every page without a warning"
	# A number of its own: the formatted page says what the source says.
	LC_ALL=C.UTF-8 MANWIDTH=80 man -P cat -E UTF-8 -l -Tutf8 "$work/man/man3/goro_chan.3" 2>>"$log" |
		sed 's/.\x08//g; s/\x1b\[[0-9;]*m//g' >"$work/formatted"
	for text in 'goro_chan_recv(goro_chan \*c, void \*elem);' '"send on closed channel"' '-ETIMEDOUT' 'sum: 30'; do
		grep -q -e "$text" "$work/formatted" || echo "goro_chan(3) does not show $text" >>"$log"
	done
	empty "man shows prototypes, panics, errors and the example's output"
else
	skip "man formats every page without a warning" "no man, or no groff"
	skip "man shows prototypes, panics, errors and the example's output" "no man, or no groff"
fi

# The same pages from whatever awk there is.
for awk in gawk mawk original-awk 'busybox awk'; do
	if ! $awk 'BEGIN { exit 0 }' >/dev/null 2>&1; then
		skip "$awk makes the same pages" "there is none"
		continue
	fi
	AWK=$awk tools/man -c "$work/other" >"$log" 2>&1 && diff -r "$work/man" "$work/other" >>"$log" 2>&1
	result $? "$awk makes the same pages"
done

# --- installing -------------------------------------------------------------------------------------------

$MAKE --no-print-directory install-man DESTDIR="$work/root" PREFIX=/usr >"$log" 2>&1 &&
	diff -r "$work/man" "$work/root/usr/share/man" >>"$log" 2>&1
result $? "make install-man installs them"
if command -v man >/dev/null && command -v groff >/dev/null; then
	for name in goro_chan_send go goro_run; do
		man -M "$work/root/usr/share/man" -P cat 3 $name 2>&1 | grep -q 'SYNOPSIS' ||
			echo "man 3 $name does not show a page"
	done >"$log"
	empty "man finds a page by the name of each function on it"
else
	skip "man finds a page by the name of each function on it" "no man, or no groff"
fi
$MAKE --no-print-directory uninstall DESTDIR="$work/root" PREFIX=/usr >"$log" 2>&1
find "$work/root" -name '*.[137]' >>"$log"
[ "$(find "$work/root" -name '*.[137]' | wc -l)" = 0 ]
result $? "make uninstall takes them away"

# --- examples ---------------------------------------------------------------------------------------------

# Each with the compiler that we were called with, and with the other of gcc and clang.
printf '%s\n' "$CC" gcc clang | awk '!seen[$0]++' >"$work/compilers"
while read -r compiler; do
	if ! command -v ${compiler%% *} >/dev/null; then
		skip "examples with $compiler" "there is none"
		continue
	fi
	blocks=
	case $($compiler --version 2>/dev/null) in *clang*) blocks=-fblocks ;; esac
	for example in docs/man/examples/*.c; do
		name=$(basename "$example" .c)
		awk '/^ \* Prints:$/ { is_in = 1; next } /^ \*\/$/ { is_in = 0 } is_in' "$example" |
			sed 's/^ \*   //' >"$work/expected"
		# shellcheck disable=SC2086
		$compiler -std=gnu11 -Wall -Wextra -O2 $blocks -Iinclude "$example" "$lib" -pthread \
			-o "$work/example" >"$log" 2>&1
		[ ! -s "$log" ] && [ -s "$work/expected" ] &&
			timeout 20 "$work/example" >"$work/output" 2>"$log" </dev/null &&
			diff "$work/expected" "$work/output" >>"$log" && [ ! -s "$log" ]
		result $? "$name, by $compiler, prints what its page says"
	done
done <"$work/compilers"
for example in docs/man/examples/*.c; do
	name=$(basename "$example" .c)
	[ "$name" = goro ] || grep -q "^page $name " docs/man/families || echo "$example: there is no page $name"
done >"$log"
empty "every example belongs to a page"

tap_end
