/*
 * wordcount.c - the most frequent words in all the files under some folders.
 *
 *   usage: wordcount [-n COUNT] PATH...        the COUNT most frequent, 20 if not told
 *
 *   walk -> paths -> count_files, one for each P -> tables -> main merges them and prints
 *
 * A word is a longest run of the bytes A-Z and a-z within one file; upper and lower case differ.
 * Every regular file counts; a symbolic link does only when it is named as a PATH. The same words
 * and counts, the most frequent first and equals in byte order, come from (with LC_ALL=C)
 *
 *   find -H PATH... -type f -exec cat {} + |
 *           tr -cs A-Za-z '\n' | grep . | sort | uniq -c | sort -k1,1nr -k2 | head -n COUNT
 *
 * but that cat joins the last word of a file whose last line has no end to the next file's first.
 * What cannot be read is named on standard error, the rest is counted, and the status is 1.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "goro.h"

struct path {
	struct path *next;
	char text[];
};

struct word {
	const char *text; /* Not terminated; NULL in a free slot. */
	size_t size;
	uint64_t count;
	uint32_t hash;
};

/* A hash table with open addressing. Its words' texts live until the program ends. */
struct table {
	struct word *slots;
	size_t capacity; /* A power of two, or 0 at first. */
	size_t used;
	char *texts; /* Where the next text goes. */
	size_t room;
};

static atomic_bool failed;

/*
 * Says why, or what errno says. Only this function reads errno, and is never inlined: a goroutine
 * may wake on another thread, where an address of errno that the compiler kept is the wrong one.
 */
static __attribute__((noinline)) void complain(const char *path, const char *why)
{
	fprintf(stderr, "wordcount: %s: %s\n", path, why != NULL ? why : strerror(errno));
	atomic_store(&failed, true);
}

static void *must(void *memory)
{
	if (memory == NULL)
		goro_panic("out of memory");
	return memory;
}

/* The slot that holds the word, or the free one where it belongs. */
static struct word *table_slot(const struct table *table, const struct word *sought)
{
	size_t mask = table->capacity - 1;
	size_t i = sought->hash & mask;
	while (table->slots[i].text != NULL) {
		struct word *word = &table->slots[i];
		if (word->hash == sought->hash && word->size == sought->size &&
		    memcmp(word->text, sought->text, word->size) == 0)
			break;
		i = (i + 1) & mask;
	}
	return &table->slots[i];
}

static void table_grow(struct table *table)
{
	struct table old = *table;
	table->capacity = old.capacity == 0 ? 4096 : 2 * old.capacity;
	/* Not calloc: pages that are read before they are written cost two faults each. */
	size_t size = table->capacity * sizeof(struct word);
	table->slots = memset(must(aligned_alloc(64, size)), 0, size);
	for (size_t i = 0; i < old.capacity; i++)
		if (old.slots[i].text != NULL)
			*table_slot(table, &old.slots[i]) = old.slots[i];
	free(old.slots);
}

/* Adds the word's count to the table; a new word's text stays where it is. */
static struct word *table_add(struct table *table, const struct word *word)
{
	if (2 * table->used >= table->capacity)
		table_grow(table);
	struct word *slot = table_slot(table, word);
	if (slot->text != NULL) {
		slot->count += word->count;
	} else {
		*slot = *word;
		table->used++;
	}
	return slot;
}

static const char *table_keep(struct table *table, const char *text, size_t size)
{
	if (size > table->room) {
		table->room = size > 65536 ? size : 65536;
		table->texts = must(malloc(table->room));
	}
	char *kept = memcpy(table->texts, text, size);
	table->texts += size;
	table->room -= size;
	return kept;
}

/* Counts the words that end within the text; returns the size of the unfinished one at its end. */
static size_t count_words(struct table *table, const char *text, size_t size)
{
	struct word word = {.text = text, .count = 1};
	for (const char *at = text; at < text + size; at++) {
		if ((unsigned)(*at | 0x20) - 'a' < 26) {
			word.hash = (word.hash ^ (unsigned char)*at) * 0x9e3779b1;
			continue;
		}
		word.size = (size_t)(at - word.text);
		if (word.size > 0) {
			word.hash ^= word.hash >> 15;
			struct word *slot = table_add(table, &word);
			if (slot->text == word.text)
				slot->text = table_keep(table, word.text, word.size);
		}
		word.text = at + 1;
		word.hash = 0;
	}
	return (size_t)(text + size - word.text);
}

/* Reads the file through the buffer, which grows when a single word fills it. */
static void count_file(struct table *table, char **buffer, size_t *capacity, const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t begun = 0; /* Bytes at the buffer's start of a word that is not finished. */
	ssize_t got = fd < 0 ? -1 : 1;

	while (got > 0) {
		if (begun + 1 >= *capacity)
			*buffer = must(realloc(*buffer, *capacity *= 2));
		got = read(fd, *buffer + begun, *capacity - begun - 1);
		size_t size = begun + (got > 0 ? (size_t)got : 0);
		if (got == 0)
			(*buffer)[size++] = '\n'; /* The end of the file ends its last word. */
		begun = count_words(table, *buffer, size);
		memmove(*buffer, *buffer + size - begun, begun);
	}
	if (got < 0)
		complain(path, NULL);
	if (fd >= 0)
		close(fd);
}

