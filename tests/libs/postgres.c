/*
 * postgres.c - libpq from a crowd of goroutines, of which 90 at a time have a connection.
 *
 *   postgres plain|announced CONNINFO
 *
 * A semaphore of goro keeps the number of connections below what the server allows. All add to one
 * row within transactions: who finds it locked waits in poll(2), within libpq, for a goroutine that
 * must go on meanwhile.
 */
#include "crowd.h"

#include <libpq-fe.h>

enum { CONNECTIONS = 90, ROUNDS = 2 };

static const char *conninfo;
static goro_sem connections;
static atomic_int n_open, most_open;

/* ---- calls of libpq ---- */

struct connecting {
	PGconn *db;
};

static void connecting_run(void *arg)
{
	struct connecting *c = arg;

	c->db = PQconnectdb(conninfo);
	if (PQstatus(c->db) != CONNECTION_OK)
		fail("connect: %s", PQerrorMessage(c->db));
}

static PGconn *connect_postgres(void)
{
	struct connecting c = {NULL};

	call(connecting_run, &c);
	return c.db;
}

static void disconnect_run(void *arg)
{
	PQfinish(arg);
}

struct query {
	PGconn *db;
	const char *text;
	int number;  /* $1, if the text has it */
	long value;  /* of the first column of the first row */
};

static void query_run(void *arg)
{
	struct query *q = arg;
	char number[16];
	const char *values[] = {number};

	snprintf(number, sizeof(number), "%d", q->number);
	PGresult *result = PQexecParams(q->db, q->text, strstr(q->text, "$1") != NULL, NULL, values,
					NULL, NULL, 0);
	ExecStatusType status = PQresultStatus(result);
	if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK)
		fail("%s: %s", q->text, PQerrorMessage(q->db));
	if (PQntuples(result) > 0)
		q->value = atol(PQgetvalue(result, 0, 0));
	PQclear(result);
}

static long query(PGconn *db, const char *text, int number)
{
	struct query q = {.db = db, .text = text, .number = number, .value = -1};

	call(query_run, &q);
	return q.value;
}

/* ---- the crowd ---- */

static void prepare(void)
{
	PGconn *db = connect_postgres();

	query(db, "SET client_min_messages = error", 0);
	query(db, "DROP TABLE IF EXISTS row", 0);
	query(db, "DROP TABLE IF EXISTS total", 0);
	query(db, "CREATE TABLE row (id int)", 0);
	query(db, "CREATE TABLE total (n int)", 0);
	query(db, "INSERT INTO total VALUES (0)", 0);
	PQfinish(db);
	goro_sem_init(&connections, CONNECTIONS);
	most_open = 0;
}

static void work(int id)
{
	goro_sem_acquire(&connections, 1);
	int n = ++n_open;
	for (int most = most_open; n > most && !atomic_compare_exchange_weak(&most_open, &most, n);)
		continue;
	PGconn *db = connect_postgres();
	for (int round = 0; round < ROUNDS; round++) {
		query(db, "BEGIN", 0);
		long before = query(db, "UPDATE total SET n = n + 1 RETURNING n", 0);
		query(db, "INSERT INTO row VALUES ($1::int)", id);
		goro_yield(); /* the row stays locked, the thread may change */
		long after = query(db, "SELECT n FROM total", 0);
		query(db, "COMMIT", 0);
		if (after != before)
			fail("another wrote a locked row: %ld, then %ld", before, after);
	}
	if (query(db, "SELECT count(*) FROM row WHERE id = $1::int", id) != ROUNDS)
		fail("goroutine %d does not find its rows", id);
	call(disconnect_run, db);
	n_open--;
	goro_sem_release(&connections, 1);
}

static void verify(void)
{
	PGconn *db = connect_postgres();
	long n_rows = query(db, "SELECT count(*) FROM row", 0);
	long n_ids = query(db, "SELECT count(DISTINCT id) FROM row", 0);
	long total = query(db, "SELECT n FROM total", 0);

	if (n_rows != CROWD * ROUNDS || n_ids != CROWD || total != CROWD * ROUNDS)
		fail("%ld rows of %ld goroutines, total %ld", n_rows, n_ids, total);
	if (most_open > CONNECTIONS)
		fail("%d connections at a time", most_open);
	PQfinish(db);
}

int goro_main(int argc, char **argv)
{
	/* What Kerberos, OpenSSL and the C library's NSS put on the stack is theirs to say. */
	struct crowd crowd = {.prepare = prepare, .work = work, .verify = verify,
			      .stack_size = 1 << 20};

	if (argc != 3)
		fail("usage: postgres plain|announced CONNINFO");
	announced = strcmp(argv[1], "announced") == 0;
	conninfo = argv[2];
	return crowd_run(&crowd);
}
