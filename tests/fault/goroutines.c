/*
 * goroutines.c - what goroutines do, while the n-th mmap, madvise, clone, futex or malloc fails.
 *
 *   boot, many senders, arguments, attributes, names, deferred calls and tries
 *
 * sweep.h tells what a run must come to; the scenarios count everything that they were granted, and
 * must find all of it again. runtime.c has those about the runtime as a whole.
 */
#include "sweep.h"

enum { MANY = TAP_SANITIZED ? 400 : 2000 };

/* ---- an empty main ---- */

static int returns_seven(void *unused)
{
	(void)unused;
	return MAIN_VALUE;
}

static void boots(void)
{
	run_main(returns_seven, NULL);
	expect_eq(goro_count(), 0);
}

SWEEP(boots, .procs = "4")

/* ---- many senders on one channel ---- */

struct number {
	goro_chan *c;
	int value;
};

static void sends_its_number(void *arg)
{
	struct number *n = arg;
	goro_chan_send(n->c, &n->value);
}

/* All are spawned before the first is received, so that they need stacks at the same time. */
static int receives_from_many(void *unused)
{
	int64_t wanted = 0, sum = 0;
	int n = 0;
	goro_chan *c = make_chan(sizeof(int), 0);
	(void)unused;
	if (c == NULL)
		return MAIN_VALUE;
	for (int i = 1; i <= MANY; i++) {
		struct number number = {c, i};
		if (is_granted(goro_spawn_copy(sends_its_number, &number, sizeof(number)))) {
			wanted += i;
			n++;
		}
	}
	expect_le(goro_count(), n + 1);
	for (int i = 0; i < n; i++)
		sum += goro_get(c, int);
	expect_eq(sum, wanted);
	expect_eq(goro_chan_tryrecv(c, NULL), -EAGAIN);
	wait_for(goro_count() == 1);
	goro_chan_unref(c);
	return MAIN_VALUE;
}

static void many_send(void)
{
	run_main(receives_from_many, NULL);
}

SWEEP(many_send, .procs = "2")
SWEEP_EACH(many_send, madvise, .procs = "2")
SWEEP_EACH(many_send, futex, .procs = "4")

/* ---- arguments that do not fit into the G ---- */

struct words {
	goro_chan *c;
	uint64_t word[100];
};

static void check_words(const struct words *w)
{
	int value = (int)w->word[0];
	for (size_t i = 0; i < 100; i++)
		value = w->word[i] == w->word[0] + i ? value : -1000000;
	goro_chan_send(w->c, &value);
}

static void checks_words_by_value(struct words w)
{
	check_words(&w);
}

static void checks_words_copied(void *arg)
{
	check_words(arg);
}

static void goes_with_words(void *arg)
{
	struct words *w = arg;
	go(checks_words_by_value, *w);
}

/* The macro has no way to return an error: it panics. */
static int go_or_enomem(struct words *w)
{
	char text[128];
	if (goro_try(goes_with_words, w, text, sizeof(text)))
		return 0;
	expect_str(text, "go: out of memory");
	return -ENOMEM;
}

static int spawns_with_words(void *unused)
{
	int64_t wanted = 0, sum = 0;
	int n = 0;
	goro_chan *c = make_chan(sizeof(int), 0);
	(void)unused;
	if (c == NULL)
		return MAIN_VALUE;
	for (int i = 1; i <= 40; i++) {
		struct words w = {.c = c};
		for (size_t j = 0; j < 100; j++)
			w.word[j] = (uint64_t)i + j;
		if (is_granted(i % 2 != 0 ? go_or_enomem(&w)
					  : goro_spawn_copy(checks_words_copied, &w, sizeof(w)))) {
			wanted += i;
			n++;
		}
		memset(&w, 0, sizeof(w));
	}
	for (int i = 0; i < n; i++)
		sum += goro_get(c, int);
	expect_eq(sum, wanted);
	wait_for(goro_count() == 1);
	goro_chan_unref(c);
	return MAIN_VALUE;
}

static void large_arguments(void)
{
	run_main(spawns_with_words, NULL);
}

SWEEP(large_arguments, .procs = "1")

/* ---- stacks of one's own, and names from the start ---- */

static int n_ran;

/* Touches all of the 64 KiB but what the entry and the check need. */
static void uses_its_stack(void *arg)
{
	char volatile frame[TAP_SANITIZED ? 8 << 10 : 40 << 10];
	for (size_t i = 0; i < sizeof(frame); i += 512)
		frame[i] = (char)i;
	goro_yield();
	for (size_t i = 0; i < sizeof(frame); i += 512)
		expect_eq(frame[i], (char)i);
	goro_chan_recv(arg, NULL);
	add(&n_ran, 1);
}

