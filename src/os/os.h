/*
 * os.h - what the runtime asks of the operating system, and nothing more.
 *
 *   every floor above -> [os_*] -> Linux
 *
 * OS1  errno is read only in this folder, on the line after the call that set it.
 * OS2  A call that can fail returns >= 0 or a negative errno value, and has then changed nothing.
 * OS3  Every call that tests must be able to fail asks os_fault() first (debug builds).
 */
#ifndef OS_OS_H
#define OS_OS_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdnoreturn.h>

#include "base/atomic.h"

#define OS_FOREVER INT64_MAX

/* ---- os_fault.c: GORO_FAULT=mmap:3 makes the third mmap fail. ---- */

#define OS_FAULTS(X)           \
	X(MMAP, "mmap")        \
	X(MADVISE, "madvise")  \
	X(THREAD, "clone")     \
	X(FUTEX, "futex")      \
	X(EPOLL, "epoll")      \
	X(MALLOC, "malloc")
enum os_fault {
#define OS_FAULT_ENUM(name, text) OS_FAULT_##name,
	OS_FAULTS(OS_FAULT_ENUM)
#undef OS_FAULT_ENUM
	OS_FAULT_COUNT
};
#ifdef GORO_DEBUG
void os_fault_init(void);
bool os_fault(enum os_fault kind); /* count one call; true: it must fail */
uint32_t os_fault_hits(void);      /* for tests: how many had to */
#else
static inline void os_fault_init(void) {}
static inline bool os_fault(enum os_fault kind) { return (void)kind, false; }
#endif

/* ---- os_futex.c ---- */

/*
 * Sleep while *word == expected, until a wake, a signal, or the deadline (os_now() clock).
 * 0, or -ETIMEDOUT; may return early for no reason, so that every caller waits in a loop.
 */
int os_futex_wait(atomic_of(uint32_t) *word, uint32_t expected, int64_t deadline);
/* Wake up to n sleepers. Never reads *word: it may have been freed, which then wakes nobody. */
void os_futex_wake(atomic_of(uint32_t) *word, int n);

/* ---- os_fence.c ---- */

/*
 * A constructor calls it (FE1); tests too, with one thread, after a change of the environment.
 * GORODEBUG=membarrier=0 forbids membarrier.
 */
void os_fence_init(void);

/* ---- os_thread.c ---- */

/* Start a detached thread with a small stack. 0, -EAGAIN (a limit), -ENOMEM. */
int os_thread_start(void *(*fn)(void *), void *arg);
void os_thread_yield(void);
/* Call it in the child after each fork(). */
void os_fork_watch(void (*in_child)(void));
int os_thread_id(void);
/* Wait with nanoseconds: no timer slack for this thread. The slack from before; < 0: unknown. */
int64_t os_thread_precise_waits(void);
void os_thread_usual_waits(int64_t slack_ns);
void os_thread_signal(int tid, int signo); /* marked: */
bool os_signal_is_own(const siginfo_t *info); /* in a handler: it was sent by that */
/* How long this thread of ours has been on a CPU. It does not move while the thread sleeps. */
int64_t os_thread_cpu_ns(int tid);
/* Does it wait in the kernel? One that only waits for a CPU does not. */
bool os_thread_is_asleep(int tid, bool if_unknown); /* without /proc: if_unknown */
void os_thread_stack(const void **lo, size_t *size); /* of the calling thread */

/* ---- os_tasks.c ---- */

/*
 * The thread that comes with the first pthread_create() of a program: starts one that ends at once
 * and looks which other is there now. 0: none, or several, of which none can be told.
 */
int os_thread_hidden(void);
bool os_thread_exists(int tid); /* in this process */
int os_threads_of_process(void);    /* tasks that exist now; -errno */
/* More than n? Works without /proc, too; true also when it cannot be told. One thread at a time. */
bool os_threads_exceed(int n);

/* ---- os_mem.c ---- */

