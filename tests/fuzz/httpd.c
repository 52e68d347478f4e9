/*
 * httpd.c - fuzz: bytes for examples/httpd.c.
 *
 *   see bytes.h; the output must be answers, as far as a status line and a length tell
 *
 * It runs in a folder of its own, which has the same files before each input. Without the parser's
 * header the program is a skip.
 */
#if __has_include(<http_parser.h>)
#define goro_main httpd_main
#include "../../examples/httpd.c"
#undef goro_main

#include <dirent.h>

#include "bytes.h"

static void httpd_serve(int fd)
{
	goro_sem_acquire(&slots, 1);
	serve(fd);
}

static void file_write(const char *name, size_t size)
{
	static char data[SMALL_MAX * 2];
	int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0644);

	require(fd >= 0 && size <= sizeof(data));
	for (size_t i = 0; data[0] == '\0' && i < sizeof(data); i++)
		data[sizeof(data) - 1 - i] = "0123456789abcdef"[i % 16];
	require(write(fd, data, size) == (ssize_t)size && close(fd) == 0);
}

/* No connection, no file kept open, only our files in the folders. */
static void httpd_reset(void)
{
	goro_sem_acquire(&slots, max_connections);
	goro_sem_release(&slots, max_connections);
	for (int i = 0; i < FILES_MAX; i++) {
		if (files[i].file)
			expect_eq(files[i].file->references, 1);
		file_drop(files[i].file);
		files[i].file = NULL;
	}
	DIR *folder = opendir(".");
	require(folder != NULL);
	for (struct dirent *d; (d = readdir(folder)) != NULL;) {
		expect(strncmp(d->d_name, ".upload", 7) != 0);
		if (d->d_type == DT_REG && strcmp(d->d_name, "small") != 0 &&
		    strcmp(d->d_name, "large") != 0)
			unlink(d->d_name);
	}
	closedir(folder);
	unlink("folder/index.html");
	file_write("small", 100);
	file_write("large", SMALL_MAX + 5000);
}

static void draw_field(struct bytes *b, uint64_t *state)
{
	static const char *const fields[] = {
		"Host: y\r\n", "Connection: close\r\n", "Connection: keep-alive\r\n",
		"Expect: 100-continue\r\n", "Expect: x\r\n", "Content-Length: 0\r\n",
		"Content-Length: 7\r\n", "Content-Length: 2000000\r\n",
		"Transfer-Encoding: chunked\r\n", "Transfer-Encoding: x\r\n",
		"Transfer-Encoding: gzip, chunked\r\n", "Content-Range: bytes 0-1/2\r\n",
		"If-Modified-Since: Thu, 01 Jan 1970 00:00:00 GMT\r\n", "A: b\r\n c\r\n",
		"Upgrade: websocket\r\nConnection: upgrade\r\n", "Accept: */*\r\n",
	};
	static char large[9000];

	memset(large, 'x', sizeof(large));
	if (draw_below(state, 30) == 0) {
		add_text(b, "X: ");
		add(b, large, draw_below(state, sizeof(large)));
		add_text(b, "\r\n");
	} else {
		add_text(b, draw_of(state, fields));
	}
}

static void draw_body(struct bytes *b, uint64_t *state)
{
	char line[32];

	if (draw_below(state, 2)) {
		add_text(b, "Content-Length: 10\r\n\r\n0123456789");
		return;
	}
	add_text(b, "Transfer-Encoding: chunked\r\n\r\n");
	for (uint64_t n = draw_below(state, 5); n > 0; n--) {
		static char chunk[3000];
		size_t size = 1 + draw_below(state, draw_below(state, 4) ? 20 : sizeof(chunk));
		memset(chunk, 'c', sizeof(chunk));
		snprintf(line, sizeof(line), "%zx\r\n", size);
		add_text(b, line);
		add(b, chunk, size);
		add_text(b, "\r\n");
	}
	add_text(b, draw_below(state, 4) ? "0\r\n\r\n" : "0\r\nTrailer: x\r\n\r\n");
}