static int spawns_with_attributes(void *unused)
{
	int n = 0;
	goro_chan *c = make_chan(0, 0);
	(void)unused;
	store(&n_ran, 0);
	if (c == NULL)
		return MAIN_VALUE;
	for (int i = 0; i < 40; i++) {
		char name[32];
		snprintf(name, sizeof(name), "worker %d", i);
		struct goro_attr attr = {.name = i % 4 != 0 ? name : NULL,
					 .stack_size = i % 4 != 1 ? 64 << 10 : 0};
		n += is_granted(goro_spawn_attr(&attr, uses_its_stack, c));
	}
	expect_le(goro_count(), n + 1);
	goro_chan_close(c);
	wait_for(goro_count() == 1);
	expect_eq(n_ran, n);
	goro_chan_unref(c);
	return MAIN_VALUE;
}

static void attributes(void)
{
	run_main(spawns_with_attributes, NULL);
}

SWEEP(attributes, .procs = "4")

/* ---- names given later: out of memory, the goroutine goes on without one ---- */

struct named {
	goro_chan *c;
	int number;
};

static int n_named;

static void takes_a_name(void *arg)
{
	struct named *n = arg;
	char name[40];
	snprintf(name, sizeof(name), "<number %d>", n->number);
	goro_set_name(name);
	add(&n_named, 1);
	goro_chan_recv(n->c, NULL);
	goro_set_name(NULL);
	add(&n_named, -1);
}

static int names_some(void *unused)
{
	enum { N = 8 };
	int n = 0, n_shown = 0;
	goro_chan *c = make_chan(0, 0);
	(void)unused;
	store(&n_named, 0);
	if (c == NULL)
		return MAIN_VALUE;
	for (int i = 0; i < N; i++) {
		struct named named = {c, i};
		n += is_granted(goro_spawn_copy(takes_a_name, &named, sizeof(named)));
	}
	wait_for(load(&n_named) == n);
	char *text = dump_text();
	for (int i = 0; i < N; i++) {
		char name[40];
		snprintf(name, sizeof(name), "\"<number %d>\"", i);
		n_shown += strstr(text, name) != NULL;
	}
	free(text);
	/* One fault takes at most one name away. */
	expect_le(n_shown, n);
	expect(n_shown == n || (fault_was_met() && (n_shown == n - 1 || sweep_persists)));
	goro_chan_close(c);
	wait_for(goro_count() == 1);
	expect_eq(n_named, 0);
	goro_chan_unref(c);
	return MAIN_VALUE;
}

static void names(void)
{
	run_main(names_some, NULL);
}

SWEEP(names, .procs = "2")

/* ---- deferred calls and tries ---- */

struct ledger {
	int n_deferred, n_run; /* of this goroutine */
	int n_panics;
};

static int n_ledgers_right;

static void runs_once(void *arg)
{
	struct ledger *l = arg;
	l->n_run++;
}

/* Its own deferred calls run when goro_try catches: count only those that were taken on. */
static void defers_five(void *arg)
{
	struct ledger *l = arg;
	for (int i = 0; i < 5; i++) {
		goro_defer(runs_once, l);
		l->n_deferred++;
	}
}

static void defers_five_and_panics(void *arg)
{
	defers_five(arg);
	goro_panic("on purpose");
}

static void defers_one(void *arg)
{
	struct ledger *l = arg;
	goro_defer(runs_once, l);
	l->n_deferred++;
}

static void try_one(struct ledger *l, void (*fn)(void *))
{
	char text[128] = "";
	if (goro_try(fn, l, text, sizeof(text)) || strcmp(text, "on purpose") == 0)
		return;
	expect_str(text, "goro_defer: out of memory");
	expect(fault_was_met());
	l->n_panics++;
}

static void defers_and_tries(void *arg)
{
	struct ledger l = {0};
	for (int i = 0; i < 4; i++) {
		try_one(&l, i % 2 != 0 ? defers_five : defers_five_and_panics);
		try_one(&l, defers_one);
		expect_eq(l.n_run, l.n_deferred);
		if (i == 1)
			goro_yield();
	}
	expect(sweep_persists || l.n_panics <= 1);
	expect(l.n_panics > 0 || l.n_run == 24);
	add(&n_ledgers_right, l.n_run == l.n_deferred);
	goro_chan_send(arg, NULL);
}

static int runs_ledgers(void *unused)
{
	int n = 0;
	goro_chan *c = make_chan(0, 1);
	(void)unused;
	store(&n_ledgers_right, 0);
	if (c == NULL)
		return MAIN_VALUE;
	for (int i = 0; i < 8; i++)
		n += is_granted(goro_spawn(defers_and_tries, c));
	for (int i = 0; i < n; i++)
		goro_chan_recv(c, NULL);
	wait_for(goro_count() == 1);
	expect_eq(n_ledgers_right, n);
	goro_chan_unref(c);
	return MAIN_VALUE;
}

static void deferred_calls(void)
{
	run_main(runs_ledgers, NULL);
}

SWEEP(deferred_calls, .procs = "2")

/* A panic for want of memory that nobody catches ends the process and says so. */
static int defers_uncaught(void *unused)
{
	static struct ledger l;
	(void)unused;
	for (int i = 0; i < 10; i++)
		goro_defer(runs_once, &l);
	return MAIN_VALUE;
}

static void uncaught_defer(void)
{
	run_main(defers_uncaught, NULL);
}

SWEEP_KIND(uncaught_defer, malloc, .procs = "2")

TAP_MAIN
