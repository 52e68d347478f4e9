/*
 * fd.c - a wait for a descriptor whose time comes while its deadline is moved; src/io/fd.c, whose
 * waits end here as the test likes.
 */
#include "tap.h"

#include <unistd.h>

#define wait_end_of waits_as_told
#include "io/fd.c"
#undef wait_end_of

static struct {
	uint32_t race;
	int64_t new_deadline; /* of the descriptor, set before anybody can be told; or 0 */
	int n;
} told;

/* The timer is faster than the look that follows the publication. */
uint32_t waits_as_told(struct wait *wait, struct waiter *records, enum wait_reason reason)
{
	struct rare_wait *rare = container_of(wait, struct rare_wait, wait);

	(void)records;
	(void)reason;
	told.n++;
	store_rlx(&wait->race, told.race);
	if (told.new_deadline)
		store_rlx(&rare->io->fd->deadline[POLL_READ], told.new_deadline);
	wait->release(wait->release_arg);
	return told.race;
}

/* What io_wait() says of a read whose deadline, a moment ago in the future, has come. */
static int wait_ends(uint32_t race, int64_t new_deadline)
{
	int fd[2], before = told.n;
	struct io io;

	told.race = race;
	told.new_deadline = new_deadline;
	require_eq(pipe(fd), 0);
	require_eq(goro_fd_add(fd[0]), 0);
	expect_eq(goro_set_read_deadline(fd[0], os_now() + INT64_C(3600000000000)), 0);
	require_eq(io_begin(&io, fd_known(fd[0]), fd[0], POLL_READ), 0);
	int error = io_wait(&io);
	expect_eq(told.n, before + 1);
	expect_eq(load_rlx(&io.fd->polled.side[POLL_READ]), PS_NIL);
	io_end(&io);
	expect_eq(goro_close(fd[0]), 0);
	close(fd[1]);
	return error;
}

TAP_CASE(a_wait_that_was_extended_too_late_to_be_told_goes_on, .procs = "-")
{
	expect_eq(wait_ends(RACE_TIMEOUT, os_now() + INT64_C(7200000000000)), 0);
}

TAP_CASE(a_wait_that_was_not_extended_is_late, .procs = "-")
{
	expect_eq(wait_ends(RACE_TIMEOUT, 1), -ETIMEDOUT);
}

/* Extended or not: what was cancelled stays so. */
TAP_CASE(a_wait_that_was_cancelled_is_that, .procs = "-")
{
	expect_eq(wait_ends(RACE_CANCELED, os_now() + INT64_C(7200000000000)), -ECANCELED);
	expect_eq(wait_ends(RACE_CANCELED, 0), -ECANCELED);
}

TAP_MAIN
