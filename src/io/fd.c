/*
 * fd.c - descriptors that the poller knows.
 *
 *   goro_fd_add, goro_accept, ... -> [fd_add]
 *   every call -> [io_begin] -> [io_wait] -> park, netpoll -> [io_end]
 *   goro_close -> closing, kick, wait for the last reference -> close
 *
 * FD1 to FD5 and FD7 to FD9 stand in fd.h, PO1 to PO6 in event/netpoll.h.
 *
 * FD6  A goroutine that waits has a record on its list of deferred calls, so that a run's end
 *      around it gives back what it holds.
 *
 * Locking: polled.lock for the queues and for rare waits. Orders: FD-TABLE, FD-WORD, POLL-LIFE.
 * Go: fd_mutex.go and fd_poll_runtime.go in internal/poll.
 */
#include "io/fd.h"

#include <errno.h>
#include <netinet/in.h>

#include "goro.h"
#include "os/os.h"
#include "os/os_io.h"

/* ---- the table ---- */

#ifdef GORO_MODEL
#define CHUNK 2u
#define CHUNKS 1u
#else
#define CHUNK 1024u
#define CHUNKS (1u << 21) /* any int */
#endif

_Static_assert(sizeof(struct fd) <= 192, "a descriptor's record has grown");

static atomic_of(struct fd *) *table; /* FD-TABLE; address space of which little is touched */
static atomic_of(uint32_t) has_table; /* FD-TABLE */
static struct lock table_lock = LOCK_INIT(LOCK_LEAF);

struct fd *fd_at(int number)
{
	if (unlikely(number < 0 || !load_acq(&has_table))) /* FD-TABLE */
		return NULL;
	struct fd *chunk = load_acq(&table[(unsigned)number / CHUNK]); /* FD-TABLE */
	return chunk ? &chunk[(unsigned)number % CHUNK] : NULL;
}

/* Under table_lock. */
static struct fd *chunk_make(void)
{
	struct fd *chunk = os_mem_reserve(CHUNK * sizeof(*chunk));

	for (uint32_t i = 0; chunk && i < CHUNK; i++)
		lock_init(&chunk[i].polled.lock, LOCK_OBJECT);
	return chunk;
}

struct fd *fd_make(int number)
{
	struct fd *f = fd_at(number);

	if (likely(f != NULL))
		return f;
	lock_acquire(&table_lock);
	if (!table)
		table = os_mem_reserve(CHUNKS * sizeof(*table));
	if (table) {
		atomic_of(struct fd *) *slot = &table[(unsigned)number / CHUNK];
		if (!load_rlx(slot)) /* relaxed: under the lock */
			store_rel(slot, chunk_make()); /* FD-TABLE */
		store_rel(&has_table, 1);              /* FD-TABLE */
	}
	lock_release(&table_lock);
	return fd_at(number);
}

/* FK3: nothing is known; what was stays where it is. */
static void table_in_child(void)
{
	lock_init(&table_lock, LOCK_LEAF);
	table = NULL;
	store_rlx(&has_table, 0); /* relaxed: no other thread is left */
}

__attribute__((constructor)) static void fd_install(void)
{
	fork_fds_hook = table_in_child;
}

struct fd *fd_known(int number)
{
	struct fd *f = fd_at(number);

	/* relaxed: whoever has the number knows that it was added; who begins looks again */
	return f && (load_rlx(&f->word) & FD_KNOWN) ? f : NULL;
}

static struct polled *polled_at(int number)
{
	return &fd_at(number)->polled;
}

/* ---- the sides' locks and the references ---- */

/* Somebody dropped a reference: the closer may be alone now. */
static void closer_wake(struct fd *f)
{
	lock_acquire(&f->polled.lock);
	struct waiter *w = waitq_pop(&f->closers);
	lock_release(&f->polled.lock);
	if (w)
		waiter_wake(w);
}

static inline void closer_look(struct fd *f, uint32_t now)
{
	if (unlikely((now & FD_CLOSING) && now / FD_REF == 1))
		closer_wake(f);
}

