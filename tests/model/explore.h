/*
 * explore.h - the interleaving explorer: runs a small concurrent program under every schedule.
 *
 * Behind base/atomic.h (GORO_MODEL) every atomic operation is a scheduling point. Each model
 * thread is a context on a stack of its own; the explorer runs the program again and again, depth
 * first over the choices, each time from the beginning. What is bounded: preemptions (switches
 * away from a thread that could go on), delays (loads and stores that act before an older store of
 * another thread is visible), spurious wake-ups and early timeouts. States that were seen are not
 * entered twice.
 *
 * The memory: every store goes into its thread's buffer. Whether it has reached memory is decided
 * when another thread touches that address. A relaxed store may overtake older ones to other
 * addresses, a release store may not; loads see the own buffer first. The store of an RMW is
 * buffered too, as on arm64: an RMW is no fence; and a seq_cst load comes after the own release
 * stores. With .is_x86 it is the other way round, and no store overtakes another. A seq_cst fence,
 * a futex call, an unlock and the end of the thread empty the own buffer, a heavy fence
 * everybody's. A store that no light fence follows may escape even that: the compiler may hold it
 * back. Not modelled: loads that overtake loads. Instead plain accesses are watched (the clients
 * are compiled with -fsanitize=thread, whose entry points are ours), and two that no
 * release/acquire pair orders are a data race, which finds the missing acquire.
 *
 * Before each execution the globals of the program are put back to what they were at
 * explore_run(), and the memory of explore_alloc() is taken back, so that a test needs no
 * clean-up.
 *
 * On failure the schedule is printed, with a line that replays it: EXPLORE_REPLAY=test:choices
 * program.
 */
#ifndef TESTS_MODEL_EXPLORE_H
#define TESTS_MODEL_EXPLORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum explore_order {
	EXPLORE_RLX,
	EXPLORE_ACQ,
	EXPLORE_REL,
	EXPLORE_ACQ_REL,
	EXPLORE_SEQ_CST /* loads */
};
enum explore_rmw_op { EXPLORE_XCHG, EXPLORE_ADD };

/* Where an operation stands, for the schedule that is printed and for .weaken and .unfence. */
struct explore_site {
	const char *func;
	const char *file;
	int line;
};
#define EXPLORE_HERE ((struct explore_site){__func__, __FILE__, __LINE__})

/* The door of base/atomic.h. */
#define explore_load(p, size, order)	   explore_load_at(EXPLORE_HERE, p, size, order)
#define explore_store(p, size, v, order)   explore_store_at(EXPLORE_HERE, p, size, v, order)
#define explore_rmw(p, size, op, v, order) explore_rmw_at(EXPLORE_HERE, p, size, op, v, order)
#define explore_cas(p, size, expected, desired, order) \
	explore_cas_at(EXPLORE_HERE, p, size, expected, desired, order)
#define explore_fence()	      explore_fence_at(EXPLORE_HERE)
#define explore_fence_light() explore_fence_light_at(EXPLORE_HERE)
#define explore_fence_heavy() explore_fence_heavy_at(EXPLORE_HERE)
#define explore_yield()	      explore_yield_at(EXPLORE_HERE)

uint64_t explore_load_at(struct explore_site, const volatile void *p, size_t size,
			 enum explore_order);
void explore_store_at(struct explore_site, volatile void *p, size_t size, uint64_t value,
		      enum explore_order);
uint64_t explore_rmw_at(struct explore_site, volatile void *p, size_t size, enum explore_rmw_op,
			uint64_t value, enum explore_order);
bool explore_cas_at(struct explore_site, volatile void *p, size_t size, void *expected,
		    uint64_t desired, enum explore_order);
void explore_fence_at(struct explore_site);
void explore_fence_light_at(struct explore_site);
void explore_fence_heavy_at(struct explore_site);
/* The thread does not run again before another one has made a step, unless no other one can. */
void explore_yield_at(struct explore_site);

/* What os_futex.c is made of. wait: 0 when woken (or for no reason), -EAGAIN, -ETIMEDOUT. */
#define EXPLORE_FOREVER INT64_MAX
#define explore_futex_wait(p, expected) \
	explore_futex_wait_at(EXPLORE_HERE, p, expected, EXPLORE_FOREVER)
#define explore_futex_wait_until(p, expected, deadline) \
	explore_futex_wait_at(EXPLORE_HERE, p, expected, deadline)
#define explore_futex_wake(p, n) explore_futex_wake_at(EXPLORE_HERE, p, n)
int explore_futex_wait_at(struct explore_site, const volatile void *p, uint32_t expected,
			  int64_t deadline);
