/*
 * pinned.c - PIN-01: goroutines that stay on one thread and share it.
 *
 *   .pinned -> gettid() is the same after every call, and so are thread-locals
 *           -> nobody else runs there; there are as many such threads as Ps at most
 *
 * Go: LockOSThread is for one goroutine a thread (locked.c).
 */
#include "sys_tap.h"

static void spawn_pinned(void (*fn)(void *), void *arg)
{
	require_eq(goro_spawn_attr(&(struct goro_attr){.pinned = true}, fn, arg), 0);
}

/* ---- the thread stays ---- */

static __thread int local;

/* Not kept in a register, nor its address: it is what the thread has at that moment. */
__attribute__((noinline)) static int *local_now(void)
{
	int *at = &local;
	__asm__ volatile("" : "+r"(at));
	return at;
}

struct mover {
	goro_chan *c, *done;
	goro_mutex *mutex;
	int rounds, n_moved;
	pid_t tid;
	bool is_pinned;
};

static void nothing(void *unused)
{
	(void)unused;
}

static void computes(int64_t ns)
{
	for (int64_t end = tap_now() + ns; tap_now() < end;)
		continue;
}

static void moves_by(struct mover *m, int how)
{
	int x = 0;
	switch (how % 10) {
	case 0:
		goro_yield();
		break;
	case 1:
		goro_sleep(GORO_US(50));
		break;
	case 2:
		goro_put(m->c, how);
		break;
	case 3:
		(void)goro_chan_recv_until(m->c, &x, goro_now() + GORO_MS(1));
		break;
	case 4:
		goro_mutex_lock(m->mutex);
		goro_yield();
		goro_mutex_unlock(m->mutex);
		break;
	case 5:
		goro_blocking(nothing, NULL);
		break;
	case 6:
		usleep(200); /* its P is taken, perhaps */
		goro_checkpoint();
		break;
	case 7:
		computes(how % 40 == 7 ? GORO_MS(15) : 1000); /* it is stopped, perhaps */
		goro_checkpoint();
		break;
	case 8:
		goro_lock_thread();
		goro_yield();
		goro_unlock_thread();
		break;
	default:
		goro_syscall_enter();
		usleep(100);
		goro_syscall_exit();
	}
}

static void moves(void *arg)
{
	struct mover *m = arg;
	m->tid = thread_id();
	int *at = local_now();
	for (int i = 0; i < m->rounds; i++) {
		moves_by(m, i + (int)(uintptr_t)m / 64);
		m->n_moved += thread_id() != m->tid || local_now() != at;
	}
	goro_chan_send(m->done, NULL);
}

static void drains(goro_chan *c)
{
	while (goro_get(c, int) >= 0)
		continue;
}

GORO_CASE(pinned_goroutine_stays_on_its_thread, .id = "PIN-01", .is_race = true, .timeout_s = 60)
{
	enum { PINNED = 12, OTHERS = 12 };
	struct mover m[PINNED + OTHERS];
	goro_mutex mutex = {0};
	goro_chan *c = goro_chan_of(int, 1), *done = goro_chan_make(0, 0);
	go(drains, c);
	for (int i = 0; i < PINNED + OTHERS; i++) {
		m[i] = (struct mover){c, done, &mutex, tap_share(100), .is_pinned = i % 2};
		if (m[i].is_pinned)
			spawn_pinned(moves, &m[i]);
		else
			require_eq(goro_spawn(moves, &m[i]), 0);
	}
	for (int i = 0; i < PINNED + OTHERS; i++)
		goro_chan_recv(done, NULL);
	for (int i = 0; i < PINNED + OTHERS; i++)
		if (m[i].is_pinned)
			expect_eq(m[i].n_moved, 0);
	goro_put(c, -1);
	wait_for(goro_count() == 1);
}

/* ---- they share it, and nobody else does ---- */

struct watcher {
	pid_t tid;
	goro_chan *go_on;
	int *n_there;
};