/* Under polled.lock. Who has the side now, and is to be woken, or NULL; the word. */
static struct waiter *pass_on(struct fd *f, enum poll_side side, uint32_t *now)
{
	struct waiter *w = waitq_pop(&f->lockers[side]);

	if (w)
		w->ok = true; /* it has the lock */
	bool has_more = !waitq_is_empty(&f->lockers[side]);
	uint32_t old = load_rlx(&f->word); /* relaxed: the swap decides */
	do {
		*now = old - FD_REF;
		if (!w)
			*now &= ~FD_LOCK(side); /* else it is w's now: FD3 */
		if (!has_more)
			*now &= ~FD_QUEUED(side);
	} while (!cas_acq_rel(&f->word, &old, *now)); /* FD-WORD */
	return w;
}

/* Under polled.lock: FD8. */
static bool is_life(const struct fd *f, uint32_t life)
{
	/* relaxed: it is changed under the lock, or by who has the last reference */
	return load_rlx(&f->polled.generation) == life;
}

void fd_unlock_life(struct fd *f, enum poll_side side, uint32_t life)
{
	struct waiter *w = NULL;
	uint32_t now = 0;

	lock_acquire(&f->polled.lock);
	if (is_life(f, life))
		w = pass_on(f, side, &now);
	lock_release(&f->polled.lock);
	if (w)
		waiter_wake(w);
	closer_look(f, now);
}

static void unlock_slow(struct fd *f, enum poll_side side)
{
	/* relaxed: it does not change while we have a reference of one that is known */
	fd_unlock_life(f, side, load_rlx(&f->polled.generation));
}

static void fd_unlock(struct fd *f, enum poll_side side)
{
	uint32_t old = load_rlx(&f->word), now; /* relaxed: the swap decides */

	do {
		if (unlikely(old & FD_QUEUED(side))) {
			unlock_slow(f, side);
			return;
		}
		now = (old & ~FD_LOCK(side)) - FD_REF;
	} while (!cas_acq_rel(&f->word, &old, now)); /* FD-WORD */
	closer_look(f, now);
}

int fd_use(struct fd *f)
{
	uint32_t old = load_rlx(&f->word); /* relaxed: the swap decides */

	do {
		if ((old & (FD_KNOWN | FD_CLOSING)) != FD_KNOWN)
			return -EBADF;
	} while (!cas_acq(&f->word, &old, old + FD_REF)); /* FD-WORD */
	return 0;
}

void fd_unuse(struct fd *f)
{
	uint32_t old = load_rlx(&f->word); /* relaxed: the swap decides */

	while (!cas_acq_rel(&f->word, &old, old - FD_REF)) /* FD-WORD */
		;
	closer_look(f, old - FD_REF);
}

static void hold_nothing(void *arg)
{
	(void)arg;
}

/* A queue place, and with it a reference, is given up. */
static void unqueue(struct fd *f, enum poll_side side, uint32_t life)
{
	uint32_t old, now = 0;

	lock_acquire(&f->polled.lock);
	old = load_rlx(&f->word); /* relaxed: the swap decides */
	do {
		if (!is_life(f, life))
			break;
		now = old - FD_REF;
		if (waitq_is_empty(&f->lockers[side]))
			now &= ~FD_QUEUED(side);
	} while (!cas_acq_rel(&f->word, &old, now)); /* FD-WORD */
	lock_release(&f->polled.lock);
	closer_look(f, now);
}

static void hold_drop(struct deferred *d)
{
	struct fd_hold *hold = container_of(d, struct fd_hold, record);

	lock_acquire(&hold->fd->polled.lock); /* PO4: a plain thread may be at it */
	if (hold->published)
		(void)polled_withdraw(&hold->fd->polled, hold->side, hold->published);
	lock_release(&hold->fd->polled.lock);
	if (hold->is_held)
		return;
	if (hold->locker && !hold->locker->ok)
		unqueue(hold->fd, hold->side, hold->life);
	else if (hold->is_unknown)
		fd_unlock_life(hold->fd, hold->side, hold->life);
	else
		fd_unlock(hold->fd, hold->side);
}