static void count_files(goro_chan *paths, goro_chan *tables)
{
	struct table *table = must(calloc(1, sizeof(*table)));
	size_t capacity = 65536;
	char *buffer = must(malloc(capacity));
	struct path *file;

	while (goro_chan_recv(paths, &file)) {
		count_file(table, &buffer, &capacity, file->text);
		free(file);
	}
	free(buffer);
	goro_put(tables, table);
}

static void walk_one(const char *folder, const char *name, int type, struct path **folders,
		     goro_chan *files)
{
	size_t size = strlen(folder) + strlen(name) + 2;
	struct path *path = must(malloc(sizeof(*path) + size));
	snprintf(path->text, size, "%s%s%s", folder, *folder != '\0' ? "/" : "", name);

	struct stat info;
	if (type == DT_UNKNOWN && lstat(path->text, &info) == 0)
		type = IFTODT(info.st_mode);
	if (type == DT_REG) {
		goro_put(files, path);
	} else if (type == DT_DIR) {
		path->next = *folders;
		*folders = path;
	} else {
		if (type == DT_UNKNOWN)
			complain(path->text, NULL);
		free(path);
	}
}

/* Sends every file below the roots. Folders wait in a list, so depth costs no stack, no files. */
static void walk(char **roots, goro_chan *files)
{
	struct path *folders = NULL;
	struct stat info;

	for (; *roots != NULL; roots++) {
		if (stat(*roots, &info) != 0)
			complain(*roots, NULL);
		else if (!S_ISREG(info.st_mode) && !S_ISDIR(info.st_mode))
			complain(*roots, "Neither a file nor a folder");
		else
			walk_one("", *roots, IFTODT(info.st_mode), &folders, files);
	}
	while (folders != NULL) {
		struct path *folder = folders;
		folders = folder->next;

		struct dirent **entries;
		int count = scandir(folder->text, &entries, NULL, NULL);
		if (count < 0)
			complain(folder->text, NULL);
		for (int i = 0; i < count; i++) {
			const char *name = entries[i]->d_name;
			if (strcmp(name, ".") != 0 && strcmp(name, "..") != 0)
				walk_one(folder->text, name, entries[i]->d_type, &folders, files);
			free(entries[i]);
		}
		if (count >= 0)
			free(entries);
		free(folder);
	}
	goro_chan_close(files);
}

static int by_rank(const void *left, const void *right)
{
	const struct word *a = left, *b = right;
	if (a->count != b->count)
		return a->count < b->count ? 1 : -1;
	int order = memcmp(a->text, b->text, a->size < b->size ? a->size : b->size);
	return order != 0 ? order : a->size < b->size ? -1 : 1;
}

/* Prints the most frequent words: it collects twice as many, and then keeps the better half. */
static void print_top(const struct table *table, size_t wanted)
{
	if (wanted > table->used)
		wanted = table->used;
	struct word *top = must(malloc((2 * wanted + 1) * sizeof(*top)));
	size_t count = 0;
	uint64_t bar = 1; /* Whatever has a lower count is not among the wanted. */

	for (size_t i = 0; i < table->capacity; i++) {
		if (table->slots[i].text == NULL || table->slots[i].count < bar)
			continue;
		top[count++] = table->slots[i];
		if (count > 2 * wanted) {
			qsort(top, count, sizeof(*top), by_rank);
			count = wanted;
			bar = top[count - 1].count;
		}
	}
	qsort(top, count, sizeof(*top), by_rank);
	for (size_t i = 0; i < wanted; i++) {
		printf("%" PRIu64 " ", top[i].count);
		fwrite(top[i].text, 1, top[i].size, stdout);
		putchar('\n');
	}
	free(top);
}

int goro_main(int argc, char **argv)
{
	long wanted = 20;
	int option;
	while ((option = getopt(argc, argv, "n:")) != -1) {
		char *end = "?";
		if (option == 'n')
			wanted = strtol(optarg, &end, 10);
		if (*end != '\0' || wanted < 1)
			optind = argc;
	}
	if (optind >= argc) {
		fprintf(stderr, "usage: wordcount [-n COUNT] PATH...\n");
		return 2;
	}

	int workers = goro_maxprocs(0);
	goro_chan *files = must(goro_chan_of(struct path *, 256));
	goro_chan *tables = must(goro_chan_of(struct table *, workers));
	go(walk, argv + optind, files);
	for (int i = 0; i < workers; i++)
		go(count_files, files, tables);

	struct table *all = goro_get(tables, struct table *);
	for (int i = 1; i < workers; i++) {
		struct table *table = goro_get(tables, struct table *);
		for (size_t slot = 0; slot < table->capacity; slot++)
			if (table->slots[slot].text != NULL)
				table_add(all, &table->slots[slot]);
	}
	print_top(all, (size_t)wanted);
	if (fflush(stdout) != 0 || ferror(stdout))
		complain("standard output", NULL);
	return atomic_load(&failed);
}
