/* SPDX-License-Identifier: MIT */
/*
 * boxes - see boxes.h.
 */
#include "netd/boxes.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "lib/util.h"

static int range_cmp(const void *a, const void *b)
{
	const struct range *x = a, *y = b;

	if (x->from != y->from)
		return x->from < y->from ? -1 : 1;
	return (x->to > y->to) - (x->to < y->to);
}

size_t ranges_merge(struct range *v, size_t n)
{
	size_t i, k = 0;

	if (!n)
		return 0;
	qsort(v, n, sizeof(*v), range_cmp);
	for (i = 1; i < n; i++) {
		if (v[k].to == UINT32_MAX || v[i].from <= v[k].to + 1) {
			if (v[i].to > v[k].to)
				v[k].to = v[i].to;
		} else {
			v[++k] = v[i];
		}
	}
	return k + 1;
}

/* pieces of one range that "without" leaves, into "out" */
static size_t subtract_one(struct range r, const struct range *without, size_t n, struct range *out)
{
	size_t i, k = 0;

	for (i = 0; i < n; i++) {
		if (without[i].to < r.from)
			continue;
		if (without[i].from > r.to)
			break;
		if (without[i].from > r.from)
			out[k++] = (struct range){ r.from, without[i].from - 1 };
		if (without[i].to >= r.to)
			return k;
		r.from = without[i].to + 1;
	}
	out[k++] = r;
	return k;
}

int ranges_subtract(const struct range *v, size_t n, const struct range *without, size_t n_without,
		    struct range **ret, size_t *ret_n)
{
	/* each piece begins where one of "v" begins or one of "without" ends */
	struct range *out = malloc((n + n_without + 1) * sizeof(*out));
	size_t i, k = 0;

	if (!out)
		return -ENOMEM;
	for (i = 0; i < n; i++)
		k += subtract_one(v[i], without, n_without, out + k);
	*ret = out;
	*ret_n = k;
	return 0;
}

struct range range_of_prefix(const struct prefix *p)
{
	struct addr first = prefix_first(p), last = prefix_last(p);

	return (struct range){ addr_to_v4(&first), addr_to_v4(&last) };
}

static bool is_prefix(const struct range *r, unsigned *ret_len)
{
	uint32_t size = r->to - r->from; /* less one */
	unsigned len = 32;

	if ((size & (size + 1)) != 0 || (r->from & size) != 0)
		return false;
	while (size) {
		size >>= 1;
		len--;
	}
	*ret_len = len;
	return true;
}

void range_print(const struct range *r, struct buf *b)
{
	struct addr from = addr_v4(r->from), to = addr_v4(r->to);
	unsigned len;

	if (r->from == r->to)
		buf_adds(b, addr_str(&from));
	else if (is_prefix(r, &len))
		buf_printf(b, "%s/%u", addr_str(&from), len);
	else
		buf_printf(b, "%s-%s", addr_str(&from), addr_str(&to));
}

/* ---- boxes ---- */

struct boxes {
	struct box *v;
	size_t n, cap;
};

static int boxes_add(struct boxes *b, struct box x)
{
	if (b->n == b->cap) {
		size_t cap = b->cap ? b->cap * 2 : 32;
		struct box *v = realloc(b->v, cap * sizeof(*v));

		if (!v)
			return -ENOMEM;
		b->v = v;
		b->cap = cap;
	}
	b->v[b->n++] = x;
	return 0;
}

