/*
 * sqlworkers.c - a pool of goroutines that write rows into an SQLite file and query it.
 *
 *   usage: sqlworkers FILE [WORKERS]       its table "job" is made anew; 8 workers if not told
 *   cc -std=gnu11 -Iinclude examples/sqlworkers.c build/libgoro.a -lsqlite3 -pthread
 *
 *   main -> jobs -> workers, a connection each -> sums -> main
 *
 * Prints "1000 rows by 8 workers, sum 499500". SQLite's calls block, as in any program: on the
 * disk, and in sqlite3_busy_timeout() until another has written. The other goroutines go on.
 * A connection may be used on whatever thread its goroutine is on (SQLite's default, "serialized").
 */
#include <err.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>

#include "goro.h"

static const char *path;

static void must(sqlite3 *db, int status)
{
	if (status != SQLITE_OK && status != SQLITE_ROW && status != SQLITE_DONE)
		errx(1, "%s: %s", path, sqlite3_errmsg(db));
}

static sqlite3 *open_file(const char *first)
{
	sqlite3 *db = NULL;
	int status = sqlite3_open(path, &db);
	must(db, status);
	must(db, sqlite3_busy_timeout(db, 60000)); /* milliseconds to wait for other writers */
	must(db, sqlite3_exec(db, first, NULL, NULL, NULL));
	return db;
}

/* Writes a row for each job; at the end the sum of all that this worker wrote goes to main. */
static void worker(int id, goro_chan *jobs, goro_chan *sums)
{
	sqlite3 *db = open_file("PRAGMA synchronous = NORMAL");
	sqlite3_stmt *insert, *sum;
	must(db, sqlite3_prepare_v2(db, "INSERT INTO job VALUES (?, ?)", -1, &insert, NULL));
	must(db, sqlite3_prepare_v2(db, "SELECT sum(n) FROM job WHERE id = ?", -1, &sum, NULL));
	for (int n; goro_chan_recv(jobs, &n);) {
		must(db, sqlite3_bind_int(insert, 1, id));
		must(db, sqlite3_bind_int(insert, 2, n));
		must(db, sqlite3_step(insert));
		must(db, sqlite3_reset(insert));
	}
	must(db, sqlite3_bind_int(sum, 1, id));
	must(db, sqlite3_step(sum));
	sqlite3_int64 result = sqlite3_column_int64(sum, 0);
	sqlite3_finalize(insert);
	sqlite3_finalize(sum);
	sqlite3_close(db);
	goro_put(sums, result); /* last: when main has all of them, the program ends */
}

int goro_main(int argc, char **argv)
{
	int workers = argc > 2 ? atoi(argv[2]) : 8;
	if (argc < 2 || argc > 3 || workers < 1 || workers > 1000)
		errx(2, "usage: sqlworkers FILE [WORKERS]    WORKERS is 1 to 1000");
	path = argv[1];
	sqlite3_close(open_file("PRAGMA journal_mode = WAL; DROP TABLE IF EXISTS job;"
				"CREATE TABLE job (id INT, n INT)"));

	goro_chan *jobs = goro_chan_of(int, 0), *sums = goro_chan_of(sqlite3_int64, 0);
	for (int id = 0; id < workers; id++)
		go(worker, id, jobs, sums);
	for (int n = 0; n < 1000; n++)
		goro_put(jobs, n);
	goro_chan_close(jobs);
	long long total = 0;
	for (int id = 0; id < workers; id++)
		total += goro_get(sums, sqlite3_int64);
	printf("1000 rows by %d workers, sum %lld\n", workers, total);
	return 0;
}
