/*
 * signal.c - signals that come over channels.
 *
 *   kernel -> [on_notified], a handler on whichever thread -> counts, wakes the starter
 *          -> [signals_deliver], on the starter's thread -> the channels, without waiting
 *
 * SN1  The handler does nothing but count, wake, and put errno back: no lock, no memory.
 * SN2  Every signal that the handler has counted is offered to every channel that was notified of
 *      it then and still is: a count is taken by an exchange, under the lock.
 * SN3  The starter's thread has every notified signal unblocked, whatever mask the program gives
 *      its own threads, so that there is always one that the kernel can give the signal to.
 * SN4  When the last channel of a signal goes, the handler from before comes back, unless the
 *      program has put another one there; and whoever is still in ours is waited for. The handler
 *      cannot be interrupted by another signal, so that this wait is short.
 * SN5  While a signal is notified there is no deadlock: it may come at any time.
 *
 * It is the starter, not sysmon, who delivers: a channel's lock may be held for a while, and sysmon
 * waits for nothing. A goroutine of our own, as Go has it, would be one that goro_count() counts.
 *
 * Locking: signals.lock (OBJECT), under it a channel's. Orders: SIG-COUNT, SIG-INSIDE. Go:
 * os/signal, runtime/sigqueue.go; there a signal that comes twice before it is delivered counts
 * once.
 */
#include <errno.h>

#include "base/sanitize.h"
#include "goro.h"
#include "os/os.h"
#include "sched/sched.h"
#include "sync/chan.h"

/* One channel that is notified of one signal. */
struct notice {
	struct notice *next;
	goro_chan *chan; /* with a reference */
};

static struct {
	struct lock lock;                         /* rank OBJECT */
	struct notice *of[OS_SIGNALS];            /* lock; in the order of the calls */
	struct sigaction old[OS_SIGNALS];         /* lock: what the program had there */
	atomic_of(uint32_t) is_urgent;            /* lock to write; the handler of SIGURG reads */
	atomic_of(uint32_t) arrived[OS_SIGNALS];  /* SIG-COUNT */
	atomic_of(uint32_t) n_inside[OS_SIGNALS]; /* handlers; SIG-INSIDE */
	uint64_t starter_mask;                    /* the starter: which it has unblocked */
} signals = {.lock = LOCK_INIT(LOCK_OBJECT)};

/* ---- arriving: in a handler ---- */

static void signal_arrived(int signo)
{
	add_acq_rel(&signals.arrived[signo], 1); /* SIG-COUNT: then the wake */
	starter_wake();
}

static void on_notified(int signo, siginfo_t *info, void *context)
{
	int saved_errno = self_errno();

	(void)info;
	(void)context;
	add_acq_rel(&signals.n_inside[signo], 1); /* SIG-INSIDE */
	signal_arrived(signo);
	add_acq_rel(&signals.n_inside[signo], (uint32_t)-1); /* SIG-INSIDE: it is counted */
	self_errno_set(saved_errno);
}

/* From the handler of SIGURG, which is in place already. False: nobody was notified. */
static bool on_urgent(void)
{
	if (!load_rlx(&signals.is_urgent)) /* relaxed: before or after the call, SN2 */
		return false;
	signal_arrived(SIGURG);
	return true;
}

/* ---- delivering ---- */

/* Under the lock. Who waited is to be woken after it. */
static void notices_deliver(int signo, struct woken *woken)
{
	uint32_t n = xchg_acq_rel(&signals.arrived[signo], 0); /* SIG-COUNT */

	for (; n > 0; n--) {
		for (struct notice *at = signals.of[signo]; at; at = at->next) {
			struct waiter *w = NULL;
			chan_lock(at->chan);
			/* A full channel and a closed one get nothing. */
			(void)chan_send_under(at->chan, &signo, &w);
			chan_unlock(at->chan);
			if (w)
				woken_add(woken, w);
		}
	}
}

/* On the starter's thread. */
static void signals_deliver(void)
{
	struct woken woken = {0};
	uint64_t mask = 0;

	lock_acquire(&signals.lock);
	for (int signo = 1; signo < OS_SIGNALS; signo++) {
		if (!signals.of[signo])
			continue;
		mask |= UINT64_C(1) << (signo - 1);
		notices_deliver(signo, &woken);
	}
	lock_release(&signals.lock);
	if (mask != signals.starter_mask)
		os_signals_block(mask); /* SN3 */
	signals.starter_mask = mask;
	woken_wake(&woken);
}

/* ---- the handlers ---- */