static void httpd_draw(struct bytes *b, uint64_t *state)
{
	static const char *const methods[] = {"GET", "GET", "GET", "HEAD", "PUT", "PUT", "POST",
					      "DELETE", "CONNECT", "OPTIONS", "PRI", "get"};
	static const char *const targets[] = {
		"/small", "/large", "/", "/folder", "/folder/", "/none", "/..", "/%2e%2e/x",
		"/a%20b", "/%", "*", "http://h/small", "http://h", "/small?a=b", "//", "/.x",
		"/new",
	};
	static const char *const versions[] = {" HTTP/1.1\r\n", " HTTP/1.1\r\n", " HTTP/1.1\r\n",
					       " HTTP/1.0\r\n", " HTTP/2.0\r\n", "\r\n"};

	for (uint64_t n = 1 + draw_below(state, 6); n > 0; n--) {
		const char *method = draw_of(state, methods);
		add_text(b, method);
		add_text(b, " ");
		add_text(b, draw_of(state, targets));
		add_text(b, draw_of(state, versions));
		if (draw_below(state, 16))
			add_text(b, "Host: x\r\n");
		for (uint64_t fields = draw_below(state, 3); fields > 0; fields--)
			if (draw_below(state, 3) == 0)
				draw_field(b, state);
		if (strcmp(method, "PUT") == 0)
			draw_body(b, state);
		else
			add_text(b, "\r\n");
	}
	if (draw_below(state, 3) > 0)
		damage(b, state);
}

/*
 * A head that is too large and has a mistake, too, is refused for the one or the other: that the
 * parser decides by how it is cut. Either is the last answer.
 */
static size_t without_refusal(const char *output, size_t size)
{
	static const char *const refusals[] = {"HTTP/1.1 400 ", "HTTP/1.1 431 "};

	for (size_t i = 0; i < 2; i++) {
		const char *p = memmem(output, size, refusals[i], strlen(refusals[i]));
		if (p)
			size = (size_t)(p - output) + strlen("HTTP/1.1 4");
	}
	return size;
}

/* What the clock decides becomes blank. Every status line that we find must be one. */
static bool httpd_normalise(char *output, size_t *size)
{
	static const char *const dates[] = {"\r\nDate: ", "\r\nLast-Modified: "};
	char *end = output + *size;

	for (size_t i = 0; i < 2; i++) {
		size_t length = strlen(dates[i]);
		for (char *p = output; (p = memmem(p, (size_t)(end - p), dates[i], length));) {
			p += length;
			if (end - p < 29)
				return false;
			memset(p, ' ', 29);
		}
	}
	if (*size == 0)
		return true;
	bool is_answer = *size > 20 && memcmp(output, "HTTP/1.1 ", 9) == 0 &&
			 memmem(output, *size, "\r\n\r\n", 4) != NULL;
	*size = without_refusal(output, *size);
	return is_answer;
}

static const struct server httpd = {httpd_serve, httpd_reset, httpd_draw, httpd_normalise};

static int run(void *unused)
{
	char folder[] = "/tmp/goro-fuzz-httpd.XXXXXX", command[64];

	(void)unused;
	require(mkdtemp(folder) != NULL && chdir(folder) == 0 && mkdir("folder", 0755) == 0);
	has_uploads = true;
	max_upload = 1 << 20;
	http_parser_set_max_header_size(HEAD_MAX);
	goro_sem_init(&slots, max_connections);
	fuzz(&httpd);
	httpd_reset();
	snprintf(command, sizeof(command), "rm -rf '%s'", folder);
	expect_eq(system(command), 0);
	return 0;
}

TAP_CASE(httpd_answers_the_same_however_its_input_is_cut, .timeout_s = 60)
{
	expect_eq(goro_run(run, NULL), 0);
}

#else

#include "tap.h"

TAP_CASE(httpd_answers_the_same_however_its_input_is_cut)
{
	tap_skip("there is no http_parser.h");
}

#endif

TAP_MAIN