void hold_begin(struct fd_hold *hold, struct io *io)
{
	io->is_held = true;
	*hold = (struct fd_hold){.record = {.fn = hold_nothing, .drop = hold_drop},
				 .fd = io->fd,
				 .side = io->side,
				 .is_unknown = io->is_unknown,
				 .life = io->life};
	deferred_push(&hold->record);
}

void hold_end(struct fd_hold *hold, struct io *io)
{
	deferred_remove(&hold->record);
	io->is_held = false;
}

/*
 * Under polled.lock. 1: the side is ours; 0: counted and marked as queued; -EBADF; -EAGAIN: it is
 * unknown, and perhaps nearly gone (FD7).
 */
static int take_or_queue(struct fd *f, enum poll_side side, bool is_unknown)
{
	uint32_t old = load_rlx(&f->word), now; /* relaxed: the swap decides */

	do {
		if ((old & FD_CLOSING) || !(is_unknown || (old & FD_KNOWN)))
			return -EBADF;
		if (is_unknown && (old & FD_GONE))
			return -EAGAIN;
		now = old + FD_REF;
		now |= old & FD_LOCK(side) ? FD_QUEUED(side) : FD_LOCK(side);
	} while (!cas_acq_rel(&f->word, &old, now)); /* FD-WORD */
	return !(old & FD_LOCK(side));
}

int fd_lock_slow(struct io *io)
{
	struct fd *f = io->fd;
	struct waiter w = {0};
	struct fd_hold hold = {.record = {.fn = hold_nothing, .drop = hold_drop},
			       .fd = f,
			       .side = io->side,
			       .is_unknown = io->is_unknown,
			       .locker = &w};

	lock_acquire(&f->polled.lock);
	/* relaxed: as in is_life() */
	hold.life = io->life = load_rlx(&f->polled.generation);
	int taken = take_or_queue(f, io->side, io->is_unknown);
	if (taken) {
		lock_release(&f->polled.lock);
		return taken < 0 ? taken : 0;
	}
	waitq_push(&f->lockers[io->side], &w);
	deferred_push(&hold.record);
	int error = waitq_wait(&w, &f->polled.lock, WAIT_IO, io->deadline);
	deferred_remove(&hold.record);
	if (error) {
		unqueue(f, io->side, io->life);
	} else if (!w.ok) {
		error = -EBADF; /* FD8: it has no place any more */
	} else if (load_rlx(&f->word) & FD_CLOSING) { /* relaxed: it came with the lock */
		fd_unlock_life(f, io->side, io->life);
		error = -EBADF;
	}
	return error;
}

static inline int fd_lock(struct io *io)
{
	struct fd *f = io->fd;
	uint32_t old = load_rlx(&f->word); /* relaxed: the swap decides */

	do {
		if (unlikely((old & (FD_KNOWN | FD_CLOSING)) != FD_KNOWN))
			return -EBADF;
		if (unlikely(old & FD_LOCK(io->side)))
			return fd_lock_slow(io);
	} while (!cas_acq(&f->word, &old, (old | FD_LOCK(io->side)) + FD_REF)); /* FD-WORD */
	return 0;
}

/* ---- waiting ---- */

/* Of one direction or the other. */
static inline bool has_deadline(const struct fd *f)
{
	return load_acq(&f->deadline[POLL_READ]) || /* POLL-KICK: as in io_deadline() */
	       load_acq(&f->deadline[POLL_WRITE]);  /* POLL-KICK: likewise */
}

