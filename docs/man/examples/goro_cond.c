/*
 * goro_cond.c - a stack of numbers with a limit: wait while it is empty, wait while it is full.
 */
#include <stdio.h>
#include <goro.h>

static struct {
	goro_mutex lock;
	goro_cond has_changed;
	int length, numbers[4];
} stack;

static void push(int number)
{
	goro_mutex_lock(&stack.lock);
	while (stack.length == 4) /* others may have been there first: look again */
		goro_cond_wait(&stack.has_changed, &stack.lock);
	stack.numbers[stack.length++] = number;
	goro_cond_broadcast(&stack.has_changed);
	goro_mutex_unlock(&stack.lock);
}

static int pop(void)
{
	goro_mutex_lock(&stack.lock);
	while (stack.length == 0)
		goro_cond_wait(&stack.has_changed, &stack.lock);
	int number = stack.numbers[--stack.length];
	goro_cond_broadcast(&stack.has_changed);
	goro_mutex_unlock(&stack.lock);
	return number;
}

static void producer(int last)
{
	for (int number = 1; number <= last; number++)
		push(number);
}

int goro_main(int argc, char **argv)
{
	(void)argc, (void)argv;
	int sum = 0;

	go(producer, 100);
	for (int i = 0; i < 100; i++)
		sum += pop();
	printf("sum: %d\n", sum);
	return 0;
}

/*
 * Prints:
 *   sum: 5050
 */
