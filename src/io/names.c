/*
 * names.c - which names are for DNS alone, and whom to ask.
 *
 *   a name -> [names_read] -> nsswitch.conf, gai.conf, resolv.conf, hosts -> true: cares.c
 *                                                                     -> false: getaddrinfo()
 *
 * NA1  What is not known to mean the same to libc and to us is libc's: a source beside files and
 *      dns, an option, a variable of the environment, a character in a name.
 * NA2  A name that /etc/hosts has is libc's, too: it waits for nobody there. And any name is where
 *      a file is so large that to read it would keep others waiting: libc reads it in the hand-off.
 * NA3  The files are read at each lookup, as libc does, and so a change counts at once. There is
 *      nothing to keep, and nothing to lock.
 *
 * Locking: none. Go: net/conf.go, nss.go, dnsconfig_unix.go, hosts.go; there files are read again
 * when they are 5 s old.
 */
#include "io/names.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <strings.h>

#include "base/check.h"
#include "os/os_io.h"

const struct names_files names_files = {"/etc/nsswitch.conf", "/etc/resolv.conf", "/etc/hosts",
					"/etc/gai.conf"};

/* ---- words of a file ---- */

#define FILE_MOST (128u << 10) /* bytes; NA2 */

struct words {
	int fd;
	uint32_t n_before;     /* bytes that were read before what is in data */
	bool has_comments;     /* '#' begins one, wherever it stands */
	bool is_at_end;        /* of a line, whose last word was told */
	bool is_indented;      /* the word does not begin its line */
	uint32_t at, n;
	char data[2048];
	char word[HOST_MAX + 2]; /* cut: what is longer is no name */
};

enum word { WORD, LINE_END, FILE_END };

static int words_open(struct words *w, const char *path, bool has_comments)
{
	w->fd = os_fd_open(path, O_RDONLY | O_CLOEXEC, 0);
	w->has_comments = has_comments;
	w->is_at_end = w->is_indented = false;
	w->at = w->n = w->n_before = 0;
	return w->fd;
}

static bool words_are_too_many(const struct words *w)
{
	return w->n_before > FILE_MOST;
}

static void words_close(struct words *w)
{
	(void)os_fd_close(w->fd);
}

/* -1: no more. */
static int char_next(struct words *w)
{
	if (w->at == w->n) {
		w->n_before += w->n;
		ssize_t n = OS_AGAIN(os_fd_read(w->fd, w->data, sizeof(w->data)));
		w->at = 0;
		w->n = n > 0 ? (uint32_t)n : 0;
		if (n <= 0)
			return -1;
	}
	return (unsigned char)w->data[w->at++];
}

static enum word word_next(struct words *w)
{
	size_t length = 0;
	int c = w->is_at_end ? '\n' : char_next(w);

	w->is_at_end = w->is_indented = false;
	while (c != '\n' && c >= 0 && isspace(c)) {
		w->is_indented = true;
		c = char_next(w);
	}
	for (; c >= 0 && !isspace(c) && !(w->has_comments && c == '#'); c = char_next(w))
		if (length < sizeof(w->word) - 1)
			w->word[length++] = (char)c;
	w->word[length] = '\0';
	while (w->has_comments && c == '#' && (c = char_next(w)) >= 0 && c != '\n')
		c = '#';
	if (length > 0) {
		w->is_at_end = c == '\n';
		return WORD;
	}
	return c < 0 ? FILE_END : LINE_END;
}

/* To the next line. */
static void line_skip(struct words *w)
{
	while (word_next(w) == WORD)
		;
}

/* ---- names ---- */

static bool label_is_plain(const char *label, size_t length)
{
	if (length == 0 || length > 63 || label[0] == '-')
		return false;
	for (size_t i = 0; i < length; i++) {
		unsigned char c = (unsigned char)label[i];
		if (c >= 0x80 || (!isalnum(c) && c != '-' && c != '_'))
			return false;
	}
	return true;
}

/*
 * What every resolver takes for a name: no number in any of its spellings ("127.1", "0x7f000001"),
 * no character that one of them refuses.
 */
