/*
 * resolve.c - asking for the addresses of a name.
 *
 *   [resolve] -> an address, no host: at once
 *             -> a name that DNS alone knows (names.c): cares.c, if c-ares is there; CA7: or
 *             -> any other: getaddrinfo() in the hand-off; or, if somebody may want to stop
 *                waiting, in a thread of its own -> its end closes a channel
 *   goro_getaddrinfo -> getaddrinfo() in the hand-off
 *
 * RE1  getaddrinfo() cannot be ended. Who gives up leaves a lookup behind, which then belongs to
 *      its thread alone: it has a reference for each of the two.
 * RE2  Of those threads, and of the lookups of cares.c, which have a socket each, there are at most
 *      LOOKUPS_MAX, however many want to know something.
 * RE3  malloc, pthread_create and getaddrinfo are called between goro_syscall_enter and
 *      goro_syscall_exit only: SR2.
 * RE4  A run may end around a goroutine in any call here, goro_syscall_exit among them: what it has
 *      by then, the unit of RE2 or the lookup, hangs on a record of its deferred calls.
 *
 * Not everything by c-ares: it does not know all that nsswitch.conf may say (mDNS, LDAP,
 * systemd-resolved), and a program would find other addresses than the rest of the machine does.
 *
 * Locking: none. Orders: LOOKUP-REF. Go: lookup_unix.go and cgo_unix.go in package net.
 */
#include "io/resolve.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <string.h>

#include "goro.h"
#include "io/cares.h"
#include "io/names.h"
#include "os/os.h"
#include "os/os_io.h"
#include "sched/sched.h"
#include "sync/waitq.h"

#define LOOKUPS_MAX 256 /* Go: 500 */

int goro_getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
		     struct addrinfo **result)
{
	if (call_is_canceled())
		return EAI_CANCELED;
	goro_syscall_enter();
	int error = getaddrinfo(node, service, hints, result);
	goro_syscall_exit();
	return error;
}

/* ---- one lookup ---- */

struct lookup {
	atomic_of(uint32_t) references; /* LOOKUP-REF; RE1 */
	goro_chan *done;                /* closed at the end, after: */
	int error;
	struct addresses found;
	struct network network;         /* set once */
	struct inet_name name;          /* set once */
};

static void found_add(struct addresses *to, const struct addrinfo *info,
		      const struct inet_name *name)
{
	union inet_address *a = &to->at[to->n];

	if (to->n == ADDRESSES_MAX ||
	    (info->ai_family != AF_INET && info->ai_family != AF_INET6))
		return;
	memcpy(a, info->ai_addr, info->ai_addrlen);
	if (!name->service[0]) /* sin6_port lies at the same place */
		a->v4.sin_port = htons(name->port);
	to->n++;
}

/* RE3. Of a service without a name only the port is wanted. */
static int look_up(const struct inet_name *name, const struct network *net, struct addresses *to)
{
	bool has_name = name->host[0] && !name->is_literal;
	struct addrinfo hints = {.ai_family = has_name ? net->family : AF_INET,
				 .ai_socktype = net->type};
	struct addrinfo *list = NULL;

	int error = os_resolve(has_name ? name->host : NULL,
			       name->service[0] ? name->service : NULL, &hints, &list);
	if (error)
		return error;
	to->n = 0;
	for (const struct addrinfo *info = list; info; info = info->ai_next)
		found_add(to, info, name);
	freeaddrinfo(list);
	return to->n ? 0 : -ENOENT;
}

/* ---- one that may be left behind ---- */

static struct {
	struct lock lock;
	uint32_t n;           /* lock: threads that are at it, or about to be started; RE2 */
	struct waitq waiters; /* lock */
} lookups = {.lock = LOCK_INIT(LOCK_OBJECT)};

/* RE1: whoever is last. */
static void lookup_unref(struct lookup *l)
{
	if (add_acq_rel(&l->references, (uint32_t)-1) != 1) /* LOOKUP-REF */
		return;
	goro_chan_unref(l->done);
	call_free(l);
}

/* Who has a unit of RE2, or waits for one: until it has a lookup, whose thread has the unit. */
struct lookup_hold {
	struct deferred record;
	struct lookup *lookup;
	struct waiter waiter; /* linked, unless it has been given the unit: ok */
};

/* To the first that waits, if any. */
static void lookup_unit_give(void)
{
	lock_acquire(&lookups.lock);
	struct waiter *w = waitq_pop(&lookups.waiters);
	if (w)
		w->ok = true;
	else
		lookups.n--;
	lock_release(&lookups.lock);
	if (w)
		waiter_wake(w);
}

/* 0, -ETIMEDOUT, -ECANCELED. A unit that is handed over as the run ends is not lost: RE4. */
static int lookup_unit_take(struct lookup_hold *hold, int64_t deadline)
{
	lock_acquire(&lookups.lock);
	if (lookups.n < LOOKUPS_MAX) {
		lookups.n++;
		hold->waiter.ok = true;
		deferred_push(&hold->record);
		lock_release(&lookups.lock);
		return 0;
	}
	waitq_push(&lookups.waiters, &hold->waiter);
	deferred_push(&hold->record);
	int error = waitq_wait(&hold->waiter, &lookups.lock, WAIT_IO, deadline);
	if (error)
		deferred_remove(&hold->record);
	return error;
}

static void lookup_hold_nothing(void *arg)
{
	(void)arg;
}

