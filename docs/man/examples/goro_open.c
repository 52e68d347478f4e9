/*
 * goro_open.c - four goroutines write parts of one file.
 */
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>
#include <goro.h>

static void fill(int fd, int part, goro_waitgroup *done)
{
	char text[8];

	int size = snprintf(text, sizeof(text), "part %d\n", part);
	if (goro_pwrite(fd, text, (size_t)size, 7 * part) != size)
		perror("goro_pwrite");
	goro_waitgroup_done(done);
}

int goro_main(int argc, char **argv)
{
	(void)argc, (void)argv;
	goro_waitgroup done = {0};
	char path[64], text[64];

	snprintf(path, sizeof(path), "/tmp/goro_open_%d", getpid());
	int fd = goro_open(path, O_RDWR | O_CREAT | O_EXCL, 0600);
	if (fd < 0)
		return 1;
	unlink(path);
	goro_waitgroup_add(&done, 4);
	for (int i = 0; i < 4; i++)
		go(fill, fd, i, &done);
	goro_waitgroup_wait(&done);
	goro_fsync(fd);
	ssize_t n = goro_pread(fd, text, sizeof(text), 0);
	printf("%.*s", (int)n, text);
	goro_close(fd);
	return 0;
}

/*
 * Prints:
 *   part 0
 *   part 1
 *   part 2
 *   part 3
 */
