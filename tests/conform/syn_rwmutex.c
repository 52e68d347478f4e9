/*
 * syn_rwmutex.c - SYN-06: readers together, writers alone, first come first served.
 *
 *   rdlock, wrlock -> inside | in the queue -> the last one out lets in the front
 *
 * Go: rwmutex_test.go: HammerRWMutex, TestParallelReaders.
 */
#include "goro_tap.h"

enum { WRITER_SHARE = 10000 };

struct hammer {
	goro_rwmutex rw;
	int activity, n_done, n_odd, rounds;
	uint64_t guarded[2]; /* plain; both the same while no writer is inside */
};

static void reads(struct hammer *h, int i)
{
	if (i % 8 == 5) {
		if (goro_rwmutex_rdlock_until(&h->rw, goro_now() + GORO_US(20)) != 0)
			return;
	} else if (i % 8 == 6) {
		if (!goro_rwmutex_tryrdlock(&h->rw))
			return;
	} else {
		goro_rwmutex_rdlock(&h->rw);
	}
	int n = add(&h->activity, 1);
	if (n < 1 || n >= WRITER_SHARE || h->guarded[0] != h->guarded[1])
		add(&h->n_odd, 1);
	if (i % 16 == 0 && goro_id() != 0)
		goro_yield();
	add(&h->activity, -1);
	goro_rwmutex_rdunlock(&h->rw);
}

static void writes(struct hammer *h, int i)
{
	if (i % 8 == 5) {
		if (goro_rwmutex_wrlock_until(&h->rw, goro_now() + GORO_US(20)) != 0)
			return;
	} else if (i % 8 == 6) {
		if (!goro_rwmutex_trywrlock(&h->rw))
			return;
	} else {
		goro_rwmutex_wrlock(&h->rw);
	}
	if (add(&h->activity, WRITER_SHARE) != WRITER_SHARE)
		add(&h->n_odd, 1);
	h->guarded[0]++;
	if (i % 16 == 0 && goro_id() != 0)
		goro_yield();
	h->guarded[1]++;
	add(&h->activity, -WRITER_SHARE);
	goro_rwmutex_wrunlock(&h->rw);
}

static void hammer_reads(void *arg)
{
	struct hammer *h = arg;
	for (int i = 0; i < h->rounds; i++)
		reads(h, i);
	add(&h->n_done, 1);
}

static void hammer_writes(void *arg)
{
	struct hammer *h = arg;
	for (int i = 0; i < h->rounds; i++)
		writes(h, i);
	add(&h->n_done, 1);
}

static void *thread_reads(void *h)
{
	hammer_reads(h);
	return NULL;
}

static void *thread_writes(void *h)
{
	hammer_writes(h);
	return NULL;
}

static void run_hammer(int n_readers, int n_threads)
{
	struct hammer h = {.rounds = 1000};
	pthread_t threads[4];
	for (int i = 0; i < n_threads; i++)
		require_eq(pthread_create(&threads[i], NULL, i % 2 ? thread_reads : thread_writes,
					  &h),
			   0);
	goro_spawn(hammer_writes, &h);
	for (int i = 0; i < n_readers / 2; i++)
		goro_spawn(hammer_reads, &h);
	goro_spawn(hammer_writes, &h);
	for (int i = n_readers / 2; i < n_readers; i++)
		goro_spawn(hammer_reads, &h);
	wait_for(load(&h.n_done) == n_readers + 2 + n_threads);
	for (int i = 0; i < n_threads; i++)
		pthread_join(threads[i], NULL);
	expect_eq(h.n_odd, 0);
	expect(goro_rwmutex_trywrlock(&h.rw));
	expect(h.guarded[0] == h.guarded[1] && h.guarded[0] > 0);
	goro_rwmutex_wrunlock(&h.rw);
}

GORO_CASE(a_writer_is_alone_and_readers_meet_no_writer, .id = "SYN-06", .is_race = true,
	  .timeout_s = 60)
{
	run_hammer(1, 0);
	run_hammer(3, 0);
	run_hammer(10, 0);
}

GORO_CASE(plain_threads_read_and_write_beside_goroutines, .id = "SYN-06", .is_race = true,
	  .timeout_s = 60)
{
	run_hammer(3, 4);
	run_hammer(10, 2);
}

/* ---- readers together ---- */

struct readers {
	goro_rwmutex rw;
	goro_chan *in, *out;
};

static void reads_and_stays(void *arg)
{
	struct readers *r = arg;
	goro_rwmutex_rdlock(&r->rw);
	goro_chan_send(r->in, NULL);
	goro_chan_recv(r->out, NULL);
	goro_rwmutex_rdunlock(&r->rw);
	goro_chan_send(r->in, NULL);
}