/* Zeroed, readable, writable, no memory yet; NULL if out of it. */
void *os_mem_reserve(size_t size);
void os_mem_release(void *at, size_t size);
/* Another size, at another place; what fits stays as it is. NULL: nothing was changed. */
void *os_mem_resize(void *at, size_t size, size_t new_size);
void os_mem_discard(void *at, size_t size); /* contents lost, memory given back, stays usable */
/* The same, and its page tables and guards: as if freshly reserved. False: nothing was changed. */
bool os_mem_renew(void *at, size_t size);
void os_mem_populate(void *at, size_t size); /* a hint: make the pages present in one go */

#define OS_GUARDS(X) X(MADVISE, "guard") X(MPROTECT, "mprotect") X(CANARY, "canary")
enum os_guard {
#define OS_GUARD_ENUM(name, text) OS_GUARD_##name,
	OS_GUARDS(OS_GUARD_ENUM)
#undef OS_GUARD_ENUM
};
void os_guard_init(void);           /* probes; GORO_STACKGUARD=guard|mprotect|canary forces one */
enum os_guard os_guard_method(void);
const char *os_guard_name(enum os_guard method);
bool os_guard_is_known(const char *name); /* what GORO_STACKGUARD may be */
/* Make a range fault when touched, by the best method that works; says which did. */
enum os_guard os_mem_guard(void *at, size_t size);

/* So many guards by mprotect are gone with the mapping they were in. */
void os_guard_returned(uint32_t count);

void *os_alloc(size_t size);        /* malloc, zeroed; NULL if out of memory */
void os_free(void *at);

/* ---- os_clock.c ---- */

int64_t os_now(void);               /* CLOCK_MONOTONIC in ns */
void os_sleep_until(int64_t deadline); /* this thread */

/* ---- os_cpu.c ---- */

struct os_cpus {
	int online;      /* sysconf */
	int in_affinity; /* may run on */
	int quota;       /* cgroup cpu.max rounded up, at least 2; 0: none */
	int usable;      /* what counts */
};
void os_cpu_count(struct os_cpus *cpus);

/* ---- os_signal.c ---- */

/* An alternate signal stack for this thread. NULL: no memory, or the thread has one already. */
void *os_altstack_install(void);
void os_altstack_remove(void *stack);
/*
 * Install handler for signo unless the program handles it already; says whether it did. Ignored
 * counts as not handled: a shell starts its background jobs with SIGQUIT ignored, and Go takes
 * it all the same. The handler does no more than count and wake: SG4.
 */
bool os_signal_install_default(int signo, void (*handler)(int, siginfo_t *, void *));
/* Install handler for signo whatever was there. */
void os_signal_install(int signo, void (*handler)(int, siginfo_t *, void *), struct sigaction *old);
/*
 * The same for one that no other signal interrupts, and that does no more than count and wake: SG4.
 * 0, -EINVAL.
 */
int os_signal_catch(int signo, void (*handler)(int, siginfo_t *, void *), struct sigaction *old);
/* Back to the default, if handler is still the one in place. */
void os_signal_remove(int signo, void (*handler)(int, siginfo_t *, void *));
/* The same, unless the program has put a handler of its own there meanwhile. */
void os_signal_restore_if(int signo, void (*handler)(int, siginfo_t *, void *),
			  const struct sigaction *old);
void os_signal_restore(int signo, const struct sigaction *old);
/* What a handler does with a signal that is not ours: what would have happened without us. */
void os_signal_forward(int signo, siginfo_t *info, void *context, const struct sigaction *old);
/* The handler for signo, whatever the program has put there meanwhile, which goes into *old. */
void os_signal_insist(int signo, void (*handler)(int, siginfo_t *, void *), struct sigaction *old);
/*
 * Past whoever intercepts sigaction(): the kernel calls entry for signo, whose handler is in place.
 * *under is what it would call without that, known before entry is called for the first time; it
 * stays as it was if the kernel would not let us. With an entry that is not the handler, for one
 * signal only.
 */
typedef void os_signal_handler(int signo, siginfo_t *info, void *context);
void os_signal_put_before(int signo, os_signal_handler *handler, os_signal_handler *entry,
			  atomic_of(os_signal_handler *) *under);
