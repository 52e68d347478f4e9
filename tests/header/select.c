/*
 * select.c - every form of a select's cases and of values, as C and as C++, with all warnings and
 * -Wshadow.
 *
 *   run.sh -> compilers, -fsyntax-only
 */
#include "goro.h"

int forms(goro_chan *a, goro_chan *b);

int forms(goro_chan *a, goro_chan *b)
{
	int x = 0;
	const int y = 1;
	bool ok;
	goro_case cases[] = {GORO_RECV(a, &x), GORO_SEND(b, &y), GORO_RECV_OK(a, NULL, &ok),
			     GORO_SEND(b, NULL), GORO_RECV(NULL, NULL)};
	goro_case one = GORO_SEND(b, &y);
	int n = goro_select(&one, 1, GORO_POLL);

	cases[0] = GORO_RECV(b, &x);
	cases[1] = one;
	n += goro_select(cases, sizeof(cases) / sizeof(cases[0]), GORO_POLL);
	n += goro_select_of(GORO_FOREVER, GORO_RECV(a, &x));
	n += goro_select_of(goro_now() + 1, GORO_RECV(a, &x), GORO_SEND(b, &y), );
	if (n)
		return goro_select_of(GORO_POLL,
				      GORO_RECV(goro_select_of(0, GORO_SEND(a, &x)) ? a : b, &x));
	return goro_select_of(n ? GORO_POLL : GORO_FOREVER, one, cases[2]);
}

/* One in another's argument. */
int values(goro_chan *a, goro_chan *of_channels);

int values(goro_chan *a, goro_chan *of_channels)
{
	goro_put(a, goro_get(a, int) + goro_get(goro_get(of_channels, goro_chan *), int));
	goro_put(goro_get(of_channels, goro_chan *), 1);
	return goro_get(a, int);
}
