/*
 * dump.c - reports of a process in which somebody holds a lock; src/debug/dump.c, DU2, and what the
 * walk over the slabs does then; src/queue/gfree.c.
 *
 *   lock taken -> fault, SIGQUIT, goro_dump -> every goroutine -> status 2, or on it goes
 */
#include "goro_tap.h"

#include "base/valgrind.h"
#include "os/os.h"
#include "queue/gfree.h"
#include "sched/sched.h"

/* After a call: keeps the compiler from turning it into a jump. */
#define STAY() __asm__ volatile("" ::: "memory")

static void fault_here(void)
{
	*(int volatile *)(uintptr_t)(load(&tap_failures) + 24) = 1;
	STAY();
}

static void faults_on_visit(struct g *gp, void *arg)
{
	(void)gp, (void)arg;
	fault_here();
}

static void parks(void *unused)
{
	(void)unused;
	goro_chan_recv(NULL, NULL);
	STAY();
}

static void start_a_parked_one(void)
{
	goro_spawn(parks, NULL);
	wait_until_n_parked(1, "chan receive (nil chan)");
}

/* ---- a fault under a lock ---- */

GORO_CHILD(faults_under_the_lock_of_the_slabs)
{
	start_a_parked_one();
	CALL_SCOPE;
	gfree_each(faults_on_visit, NULL);
}

GORO_CHILD(faults_under_sched_lock)
{
	start_a_parked_one();
	CALL_SCOPE;
	lock_acquire(&sched.lock);
	fault_here();
}

static void expect_report_of_fault(const char *name)
{
	struct tap_child c;
	if (TAP_SANITIZED || valgrind_is_here())
		tap_skip("it reports faults itself");
	tap_child(&c, name);
	expect_child(&c, 2, "SIGSEGV");
	expect_contains(c.err, "\ngoroutine 1 [running]:\n");
	expect_contains(c.err, "\nfault_here");
	expect_contains(c.err, " [chan receive (nil chan)]:\n");
	expect_contains(c.err, "\nparks+0x");
}

TAP_CASE(du2_fault_under_the_lock_of_the_slabs_is_reported, .procs = "1,2")
{
	expect_report_of_fault("faults_under_the_lock_of_the_slabs");
}

TAP_CASE(du2_fault_under_sched_lock_is_reported, .procs = "1,2")
{
	expect_report_of_fault("faults_under_sched_lock");
}

/* ---- SIGQUIT while somebody does not let go ---- */

static int is_held; /* the lock, or a P */

static void stays_on_visit(struct g *gp, void *arg)
{
	(void)gp, (void)arg;
	store(&is_held, 1);
	for (;;)
		pause();
}

static void *holds_the_lock_of_the_slabs(void *unused)
{
	gfree_each(stays_on_visit, NULL);
	return unused;
}

static void *holds_sched_lock(void *unused)
{
	lock_acquire(&sched.lock);
	store(&is_held, 1);
	for (;;)
		pause();
	return unused;
}

/* Main makes no call from here on: it would wait for the lock. */
static void quit_beside(void *(*holder)(void *), int64_t after_ns)
{
	pthread_t thread;
	start_a_parked_one();
	require_eq(pthread_create(&thread, NULL, holder, NULL), 0);
	while (!load(&is_held))
		continue;
	for (int64_t until = tap_now() + after_ns; tap_now() < until;)
		continue;
	kill(getpid(), SIGQUIT);
	for (;;)
		STAY();
}

GORO_CHILD(quits_while_the_slabs_are_locked)
{
	quit_beside(holds_the_lock_of_the_slabs, 0);
}

GORO_CHILD(quits_while_sched_is_locked)
{
	quit_beside(holds_sched_lock, 0);
}

/* All of sysmon's duties come by meanwhile, and none of them may wait for it. */
GORO_CHILD(quits_when_sched_was_locked_for_long)
{
	quit_beside(holds_sched_lock, GORO_MS(300));
}