static void says_where(void *arg)
{
	struct watcher *w = arg;
	w->tid = thread_id();
	add(w->n_there, 1);
	goro_chan_recv(w->go_on, NULL);
	expect_eq(thread_id(), w->tid);
	add(w->n_there, -1);
}

static int different(const struct watcher *w, int n)
{
	int n_different = 0;
	for (int i = 0; i < n; i++) {
		bool is_new = true;
		for (int k = 0; k < i; k++)
			is_new = is_new && w[k].tid != w[i].tid;
		n_different += is_new;
	}
	return n_different;
}

static bool is_among(pid_t tid, const struct watcher *w, int n)
{
	for (int i = 0; i < n; i++)
		if (w[i].tid == tid)
			return true;
	return false;
}

static void looks_where(const struct watcher *w, int n, int *n_wrong, goro_chan *done)
{
	for (int i = 0; i < 20; i++) {
		*n_wrong += is_among(thread_id(), w, n);
		goro_yield();
	}
	goro_put(done, 1);
}

GORO_CASE(pinned_goroutines_share_threads_with_each_other_only, .id = "PIN-01", .is_race = true)
{
	enum { PINNED = 50, OTHERS = 50 };
	struct watcher w[PINNED];
	int n_there = 0, n_wrong[OTHERS] = {0}, most = goro_maxprocs(0);
	goro_chan *go_on = goro_chan_of(int, 0), *done = goro_chan_of(int, 0);
	for (int i = 0; i < PINNED; i++) {
		w[i] = (struct watcher){0, go_on, &n_there};
		spawn_pinned(says_where, &w[i]);
	}
	wait_for(load(&n_there) == PINNED);
	expect_le(different(w, PINNED), most);
	expect(!is_among(thread_id(), w, PINNED));
	for (int i = 0; i < OTHERS; i++)
		go(looks_where, w, PINNED, &n_wrong[i], done);
	for (int i = 0; i < OTHERS; i++)
		(void)goro_get(done, int);
	for (int i = 0; i < OTHERS; i++)
		expect_eq(n_wrong[i], 0);
	goro_chan_close(go_on);
	wait_for(load(&n_there) == 0 && goro_count() == 1);
}

/*
 * Their threads are everybody's again: not one more for each round. There are sysmon and the
 * starter; as many threads with a P, and as many hosts, as there are Ps; and those on their way to
 * the idle list, which a P that is given away meanwhile does not wait for: so many only if the
 * kernel stops each of them just there.
 */
GORO_CASE(threads_are_free_again_when_the_last_pinned_goroutine_has_ended, .id = "PIN-01")
{
	enum { ROUNDS = 200, ON_THE_WAY = 8 };
	int most = 0;
	for (int round = 0; round < ROUNDS; round++) {
		struct watcher w[10];
		int n_there = 0;
		goro_chan *go_on = goro_chan_of(int, 0);
		for (int i = 0; i < 10; i++) {
			w[i] = (struct watcher){0, go_on, &n_there};
			spawn_pinned(says_where, &w[i]);
		}
		wait_for(load(&n_there) == 10);
		goro_chan_close(go_on);
		wait_for(goro_count() == 1);
		goro_chan_unref(go_on);
		int n = thread_count();
		most = n > most ? n : most;
	}
	expect_le(most, 2 + 2 * goro_maxprocs(0) + ON_THE_WAY);
}

/* ---- who keeps whom waiting ---- */

static void reads_a_pipe(void *fd)
{
	char c;
	expect_eq(read(*(int *)fd, &c, 1), 1);
}

static void adds_one(void *n)
{
	add((int *)n, 1);
}

