/*
 * os_setting.c - what the environment asks for: how many Ps, how many stopped goroutines,
 * and the list in GORODEBUG.
 *
 *   boot, sched/world, debug/schedtrace, os_fence, `goro env` -> [os_procs_asked], [os_debug]
 *   boot, sched/preempt, `goro env` -> [os_maxstopped]
 *   boot, `goro env` -> [os_debug_next] -> what is wrong with an item, in words
 *
 * OE1  A setting that makes no sense counts as one that is not there, and can be told in words.
 * OE2  Whoever says what a setting does reads it by the functions that the runtime reads it by.
 *
 * Locking: none. Go: schedinit and parsedebugvars, in runtime/proc.go and runtime1.go; there what
 * is not understood is ignored in silence.
 */
#include <stdlib.h>
#include <string.h>

#include "base/fatal.h"
#include "base/limits.h"
#include "os/os.h"

static const struct debug_option {
	const char *name;
	long value, most; /* when it is not set; what it may be, from 0 */
	const char *wanted;
} debug_options[] = {
#define DEBUG_OPTION(id, name, value, most, wanted) {name, value, most, wanted},
	OS_DEBUG_OPTIONS(DEBUG_OPTION)
#undef DEBUG_OPTION
};

bool os_number(const char *text, size_t length, long *number)
{
	char copy[32], *end;

	while (length && strchr(" \t", text[length - 1]))
		length--;
	while (length && strchr(" \t", *text))
		text++, length--;
	if (!length || strspn(text, "+-0123456789") < length)
		return false;
	if (length >= sizeof(copy)) /* so long a number is one that is too large */
		length = sizeof(copy) - 1;
	memcpy(copy, text, length);
	copy[length] = 0;
	long value = strtol(copy, &end, 10);
	if (*end)
		return false;
	*number = value;
	return true;
}

long os_procs_asked(const char **name)
{
	static const char *const names[] = {"GORO_MAXPROCS", "GOMAXPROCS"};

	for (int i = 0; i < 2; i++) {
		const char *text = os_env(names[i]);
		long n;
		*name = names[i];
		if (text && os_number(text, strlen(text), &n) && n >= 1)
			return n;
	}
	return 0;
}

uint32_t os_maxstopped(bool *is_good)
{
	const char *text = os_env("GORO_MAXSTOPPED");
	long n = MAXSTOPPED_DEFAULT;

	*is_good = !text || (os_number(text, strlen(text), &n) && n >= 0);
	if (!*is_good)
		return MAXSTOPPED_DEFAULT;
	return n > INT32_MAX ? INT32_MAX : (uint32_t)n;
}

/* The option whose name the item begins with, and its value; NULL: no such. */
static const struct debug_option *item_parse(const char *item, size_t length, long *value,
					     bool *is_good)
{
	size_t n = strcspn(item, "=,");

	for (size_t i = 0; i < OS_DEBUG_COUNT; i++) {
		const struct debug_option *o = &debug_options[i];
		if (strlen(o->name) != n || strncmp(item, o->name, n) != 0)
			continue;
		*is_good = n < length && os_number(item + n + 1, length - n - 1, value) &&
			   *value >= 0 && *value <= o->most;
		return o;
	}
	return NULL;
}

/* The next item that is not empty, from at on; NULL: none is left. */
static const char *item_next(const char *at, size_t *length)
{
	while (at && *at == ',')
		at++;
	if (!at || !*at)
		return NULL;
	*length = strcspn(at, ",");
	return at;
}

long os_debug(enum os_debug which)
{
	long result = debug_options[which].value;
	size_t length = 0;

	for (const char *at = os_env("GORODEBUG"); (at = item_next(at, &length)); at += length) {
		long value = 0;
		bool is_good = false;
		const struct debug_option *o = item_parse(at, length, &value, &is_good);
		if (o == &debug_options[which] && is_good)
			result = value; /* the last one counts, as in Go */
	}
	return result;
}

const char *os_debug_next(const char *at, struct os_debug_item *item)
{
	size_t length = 0;
	long value = 0;
	bool is_good = false;

	at = item_next(at, &length);
	if (!at)
		return NULL;
	const struct debug_option *o = item_parse(at, length, &value, &is_good);
	format_to(item->text, sizeof(item->text), "%s", at);
	if (length < sizeof(item->text))
		item->text[length] = 0;
	item->problem[0] = 0;
	if (!o)
		format_to(item->problem, sizeof(item->problem), "is not known");
	else if (!is_good)
		format_to(item->problem, sizeof(item->problem), "wants %s", o->wanted);
	else if (o == &debug_options[OS_DEBUG_SCHEDDETAIL] && value &&
		 !os_debug(OS_DEBUG_SCHEDTRACE))
		format_to(item->problem, sizeof(item->problem),
			  "does nothing without schedtrace=N");
	return at + length;
}