static void expect_report_of_quit(const char *name)
{
	struct tap_child c;
	tap_child(&c, name);
	expect_child(&c, 2, "SIGQUIT: quit\n");
	expect_contains(c.err, "\ngoroutine 1 [running]:\n");
	expect_contains(c.err, " [chan receive (nil chan)]:\n");
	expect_contains(c.err, "\nparks+0x");
}

TAP_CASE(du2_sigquit_while_the_slabs_are_locked_is_served, .procs = "1,2")
{
	expect_report_of_quit("quits_while_the_slabs_are_locked");
}

TAP_CASE(du2_sigquit_while_sched_is_locked_is_served, .procs = "1,2")
{
	expect_report_of_quit("quits_while_sched_is_locked");
	expect_report_of_quit("quits_when_sched_was_locked_for_long");
}

/* ---- the order of the two locks ---- */

static int is_over, n_rounds;

/* As sysmon's scavenging does: the slabs' lock under that of the scheduler. */
static void *takes_both(void *unused)
{
	while (!load(&is_over)) {
		lock_acquire(&sched.lock);
		(void)gfree_has_garbage();
		lock_release(&sched.lock);
		add(&n_rounds, 1);
	}
	return unused;
}

static void runs_without_a_call(void *unused)
{
	(void)unused;
	store(&is_held, 1);
	while (!load(&is_over))
		STAY();
}

/* A goroutine that does not stop is looked for among the Ms, under sched.lock. */
GORO_CASE(dump_beside_one_who_takes_both_locks_comes_back, .procs = "2,4", .is_race = true)
{
	enum { DUMPS = 30 };
	int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
	pthread_t thread;
	goro_spawn(runs_without_a_call, NULL);
	wait_for(load(&is_held));
	require_eq(pthread_create(&thread, NULL, takes_both, NULL), 0);
	wait_for(load(&n_rounds) > 0);
	for (int i = 0; i < DUMPS; i++)
		goro_dump(fd);
	store(&is_over, 1);
	pthread_join(thread, NULL);
	close(fd);
}

/* The other way round: who holds sched.lock for long delays a dump, and nothing more. */
static void *holds_for_a_while(void *unused)
{
	while (!load(&is_over)) {
		lock_acquire(&sched.lock);
		tap_pause(GORO_MS(5));
		lock_release(&sched.lock);
		add(&n_rounds, 1);
		tap_pause(GORO_MS(1));
	}
	return unused;
}

GORO_CASE(dump_waits_for_sched_lock_and_is_whole, .procs = "2,4", .is_race = true)
{
	pthread_t thread;
	start_a_parked_one();
	require_eq(pthread_create(&thread, NULL, holds_for_a_while, NULL), 0);
	while (load(&n_rounds) < 10) {
		char *text = dump_text();
		expect_eq(count_in(text, NULL), 2);
		expect_eq(count_in(text, "running"), 1);
		free(text);
	}
	store(&is_over, 1);
	pthread_join(thread, NULL);
}

/* ---- the walk itself ---- */

static int n_visits;

static void counts(struct g *gp, void *arg)
{
	(void)gp, (void)arg;
	n_visits++;
}

static void walks_again(struct g *gp, void *arg)
{
	(void)gp, (void)arg;
	gfree_each_within(counts, NULL, GORO_MS(1));
}

/* As the runtime walks: from inside a call. */
static void walk(void (*visit)(struct g *gp, void *arg))
{
	CALL_SCOPE;
	gfree_each(visit, NULL);
}

static void walk_within_a_ms(void)
{
	CALL_SCOPE;
	gfree_each_within(counts, NULL, GORO_MS(1));
}

GORO_CASE(walk_within_a_time_goes_on_without_the_lock, .procs = "1")
{
	walk_within_a_ms();
	expect_eq(n_visits, 1);
	walk(walks_again); /* which holds the lock */
	expect_eq(n_visits, 2);
	goro_spawn(parks, NULL); /* and nobody holds it now */
	walk(counts);
	expect_eq(n_visits, 4);
}

TAP_MAIN
