#!/bin/sh
# selftest.sh - shows that the harness sees what it is there for: failures, skips, hangs, crashes.
#
#   tests/harness/selftest.sh RUNNER
#
# A harness that passes everything would make every other test worthless.
set -u
runner=${1:-build/run}
here=$(cd "$(dirname "$0")" && pwd)
case $runner in /*) ;; *) runner=$PWD/$runner ;; esac
[ -x "$runner" ] || { echo "selftest.sh: no runner at $runner"; exit 1; }
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1

cat >sample.c <<'END'
#include "tap.h"
TAP_CHILD(ends_with_2)
{
	fputs("panic: sample\n", stderr);
	exit(2);
}
TAP_CHILD(ends_with_0)
{
}
TAP_CASE(passes, .id = "A-1", .is_race = true) { expect_eq(1, (size_t)1); expect_lt(-1, 0u); }
TAP_CASE(passes_once, .id = "A-1", .procs = "-") { expect(getenv("GORO_MAXPROCS") == NULL); }
TAP_CASE(passes_at_2, .procs = "2") { puts("#: a figure"); puts("#: and one"); puts("# none"); expect_str(getenv("GORO_MAXPROCS"), "2"); }
TAP_CASE(passes_from_2, .procs = "2+") { expect_ge(atoi(getenv("GORO_MAXPROCS")), 2); }
TAP_CASE(passes_alone, .is_alone = true) { expect_contains("abc", "b"); expect_lacks("abc", "d"); }
TAP_CASE(passes_when_all_meet, .procs = "1,2,4", .is_idle = true)
{
	static const char *const names[] = {"met1", "met2", "met4"};
	char name[64];
	snprintf(name, sizeof(name), "met%s", getenv("GORO_MAXPROCS"));
	close(open(name, O_CREAT | O_WRONLY, 0600));
	for (int i = 0; i < 3; i++)
		while (access(names[i], F_OK) != 0)
			usleep(1000);
}
TAP_CASE(passes_with_child)
{
	struct tap_child c;
	tap_child(&c, "ends_with_2", "X=y");
	expect_child(&c, 2, "panic: sample\n");
}
TAP_CASE(passes_without_descriptors, .procs = "-") { expect_eq(fcntl(9, F_GETFD), -1); }
TAP_CASE(is_slow, .is_slow = true) { expect(false); }
TAP_CASE(skips) { tap_skip("for a reason"); }
TAP_CASE(fails_eq) { expect_eq(1, 2); }
TAP_CASE(fails_sign) { expect_lt(0u, -1); }
TAP_CASE(fails_str) { expect_str("a", "b"); }
TAP_CASE(fails_contains) { expect_contains("a", "b"); }
TAP_CASE(fails_lacks) { expect_lacks("ab", "b"); }
TAP_CASE(fails_require) { require(false); puts("went on"); }
TAP_CASE(fails_child)
{
	struct tap_child c;
	tap_child(&c, "ends_with_0");
	expect_child(&c, 2, "");
}
TAP_CASE(fails_by_hanging, .timeout_s = 1) { for (;;) pause(); }
TAP_CASE(fails_by_hanging_on, .timeout_s = 1) { signal(SIGQUIT, SIG_IGN); for (;;) pause(); }
TAP_CASE(fails_by_signal) { abort(); }
TAP_CASE(fails_by_exit) { exit(3); }
TAP_MAIN
END
${CC:-cc} -std=gnu11 -Wall -Wextra -Werror -I"$here" sample.c -o sample || exit 1

bad=0
claim() {
	if ! eval "$2"; then
		echo "not ok 1 - $1"
		bad=1
	fi
}

GORO_SEED=17 "$runner" -j 2 -p 1,2 -v ./sample >log 2>&1 9</dev/null
claim "a failure gives status 1" "[ $? -eq 1 ]"
# 2 + 1 pinned; once; at 2; from 2; alone twice; three that meet; with child twice; once. Then the failures, twice each.
claim "counts" '[ "$(tail -n 1 log)" = "14 passed, 22 failed, 2 skipped" ]'
for name in eq sign str contains lacks require child by_hanging by_hanging_on by_signal by_exit; do
	claim "fails_$name" "[ \$(grep -c '^not ok .* fails_$name P=' log) -eq 2 ]"
done
claim "no other failure" '! grep "^not ok" log | grep -qv fails_'
claim "both values" 'grep -q "expected 1 == 2, have 1 and 2" log'
claim "require ends the case" '! grep -q "went on" log'
claim "reason of a skip" '[ $(grep -c "skips P=. .*# SKIP for a reason" log) -eq 2 ]'
claim "how to run again" 'grep -q "again: GORO_SEED=17 GORO_MAXPROCS=2 ./sample fails_eq" log'
claim "killed after SIGQUIT" 'grep "fails_by_hanging_on" log | grep -q "time is over$"'
claim "figures" '[ $(grep -c "^# - .*passes_at_2 P=2 .*: a\(nd one\| figure\)$" log) -eq 2 ] && ! grep -q none log'
claim "slow ones are left" 'grep -q "^# 1 slow cases" log'
claim "signal is told" 'grep "fails_by_signal" log | grep -q "signal 6"'
claim "status is told" 'grep "fails_by_exit" log | grep -q "status 3"'

"$runner" -a -p 1 ./sample >log 2>&1
claim "slow ones run with -a" 'grep -q "^not ok .* is_slow" log'

./sample A-1 >log 2>&1
claim "cases of an id" '[ $? -eq 0 ] && [ $(grep -c "^ok" log) -eq 2 ]'
./sample fails_eq >log 2>&1
claim "a single case fails" '[ $? -eq 1 ]'
./sample skips >log 2>&1
claim "a single case is skipped" '[ $? -eq 77 ]'
./sample no_such_case >log 2>&1
claim "an unknown case fails" '[ $? -eq 1 ]'

printf '#!/bin/sh\nexit 77\n' >skip.sh
printf '#!/bin/sh\nexit 0\n' >pass.sh
printf '#!/bin/sh\necho broken; exit 1\n' >fail.sh
chmod +x ./*.sh
"$runner" ./skip.sh ./pass.sh ./fail.sh ./missing >log 2>&1
claim "scripts and missing programs" '[ "$(tail -n 1 log)" = "1 passed, 2 failed, 1 skipped" ]'
"$runner" >log 2>&1
claim "nothing run is no success" '[ $? -eq 1 ]'

[ $bad -eq 0 ] && echo "ok 1 - the harness sees failures, skips, hangs and crashes"
[ $bad -eq 0 ] || cat log
exit $bad
