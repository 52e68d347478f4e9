/*
 * glist.c - the list of Gs that passes between the floors; src/queue/glist.h.
 */
#include "tap.h"

#include "queue/glist.h"

enum { GS = 16 };

static struct g gs[GS];

static struct glist list_of(int from, int n)
{
	struct glist list = {0};

	for (int i = 0; i < n; i++)
		glist_push(&list, &gs[from + i]);
	return list;
}

static void expect_list(struct glist *list, int from, int n)
{
	expect_eq(list->count, n);
	for (int i = 0; i < n; i++) {
		struct g *gp = glist_pop(list);
		require(gp != NULL);
		expect_eq(gp - gs, from + i);
		expect(gp->link == NULL);
	}
	expect(glist_pop(list) == NULL);
	expect(list->head == NULL);
	expect(list->tail == NULL);
	expect_eq(list->count, 0);
}

TAP_CASE(empty_list_gives_nothing, .procs = "-")
{
	struct glist list = {0};

	expect(glist_pop(&list) == NULL);
	expect_eq(list.count, 0);
}

TAP_CASE(pop_gives_them_in_the_order_of_push, .procs = "-")
{
	struct glist list = list_of(0, GS);

	expect_list(&list, 0, GS);
}

TAP_CASE(list_that_was_emptied_can_be_filled_again, .procs = "-")
{
	struct glist list = list_of(0, 1);

	expect_list(&list, 0, 1);
	glist_push(&list, &gs[3]);
	glist_push(&list, &gs[4]);
	expect_list(&list, 3, 2);
}

TAP_CASE(push_forgets_an_older_link, .procs = "-")
{
	struct glist list = {0};

	gs[0].link = &gs[9];
	glist_push(&list, &gs[0]);
	expect_list(&list, 0, 1);
}

TAP_CASE(append_puts_the_second_behind_the_first, .procs = "-")
{
	for (int n = 0; n <= 3; n++) {
		for (int m = 0; m <= 3; m++) {
			struct glist to = list_of(0, n), from = list_of(n, m);
			glist_append(&to, &from);
			expect_eq(from.count, 0);
			expect(from.head == NULL && from.tail == NULL);
			glist_push(&to, &gs[n + m]); /* the tail is right, too */
			expect_list(&to, 0, n + m + 1);
		}
	}
}

TAP_MAIN
