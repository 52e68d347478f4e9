/*
 * goro_group.c - pages that are fetched at the same time; the first failure ends the others.
 */
#include <errno.h>
#include <stdio.h>
#include <goro.h>

struct page {
	const char *name;
	int64_t delay; /* in place of a network */
	int error, length;
};

static int fetch(void *arg)
{
	struct page *page = arg;

	goro_sleep(page->delay); /* cancelled, it ends this goroutine quietly */
	page->length = page->error ? 0 : 100;
	return page->error;
}

static int fetch_all(struct page *pages, int n)
{
	GORO_GROUP(group);

	for (int i = 0; i < n; i++)
		if (goro_group_go(&group, fetch, &pages[i]) != 0)
			break;
	return goro_group_wait(&group);
}

static void gives_up(void *arg)
{
	GORO_GROUP(group);

	goro_group_go(&group, fetch, arg);
	goro_panic("no more"); /* cancels the group, and waits for it */
}

int goro_main(int argc, char **argv)
{
	(void)argc, (void)argv;
	struct page good[] = {{"a", GORO_MS(1), 0, 0}, {"b", GORO_MS(2), 0, 0}};
	struct page bad[] = {{"c", GORO_SEC(100), 0, 0}, {"d", GORO_MS(1), -ECONNREFUSED, 0}};
	char message[16];

	if (fetch_all(good, 2) == 0)
		printf("fetched: %d and %d\n", good[0].length, good[1].length);
	if (fetch_all(bad, 2) == -ECONNREFUSED)
		printf("refused: %d and %d\n", bad[0].length, bad[1].length);
	if (!goro_try(gives_up, &bad[0], message, sizeof(message)))
		printf("%s\n", message);
	return 0;
}

/*
 * Prints:
 *   fetched: 100 and 100
 *   refused: 0 and 0
 *   no more
 */
