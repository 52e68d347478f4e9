/*
 * sqlite.c - SQLite from a crowd of goroutines: a connection each on one file, and one for all.
 *
 *   sqlite own|announced|shared FILE
 *
 * own, announced: in WAL mode, and who finds the file locked sleeps within SQLite (busy_timeout).
 * shared: one connection; SQLite takes a pthread mutex around each call, for which most wait.
 * A transaction goes over calls of goro and so over threads, which SQLite allows.
 */
#include "crowd.h"

#include <sqlite3.h>

enum { ROUNDS = 8 };

static const char *path;
static sqlite3 *shared;
static _Atomic long sum_seen;
static bool is_shared;

/* ---- one call of SQLite ---- */

struct query {
	sqlite3 *db;
	const char *text;
	int id, round; /* bound to ?1 and ?2 */
	long value;    /* the first column of the last row */
};

static void query_run(void *arg)
{
	struct query *q = arg;
	sqlite3_stmt *statement = NULL;
	int status = sqlite3_prepare_v2(q->db, q->text, -1, &statement, NULL);

	if (status != SQLITE_OK)
		fail("%s: %s", q->text, sqlite3_errstr(status));
	if (sqlite3_bind_parameter_count(statement) > 0) {
		sqlite3_bind_int(statement, 1, q->id);
		sqlite3_bind_int(statement, 2, q->round);
	}
	while ((status = sqlite3_step(statement)) == SQLITE_ROW)
		q->value = (long)sqlite3_column_int64(statement, 0);
	if (status != SQLITE_DONE)
		fail("%s: %s", q->text, sqlite3_errstr(status));
	sqlite3_finalize(statement);
}

static long query(sqlite3 *db, const char *text, int id, int round)
{
	struct query q = {.db = db, .text = text, .id = id, .round = round, .value = -1};

	call(query_run, &q);
	return q.value;
}

struct opening {
	sqlite3 *db;
};

static void opening_run(void *arg)
{
	struct opening *o = arg;
	int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE |
		    (is_shared ? SQLITE_OPEN_FULLMUTEX : SQLITE_OPEN_NOMUTEX);

	if (sqlite3_open_v2(path, &o->db, flags, NULL) != SQLITE_OK)
		fail("%s: %s", path, sqlite3_errmsg(o->db));
	sqlite3_busy_timeout(o->db, 60000);
}

static sqlite3 *open_file(void)
{
	struct opening o = {NULL};

	call(opening_run, &o);
	return o.db;
}

static void close_file(sqlite3 *db)
{
	if (sqlite3_close(db) != SQLITE_OK)
		fail("a connection is not closed");
}

/* ---- the crowd ---- */

static void prepare(void)
{
	sqlite3 *db = open_file();

	query(db, "PRAGMA journal_mode = WAL", 0, 0);
	query(db, "DROP TABLE IF EXISTS row", 0, 0);
	query(db, "DROP TABLE IF EXISTS total", 0, 0);
	query(db, "CREATE TABLE row (id INT, round INT, UNIQUE (id, round))", 0, 0);
	query(db, "CREATE TABLE total (n INT)", 0, 0);
	query(db, "INSERT INTO total VALUES (0)", 0, 0);
	sum_seen = 0;
	if (is_shared)
		shared = db;
	else
		close_file(db);
}

static void work_own(int id)
{
	sqlite3 *db = open_file();

	query(db, "PRAGMA synchronous = OFF", 0, 0);
	for (int round = 0; round < ROUNDS; round++) {
		query(db, "BEGIN IMMEDIATE", 0, 0);
		long before = query(db, "SELECT n FROM total", 0, 0);
		query(db, "INSERT INTO row VALUES (?1, ?2)", id, round);
		goro_yield(); /* the transaction stays open, the thread may change */
		query(db, "UPDATE total SET n = n + 1", 0, 0);
		long after = query(db, "SELECT n FROM total", 0, 0);
		query(db, "COMMIT", 0, 0);
		if (after != before + 1)
			fail("another wrote within a transaction: %ld, then %ld", before, after);
	}
	sum_seen += query(db, "SELECT sum(round) FROM row WHERE id = ?1 AND ?2 = 0", id, 0);
	close_file(db);
}

static void work_shared(int id)
{
	for (int round = 0; round < ROUNDS; round++) {
		query(shared, "INSERT INTO row VALUES (?1, ?2)", id, round);
		query(shared, "UPDATE total SET n = n + 1", 0, 0);
		goro_yield();
	}
	sum_seen += query(shared, "SELECT sum(round) FROM row WHERE id = ?1 AND ?2 = 0", id, 0);
}

static void verify(void)
{
	sqlite3 *db = is_shared ? shared : open_file();
	long n_rows = query(db, "SELECT count(*) FROM row", 0, 0);
	long n_ids = query(db, "SELECT count(DISTINCT id) FROM row", 0, 0);
	long total = query(db, "SELECT n FROM total", 0, 0);
	long is_whole = query(db, "SELECT count(*) FROM pragma_integrity_check "
				  "WHERE integrity_check = 'ok'",
			      0, 0);

	if (n_rows != CROWD * ROUNDS || n_ids != CROWD || total != CROWD * ROUNDS || is_whole != 1)
		fail("%ld rows of %ld goroutines, total %ld, whole %ld", n_rows, n_ids, total,
		     is_whole);
	if (sum_seen != CROWD * (ROUNDS * (ROUNDS - 1) / 2))
		fail("the goroutines saw %ld", sum_seen);
	close_file(db);
}

int goro_main(int argc, char **argv)
{
	struct crowd crowd = {.prepare = prepare, .work = work_own, .verify = verify};

	if (argc != 3)
		fail("usage: sqlite own|announced|shared FILE");
	path = argv[2];
	announced = strcmp(argv[1], "announced") == 0;
	is_shared = strcmp(argv[1], "shared") == 0;
	if (is_shared)
		crowd.work = work_shared;
	return crowd_run(&crowd);
}
