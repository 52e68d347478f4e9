/*
 * limits.h - every tunable number of the runtime, once.
 *
 * The explorer shrinks some of them (GORO_MODEL), so that a ring wraps and overflows
 * within a few steps.
 */
#ifndef BASE_LIMITS_H
#define BASE_LIMITS_H

#define CACHE_LINE 64

#ifdef GORO_MODEL
#define RUNQ_CAP 4u
#else
#define RUNQ_CAP 256u              /* Gs in a P's ring; a power of two */
#endif
#define COLD_BATCH 32u             /* cold Gs that stay in the cache until their turn comes */
#define GLOBQ_TICK 61u             /* slices from its ring until a P looks at globq first */
#define STEAL_ROUNDS 4             /* passes over all Ps before an M gives up */
#define MAXPROCS_LIMIT 1024        /* Ps at most; GORO_MAXPROCS beyond it is cut to it */
#define MAXTHREADS_DEFAULT 10000   /* Ms at most, until goro_maxthreads says otherwise */
#define SLICE_NS INT64_C(10000000) /* how long a G may run before it is asked to yield */
#define MUTEX_STARVE_NS INT64_C(1000000) /* after so long a wait a mutex is handed over */
#define IDLE_M_NS INT64_C(2000000000) /* how long a thread beyond the Ps stays with nothing to do */
#define MAXSTOPPED_DEFAULT 256     /* goroutines stopped by a signal at a time: GORO_MAXSTOPPED */
#define SYSMON_MIN_NS INT64_C(1000000)
#define SYSMON_SOON_NS INT64_C(20000)
/* A timer so near is not left to sysmon: OW5, NW3. */
#define TIMER_NEAR_NS (2 * SYSMON_MIN_NS)
#define SLOW_HEAT 16u             /* FN8: so much that is due goes before a slow ring */
#define ARGS_MAX 1024u             /* bytes of arguments that go() copies */
#define NAME_MAX_BYTES 32u         /* a goroutine's name, with its end */

#define STACK_SIZE_DEFAULT (256u << 10) /* usable bytes of a pooled stack */
#define STACK_GUARD_SIZE (128u << 10)   /* below it; larger than any frame we promise to catch */
#define STACK_SIZE_MIN (4u << 10)
#define STACK_SIZE_MAX (1u << 30)

#endif