/* The goroutine needs it no more; or the run ended around it, RE4. */
static void lookup_hold_drop(struct deferred *d)
{
	struct lookup_hold *hold = container_of(d, struct lookup_hold, record);

	if (hold->lookup)
		lookup_unref(hold->lookup);
	else if (hold->waiter.ok)
		lookup_unit_give();
}

static void *lookup_thread(void *arg)
{
	struct lookup *l = arg;

	l->error = look_up(&l->name, &l->network, &l->found);
	goro_chan_close(l->done);
	lookup_unref(l);
	lookup_unit_give(); /* RE2 */
	return NULL;
}

/* With a unit of RE2, which goes to the thread. RE3. */
static struct lookup *lookup_start(const struct inet_name *name, const struct network *net)
{
	struct lookup *l = call_alloc(sizeof(*l));

	if (!l)
		return NULL;
	l->name = *name;
	l->network = *net;
	l->done = goro_chan_make(0, 0);
	store_rlx(&l->references, 2); /* relaxed: not shared yet */
	if (l->done && os_thread_start(lookup_thread, l) == 0)
		return l;
	goro_chan_unref(l->done);
	call_free(l);
	return NULL;
}

static int look_up_until(const struct inet_name *name, const struct network *net, int64_t deadline,
			 struct addresses *to)
{
	CALL_SCOPE;
	struct lookup_hold hold = {
		.record = {.fn = lookup_hold_nothing, .drop = lookup_hold_drop}};
	int error = lookup_unit_take(&hold, deadline);
	if (error)
		return error;
	goro_syscall_enter();
	struct lookup *l = hold.lookup = lookup_start(name, net);
	goro_syscall_exit();
	(void)call_enter(); /* we are in a call still: PR3 */
	error = l ? goro_chan_recv_until(l->done, NULL, deadline) : -ENOMEM;
	deferred_remove(&hold.record);
	if (error == -EPIPE) {
		error = l->error;
		*to = l->found;
	}
	lookup_hold_drop(&hold.record);
	return error;
}

/* ---- by c-ares ---- */

/* Files are read, and once the library is loaded: as CA2. */
static bool lookup_is_for_cares(const struct inet_name *name, struct names *how)
{
	if (!name->host[0] || name->is_literal || name->service[0])
		return false;
	goro_nopreempt_begin();
	bool is_for_cares = names_read(name->host, &names_files, how) && cares_is_there();
	goro_nopreempt_end();
	return is_for_cares;
}

static int lookup_begin(struct lookup_hold *hold, int64_t deadline)
{
	CALL_SCOPE;
	return lookup_unit_take(hold, deadline);
}

static void lookup_end(struct lookup_hold *hold)
{
	CALL_SCOPE;
	deferred_remove(&hold->record);
	lookup_hold_drop(&hold->record);
}

static int look_up_by_cares(const struct inet_name *name, const struct network *net,
			    const struct names *how, int64_t deadline, struct addresses *to)
{
	struct lookup_hold hold = {
		.record = {.fn = lookup_hold_nothing, .drop = lookup_hold_drop}};
	struct addresses found;
	int error = lookup_begin(&hold, deadline);
	if (error)
		return error;
	error = cares_look_up(name, net, how, deadline, &found);
	lookup_end(&hold);
	if (!error)
		*to = found;
	return error;
}

static int look_up_now(const struct inet_name *name, const struct network *net, int64_t deadline,
		       struct addresses *to)
{
	const struct g *gp = g_self();
	struct names how;

	if (call_is_canceled())
		return -ECANCELED;
	if (deadline_is_past(deadline))
		return -ETIMEDOUT;
	int error = CARES_LIBC_KNOWS;
	if (lookup_is_for_cares(name, &how))
		error = look_up_by_cares(name, net, &how, deadline, to);
	if (error != CARES_LIBC_KNOWS)
		return error;
	if (deadline != OS_FOREVER || (gp && gp->ctx))
		return look_up_until(name, net, deadline, to);
	goro_syscall_enter();
	error = look_up(name, net, to);
	goro_syscall_exit();
	return error;
}

/* ---- all kinds of names ---- */

static void no_host(const struct network *net, uint16_t port, bool is_passive, struct addresses *to)
{
	union inet_address v4 = {.v4 = {.sin_family = AF_INET, .sin_port = htons(port)}};
	union inet_address v6 = {.v6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)}};

	v4.v4.sin_addr.s_addr = htonl(is_passive ? INADDR_ANY : INADDR_LOOPBACK);
	if (!is_passive)
		v6.v6.sin6_addr = (struct in6_addr)IN6ADDR_LOOPBACK_INIT;
	to->n = 0;
	if (net->family != AF_INET6)
		to->at[to->n++] = v4;
	if (net->family != AF_INET)
		to->at[to->n++] = v6;
}

int resolve(const struct inet_name *name, const struct network *net, bool is_passive,
	    int64_t deadline, struct addresses *to)
{
	bool has_name = name->host[0] && !name->is_literal;
	uint16_t port = name->port;

	if (has_name || name->service[0]) {
		int error = look_up_now(name, net, deadline, to);
		if (error || has_name)
			return error;
		port = ntohs(to->at[0].v4.sin_port);
	}
	if (!name->is_literal) {
		no_host(net, port, is_passive, to);
		return 0;
	}
	to->n = 1;
	to->at[0] = name->literal;
	to->at[0].v4.sin_port = htons(port); /* sin6_port lies at the same place */
	return 0;
}