/* With one P there is one such thread: the first keeps the second, and nobody else. */
GORO_CASE(pinned_goroutine_that_blocks_keeps_only_its_like, .id = "PIN-01", .procs = "1")
{
	int fd[2], n_pinned = 0, n_others = 0;
	struct ticker t;
	require_eq(pipe(fd), 0);
	ticker_start(&t);
	spawn_pinned(reads_a_pipe, &fd[0]);
	goro_sleep(GORO_MS(2));
	spawn_pinned(adds_one, &n_pinned);
	for (int i = 0; i < 100; i++)
		require_eq(goro_spawn(adds_one, &n_others), 0);
	wait_for(load(&n_others) == 100);
	wait_for(load(&t.n) > 20);
	expect_eq(load(&n_pinned), 0);
	require_eq(write(fd[1], "x", 1), 1);
	wait_for(load(&n_pinned) == 1);
	ticker_stop(&t);
	close(fd[0]);
	close(fd[1]);
}

static int is_over;

static void loops(void *unused)
{
	(void)unused;
	while (!__atomic_load_n(&is_over, __ATOMIC_RELAXED))
		continue;
}

GORO_CASE(pinned_loop_is_stopped_like_any_other, .id = "PIN-01", .is_race = true)
{
	struct ticker t;
	store(&is_over, 0);
	ticker_start(&t);
	for (int i = 0; i < goro_maxprocs(0) + 1; i++)
		spawn_pinned(loops, NULL);
	for (int i = 0; i < 10; i++)
		goro_sleep(GORO_MS(1));
	wait_for(load(&t.n) > 10);
	store(&is_over, 1);
	ticker_stop(&t);
	wait_for(goro_count() == 1);
}

static void spins_with_calls(void *n)
{
	while (!load(&is_over)) {
		add((int *)n, 1);
		goro_checkpoint();
	}
}

/* Those that make calls take turns on their thread. */
GORO_CASE(pinned_goroutines_take_turns, .id = "PIN-01", .is_race = true, .timeout_s = 60)
{
	int n[8] = {0};
	store(&is_over, 0);
	for (int i = 0; i < 8; i++)
		spawn_pinned(spins_with_calls, &n[i]);
	for (int i = 0; i < 8; i++)
		wait_for(load(&n[i]) > 0);
	store(&is_over, 1);
	wait_for(goro_count() == 1);
}

struct turns {
	int n;
	goro_chan *go_on;
};

static void spins_when_told(void *arg)
{
	struct turns *t = arg;
	add(&t->n, 1);
	goro_chan_recv(t->go_on, NULL);
	spins_with_calls(&t->n);
}

/* Nobody but the second wants what the first has, and another P does not help it. */
GORO_CASE(pinned_goroutines_take_turns_beside_an_idle_p, .id = "PIN-01", .procs = "1")
{
	struct turns t[2];
	goro_chan *go_on = goro_chan_of(int, 0);
	store(&is_over, 0);
	for (int i = 0; i < 2; i++) {
		t[i] = (struct turns){0, go_on};
		spawn_pinned(spins_when_told, &t[i]);
	}
	wait_for(load(&t[0].n) + load(&t[1].n) == 2);
	goro_maxprocs(3);
	goro_chan_close(go_on);
	for (int i = 0; i < 100 && (load(&t[0].n) < 2 || load(&t[1].n) < 2); i++)
		goro_sleep(GORO_MS(20));
	expect_gt(load(&t[0].n), 1);
	expect_gt(load(&t[1].n), 1);
	store(&is_over, 1);
	wait_for(goro_count() == 1);
}

static void locks_a_while(void *n)
{
	for (int i = 0; i < 10; i++) {
		goro_lock_thread();
		goro_yield();
		goro_unlock_thread();
		goro_yield();
	}
	add((int *)n, 1);
}

/* Their records are used again. */
GORO_CASE(goroutines_after_pinned_ones_are_ordinary, .id = "PIN-01", .is_idle = true)
{
	int n = 0;
	for (int i = 0; i < 100; i++)
		spawn_pinned(adds_one, &n);
	wait_for(load(&n) == 100 && goro_count() == 1);
	for (int i = 0; i < 100; i++)
		require_eq(goro_spawn(locks_a_while, &n), 0);
	wait_for(load(&n) == 200 && goro_count() == 1);
}

