/*
 * goro_version.c - whether the library that runs is the one that was compiled against.
 */
#include <stdio.h>
#include <string.h>
#include <goro.h>

int goro_main(int argc, char **argv)
{
	(void)argc, (void)argv;
	if (strcmp(goro_version(), GORO_VERSION) == 0)
		printf("the same\n");
	else
		printf("compiled for %s, running %s\n", GORO_VERSION, goro_version());
	return 0;
}

/*
 * Prints:
 *   the same
 */
