/*
 * redisd_topics.h - of redisd.c: publish and subscribe.
 *
 *   PUBLISH -> topic -> mailboxes of its subscribers -> [deliver], a goroutine each -> socket
 *
 * All topics and subscriptions are under one lock, and so is what goes into a mailbox of another;
 * nothing waits under it. Who unsubscribes has the lock: nobody sends to it from then on.
 */
#ifndef REDISD_TOPICS_H
#define REDISD_TOPICS_H

#include "redisd_client.h"

enum {
	TOPICS = 1024,
	TOPICS_MAX = 1024, /* of a subscriber */
	MAIL_MAX = 1024,   /* messages in a mailbox */
};
#define QUEUE_MAX (INT64_C(32) << 20) /* bytes in a mailbox */

struct topic {
	struct topic *next;
	struct subscription *first;
	size_t size;
	char name[];
};

struct subscription {
	struct subscription *next, **at; /* of the topic */
	struct subscription *next_own;   /* of the client */
	struct topic *topic;
	struct client *client;
};

static goro_mutex topics_lock; /* all topics and subscriptions; who is found here stays meanwhile */
static struct topic *topics[TOPICS];

static struct topic **topic_find(struct word name)
{
	struct topic **at = &topics[hash_of(name) % TOPICS];
	while (*at && ((*at)->size != name.size || memcmp((*at)->name, name.data, name.size) != 0))
		at = &(*at)->next;
	return at;
}

/* Under topics_lock: it does not wait. Who has too much in the mailbox is dropped. */
static bool mail(struct client *c, struct message *m)
{
	m->references++;
	c->queued += (int64_t)m->size;
	if (c->queued <= QUEUE_MAX && goro_chan_trysend(c->mail, &m) == 0)
		return true;
	c->queued -= (int64_t)m->size;
	message_drop(m);
	c->is_dropped = true;
	goro_set_deadline(c->fd, GORO_POLL);
	return false;
}

/* Writes what comes into the mailbox, many small ones at a time, until it is closed and empty. */
static void deliver(struct client *c)
{
	char batch[OUT_MAX];
	size_t size = 0;
	bool is_broken = false;

	for (struct message *m = NULL; goro_chan_recv(c->mail, &m);) {
		do {
			if (size + m->size > OUT_MAX && size > 0) {
				is_broken = is_broken || !write_out(c, batch, size);
				size = 0;
			}
			if (m->size > OUT_MAX)
				is_broken = is_broken || !write_out(c, m->data, m->size);
			else
				memcpy(batch + size, m->data, m->size);
			size += m->size > OUT_MAX ? 0 : m->size;
			c->queued -= (int64_t)m->size;
			message_drop(m);
		} while (goro_chan_tryrecv(c->mail, &m) == 0);
		is_broken = is_broken || !write_out(c, batch, size);
		size = 0;
		if (is_broken) {
			c->is_dropped = true;
			goro_set_deadline(c->fd, GORO_POLL); /* it need not read on */
		}
	}
	goro_waitgroup_done(&c->delivery);
}

/* "subscribe" or "unsubscribe", the topic's name, how many there are. */
static struct message *note(const char *what, struct word name, int n)
{
	char head[64];
	size_t size = (size_t)snprintf(head, sizeof(head), "*3\r\n$%zu\r\n%s\r\n$%zu\r\n",
				       strlen(what), what, name.size);
	struct message *m = message_make(size + name.size + 26);
	if (!m)
		return NULL;
	memcpy(m->data, head, size);
	memcpy(m->data + size, name.data, name.size);
	memcpy(m->data + size + name.size, "\r\n", 2);
	size += name.size + 2;
	size += number_line(m->data + size, ':', n);
	memory_give(m->size - size); /* it was a guess */
	m->size = size;
	return m;
}

/* Under topics_lock. */
static bool subscribe(struct client *c, struct word name)
{
	struct topic **at = topic_find(name);
	struct subscription *s = take(sizeof(*s));

	if (s && !*at) {
		struct topic *topic = take(sizeof(*topic) + name.size);
		if (topic) {
			*topic = (struct topic){.size = name.size};
			memcpy(topic->name, name.data, name.size);
			*at = topic;
		}
	}
	if (!s || !*at) {
		if (s)
			give(s, sizeof(*s));
		return false;
	}
	struct topic *topic = *at;
	*s = (struct subscription){.next = topic->first, .at = &topic->first, .topic = topic,
				   .client = c, .next_own = c->subscriptions};
	if (s->next)
		s->next->at = &s->next;
	topic->first = c->subscriptions = s;
	c->n_subscriptions++;
	return true;
}