static void locks_and_waits(void *arg)
{
	struct watcher *w = arg;
	w->tid = thread_id();
	goro_lock_thread();
	add(w->n_there, 1);
	goro_chan_recv(w->go_on, NULL);
	goro_unlock_thread();
	goro_yield();
	expect_eq(thread_id(), w->tid);
}

GORO_CASE(pinned_goroutine_that_locks_keeps_the_others_off, .id = "PIN-01", .procs = "1")
{
	int n_there = 0, n_ran = 0;
	goro_chan *go_on = goro_chan_of(int, 0);
	struct watcher w = {0, go_on, &n_there};
	spawn_pinned(locks_and_waits, &w);
	wait_for(load(&n_there) == 1);
	spawn_pinned(adds_one, &n_ran);
	for (int i = 0; i < 100; i++)
		goro_yield();
	goro_sleep(GORO_MS(5));
	expect_eq(load(&n_ran), 0);
	goro_chan_close(go_on);
	wait_for(load(&n_ran) == 1 && goro_count() == 1);
}

static void ends_locked(void *tid)
{
	store((pid_t *)tid, thread_id());
	goro_lock_thread();
}

static bool is_thread_there(pid_t tid)
{
	char path[64];
	snprintf(path, sizeof(path), "/proc/self/task/%d", tid);
	return access(path, F_OK) == 0;
}

GORO_CASE(pinned_goroutine_that_ends_locked_leaves_the_thread_to_its_like, .id = "PIN-01",
	  .procs = "1")
{
	int n_there = 0;
	pid_t tid = 0;
	goro_chan *go_on = goro_chan_of(int, 0);
	struct watcher w = {0, go_on, &n_there};
	spawn_pinned(says_where, &w);
	wait_for(load(&n_there) == 1);
	spawn_pinned(ends_locked, &tid);
	wait_for(load(&tid) != 0 && goro_count() == 2);
	expect_eq(load(&tid), w.tid);
	goro_chan_close(go_on);
	wait_for(goro_count() == 1);
	/* And alone: the thread ends with it, unless it is the initial one. */
	store(&tid, 0);
	spawn_pinned(ends_locked, &tid);
	wait_for(load(&tid) != 0 && goro_count() == 1);
	if (load(&tid) != getpid())
		wait_for(!is_thread_there(load(&tid)));
}

/* ---- everything else goes on ---- */

static void passes_on(goro_chan *in, goro_chan *out)
{
	int x;
	pid_t tid = thread_id();
	while (goro_chan_recv(in, &x)) {
		expect(tid != 0);
		goro_put(out, x + 1);
	}
	goro_chan_close(out);
}

struct link {
	goro_chan *in, *out;
};

static void passes_on_pinned(void *arg)
{
	struct link *l = arg;
	passes_on(l->in, l->out);
}

GORO_CASE(chain_of_pinned_and_others, .id = "PIN-01", .is_race = true, .timeout_s = 60)
{
	enum { LINKS = 30 };
	int n = tap_share(300);
	struct link l[LINKS];
	goro_chan *first = goro_chan_of(int, 1), *in = first;
	for (int i = 0; i < LINKS; i++) {
		l[i] = (struct link){in, goro_chan_of(int, i % 3)};
		if (i % 2)
			spawn_pinned(passes_on_pinned, &l[i]);
		else
			go(passes_on, l[i].in, l[i].out);
		in = l[i].out;
	}
	for (int i = 0; i < n; i++) {
		goro_put(first, i);
		expect_eq(goro_get(in, int), i + LINKS);
	}
	goro_chan_close(first);
	expect(!goro_chan_recv(in, NULL));
	wait_for(goro_count() == 1);
}

