/*
 * question.h - what load.c asks, and what must come back.
 *
 * Of an echo server: so many bytes, which begin with the numbers of the connection and of the
 * request and must come back as they are. Of a Redis server: so many commands at once, each with
 * a key of redis-benchmark's form by chance, which is spread from the same two numbers so that a
 * question can be made again; the answers are the same for all keys, once each has been set.
 */
#ifndef QUESTION_H
#define QUESTION_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEADER_SIZE 16
#define KEY_DIGITS  12
#define SET_FORM    "*3\r\n$3\r\nSET\r\n$16\r\nkey:%0*d\r\n$3\r\nxxx\r\n"
#define SET_ANSWER  "+OK\r\n"
#define GET_FORM    "*2\r\n$3\r\nGET\r\n$16\r\nkey:%0*d\r\n"
#define GET_ANSWER  "$3\r\nxxx\r\n"

struct question {
	char *text;
	char *answer; /* that must come: an echo's is the text */
	uint32_t size;
	uint32_t answer_size;
	uint32_t commands; /* 0: an echo */
	uint32_t keys;
	uint32_t key_end; /* in the text of one command */
};

static inline bool question_init_echo(struct question *q, uint32_t size)
{
	q->text = q->answer = malloc(size);
	q->size = q->answer_size = size;
	q->commands = 0;
	for (uint32_t i = 0; q->text != NULL && i < size; i++)
		q->text[i] = (char)('a' + i % 26);
	return q->text != NULL;
}

static inline bool question_init_redis(struct question *q, bool is_set, uint32_t commands,
				       uint32_t keys)
{
	const char *answer = is_set ? SET_ANSWER : GET_ANSWER;
	char text[64];
	uint32_t one = (uint32_t)snprintf(text, sizeof(text), is_set ? SET_FORM : GET_FORM,
					  KEY_DIGITS, 0);
	uint32_t one_answer = (uint32_t)strlen(answer);

	q->size = one * commands;
	q->answer_size = one_answer * commands;
	q->text = malloc(q->size);
	q->answer = malloc(q->answer_size);
	q->commands = commands;
	q->keys = keys;
	q->key_end = (uint32_t)(strstr(text, "key:") + 4 + KEY_DIGITS - text);
	if (q->text == NULL || q->answer == NULL)
		return false;
	for (uint32_t i = 0; i < commands; i++) {
		memcpy(q->text + i * one, text, one);
		memcpy(q->answer + i * one_answer, answer, one_answer);
	}
	return true;
}

/* The next number by chance of a sequence that begins with any: splitmix64, by S. Vigna. */
static inline uint64_t question_spread(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return z ^ (z >> 31);
}

/* The text of the question with these two numbers. */
static inline void question_put(struct question *q, const uint64_t head[2])
{
	uint64_t state = head[0] << 40 ^ head[1];
	uint32_t one = q->commands > 0 ? q->size / q->commands : 0;

	if (q->commands == 0)
		memcpy(q->text, head, q->size < HEADER_SIZE ? q->size : HEADER_SIZE);
	for (uint32_t i = 0; i < q->commands; i++) {
		char *end = q->text + i * one + q->key_end;
		for (uint64_t key = question_spread(&state) % q->keys, n = 0; n < KEY_DIGITS; n++) {
			*--end = (char)('0' + key % 10);
			key /= 10;
		}
	}
}

#endif
