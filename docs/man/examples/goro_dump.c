/*
 * goro_dump.c - a dump into a file, and what it says of one goroutine.
 */
#include <stdio.h>
#include <string.h>
#include <goro.h>

static void reader(goro_chan *c)
{
	goro_set_name("reader");
	while (goro_chan_recv(c, NULL))
		continue;
}

/* Is there a line with the text in a dump? */
static bool dump_has(FILE *file, const char *text)
{
	char line[256];
	bool is_found = false;

	rewind(file);
	goro_dump(fileno(file));
	rewind(file);
	while (!is_found && fgets(line, sizeof(line), file))
		is_found = strstr(line, text) != NULL;
	return is_found;
}

int goro_main(int argc, char **argv)
{
	(void)argc, (void)argv;
	goro_chan *c = goro_chan_of(int, 0);
	FILE *file = tmpfile();

	if (!file)
		return 1;
	go(reader, c);
	goro_put(c, 1);
	/* "goroutine 2 [chan receive]:", then: started with reader, name "reader", ... */
	while (!dump_has(file, "goroutine 2 [chan receive]"))
		goro_sleep(GORO_MS(1));
	if (dump_has(file, "name \"reader\""))
		printf("the reader waits\n");
	fclose(file);
	goro_chan_close(c);
	goro_chan_unref(c);
	return 0;
}

/*
 * Prints:
 *   the reader waits
 */
