/*
 * redisd_table.h - of redisd.c: the keys and their values, and how much memory there is for them.
 *
 *   command -> hash -> shard, a lock each -> bucket -> entry -> value
 *
 * A value is changed in place under the lock, unless somebody holds it, to send it without.
 */
#ifndef REDISD_TABLE_H
#define REDISD_TABLE_H

#include <stdatomic.h>
#include <err.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "goro.h"

enum { SHARDS = 256 };

static int64_t max_memory = INT64_C(1024) << 20;
static _Atomic int64_t memory;

static bool memory_take(size_t size)
{
	if (atomic_fetch_add(&memory, (int64_t)size) + (int64_t)size <= max_memory)
		return true;
	memory -= (int64_t)size;
	return false;
}

static void memory_give(size_t size)
{
	memory -= (int64_t)size;
}

/* malloc and free, counted. */
static void *take(size_t size)
{
	if (!memory_take(size))
		return NULL;
	void *data = malloc(size);
	if (!data)
		memory_give(size);
	return data;
}

static void give(void *data, size_t size)
{
	free(data);
	memory_give(size);
}

struct word {
	char *data;
	size_t size;
};

struct value {
	_Atomic int references; /* grows under the shard's lock */
	size_t room, size;
	char data[];
};

struct entry {
	struct entry *next;
	struct value *value;
	uint64_t hash;
	int64_t expires_at; /* or GORO_FOREVER */
	size_t key_size;
	char key[];
};

static struct shard {
	goro_mutex lock;
	struct entry **buckets;
	size_t n_buckets, count; /* a power of two */
	size_t swept;
} __attribute__((aligned(64))) shards[SHARDS];

static uint64_t secret[2]; /* so that nobody finds keys that all hash alike */