int explore_futex_wake_at(struct explore_site, const volatile void *p, int n);
/* A clock that stands still, but for a wait that times out: then it is at least at the deadline. */
int64_t explore_now(void);

/* A lock of the model: one step instead of the many of a real one. `key` is any address. */
#define explore_lock(key)    explore_lock_at(EXPLORE_HERE, key)
#define explore_trylock(key) explore_trylock_at(EXPLORE_HERE, key)
#define explore_unlock(key)  explore_unlock_at(EXPLORE_HERE, key)
void explore_lock_at(struct explore_site, const volatile void *key);
bool explore_trylock_at(struct explore_site, const volatile void *key);
void explore_unlock_at(struct explore_site, const volatile void *key);
bool explore_lock_is_held(const volatile void *key); /* by this thread */
bool explore_lock_is_taken(const volatile void *key); /* by any thread; no step of its own */

/* Lets a thread of the set .asleep begin; those that nobody starts do not matter. */
void explore_start(int thread);

/*
 * A test may define it: called in every thread before each of its operations, those of the call
 * itself too. So a signal handler may run anywhere.
 */
__attribute__((weak)) void explore_before_op(void);

/* What a test says. */
/* An assertion. A crash is a failure too. */
#define explore_check(c) ((void)((c) ? 0 : (explore_fail(EXPLORE_HERE, #c), 0)))
__attribute__((noreturn)) void explore_fail(struct explore_site, const char *what);
int explore_self(void);		  /* index of the running thread; -1 in setup and finish */
void *explore_alloc(size_t size); /* zeroed; the same addresses in every execution */
void explore_free(void *p);	  /* any later access of it is a failure */
void *explore_stack(size_t size); /* for a context that the test switches to by itself */
void explore_name(const volatile void *p, size_t size, const char *name); /* for the schedule */
/*
 * In this test only one thread at a time uses these atomics, and the next after a release and an
 * acquire of something else: they are taken for plain memory, whose races are found.
 */
void explore_plain(const volatile void *p, size_t size);
/* Marks that an execution came here: the verdict has the union over all of them. */
void explore_seen(unsigned bit);
/* Is this part of the code taken out in this test? See MODEL_KEEP in base/atomic.h. */
bool explore_omits(const char *name);

#define EXPLORE_THREADS 6
#define EXPLORE_NONE	(-1)

struct explore_test {
	const char *name;
	void (*setup)(void);		       /* alone, before the threads; may be NULL */
	void (*thread[EXPLORE_THREADS])(void); /* the first NULL ends the list */
	void (*finish)(void);		       /* alone, when all have ended; may be NULL */

	/* Bounds; 0 is the default in brackets, EXPLORE_NONE is none. */
	int preemptions;     /* [2] */
	int delays;	     /* [1] */
	int spurious;	     /* wake-ups for no reason [none] */
	int timeouts;	     /* that fire although others could run [none] */
	int steps;	     /* of one execution; more is a livelock [3000] */
	uint64_t executions; /* more is no verdict, a failure [2 000 000] */
	bool is_slow;	     /* seconds: a preemption less with EXPLORE_QUICK, as in make test */

	unsigned asleep;      /* threads, as bits, that explore_start() starts */
	bool may_end_blocked; /* all threads asleep is an end like any other */
	bool unlock_is_step;  /* so that a trylock meets locks that are held */
	bool is_x86;	      /* an RMW is a fence, a seq_cst load is like any other */
	bool has_races;	      /* do not look for data races */
	bool enters_again;    /* also states that were seen: slow, for the self-test */

	/* Negative tests: what is taken out. A test in which it is never reached fails. */
	const char *omit;    /* the MODEL_KEEP of this name */
	const char *weaken;  /* every order in this function becomes relaxed */
	const char *unfence; /* every fence in this function becomes nothing */
};

struct explore_verdict {
	bool has_failed;
	bool is_complete; /* all schedules within the bounds were run */
	char what[256];
	uint64_t executions;
	uint64_t steps;
	uint64_t pruned; /* executions cut short in a state seen before */
	uint64_t seen;
	char replay[4096];
};

struct explore_verdict explore_run(const struct explore_test *);

/* TAP lines. holds: no failure in any schedule. finds: there is one, whose text contains `what`. */
void explore_holds(const struct explore_test *);
void explore_holds_seen(const struct explore_test *, uint64_t seen); /* and these marks were met */
void explore_finds(const struct explore_test *, const char *what);
void explore_says(bool is_true, const char *name); /* of a verdict that the test looked at itself */
int explore_done(void); /* prints the plan; the exit status of the program */

#endif