static int u32_cmp(const void *a, const void *b)
{
	const uint32_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

/* the ports at which something begins or has just ended, sorted, each once */
static size_t port_cuts(const struct box *in, size_t n, int protocol, uint32_t *cuts)
{
	size_t i, k = 0, m = 0;

	for (i = 0; i < n; i++) {
		if (in[i].protocol != protocol)
			continue;
		cuts[k++] = in[i].ports.from;
		cuts[k++] = in[i].ports.to + 1;
	}
	qsort(cuts, k, sizeof(*cuts), u32_cmp);
	for (i = 0; i < k; i++)
		if (!m || cuts[m - 1] != cuts[i])
			cuts[m++] = cuts[i];
	return m;
}

/* may the strip that begins at "last" simply grow up to "to"? */
static bool strip_grows(const struct boxes *b, size_t last, uint32_t from, int protocol,
			const struct range *addrs, size_t n)
{
	size_t i;

	if (b->n - last != n || !n)
		return false;
	for (i = 0; i < n; i++)
		if (b->v[last + i].protocol != protocol || b->v[last + i].ports.to + 1 != from ||
		    memcmp(&b->v[last + i].addrs, &addrs[i], sizeof(*addrs)) != 0)
			return false;
	return true;
}

static int cut_protocol(const struct box *in, size_t n, int protocol, uint32_t *cuts,
			struct range *addrs, struct boxes *out)
{
	size_t n_cuts = port_cuts(in, n, protocol, cuts), c, i, k, last = out->n;

	for (c = 0; c + 1 < n_cuts; c++) {
		struct range ports = { cuts[c], cuts[c + 1] - 1 };

		for (i = 0, k = 0; i < n; i++)
			if (in[i].protocol == protocol && in[i].ports.from <= ports.from &&
			    in[i].ports.to >= ports.to)
				addrs[k++] = in[i].addrs;
		k = ranges_merge(addrs, k);
		if (strip_grows(out, last, ports.from, protocol, addrs, k)) {
			for (i = 0; i < k; i++)
				out->v[last + i].ports.to = ports.to;
			continue;
		}
		last = out->n;
		for (i = 0; i < k; i++)
			if (boxes_add(out, (struct box){ protocol, ports, addrs[i] }))
				return -ENOMEM;
	}
	return 0;
}

int boxes_cut(const struct box *in, size_t n, struct box **ret, size_t *ret_n)
{
	auto_free uint32_t *cuts = malloc((2 * n + 1) * sizeof(*cuts));
	auto_free struct range *addrs = malloc((n + 1) * sizeof(*addrs));
	struct boxes out = { 0 };
	int protocol, r = cuts && addrs ? 0 : -ENOMEM;

	for (protocol = 0; protocol < 256 && !r; protocol++)
		r = cut_protocol(in, n, protocol, cuts, addrs, &out);
	if (r) {
		free(out.v);
		return r;
	}
	*ret = out.v;
	*ret_n = out.n;
	return 0;
}

/* ---- longest prefix ---- */

static int route_cmp(const void *a, const void *b)
{
	const struct lpm_route *x = a, *y = b;

	return (int)y->destination.len - (int)x->destination.len;
}

/* from the longest prefix to the shortest, each takes what is left of its range */
static int lpm_take(const struct lpm_route *sorted, size_t n, int value, struct range *taken,
		    struct range **ret, size_t *ret_n)
{
	struct range *won = malloc((2 * n + 1) * sizeof(*won));
	size_t i, n_taken = 0, n_won = 0;

	if (!won)
		return -ENOMEM;
	for (i = 0; i < n; i++) {
		struct range r = range_of_prefix(&sorted[i].destination);

		if (sorted[i].value == value) {
			auto_free struct range *left = NULL;
			size_t n_left;

			if (ranges_subtract(&r, 1, taken, n_taken, &left, &n_left)) {
				free(won);
				return -ENOMEM;
			}
			if (n_left)
				memcpy(won + n_won, left, n_left * sizeof(*left));
			/* prefixes nest: gaps in all are at most one a longer prefix */
			n_won = ranges_merge(won, n_won + n_left);
		}
		taken[n_taken++] = r;
		n_taken = ranges_merge(taken, n_taken);
	}
	*ret = won;
	*ret_n = n_won;
	return 0;
}

int lpm_segments(const struct lpm_route *routes, size_t n, int value, struct range **ret,
		 size_t *ret_n)
{
	auto_free struct lpm_route *sorted = malloc((n + 1) * sizeof(*sorted));
	auto_free struct range *taken = malloc((n + 1) * sizeof(*taken));

	if (!sorted || !taken)
		return -ENOMEM;
	if (n)
		memcpy(sorted, routes, n * sizeof(*sorted));
	qsort(sorted, n, sizeof(*sorted), route_cmp);
	return lpm_take(sorted, n, value, taken, ret, ret_n);
}