/* Under the lock. 0, -EINVAL: the kernel does not let this one be handled. */
static int notices_begin(int signo)
{
	store_rlx(&signals.arrived[signo], 0); /* relaxed: left over; no handler is in place */
	int error = signo == SIGURG ? 0 : os_signal_catch(signo, on_notified, &signals.old[signo]);
	if (error)
		return error;
	if (signo == SIGURG)
		store_rlx(&signals.is_urgent, 1); /* relaxed: seen soon enough */
	add_rlx(&sched.n_notified, 1);             /* relaxed: the caller runs; SN5 */
	return 0;
}

/* Under the lock: SN4. */
static void notices_end(int signo)
{
	if (signo == SIGURG)
		store_rlx(&signals.is_urgent, 0); /* relaxed: seen soon enough */
	else
		os_signal_restore_if(signo, on_notified, &signals.old[signo]);
	while (load_acq(&signals.n_inside[signo])) /* SIG-INSIDE */
		os_thread_yield();
	add_rlx(&sched.n_notified, (uint32_t)-1); /* relaxed: as in notices_begin() */
}

/* Under the lock: where the notice of c is linked, or the end of the list. */
static struct notice **notice_find(int signo, const goro_chan *c)
{
	struct notice **at = &signals.of[signo];

	while (*at && (*at)->chan != c)
		at = &(*at)->next;
	return at;
}

/* ---- the calls ---- */

static bool is_for_programs(int signo)
{
	/* Returning from a handler of the first four would run the faulting instruction again. */
	return signo > 0 && signo < OS_SIGNALS && signo != SIGSEGV && signo != SIGBUS &&
	       signo != SIGFPE && signo != SIGILL && signo != SIGKILL && signo != SIGSTOP;
}

/* *n is used up or left to the caller. In a call, of a goroutine or of a thread inside. */
static int notice_add(goro_chan *c, int signo, struct notice **n)
{
	int error = 0;

	lock_acquire(&signals.lock);
	struct notice **at = notice_find(signo, c);
	if (!*at) {
		error = signals.of[signo] ? 0 : notices_begin(signo);
		if (error == 0) {
			(*n)->chan = goro_chan_ref(c);
			*at = *n;
			*n = NULL;
		}
	}
	lock_release(&signals.lock);
	if (error == 0)
		starter_wake(); /* SN3 */
	return error;
}

int goro_signal_notify(goro_chan *c, int signo)
{
	int error = -EPERM;

	if (unlikely(!c))
		panic_at("os/signal: Notify using nil channel");
	if (!is_for_programs(signo) || c->elem_size != sizeof(int))
		return -EINVAL;
	struct notice *n = call_alloc(sizeof(*n));
	if (!n)
		return -ENOMEM;
	CALL_SCOPE;
	preempt_check();
	if (m_self()) {
		error = notice_add(c, signo, &n);
	} else if (outside_enter()) {
		error = notice_add(c, signo, &n);
		outside_leave();
	}
	if (n)
		call_free(n);
	return error;
}

static int notice_stop(goro_chan *c, int signo)
{
	struct woken woken = {0};

	lock_acquire(&signals.lock);
	struct notice **at = notice_find(signo, c), *n = *at;
	if (n) {
		bool is_last = n == signals.of[signo] && !n->next;
		if (is_last)
			notices_end(signo);
		notices_deliver(signo, &woken); /* what came before the call; SN2 */
		*at = n->next;
	}
	lock_release(&signals.lock);
	woken_wake(&woken);
	if (!n)
		return -ENOENT;
	starter_wake(); /* SN3: it has the signal blocked again */
	call_free(n);
	goro_chan_unref(c);
	return 0;
}

int goro_signal_stop(goro_chan *c, int signo)
{
	CALL_SCOPE;
	int error = -ENOENT;

	preempt_check();
	if (!c || signo <= 0 || signo >= OS_SIGNALS)
		return -ENOENT;
	if (m_self()) {
		error = notice_stop(c, signo);
	} else if (outside_enter()) {
		error = notice_stop(c, signo);
		outside_leave();
	}
	return error;
}

/* ---- the end of a run: no other thread of ours is left ---- */

static void signals_stop_all(void)
{
	struct notice *n;

	for (int signo = 1; signo < OS_SIGNALS; signo++) {
		if (signals.of[signo])
			notices_end(signo);
		while ((n = signals.of[signo])) {
			signals.of[signo] = n->next;
			goro_chan_unref(n->chan);
			call_free(n);
		}
	}
	signals.starter_mask = 0;
}

/* In a child of fork(): no lock, no memory. */
static void signals_restore(void)
{
	for (int signo = 1; signo < OS_SIGNALS; signo++)
		if (signals.of[signo] && signo != SIGURG)
			os_signal_restore_if(signo, on_notified, &signals.old[signo]);
}

__attribute__((constructor)) static void signals_init(void)
{
	starter_signals_hook = signals_deliver;
	preempt_urgent_hook = on_urgent;
	boot_end_hook = signals_stop_all;
	fork_signals_hook = signals_restore;
}
