/*
 * tls_echo.c - echo over TLS: OpenSSL on a descriptor that does not block.
 *
 *   usage: tls_echo ADDRESS CERTIFICATE KEY      port 0 takes any free one; the two are PEM files
 *   cc -std=gnu11 -Iinclude examples/tls_echo.c build/libgoro.a -lssl -lcrypto -pthread
 *
 *   SSL_read, ... -> "want read" -> goro_fd_wait parks until there is more -> SSL_read again
 *
 * Prints "listening on 127.0.0.1:7443". OpenSSL reads and writes the socket itself; what it would
 * wait for, we wait for. A goroutine changes thread only in a call of goro, and OpenSSL's queue of
 * errors is the thread's: it is cleared before each call of OpenSSL, and asked right after it.
 */
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <string.h>

#include "goro.h"

#define PATIENCE GORO_SEC(30)

struct tls {
	int fd;
	SSL *ssl;
	bool is_broken; /* OpenSSL wants nothing more to be sent, not even a goodbye */
};

/*
 * Whether to make a call of OpenSSL again, which returned result: it was not ready, and is now.
 */
static bool tls_again(struct tls *tls, int result, int64_t deadline)
{
	int why = SSL_get_error(tls->ssl, result);
	switch (why) {
	case SSL_ERROR_WANT_READ:
		return goro_fd_wait(tls->fd, POLLIN, deadline) > 0;
	case SSL_ERROR_WANT_WRITE:
		return goro_fd_wait(tls->fd, POLLOUT, deadline) > 0;
	case SSL_ERROR_SSL:
	case SSL_ERROR_SYSCALL:
		tls->is_broken = true;
	}
	return false;
}

/* call is one of OpenSSL's that say 1 or more when they are done. Its value is the last one. */
#define TLS_CALL(tls, call)                                                  \
	__extension__({                                                      \
		int64_t deadline_ = goro_now() + PATIENCE;                   \
		int result_;                                                 \
		do {                                                         \
			ERR_clear_error();                                   \
			result_ = (call);                                    \
		} while (result_ <= 0 && tls_again(tls, result_, deadline_)); \
		result_;                                                     \
	})

static void echo(struct tls *tls)
{
	char data[4096];
	int n;

	if (TLS_CALL(tls, SSL_accept(tls->ssl)) <= 0)
		return;
	while ((n = TLS_CALL(tls, SSL_read(tls->ssl, data, sizeof(data)))) > 0)
		if (TLS_CALL(tls, SSL_write(tls->ssl, data, n)) <= 0)
			return;
	if (!tls->is_broken)
		TLS_CALL(tls, SSL_shutdown(tls->ssl));
}

static void serve(SSL_CTX *context, int fd)
{
	struct tls tls = {.fd = fd, .ssl = SSL_new(context)};

	if (tls.ssl && SSL_set_fd(tls.ssl, fd))
		echo(&tls);
	else
		warnx("no memory for a connection");
	SSL_free(tls.ssl);
	goro_close(fd);
}

static SSL_CTX *context_make(const char *certificate, const char *key)
{
	SSL_CTX *context = SSL_CTX_new(TLS_server_method());

	if (!context || !SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) ||
	    SSL_CTX_use_certificate_chain_file(context, certificate) <= 0 ||
	    SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) <= 0 ||
	    !SSL_CTX_check_private_key(context))
		errx(2, "%s, %s: %s", certificate, key,
		     ERR_error_string(ERR_peek_last_error(), NULL));
	/* A connection that waits holds no buffers; a peer may not begin anew for ever. */
	SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION);
	return context;
}

int goro_main(int argc, char **argv)
{
	if (argc != 4)
		errx(2, "usage: tls_echo ADDRESS CERTIFICATE KEY");
	SSL_CTX *context = context_make(argv[2], argv[3]);
	int listener = goro_listen("tcp4", argv[1]);
	if (listener < 0)
		errx(2, "%s: %s", argv[1],
		     listener == -ENOENT ? "no such host or service" : strerror(-listener));
	struct sockaddr_in at;
	socklen_t size = sizeof(at);
	if (getsockname(listener, (struct sockaddr *)&at, &size) < 0)
		err(1, "getsockname");
	printf("listening on %s:%d\n", inet_ntoa(at.sin_addr), ntohs(at.sin_port));
	fflush(stdout);
	for (;;) {
		int fd = goro_accept(listener, NULL, NULL);
		if (fd >= 0) {
			go(serve, context, fd);
			continue;
		}
		/* Out of descriptors or memory: the connection waits in the queue, and so do we. */
		warnx("accept: %s", strerror(-fd));
		goro_sleep(GORO_MS(100));
	}
}
