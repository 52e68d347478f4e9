/*
 * httpd_files.h - of httpd.c: the files that are served; each is kept open for a second, and small
 * ones whole, so that what many ask for is read once. Descriptors are few: [files_sweep] closes
 * what nobody asked for since.
 *
 *   target -> [path_of] -> path -> slot, a lock each -> file, with a reference for who asked
 */
#ifndef HTTPD_FILES_H
#define HTTPD_FILES_H

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "goro.h"

enum {
	PATH_SIZE = 1040, /* room for "./", a path, "index.html", and the end */
	SMALL_MAX = 8192, /* bytes of a file that is kept whole */
	FILES_MAX = 256,  /* that are kept open */
};

struct file {
	_Atomic int references;
	int fd; /* or -1: it is small, and whole */
	off_t size;
	int64_t opened_at;
	char path[PATH_SIZE];
	char modified[32];
	char head[192]; /* what the answer's head says of it, and the empty line */
	size_t head_size;
	char small[];
};

static struct slot {
	goro_mutex lock;
	struct file *file;
} files[FILES_MAX];

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/*
 * The file that a target means: "./name". False: no name of ours. Neither a name that begins with a
 * dot (so no "..") nor an empty one between two slashes is.
 */
static bool path_of(const char *target, size_t size, char path[PATH_SIZE])
{
	const char *from = target, *end = target + size;
	size_t n = 0;

	bool has_host = size > 7 && strncasecmp(from, "http://", 7) == 0;
	if (has_host)
		for (from += 7; from < end && !strchr("/?#", *from);)
			from++;
	bool has_path = from < end && *from == '/';
	if (!has_host && !has_path)
		return false;
	path[n++] = '.';
	if (!has_path)
		path[n++] = '/'; /* behind a host it is the same */
	for (; from < end && *from != '?' && *from != '#'; from++) {
		int ch = (uint8_t)*from;
		if (ch == '%') {
			if (end - from < 3 || hex(from[1]) < 0 || hex(from[2]) < 0)
				return false;
			ch = hex(from[1]) << 4 | hex(from[2]);
			from += 2;
		}
		if (ch == '\0' || ((ch == '.' || ch == '/') && path[n - 1] == '/'))
			return false;
		path[n++] = (char)ch;
	}
	const char *name = path[n - 1] == '/' ? "index.html" : "";
	memcpy(path + n, name, strlen(name) + 1);
	return true;
}

static void http_date(char text[32], time_t time)
{
	struct tm tm;
	gmtime_r(&time, &tm);
	strftime(text, 32, "%a, %d %b %Y %H:%M:%S GMT", &tm);
}

static const char *type_of(const char *path)
{
	static const char *const types[][2] = {
		{".html", "text/html; charset=utf-8"},	{".css", "text/css; charset=utf-8"},
		{".js", "text/javascript"},		{".json", "application/json"},
		{".txt", "text/plain; charset=utf-8"},	{".svg", "image/svg+xml"},
		{".png", "image/png"},			{".jpg", "image/jpeg"},
	};
	const char *end = strrchr(path, '.');
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (strcmp(end, types[i][0]) == 0)
			return types[i][1];
	return "application/octet-stream";
}

static void file_drop(struct file *f)
{
	if (!f || --f->references > 0)
		return;
	if (f->fd >= 0)
		goro_close(f->fd);
	free(f);
}

/* The record of an open descriptor, which is then its own. 0, or a negative errno value. */
static int file_make(struct file **out, int fd, const char *path)
{
	struct stat st;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return S_ISDIR(st.st_mode) ? -EISDIR : -EACCES;
	bool is_small = st.st_size <= SMALL_MAX;
	struct file *f = malloc(sizeof(*f) + (is_small ? SMALL_MAX : 0));
	if (!f)
		return -ENOMEM;
	*f = (struct file){.references = 1, .fd = fd, .size = st.st_size, .opened_at = goro_now()};
	if (is_small) {
		ssize_t n = goro_pread(fd, f->small, SMALL_MAX, 0);
		if (n < 0) {
			free(f);
			return (int)n;
		}
		f->size = n; /* it may have changed meanwhile */
		f->fd = -1;
		goro_close(fd);
	}
	snprintf(f->path, sizeof(f->path), "%s", path);
	http_date(f->modified, st.st_mtime);
	f->head_size = (size_t)snprintf(f->head, sizeof(f->head),
					"Content-Type: %s\r\nContent-Length: %lld\r\n"
					"Last-Modified: %s\r\n\r\n",
					type_of(path), (long long)f->size, f->modified);
	*out = f;
	return 0;
}

static int file_open(struct file **out, const char *path)
{
	int fd = goro_open(path, O_RDONLY | O_NONBLOCK); /* a FIFO would wait for a writer */
	if (fd < 0)
		return fd;
	int error = file_make(out, fd, path);
	if (error)
		goro_close(fd);
	return error;
}

static struct slot *slot_lock(const char *path)
{
	uint32_t hash = 2166136261u;
	for (const char *p = path; *p; p++)
		hash = (hash ^ (uint8_t)*p) * 16777619u;
	struct slot *slot = &files[hash % FILES_MAX];
	goro_mutex_lock(&slot->lock);
	return slot;
}

static bool is_old(const struct file *f, int64_t now)
{
	return now - f->opened_at > GORO_SEC(1);
}

/* The file, with a reference for the caller. 0, or a negative errno value. */
static int file_get(struct file **out, const char *path, int64_t now)
{
	struct slot *slot = slot_lock(path);
	struct file *old = NULL;
	int error = 0;

	if (!slot->file || strcmp(slot->file->path, path) != 0 || is_old(slot->file, now)) {
		old = slot->file;
		slot->file = NULL;
		error = file_open(&slot->file, path);
	}
	*out = slot->file;
	if (!error)
		slot->file->references++;
	goro_mutex_unlock(&slot->lock);
	file_drop(old);
	return error;
}

/* Another file has taken the name: who asks from now on gets that one. */
static void file_forget(const char *path)
{
	struct slot *slot = slot_lock(path);
	struct file *old = slot->file;
	slot->file = NULL;
	goro_mutex_unlock(&slot->lock);
	file_drop(old);
}

static void files_sweep(void)
{
	for (;; goro_sleep(GORO_SEC(1))) {
		for (struct slot *slot = files; slot < files + FILES_MAX; slot++) {
			struct file *old = NULL;
			goro_mutex_lock(&slot->lock);
			if (slot->file && is_old(slot->file, goro_now())) {
				old = slot->file;
				slot->file = NULL;
			}
			goro_mutex_unlock(&slot->lock);
			file_drop(old);
		}
	}
}

#endif