GORO_CASE(readers_are_inside_at_the_same_time, .id = "SYN-06")
{
	int counts[] = {1, 3, 10};
	for (int k = 0; k < 3; k++) {
		int n = counts[k];
		struct readers r = {.in = goro_chan_make(0, 0), .out = goro_chan_make(0, 0)};
		for (int i = 0; i < n; i++)
			goro_spawn(reads_and_stays, &r);
		for (int i = 0; i < n; i++)
			goro_chan_recv(r.in, NULL);
		expect(!goro_rwmutex_trywrlock(&r.rw));
		expect(goro_rwmutex_tryrdlock(&r.rw));
		goro_rwmutex_rdunlock(&r.rw);
		for (int i = 0; i < n; i++)
			goro_chan_send(r.out, NULL);
		for (int i = 0; i < n; i++)
			goro_chan_recv(r.in, NULL);
		expect(goro_rwmutex_trywrlock(&r.rw));
		goro_chan_unref(r.in);
		goro_chan_unref(r.out);
	}
}

/* ---- order ---- */

struct in_line {
	goro_rwmutex *rw;
	uint64_t id;
	bool is_writer;
	int64_t deadline;
	int *at, place, error, got;
};

static void stands_in_line(void *arg)
{
	struct in_line *l = arg;
	store(&l->id, goro_id());
	l->error = l->is_writer ? goro_rwmutex_wrlock_until(l->rw, l->deadline)
				: goro_rwmutex_rdlock_until(l->rw, l->deadline);
	l->place = l->error ? -1 : add(l->at, 1);
	store(&l->got, 1);
	if (l->error)
		return;
	if (l->is_writer)
		goro_rwmutex_wrunlock(l->rw);
	else
		goro_rwmutex_rdunlock(l->rw);
}

static void stand(struct in_line *l)
{
	goro_spawn(stands_in_line, l);
	wait_for(load(&l->id) != 0);
	wait_until_parked(load(&l->id), l->is_writer ? "sync.RWMutex.Lock" : "sync.RWMutex.RLock");
}

GORO_CASE(a_waiting_writer_stops_later_readers, .id = "SYN-06")
{
	goro_rwmutex rw = {0};
	int at = 0;
	struct in_line writer = {&rw, .is_writer = true, .deadline = GORO_FOREVER, .at = &at};
	struct in_line reader = {&rw, .deadline = GORO_FOREVER, .at = &at};
	goro_rwmutex_rdlock(&rw);
	stand(&writer);
	expect(!goro_rwmutex_tryrdlock(&rw));
	expect_eq(goro_rwmutex_rdlock_until(&rw, GORO_POLL), -ETIMEDOUT);
	stand(&reader);
	goro_rwmutex_rdunlock(&rw);
	wait_for(load(&writer.got) && load(&reader.got));
	expect_eq(writer.place, 1);
	expect_eq(reader.place, 2);
	wait_for(goro_count() == 1);
	expect(goro_rwmutex_trywrlock(&rw));
}

GORO_CASE(the_queue_is_served_in_order, .id = "SYN-06")
{
	goro_rwmutex rw = {0};
	int at = 0;
	/* w, r r, w, r, w: places 1, {2, 3}, 4, 5, 6 */
	static const bool kinds[] = {true, false, false, true, false, true};
	struct in_line l[6];
	goro_rwmutex_wrlock(&rw);
	for (int i = 0; i < 6; i++) {
		l[i] = (struct in_line){&rw, .is_writer = kinds[i], .deadline = GORO_FOREVER,
					.at = &at};
		stand(&l[i]);
	}
	goro_rwmutex_wrunlock(&rw);
	for (int i = 0; i < 6; i++)
		wait_for(load(&l[i].got));
	expect_eq(l[0].place, 1);
	expect(l[1].place + l[2].place == 5 && l[1].place != l[2].place);
	expect_eq(l[3].place, 4);
	expect_eq(l[4].place, 5);
	expect_eq(l[5].place, 6);
}

GORO_CASE(a_writer_that_gives_up_lets_readers_in, .id = "SYN-06")
{
	goro_rwmutex rw = {0};
	int at = 0;
	struct in_line writer = {&rw, .is_writer = true, .deadline = goro_now() + GORO_SEC(1),
				 .at = &at};
	struct in_line readers[3];
	goro_rwmutex_rdlock(&rw);
	stand(&writer);
	for (int i = 0; i < 3; i++) {
		readers[i] = (struct in_line){&rw, .deadline = GORO_FOREVER, .at = &at};
		goro_spawn(stands_in_line, &readers[i]);
	}
	wait_for(load(&at) == 3);
	wait_for(load(&writer.error) == -ETIMEDOUT); /* it may run after those that it lets in */
	expect_ge(goro_now(), writer.deadline);
	goro_rwmutex_rdunlock(&rw);
	wait_for(goro_count() == 1);
	expect(goro_rwmutex_trywrlock(&rw));
}

