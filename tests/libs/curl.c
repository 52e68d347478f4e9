/*
 * curl.c - libcurl's easy handles from a crowd of goroutines, against an HTTP server of our own.
 *
 *   curl plain|announced|name
 *
 * The server is another process with plain threads, one for each connection: it answers "/ID/SIZE"
 * with SIZE bytes that follow from ID, half of them after a pause. A handle is reused, and with it
 * its connection. In the variant "name" the host is "localhost", which libcurl resolves in a thread
 * that it makes itself.
 */
#include "crowd.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

enum { ROUNDS = 4, PAUSE_US = 10000, SIZE_MOST = 40000 };

static unsigned char byte_at(int id, size_t at)
{
	return (unsigned char)(id * 31 + at * 7 + at / 251);
}

/* ---- the server ---- */

static void send_all(int fd, const void *data, size_t size)
{
	while (size > 0) {
		ssize_t n = send(fd, data, size, MSG_NOSIGNAL);
		if (n <= 0)
			return;
		data = (const char *)data + n;
		size -= (size_t)n;
	}
}

static void *serve_one(void *arg)
{
	int fd = (int)(intptr_t)arg, id, size;
	char request[4096], head[128];
	unsigned char body[SIZE_MOST];
	size_t have = 0;
	ssize_t n;

	while ((n = recv(fd, request + have, sizeof(request) - 1 - have, 0)) > 0) {
		request[have += (size_t)n] = '\0';
		if (!strstr(request, "\r\n\r\n"))
			continue;
		if (sscanf(request, "GET /%d/%d ", &id, &size) != 2 || size > SIZE_MOST)
			break;
		have = 0;
		for (int i = 0; i < size; i++)
			body[i] = byte_at(id, (size_t)i);
		send_all(fd, head,
			 (size_t)snprintf(head, sizeof(head),
					  "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", size));
		send_all(fd, body, (size_t)size / 2);
		usleep(PAUSE_US);
		send_all(fd, body + size / 2, (size_t)(size - size / 2));
	}
	close(fd);
	return NULL;
}

static void serve(int listener)
{
	pthread_attr_t attr;
	pthread_t thread;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	for (;;) {
		intptr_t fd = accept(listener, NULL, NULL);
		if (fd < 0 || pthread_create(&thread, &attr, serve_one, (void *)fd) != 0)
			_exit(1);
	}
}

static pid_t server_start(int *port)
{
	struct sockaddr_in at = {.sin_family = AF_INET,
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(at);
	int listener = socket(AF_INET, SOCK_STREAM, 0);

	if (bind(listener, (struct sockaddr *)&at, size) < 0 || listen(listener, 1024) < 0 ||
	    getsockname(listener, (struct sockaddr *)&at, &size) < 0)
		fail("the server cannot listen");
	*port = ntohs(at.sin_port);
	pid_t pid = fork();
	if (pid < 0)
		fail("no process for the server");
	if (pid == 0)
		serve(listener);
	close(listener);
	return pid;
}

/* ---- the crowd ---- */

static const char *host = "127.0.0.1";
static int port;
static atomic_long n_bytes;

struct fetch {
	CURL *curl;
	int id;
	size_t size, have;
};

static size_t fetch_take(char *data, size_t one, size_t n, void *arg)
{
	struct fetch *f = arg;

	for (size_t i = 0; i < n; i++)
		if ((unsigned char)data[i] != byte_at(f->id, f->have + i))
			fail("byte %zu of goroutine %d is wrong", f->have + i, f->id);
	f->have += n;
	return one * n;
}

static void fetch_run(void *arg)
{
	struct fetch *f = arg;
	char url[128];
	long status = 0;

	snprintf(url, sizeof(url), "http://%s:%d/%d/%zu", host, port, f->id, f->size);
	curl_easy_setopt(f->curl, CURLOPT_URL, url);
	curl_easy_setopt(f->curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(f->curl, CURLOPT_TIMEOUT, 60L);
	curl_easy_setopt(f->curl, CURLOPT_WRITEFUNCTION, fetch_take);
	curl_easy_setopt(f->curl, CURLOPT_WRITEDATA, f);
	CURLcode code = curl_easy_perform(f->curl);
	curl_easy_getinfo(f->curl, CURLINFO_RESPONSE_CODE, &status);
	if (code != CURLE_OK || status != 200 || f->have != f->size)
		fail("%s: %s, status %ld, %zu bytes", url, curl_easy_strerror(code), status,
		     f->have);
}

static void prepare(void)
{
	n_bytes = 0;
}

static void work(int id)
{
	struct fetch f = {.curl = curl_easy_init(), .id = id};

	if (f.curl == NULL)
		fail("no handle");
	for (int round = 0; round < ROUNDS; round++) {
		f.size = (size_t)(id * 131 + round * 977) % SIZE_MOST;
		f.have = 0;
		call(fetch_run, &f);
		n_bytes += (long)f.have;
		goro_yield();
	}
	curl_easy_cleanup(f.curl);
}

static void verify(void)
{
	long wanted = 0;

	for (int id = 0; id < CROWD; id++)
		for (int round = 0; round < ROUNDS; round++)
			wanted += (id * 131 + round * 977) % SIZE_MOST;
	if (n_bytes != wanted)
		fail("%ld bytes instead of %ld", n_bytes, wanted);
}

static int run(void *arg)
{
	(void)arg;
	/* What protocols and resolvers put on the stack is not documented: more than usual. */
	struct crowd crowd = {.prepare = prepare, .work = work, .verify = verify,
			      .stack_size = 1 << 20};
	return crowd_run(&crowd);
}

/* Its own main(): the server is forked before there are threads. */
int main(int argc, char **argv)
{
	if (argc != 2)
		fail("usage: curl plain|announced|name");
	announced = strcmp(argv[1], "announced") == 0;
	if (strcmp(argv[1], "name") == 0)
		host = "localhost";
	pid_t server = server_start(&port);
	if (curl_global_init(CURL_GLOBAL_ALL) != CURLE_OK)
		fail("libcurl does not start");
	int status = goro_run(run, NULL);
	curl_global_cleanup();
	kill(server, SIGKILL);
	waitpid(server, NULL, 0);
	return status;
}
