# tap.sh - TAP for scripts: results that are numbered, and counted at the end. To be sourced.
#
#   work=FOLDER; . tests/harness/tap.sh; command >"$log" 2>&1; result $? NAME ...; tap_end
#
# What a command says goes into $log: its last lines are shown when it failed, and then forgotten.
# With tap_says=1 they are shown of those that passed, too.
number=0
failed=0
log=$work/log
: >"$log"

# result STATUS NAME
result()
{
	number=$((number + 1))
	if [ "$1" = 0 ]; then
		echo "ok $number - $2"
	else
		echo "not ok $number - $2"
		failed=$((failed + 1))
	fi
	if [ "$1" != 0 ] || [ "${tap_says:-0}" = 1 ]; then
		tail -n 60 "$log" | cat -v | cut -c 1-400 | sed 's/^/# /'
	fi
	: >"$log"
}

# skip NAME WHY
skip()
{
	number=$((number + 1))
	echo "ok $number - $1 # SKIP $2"
}

# The plan; false if anything failed.
tap_end()
{
	echo "1..$number"
	[ "$failed" = 0 ]
}