GORO_CASE(tries_and_polls_refuse_what_waits, .id = "SYN-06")
{
	goro_rwmutex rw = {0};
	expect(goro_rwmutex_trywrlock(&rw));
	expect(!goro_rwmutex_tryrdlock(&rw));
	expect(!goro_rwmutex_trywrlock(&rw));
	expect_eq(goro_rwmutex_wrlock_until(&rw, GORO_POLL), -ETIMEDOUT);
	expect_eq(goro_rwmutex_rdlock_until(&rw, goro_now() + GORO_MS(1)), -ETIMEDOUT);
	goro_rwmutex_wrunlock(&rw);
	expect_eq(goro_rwmutex_rdlock_until(&rw, GORO_POLL), 0);
	expect_eq(goro_rwmutex_rdlock_until(&rw, 1), 0);
	expect_eq(goro_rwmutex_wrlock_until(&rw, goro_now() + GORO_MS(1)), -ETIMEDOUT);
	goro_rwmutex_rdunlock(&rw);
	goro_rwmutex_rdunlock(&rw);
	expect_eq(goro_rwmutex_wrlock_until(&rw, GORO_POLL), 0);
	goro_rwmutex_wrunlock(&rw);
}

/* A run that ends takes its waiters along: nobody waits any more. */
static int leaves_a_writer(void *arg)
{
	go(goro_rwmutex_wrlock, (goro_rwmutex *)arg);
	wait_until_n_parked(1, "sync.RWMutex.Lock");
	expect(!goro_rwmutex_tryrdlock(arg));
	return 0;
}

TAP_CASE(after_a_run_a_try_joins_the_readers, .procs = "1,2,4")
{
	goro_rwmutex rw = {0};
	goro_rwmutex_rdlock(&rw);
	expect_eq(goro_run(leaves_a_writer, &rw), 0);
	expect(!goro_rwmutex_trywrlock(&rw));
	expect(goro_rwmutex_tryrdlock(&rw));
	goro_rwmutex_rdunlock(&rw);
	goro_rwmutex_rdunlock(&rw);
	expect(goro_rwmutex_trywrlock(&rw));
}

/* What stands in the library's own table, on stacks of goroutines that are gone, is taken out. */
static void waits_until_far(void *rw)
{
	(void)goro_rwmutex_rdlock_until(rw, goro_now() + GORO_SEC(1000));
}

static int leaves_a_crowd(void *arg)
{
	goro_rwmutex *rw = arg;

	goro_rwmutex_wrlock(rw);
	for (int i = 0; i < 20; i++) {
		go(goro_rwmutex_wrlock, rw);
		go(goro_rwmutex_rdlock, rw);
		go(waits_until_far, rw);
	}
	wait_until_n_parked(20, "sync.RWMutex.Lock");
	wait_until_n_parked(40, "sync.RWMutex.RLock");
	return 0;
}

static void fills_its_stack(void *arg)
{
	volatile char garbage[4096];

	(void)arg;
	for (size_t i = 0; i < sizeof(garbage); i++)
		garbage[i] = 0x55;
	goro_yield();
}

static void reads_once(void *rw)
{
	goro_rwmutex_rdlock(rw);
	goro_rwmutex_rdunlock(rw);
}

static int hands_over(void *arg)
{
	goro_rwmutex *rw = arg;

	for (int i = 0; i < 100; i++)
		goro_spawn(fills_its_stack, NULL);
	wait_for(goro_count() == 1);
	goro_rwmutex_wrunlock(rw); /* nobody is there whom it could let in */
	expect(goro_rwmutex_trywrlock(rw));
	for (int i = 0; i < 10; i++)
		goro_spawn(reads_once, rw);
	wait_until_n_parked(10, "sync.RWMutex.RLock");
	goro_rwmutex_wrunlock(rw);
	wait_for(goro_count() == 1);
	return 0;
}

TAP_CASE(after_a_run_with_waiters_the_next_hands_over, .procs = "1,2,4")
{
	static goro_rwmutex rw;

	expect_eq(goro_run(leaves_a_crowd, &rw), 0);
	expect_eq(goro_run(hands_over, &rw), 0);
}

TAP_MAIN