int64_t io_deadline(const struct io *io)
{
	int64_t deadline = io->deadline;

	for (int i = POLL_READ; i <= POLL_WRITE; i++) {
		int64_t own = load_acq(&io->fd->deadline[i]); /* POLL-KICK: why we were woken */
		if (own && ((int)io->side == i || io->side == POLL_ANY) && own < deadline)
			deadline = own;
	}
	if (unlikely(io->with != NULL)) { /* FD9 */
		int64_t others = load_acq(&io->with->deadline[!io->side]); /* POLL-KICK: as above */
		if (others && others < deadline)
			deadline = others;
	}
	return deadline;
}

static inline bool is_closing(const struct io *io)
{
	/* relaxed, both: ordered by the fence of the wait, or seen soon */
	return (load_rlx(&io->fd->word) & FD_CLOSING) ||
	       (unlikely(io->with != NULL) && (load_rlx(&io->with->word) & FD_CLOSING)); /* so */
}

/* After a waiter was published: must it look again instead? PO5. */
static bool has_changed(const struct io *io, int64_t deadline)
{
	return is_closing(io) || io_deadline(io) != deadline;
}

/* On g0. PO3: io lies on the G's stack, and is read before. */
static bool plain_commit(struct g *gp, void *arg)
{
	const struct io io = *(const struct io *)arg;
	struct polled *pd = &io.fd->polled;

	poll_wait_begins();
	if (polled_publish(pd, io.side, (uint64_t)(uintptr_t)gp) &&
	    !(has_changed(&io, OS_FOREVER) &&
	      polled_withdraw(pd, io.side, (uint64_t)(uintptr_t)gp)))
		return true;
	return false;
}

struct rare_wait {
	struct poll_wait poll;
	struct wait wait;
	struct waiter waiter;
	struct io *io;
	int64_t deadline;
};

/* Under polled.lock. */
static bool rare_end(struct poll_wait *poll, struct glist *ready)
{
	struct rare_wait *rare = container_of(poll, struct rare_wait, poll);
	struct g *gp = rare->waiter.gp;
	uint32_t open = RACE_OPEN;

	if (!cas_acq_rel(&rare->wait.race, &open, RACE_WOKEN)) /* WAIT-RACE */
		return false;
	if (gp)
		glist_push(ready, gp);
	else
		waiter_wake(&rare->waiter);
	return true;
}

static uint64_t rare_word(struct rare_wait *rare)
{
	return (uint64_t)(uintptr_t)&rare->poll | PS_RARE;
}

/* On g0, or on the plain thread, at the end of what the wait's commit does; unlocks: PO4. */
static void rare_publish(void *arg)
{
	struct rare_wait *rare = arg;
	struct io *io = rare->io;
	struct polled *pd = &io->fd->polled;
	struct glist self = {0};

	if (rare->waiter.gp)
		poll_wait_begins();
	bool is_published = polled_publish(pd, io->side, rare_word(rare));
	if (!is_published || (has_changed(io, rare->deadline) &&
			      polled_withdraw(pd, io->side, rare_word(rare))))
		(void)rare_end(&rare->poll, &self);
	lock_release(&pd->lock);
	ready_list(&self);
}

/*
 * Not inlined, as its record is large: who waits plainly, with thousands of others, has its frames
 * in fewer cache lines without it.
 */
__attribute__((noinline)) static int wait_rare(struct io *io, int64_t deadline,
					       struct fd_hold *hold)
{
	struct rare_wait rare = {.poll = {.end = rare_end},
				 .wait = {.release = rare_publish},
				 .io = io,
				 .deadline = deadline};
	struct polled *pd = &io->fd->polled;