static bool name_is_plain(const char *name)
{
	const char *label = name;
	size_t length = strlen(name);

	if (length && name[length - 1] == '.')
		length--;
	if (length == 0 || length > 253)
		return false;
	for (const char *end = name + length; label <= end; label++) {
		size_t n = strcspn(label, ".");
		if (!label_is_plain(label, n))
			return false;
		if (label + n == end)
			return !isdigit((unsigned char)*label);
		label += n;
	}
	return false;
}

/* "x.local" and "local" are of "local". */
static bool name_is_of(const char *name, const char *top)
{
	size_t length = strlen(name), n = strlen(top);

	if (length && name[length - 1] == '.')
		length--;
	return length >= n && strncasecmp(name + length - n, top, n) == 0 &&
	       (length == n || name[length - n - 1] == '.');
}

/* Names that mean something to some resolvers: "localhost.localdomain" to myhostname. */
static bool name_is_special(const char *name)
{
	return name_is_of(name, "local") || name_is_of(name, "localhost") ||
	       name_is_of(name, "localdomain") || name_is_of(name, "onion") || *name == '_';
}

static bool name_is_ours(const char *name)
{
	char own[HOST_MAX + 1] = "";

	return os_host_name(own, sizeof(own) - 1) != 0 || name_is_of(name, own);
}

/* ---- nsswitch.conf, gai.conf ---- */

/*
 * The line after "hosts:". First files, then dns. Of the others mdns_minimal knows nothing but
 * .local, and myhostname nothing but this machine's name and special ones.
 */
static bool hosts_line_is_plain(struct words *w, const char *host)
{
	bool has_files = false, has_dns = false, was_minimal = false;

	while (word_next(w) == WORD) {
		bool is_minimal = strcmp(w->word, "mdns4_minimal") == 0 ||
				  strcmp(w->word, "mdns6_minimal") == 0 ||
				  strcmp(w->word, "mdns_minimal") == 0;
		if (strcmp(w->word, "files") == 0 && !has_dns)
			has_files = true;
		else if (strcmp(w->word, "dns") == 0 && has_files)
			has_dns = true;
		else if (strcmp(w->word, "myhostname") == 0 ? name_is_ours(host)
			 : strcasecmp(w->word, "[NOTFOUND=return]") == 0 ? !was_minimal
									 : !is_minimal)
			return false;
		was_minimal = is_minimal;
	}
	return has_files && has_dns;
}

static bool nsswitch_is_plain(const char *path, const char *host)
{
	struct words w;
	bool is_plain = false, is_found = false;
	enum word got;

	if (words_open(&w, path, true) < 0)
		return false;
	while ((got = word_next(&w)) != FILE_END) {
		if (got == LINE_END)
			continue;
		if (strncmp(w.word, "hosts", 5) != 0) {
			line_skip(&w);
			continue;
		}
		is_plain = !is_found && strcmp(w.word, "hosts:") == 0 &&
			   hosts_line_is_plain(&w, host);
		is_found = true;
		if (!is_plain)
			break;
	}
	words_close(&w);
	return is_plain;
}

/* It may say how addresses are ordered: order.c knows what holds without it. */
static bool gai_is_empty(const char *path)
{
	struct words w;
	enum word got;
	int fd = words_open(&w, path, true);

	if (fd < 0)
		return fd == -ENOENT;
	while ((got = word_next(&w)) == LINE_END)
		;
	words_close(&w);
	return got == FILE_END;
}

/* ---- hosts ---- */

/* NA2. Also true: it cannot be read, or not soon. */
static bool hosts_have(const char *path, const char *host)
{
	struct words w;
	bool is_found = false, is_address = true;
	enum word got;

	if (words_open(&w, path, true) < 0)
		return true;
	while (!is_found && (got = word_next(&w)) != FILE_END) {
		is_found = words_are_too_many(&w) ||
			   (got == WORD && !is_address && strcasecmp(w.word, host) == 0);
		is_address = got == LINE_END;
	}
	words_close(&w);
	return is_found;
}

/* ---- resolv.conf ---- */

/* "ndots:2" -> 2, at most `most`, as libc cuts it. False: no number, or less than `least`. */
static bool option_number(const char *text, uint32_t least, uint32_t most, uint32_t *to)
{
	uint32_t n = 0;

	if (!*text)
		return false;
	for (; *text; text++) {
		if (!isdigit((unsigned char)*text))
			return false;
		n = n * 10 + (uint32_t)(*text - '0');
		if (n > most)
			n = most;
	}
	*to = n;
	return n >= least;
}