/* Under topics_lock; `own` is where the client's list has it. */
static void unsubscribe(struct client *c, struct subscription **own)
{
	struct subscription *s = *own;
	struct topic *topic = s->topic;

	*own = s->next_own;
	*s->at = s->next;
	if (s->next)
		s->next->at = s->at;
	give(s, sizeof(*s));
	c->n_subscriptions--;
	if (topic->first)
		return;
	struct topic **at = topic_find((struct word){topic->name, topic->size});
	*at = topic->next;
	give(topic, sizeof(*topic) + topic->size);
}

static struct subscription **own_find(struct client *c, struct word name)
{
	struct subscription **own = &c->subscriptions;
	while (*own && ((*own)->topic->size != name.size ||
			memcmp((*own)->topic->name, name.data, name.size) != 0))
		own = &(*own)->next_own;
	return own;
}

/* The mailbox takes the notes in the order of things, between what is published. */
static void note_mail(struct client *c, const char *what, struct word name)
{
	struct message *m = note(what, name, c->n_subscriptions);
	if (!m) {
		c->has_ended = true;
		return;
	}
	mail(c, m);
	message_drop(m);
}

/* Its own notes shall not fill its mailbox: they come no faster than they are written. */
static void mail_wait(struct client *c)
{
	while (goro_chan_len(c->mail) > MAIL_MAX / 2 && !c->is_dropped)
		goro_sleep(GORO_MS(1));
}

static void do_subscribe(struct client *c)
{
	if (!c->mail) {
		flush(c); /* before the mailbox: in order */
		c->mail = goro_chan_of(struct message *, MAIL_MAX);
		if (!c->mail) {
			reply_no_memory(c);
			return;
		}
		goro_waitgroup_add(&c->delivery, 1);
		go(deliver, c);
	}
	flush(c);
	for (int i = 1; i < c->n_words; i++) {
		mail_wait(c);
		goro_mutex_lock(&topics_lock);
		bool is_there = *own_find(c, c->words[i]) != NULL;
		bool is_too_many = !is_there && c->n_subscriptions == TOPICS_MAX;
		if (!is_there && !is_too_many)
			is_there = subscribe(c, c->words[i]);
		if (is_there)
			note_mail(c, "subscribe", c->words[i]);
		goro_mutex_unlock(&topics_lock);
		if (is_too_many)
			reply(c, "-ERR too many subscriptions");
		else if (!is_there)
			reply_no_memory(c);
		flush(c);
	}
}

static void do_unsubscribe(struct client *c)
{
	flush(c);
	if (c->n_words == 1 && !c->subscriptions)
		reply(c, "*3\r\n$11\r\nunsubscribe\r\n$-1\r\n:0");
	if (!c->mail) { /* it never subscribed: there is nobody else that writes */
		for (int i = 1; i < c->n_words; i++) {
			reply(c, "*3\r\n$11\r\nunsubscribe");
			reply_word(c, c->words[i].data, c->words[i].size);
			reply(c, ":0");
		}
		return;
	}
	while (c->n_words == 1 && c->subscriptions) {
		struct topic *topic = c->subscriptions->topic;
		mail_wait(c);
		goro_mutex_lock(&topics_lock);
		c->n_subscriptions--;
		note_mail(c, "unsubscribe", (struct word){topic->name, topic->size});
		c->n_subscriptions++;
		unsubscribe(c, &c->subscriptions);
		goro_mutex_unlock(&topics_lock);
	}
	for (int i = 1; i < c->n_words; i++) {
		mail_wait(c);
		goro_mutex_lock(&topics_lock);
		struct subscription **own = own_find(c, c->words[i]);
		if (*own)
			unsubscribe(c, own);
		note_mail(c, "unsubscribe", c->words[i]);
		goro_mutex_unlock(&topics_lock);
	}
}

static void do_publish(struct client *c)
{
	struct word name = c->words[1], text = c->words[2];
	char head[96];
	int size, n = 0;

	size = snprintf(head, sizeof(head), "*3\r\n$7\r\nmessage\r\n$%zu\r\n", name.size);
	struct message *m = message_make((size_t)size + name.size + text.size + 28);
	if (!m) {
		reply_no_memory(c);
		return;
	}
	char *p = (char *)memcpy(m->data, head, (size_t)size) + size;
	p = (char *)memcpy(p, name.data, name.size) + name.size;
	p = (char *)memcpy(p, "\r\n", 2) + 2;
	p += number_line(p, '$', (int64_t)text.size);
	p = (char *)memcpy(p, text.data, text.size) + text.size;
	p = (char *)memcpy(p, "\r\n", 2) + 2;
	memory_give(m->size - (size_t)(p - m->data)); /* it was a guess */
	m->size = (size_t)(p - m->data);
	goro_mutex_lock(&topics_lock);
	struct topic *topic = *topic_find(name);
	for (struct subscription *s = topic ? topic->first : NULL; s; s = s->next)
		n += mail(s->client, m);
	goro_mutex_unlock(&topics_lock);
	message_drop(m);
	put_number(c, ':', n);
}

#endif