	/* A plain thread first of all: it counts as blocked, and for what, or it is a deadlock. */
	int error = g_self() ? 0 : poll_wait_begins_outside();
	if (error)
		return error;
	rare.wait.release_arg = &rare;
	wait_begin(&rare.wait, deadline);
	wait_join(&rare.wait, &rare.waiter, NULL);
	hold->published = rare_word(&rare);
	lock_acquire(&pd->lock);
	uint32_t race = wait_end_of(&rare.wait, &rare.waiter, WAIT_IO);
	if (MODEL_KEEP("poll-rare-lock"))
		lock_acquire(&pd->lock); /* PO4: who took it out may be looking at it */
	(void)polled_withdraw(pd, io->side, rare_word(&rare));
	if (MODEL_KEEP("poll-rare-lock"))
		lock_release(&pd->lock);
#ifdef GORO_DEBUG
	/* Who still has the record dies of it, whatever the stack holds by then: PO4. */
	*(bool (*volatile *)(struct poll_wait *, struct glist *))&rare.poll.end = NULL;
#endif
	poll_wait_ended(); /* NW2: under the lock it began; a timer may have been faster */
	error = wait_error(race);
	/* It was extended before we were there to be told. */
	return error == -ETIMEDOUT && !deadline_is_past(io_deadline(io)) ? 0 : error;
}

int io_wait(struct io *io)
{
	struct g *gp = g_self();
	struct fd_hold hold = {.record = {.fn = hold_nothing, .drop = hold_drop},
			       .fd = io->fd,
			       .side = io->side,
			       .is_held = io->is_held};
	int64_t deadline = io_deadline(io);
	int error = 0;

	if (unlikely(is_closing(io)))
		return -EBADF;
	if (deadline_is_past(deadline))
		return -ETIMEDOUT;
	if (io->side == POLL_READ)
		io->fd->is_drained = false; /* an event comes before the next look */
	deferred_push(&hold.record);
	if (likely(gp && deadline == OS_FOREVER && !gp->ctx)) {
		hold.published = (uint64_t)(uintptr_t)gp;
		park(plain_commit, io, WAIT_IO);
		poll_wait_ended();
	} else {
		error = wait_rare(io, deadline, &hold);
	}
	deferred_remove(&hold.record);
	return unlikely(is_closing(io)) ? -EBADF : error;
}

int64_t io_time_left(const struct io *io)
{
	int64_t deadline = io_deadline(io);

	if (load_rlx(&io->fd->word) & FD_CLOSING) /* relaxed: or it is seen soon */
		return -EBADF;
	if (call_is_canceled())
		return -ECANCELED;
	if (deadline == OS_FOREVER)
		return OS_FOREVER;
	int64_t left = deadline <= 0 ? 0 : deadline - os_now();
	return left > 0 ? left : -ETIMEDOUT;
}

int io_begin_until(struct io *io, struct fd *f, int number, enum poll_side side, int64_t until)
{
	*io = (struct io){.fd = f, .number = number, .side = side, .deadline = until};
	if (unlikely(call_is_canceled()))
		return -ECANCELED;
	int error = fd_lock(io);
	if (unlikely(error) || likely(!has_deadline(f)))
		return error;
	io->deadline = OS_FOREVER; /* what is there at once is had whatever the call's own says */
	int64_t deadline = io_deadline(io);
	io->deadline = until;
	if (deadline != OS_FOREVER && deadline_is_past(deadline)) {
		fd_unlock(f, side);
		return -ETIMEDOUT;
	}
	return 0;
}

void io_end(struct io *io)
{
	fd_unlock(io->fd, io->side);
}

/* ---- adding, closing, deadlines ---- */

/* Nobody uses the number: its last descriptor is gone. */
static void record_reset(struct fd *f)
{
	struct polled *pd = &f->polled;

	uint32_t generation = load_rlx(&pd->generation); /* relaxed: only we write */
	store_rel(&pd->generation, generation + 1); /* POLL-LIFE: older events are dropped */
	for (int i = 0; i < POLL_SIDES; i++)
		store_rlx(&pd->side[i], PS_NIL);  /* relaxed: an event that is lost is old; PO6 */
	store_rlx(&pd->has_hangup, false);        /* relaxed: likewise */
	store_rlx(&pd->has_any, false);           /* relaxed: likewise */
	for (int i = POLL_READ; i <= POLL_WRITE; i++) {
		store_rlx(&f->deadline[i], 0); /* relaxed: ordered by the word */
		store_rlx(&f->error[i], 0);    /* relaxed: likewise */
	}
	f->is_drained = false;
}