GORO_CASE(pinned_goroutines_while_the_number_of_ps_changes, .id = "PIN-01", .timeout_s = 60)
{
	enum { PINNED = 8 };
	struct mover m[PINNED];
	goro_mutex mutex = {0};
	int before = goro_maxprocs(0);
	goro_chan *c = goro_chan_of(int, 1), *done = goro_chan_make(0, PINNED);
	go(drains, c);
	for (int i = 0; i < PINNED; i++) {
		m[i] = (struct mover){c, done, &mutex, tap_share(100), .is_pinned = true};
		spawn_pinned(moves, &m[i]);
	}
	for (int i = 0; goro_chan_len(done) < PINNED; i++) {
		goro_maxprocs(1 + i % 5);
		goro_sleep(GORO_US(300));
	}
	goro_maxprocs(before);
	for (int i = 0; i < PINNED; i++)
		expect_eq(m[i].n_moved, 0);
	goro_put(c, -1);
	wait_for(goro_count() == 1);
}

static void pins_one_more(void *arg)
{
	struct watcher *w = arg;
	add(w->n_there, 1);
	goro_exit();
}

static void panics(void *unused)
{
	(void)unused;
	goro_panic("pinned");
}

static void tries(void *arg)
{
	struct watcher *w = arg;
	char text[16];
	pid_t tid = thread_id();
	expect(!goro_try(panics, NULL, text, sizeof(text)));
	goro_yield();
	expect_eq(thread_id(), tid);
	add(w->n_there, 1);
}

GORO_CASE(pinned_goroutine_may_exit_and_panic, .id = "PIN-01")
{
	int n_there = 0;
	struct watcher w = {0, NULL, &n_there};
	for (int i = 0; i < 100; i++)
		spawn_pinned(i % 2 ? pins_one_more : tries, &w);
	wait_for(goro_count() == 1);
	expect_eq(n_there, 100);
}

static void *thread_spawns(void *n)
{
	for (int i = 0; i < 100; i++)
		spawn_pinned(adds_one, n);
	return NULL;
}

GORO_CASE(plain_thread_spawns_pinned_goroutines, .id = "PIN-01")
{
	int n = 0;
	pthread_t thread;
	require_eq(pthread_create(&thread, NULL, thread_spawns, &n), 0);
	wait_for(load(&n) == 100);
	pthread_join(thread, NULL);
}

/* ---- ends ---- */

static int run_and_leave(void *arg)
{
	static int n_there;
	static struct watcher w[20];
	goro_chan *go_on = goro_chan_of(int, 0);
	int how = *(int *)arg;
	for (int i = 0; i < 20; i++) {
		w[i] = (struct watcher){0, go_on, &n_there};
		spawn_pinned(how % 3 == 2 ? spins_with_calls : says_where,
			     how % 3 == 2 ? (void *)&n_there : (void *)&w[i]);
	}
	if (how % 3 == 1)
		wait_for(load(&n_there) >= 20);
	store(&n_there, 0);
	return how;
}

TAP_CASE(run_ends_while_pinned_goroutines_wait_run_or_have_not_begun, .id = "PIN-01",
	 .is_race = true)
{
	store(&is_over, 0);
	for (int i = 0; i < 30; i++)
		expect_eq(goro_run(run_and_leave, &i), i);
}

static void waits_for_ever(void *unused)
{
	(void)unused;
	goro_chan_recv(NULL, NULL);
}

GORO_CHILD(deadlock_of_pinned)
{
	spawn_pinned(waits_for_ever, NULL);
	spawn_pinned(waits_for_ever, NULL);
	waits_for_ever(NULL);
}

TAP_CASE(pinned_goroutines_that_all_wait_are_a_deadlock, .id = "PIN-01", .is_idle = true)
{
	struct tap_child c;
	if (getenv("TAP_EMULATED"))
		tap_skip("the process has threads of somebody else");
	for (int i = 0; i < 5; i++) {
		tap_child(&c, "deadlock_of_pinned");
		expect_child(&c, 2, "fatal error: all goroutines are asleep - deadlock!\n");
	}
}

TAP_MAIN