static uint64_t mix(uint64_t a, uint64_t b)
{
	__uint128_t product = (__uint128_t)a * b;
	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static uint64_t hash_of(struct word key)
{
	uint64_t hash = secret[0] ^ key.size;
	for (size_t at = 0; at < key.size; at += 8) {
		uint64_t part = 0;
		memcpy(&part, key.data + at, key.size - at < 8 ? key.size - at : 8);
		hash = mix(hash ^ part, secret[1]);
	}
	return mix(hash, secret[0]);
}

static void value_drop(struct value *v)
{
	if (--v->references > 0)
		return;
	give(v, sizeof(*v) + v->room);
}

static struct value *value_make(size_t room)
{
	struct value *v = take(sizeof(*v) + room);
	if (v)
		*v = (struct value){.references = 1, .room = room};
	return v;
}

static void entry_free(struct entry *e)
{
	value_drop(e->value);
	give(e, sizeof(*e) + e->key_size);
}

static struct shard *shard_lock(uint64_t hash)
{
	struct shard *shard = &shards[hash >> 56];
	goro_mutex_lock(&shard->lock);
	return shard;
}

static void entry_remove(struct shard *shard, struct entry **at)
{
	struct entry *e = *at;
	*at = e->next;
	shard->count--;
	entry_free(e);
}

/* Where the key stands, or would. One that has expired is not there any more. */
static struct entry **find(struct shard *shard, struct word key, uint64_t hash, int64_t now)
{
	struct entry **at = &shard->buckets[hash & (shard->n_buckets - 1)];
	for (struct entry *e; (e = *at) != NULL; at = &e->next) {
		if (e->hash != hash || e->key_size != key.size ||
		    memcmp(e->key, key.data, key.size) != 0)
			continue;
		if (e->expires_at > now)
			return at;
		entry_remove(shard, at);
		break;
	}
	while (*at)
		at = &(*at)->next;
	return at;
}

/*
 * A key's bucket, its first entry and that one's value are three places in memory, each of which
 * may take longer to come than all else that a command does. Asked for in turn for many keys, they
 * come side by side.
 */
enum fetch { FETCH_BUCKET, FETCH_ENTRY, FETCH_VALUE };

static void fetch(uint64_t hash, enum fetch what)
{
	struct shard *shard = shard_lock(hash);
	struct entry **bucket = &shard->buckets[hash & (shard->n_buckets - 1)];

	struct entry *e = what == FETCH_BUCKET ? NULL : *bucket;

	if (what == FETCH_BUCKET) {
		__builtin_prefetch(bucket);
	} else if (e) {
		__builtin_prefetch(what == FETCH_ENTRY ? (void *)e : (void *)e->value);
		__builtin_prefetch(what == FETCH_ENTRY ? e->key : e->value->data);
	}
	goro_mutex_unlock(&shard->lock);
}

/* Two buckets for a key, if there is memory. Keys move: what find() said holds no more. */
static void shard_grow(struct shard *shard)
{
	size_t n = shard->n_buckets * 2;
	struct entry **buckets = NULL;
	if (shard->count > shard->n_buckets / 2)
		buckets = take(n * sizeof(*buckets));
	if (!buckets)
		return;
	memset(buckets, 0, n * sizeof(*buckets));
	for (size_t i = 0; i < shard->n_buckets; i++) {
		for (struct entry *e = shard->buckets[i], *next; e; e = next) {
			next = e->next;
			e->next = buckets[e->hash & (n - 1)];
			buckets[e->hash & (n - 1)] = e;
		}
	}
	give(shard->buckets, shard->n_buckets * sizeof(*buckets));
	shard->buckets = buckets;
	shard->n_buckets = n;
}

/* Gives the key, which stands at `at` or will, this value. False: no memory. */
static bool store(struct shard *shard, struct entry **at, struct word key, uint64_t hash,
		  struct word data, int64_t expires_at)
{
	struct entry *e = *at;
	struct value *v = e ? e->value : NULL;

	/* In place, unless somebody still sends the old one, or the new one has another size. */
	if (!v || v->references > 1 || data.size > v->room ||
	    (v->room > 64 && data.size < v->room / 4)) {
		v = value_make(data.size + 16);
		if (!v)
			return false;
	}
	if (!e) {
		e = take(sizeof(*e) + key.size);
		if (!e) {
			value_drop(v);
			return false;
		}
		*e = (struct entry){.hash = hash, .key_size = key.size};
		memcpy(e->key, key.data, key.size);
		*at = e;
		shard->count++;
	} else if (v != e->value) {
		value_drop(e->value);
	}
	memcpy(v->data, data.data, data.size);
	v->size = data.size;
	e->value = v;
	e->expires_at = expires_at;
	shard_grow(shard);
	return true;
}

/* What has expired goes away, also if nobody asks for it: a few buckets of each shard at a time. */
static void sweep(void)
{
	for (;; goro_sleep(GORO_MS(500))) {
		int64_t now = goro_now();
		for (struct shard *shard = shards; shard < shards + SHARDS; shard++) {
			goro_mutex_lock(&shard->lock);
			for (size_t i = 0; i < 80 && i < shard->n_buckets; i++) {
				struct entry **at =
					&shard->buckets[shard->swept++ & (shard->n_buckets - 1)];
				while (*at) {
					if ((*at)->expires_at <= now)
						entry_remove(shard, at);
					else
						at = &(*at)->next;
				}
			}
			goro_mutex_unlock(&shard->lock);
		}
	}
}

static void shards_make(void)
{
	if (getrandom(secret, sizeof(secret), 0) != sizeof(secret))
		err(1, "getrandom");
	secret[0] |= 1;
	secret[1] |= 1;
	for (struct shard *shard = shards; shard < shards + SHARDS; shard++) {
		shard->n_buckets = 16;
		shard->buckets = take(shard->n_buckets * sizeof(*shard->buckets));
		if (!shard->buckets)
			errx(1, "no memory");
		memset(shard->buckets, 0, shard->n_buckets * sizeof(*shard->buckets));
	}
}

#endif