/* FD5. Whoever waits on the side looks again. */
static void fd_kick(struct fd *f, enum poll_side side)
{
	struct glist ready = {0};
	bool is_inside = m_self() || outside_enter();

	/* Without a run no plain waiter is woken: the run's end takes its wait back. */
	polled_kick(&f->polled, side, is_inside, &ready);
	if (side != POLL_ANY) {
		/* FD9; relaxed: ordered by the fence of the kick */
		struct fd *other = load_rlx(&f->copies_with[side]);
		if (unlikely(other != NULL))
			polled_kick(&other->polled, !side, is_inside, &ready);
	}
	ready_list(&ready);
	if (is_inside && !m_self())
		outside_leave();
}

/* Mark as closing, and count ourselves. 0, or -EBADF: somebody else closes it. */
static int close_begin(struct fd *f)
{
	uint32_t old = load_rlx(&f->word); /* relaxed: the swap decides */

	do {
		if ((old & (FD_KNOWN | FD_CLOSING)) != FD_KNOWN)
			return -EBADF;
	} while (!cas_acq_rel(&f->word, &old, (old | FD_CLOSING) + FD_REF)); /* FD-WORD */
	return 0;
}

/* A run ended around a goroutine that closes: as if it had not begun. */
static void close_drop(struct deferred *d)
{
	struct fd *f = container_of(d, struct fd_hold, record)->fd;
	uint32_t old = load_rlx(&f->word); /* relaxed: the swap decides */

	while (!cas_acq_rel(&f->word, &old, (old & ~FD_CLOSING) - FD_REF)) /* FD-WORD */
		;
}

static void close_wait(struct fd *f)
{
	struct fd_hold hold = {.record = {.fn = hold_nothing, .drop = close_drop}, .fd = f};

	deferred_push(&hold.record);
	for (;;) {
		struct waiter w = {0};
		lock_acquire(&f->polled.lock);
		uint32_t word = load_acq(&f->word); /* FD-WORD: what the others did */
		if (word / FD_REF == 1 || !MODEL_KEEP("close-wait"))
			break;
		waitq_push(&f->closers, &w);
		waitq_wait_shielded(&w, &f->polled.lock, WAIT_IO);
	}
	lock_release(&f->polled.lock);
	deferred_remove(&hold.record);
}

/* The last reference is the caller's: the number is unknown from now on. */
static void forget_now(struct fd *f, int number, uint32_t word)
{
	netpoll_remove(number);
	record_reset(f);
	/* Before close(): another thread may get the number at once. */
	store_rel(&f->word, word); /* FD-WORD */
}

/* All calls on it end with -EBADF; then the number is unknown. 0, -EBADF: somebody else does it. */
static int forget(struct fd *f, int number, uint32_t word)
{
	int error = close_begin(f);

	if (error)
		return error;
	for (int side = 0; side < POLL_SIDES; side++)
		fd_kick(f, side);
	close_wait(f);
	forget_now(f, number, word);
	return 0;
}

/* A number that is known: added twice (-EEXIST), or closed behind our back, and another's now. */
static int look_again(struct fd *f, int number)
{
	int error = netpoll_add(number, &f->polled);

	return error ? error : forget(f, number, 0);
}

int fd_prepare(void)
{
	CALL_SCOPE;

	return poll_start(polled_at);
}

int fd_add(int number, enum fd_kind kind)
{
	int error = poll_start(polled_at);

	if (error)
		return error;
	struct fd *f = fd_make(number);
	if (!f)
		return -ENOMEM;
	if (unlikely(load_acq(&f->word) & FD_KNOWN)) /* FD-WORD */
		error = look_again(f, number);
	if (!error) {
		store_rlx(&f->kind, (uint8_t)kind); /* relaxed: as fd_kind_of() */
		error = netpoll_add(number, &f->polled); /* an event that comes now is kept */
	} else if (error == -EEXIST) {
		store_rlx(&f->kind, (uint8_t)kind); /* relaxed: it was the same, or RD1 */
	}
	if (error && error != -EEXIST)
		return error;
	uint32_t old = load_rlx(&f->word); /* relaxed: the swap decides */
	while (!cas_acq_rel(&f->word, &old, old | FD_KNOWN)) /* FD-WORD */
		;
	return 0;
}