static bool option_read(const char *word, struct names *to)
{
	if (strncmp(word, "ndots:", 6) == 0)
		return option_number(word + 6, 0, 15, &to->n_dots);
	if (strncmp(word, "timeout:", 8) == 0)
		return option_number(word + 8, 1, 30, &to->timeout_s);
	if (strncmp(word, "attempts:", 9) == 0)
		return option_number(word + 9, 1, 5, &to->attempts);
	if (strcmp(word, "rotate") == 0)
		return to->has_rotation = true;
	/* They change how it is asked, not what the answer is. */
	return strcmp(word, "edns0") == 0 || strcmp(word, "trust-ad") == 0;
}

static bool domains_read(struct words *w, struct names *to)
{
	to->n_domains = 0; /* the last such line counts */
	while (word_next(w) == WORD) {
		if (!name_is_plain(w->word) || to->n_domains == NAMES_DOMAINS)
			return false;
		memcpy(to->domains[to->n_domains++], w->word, HOST_MAX + 1);
	}
	return to->n_domains > 0;
}

/*
 * 0.0.0.0 and :: are this machine, which answers from another address: libc takes that for an
 * answer of the server that was asked, c-ares does not.
 */
static bool server_is_plain(const char *text)
{
	struct in_addr v4;
	struct in6_addr v6;

	if (inet_pton(AF_INET, text, &v4) == 1)
		return v4.s_addr != INADDR_ANY;
	return inet_pton(AF_INET6, text, &v6) == 1 && !IN6_IS_ADDR_UNSPECIFIED(&v6);
}

static bool server_read(struct words *w, struct names *to)
{
	if (word_next(w) != WORD || !server_is_plain(w->word))
		return false;
	if (to->n_servers < NAMES_SERVERS)
		memcpy(to->servers[to->n_servers++], w->word, INET6_ADDRSTRLEN);
	return word_next(w) != WORD;
}

/* A line whose first word was read. */
static bool resolv_line_read(struct words *w, struct names *to)
{
	if (w->word[0] == '#' || w->word[0] == ';') {
		line_skip(w);
		return true;
	}
	if (w->is_indented)
		return false;
	if (strcmp(w->word, "nameserver") == 0)
		return server_read(w, to);
	if (strcmp(w->word, "search") == 0)
		return domains_read(w, to);
	if (strcmp(w->word, "domain") == 0)
		return domains_read(w, to) && to->n_domains == 1;
	if (strcmp(w->word, "options") != 0)
		return false;
	while (word_next(w) == WORD)
		if (!option_read(w->word, to))
			return false;
	return true;
}

static bool resolv_read(const char *path, struct names *to)
{
	struct words w;
	bool is_plain = true;
	enum word got;

	if (words_open(&w, path, false) < 0)
		return false;
	while (is_plain && (got = word_next(&w)) != FILE_END)
		is_plain = got == LINE_END || resolv_line_read(&w, to);
	words_close(&w);
	return is_plain;
}

/* Without a word about domains it is that of this machine. */
static bool domain_of_machine(struct names *to)
{
	char own[HOST_MAX + 1] = "";

	if (os_host_name(own, sizeof(own) - 1) != 0)
		return false;
	const char *dot = strchr(own, '.');
	if (!dot || !dot[1])
		return true;
	to->n_domains = 1;
	memcpy(to->domains[0], dot + 1, strlen(dot + 1) + 1);
	return name_is_plain(dot + 1);
}

bool names_read(const char *host, const struct names_files *files, struct names *to)
{
	*to = (struct names){.n_dots = 1, .timeout_s = 5, .attempts = 2};
	if (!name_is_plain(host) || name_is_special(host) || os_resolver_is_told())
		return false;
	if (!nsswitch_is_plain(files->nsswitch, host) || !gai_is_empty(files->gai) ||
	    !resolv_read(files->resolv, to) || hosts_have(files->hosts, host))
		return false;
	if (to->n_servers == 0)
		memcpy(to->servers[to->n_servers++], "127.0.0.1", sizeof("127.0.0.1"));
	return to->n_domains > 0 || domain_of_machine(to);
}