/* In a handler: has the kernel called it? Its frame ends where the kernel put what it tells. */
#define os_signal_is_from_kernel(info, context)                                                   \
	(__builtin_dwarf_cfa() == (void *)(info) || __builtin_dwarf_cfa() == (context))
#define OS_SIGNALS 65 /* signals are 1 to 64 */
/*
 * Block all signals in this thread but those of the mask (bit 0: signal 1), and those that a fault
 * of the thread itself raises.
 */
void os_signals_block(uint64_t but);
/* The mask of this thread; and take that for the mask of another one. */
void os_signals_save(sigset_t *mask);
void os_signals_set(const sigset_t *mask);
/* Unblocks, or blocks, one in the calling thread. True: it was unblocked before. */
bool os_signal_let(int signo, bool is_let);
/* The mask that a handler's return would bring back: for one that does not return. */
void os_signals_set_as_after(const void *context);
/*
 * In a handler: a system call was ended by this signal, and the kernel does not repeat such a one
 * (EINTR in spite of SA_RESTART). Let it be repeated, where it can be told which one it was.
 */
void os_context_repeat_call(void *context);
uintptr_t os_context_sp(const void *context);
uintptr_t os_context_pc(const void *context);

/* ---- os_file.c ---- */

void os_write(int fd, const void *data, size_t size); /* all of it, or as much as can be */
/* Bytes read, always ended by 0; -errno. */
int os_read_file(const char *path, char *buffer, size_t size);
noreturn void os_exit_now(int status);
const char *os_env(const char *name); /* NULL if unset or empty */

/* ---- os_library.c ---- */

/* A shared library, for good; NULL: there is none, or this is a static program. It may wait. */
void *os_library_open(const char *name);
void *os_library_symbol(void *library, const char *name); /* NULL: it has none of that name */

/* ---- os_epoll.c ---- */

struct epoll_event;
int os_epoll_create(void);
int os_epoll_add(int epoll, int fd, uint32_t events, uint64_t data); /* -EPERM: a plain file */
void os_epoll_remove(int epoll, int fd);
/* How many of n events were stored; 0 when the deadline came first; -EINTR. */
int os_epoll_wait(int epoll, struct epoll_event *events, int n, int64_t until);
void os_epoll_close(int fd); /* or the eventfd */
int os_eventfd(void);
void os_eventfd_set(int fd);
void os_eventfd_clear(int fd);

/* ---- os_setting.c ---- */

/* A decimal number, blanks around it allowed; beyond a long it is LONG_MAX or LONG_MIN. */
bool os_number(const char *text, size_t length, long *number);
/*
 * The number of Ps that the environment asks for, uncut, and by which variable: GORO_MAXPROCS, else
 * GOMAXPROCS; one that is no positive number counts as not set. 0: neither.
 */
long os_procs_asked(const char **name);
/* GORO_MAXSTOPPED, from 0 to INT32_MAX; what it is when not set, or no such number. */
uint32_t os_maxstopped(bool *is_good);

/* name, value when it is not set, highest value, what it has to be */
#define OS_DEBUG_OPTIONS(X)                                                      \
	X(SCHEDTRACE, "schedtrace", 0, 1000000000, "a number of milliseconds")   \
	X(SCHEDDETAIL, "scheddetail", 0, 1, "0 or 1")                            \
	X(MEMBARRIER, "membarrier", 1, 1, "0 or 1")                              \
	X(PREEMPT, "preempt", 2, 1, "0 or 1")                                    \
	X(CARES, "cares", 1, 1, "0 or 1")
enum os_debug {
#define OS_DEBUG_ENUM(id, name, value, most, wanted) OS_DEBUG_##id,
	OS_DEBUG_OPTIONS(OS_DEBUG_ENUM)
#undef OS_DEBUG_ENUM
	OS_DEBUG_COUNT
};
long os_debug(enum os_debug which);
struct os_debug_item {
	char text[64];    /* "name=value", cut to fit */
	char problem[96]; /* why it is ignored, as the rest of a sentence; "": it is not */
};
/* The first item of a list "a=1,b=2"; returns where the rest begins, NULL: there is no item. */
const char *os_debug_next(const char *at, struct os_debug_item *item);

#endif