/* FD7. It may take a while: SO_LINGER, a file's last data, the last characters of a terminal. */
int fd_close_now(struct fd *f, int number)
{
	goro_syscall_enter();
	int result = os_fd_close(number);
	uint32_t old = load_rlx(&f->word); /* relaxed: the swap decides */
	while (!cas_acq_rel(&f->word, &old, old & ~FD_GONE)) /* FD-WORD */
		;
	goro_syscall_exit(); /* last: the run may end around us here */
	(void)call_enter();  /* we are in a call still */
	return result;
}

static int close_known(struct fd *f, int number)
{
	CALL_SCOPE;
	int error = forget(f, number, FD_GONE);

	return error ? error : fd_close_now(f, number);
}

void fd_abandon(int number)
{
	struct fd *f = fd_known(number);

	if (f && close_begin(f) == 0)
		forget_now(f, number, 0);
	(void)os_fd_close(number);
}

int goro_close(int number)
{
	struct fd *f = fd_known(number);

	return f ? close_known(f, number) : native_close(number);
}

int goro_fd_add(int number)
{
	CALL_SCOPE;
	enum fd_kind kind = FD_OTHER;
	int error = os_fd_is_nonblocking(number);

	if (error < 0)
		return error;
	int type = os_socket_option(number, SOL_SOCKET, SO_TYPE);
	if (type >= 0) {
		bool is_tcp = os_socket_option(number, SOL_SOCKET, SO_PROTOCOL) == IPPROTO_TCP;
		kind = type != SOCK_STREAM ? FD_DATAGRAM : FD_SOCKET;
		if (kind == FD_SOCKET && is_tcp && !os_socket_has_ulp(number))
			kind = FD_TCP;
	}
	bool was_blocking = error == 0;
	error = fd_add(number, kind);
	if (!error && was_blocking)
		error = os_fd_set_nonblocking(number);
	return error;
}

/* One that is being closed has become unknown a moment before its number is free: FD7. */
static int deadline_of_unknown(int number)
{
	const struct fd *f = fd_at(number);

	if (f && (load_rlx(&f->word) & FD_GONE)) /* relaxed: or close(2) is over, and says so */
		return -EBADF;
	int error = os_fd_is_nonblocking(number);
	return error < 0 ? error : -EPERM;
}

static int set_deadline(int number, int64_t deadline, bool is_for_reads, bool is_for_writes)
{
	struct fd *f = fd_known(number);

	if (!f)
		return deadline_of_unknown(number);
	CALL_SCOPE;
	if (fd_use(f))
		return -EBADF;
	if (deadline == OS_FOREVER)
		deadline = 0; /* none */
	else if (deadline <= 0)
		deadline = 1; /* past */
	if (is_for_reads)
		store_rel(&f->deadline[POLL_READ], deadline); /* POLL-KICK */
	if (is_for_writes)
		store_rel(&f->deadline[POLL_WRITE], deadline); /* POLL-KICK */
	if (is_for_reads)
		fd_kick(f, POLL_READ);
	if (is_for_writes)
		fd_kick(f, POLL_WRITE);
	if (load_rlx(&f->polled.has_any)) /* relaxed: who sets it looks at the deadline later */
		fd_kick(f, POLL_ANY);
	fd_unuse(f);
	return 0;
}

int goro_set_deadline(int number, int64_t deadline)
{
	return set_deadline(number, deadline, true, true);
}

int goro_set_read_deadline(int number, int64_t deadline)
{
	return set_deadline(number, deadline, true, false);
}

int goro_set_write_deadline(int number, int64_t deadline)
{
	return set_deadline(number, deadline, false, true);
}
