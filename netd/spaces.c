/* SPDX-License-Identifier: MIT */
/*
 * spaces - open namespaces of a lab (spaces.h).
 */
#include "netd/spaces.h"

#include <errno.h>
#include <fcntl.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <unistd.h>

#include "lib/ns.h"
#include "lib/util.h"

#define SYSCTL_PATH_SIZE 256

struct space {
	LIST_ENTRY(space) link;
	struct spaces *of;
	char *name; /* owns */
	int fd;
	struct nl *nl;
	struct nft *nft;
	int nl_monitor, nft_monitor; /* -1: not watched */
	struct loop_event *nl_ev, *nft_ev;
};

struct spaces {
	struct loop *loop;
	char *lab; /* owns */
	spaces_foreign_fn fn;
	void *arg;
	LIST_HEAD(, space) all;
	void *by_name; /* tsearch() tree */
};

static int space_cmp(const void *a, const void *b)
{
	return strcmp(((const struct space *)a)->name, ((const struct space *)b)->name);
}

static struct space *space_find(struct spaces *s, const char *ns)
{
	const struct space want = { .name = (char *)(uintptr_t)ns };
	void *at = tfind(&want, &s->by_name, space_cmp);

	return at ? *(struct space **)at : NULL;
}

static void space_close(struct space *p)
{
	p->nl_ev = loop_event_free(p->nl_ev);
	p->nft_ev = loop_event_free(p->nft_ev);
	if (p->nl_monitor >= 0)
		nl_monitor_close(p->nl_monitor);
	if (p->nft_monitor >= 0)
		close(p->nft_monitor);
	if (p->fd >= 0)
		close(p->fd);
	p->nl = nl_free(p->nl);
	p->nft = nft_close(p->nft);
	p->nl_monitor = p->nft_monitor = p->fd = -1;
}

static void space_free(struct space *p)
{
	tdelete(p, &p->of->by_name, space_cmp);
	LIST_REMOVE(p, link);
	space_close(p);
	free(p->name);
	free(p);
}

/* takes "fd" also on failure */
static struct space *space_add(struct spaces *s, const char *ns, int fd)
{
	struct space *p = calloc(1, sizeof(*p));

	if (p) {
		p->of = s;
		p->fd = fd;
		p->nl_monitor = p->nft_monitor = -1;
		p->name = strdup(ns);
	}
	if (!p || !p->name || !tsearch(p, &s->by_name, space_cmp)) {
		close(fd);
		if (p)
			free(p->name);
		free(p);
		return NULL;
	}
	LIST_INSERT_HEAD(&s->all, p, link);
	return p;
}

static struct space *space_get(struct spaces *s, const char *ns, struct err *e)
{
	struct space *p = space_find(s, ns);
	int fd, r;

	if (p)
		return p;
	r = ns_open(s->lab, ns, &fd);
	if (r < 0) {
		err_set(e, ERR_KERNEL, -r, "namespace %s/%s: %s", s->lab, ns, strerror(-r));
		return NULL;
	}
	p = space_add(s, ns, fd);
	if (!p)
		err_set(e, ERR_INTERNAL, ENOMEM, "out of memory");
	return p;
}

/* ---- making and settings ---- */

/* the next line of an item's value: its length; 0 at the end */
static size_t next_line(const char **at)
{
	size_t len;

	*at += strspn(*at, "\n");
	len = strcspn(*at, "\n");
	return len;
}

static bool has_line(const char *val, const char *line, size_t len)
{
	size_t n;

	for (; (n = next_line(&val)) > 0; val += n)
		if (n == len && memcmp(val, line, len) == 0)
			return true;
	return false;
}

/* the sysctl lines of "val" that "old" (NULL: nothing) lacks, without their word */
static char *sysctls_of(const char *val, const char *old)
{
	static const char word[] = "sysctl ";
	const size_t n_word = sizeof(word) - 1;
	char *ret = malloc(strlen(val) + 1), *to = ret;
	size_t n;

	if (!ret)
		return NULL;
	for (; (n = next_line(&val)) > 0; val += n)
		if (n > n_word && memcmp(val, word, n_word) == 0 &&
		    !(old && has_line(old, val, n))) {
			memcpy(to, val + n_word, n - n_word);
			to += n - n_word;
			*to++ = '\n';
		}
	*to = '\0';
	return ret;
}

int spaces_create(struct spaces *s, const char *ns, const char *val, struct err *e)
{
	auto_free char *sysctls = sysctls_of(val, NULL);
	struct nl *nl;
	int fd, r;

	if (!sysctls)
		return err_set(e, ERR_INTERNAL, ENOMEM, "out of memory");
	r = ns_create(s->lab, ns, sysctls, &fd, e);
	if (r < 0)
		return r;
	if (!space_add(s, ns, fd))
		r = err_set(e, ERR_INTERNAL, ENOMEM, "out of memory");
	else if (has_line(val, "rules none", 10))
		/* where the stock rules go, so does every way around the lab's tables */
		r = (nl = spaces_nl(s, ns, e)) ? nl_rules_none(nl, e) : -EIO;
	if (r < 0) {
		struct err ignored = { .code = ERR_NONE };

		(void)spaces_drop(s, ns, &ignored); /* the first failure is the one told */
	}
	return r;
}

struct setting {
	const char *lines;
	struct err *e;
};

static int write_sysctl(const char *line, size_t len, struct err *e)
{
	const char *eq = memchr(line, '=', len);
	char path[SYSCTL_PATH_SIZE];
	auto_close int fd = -1;
	size_t i, n;
	int r;

	n = eq ? (size_t)snprintf(path, sizeof(path), "/proc/sys/%.*s", (int)(eq - line), line) : 0;
	if (n == 0 || n >= sizeof(path))
		return err_set(e, ERR_INTERNAL, EINVAL, "sysctl %.*s", (int)len, line);
	for (i = sizeof("/proc/sys/") - 1; i < n; i++)
		if (path[i] == '.')
			path[i] = '/';
	r = fault_hit();
	if (r == 0)
		fd = open(path, O_WRONLY | O_CLOEXEC);
	if (r == 0 && (fd < 0 || write(fd, eq + 1, len - (size_t)(eq + 1 - line)) < 0))
		r = -errno;
	return r < 0 ? err_set(e, ERR_KERNEL, -r, "sysctl %.*s: %s", (int)len, line, strerror(-r)) :
		       0;
}

static int write_sysctls(void *arg)
{
	const struct setting *set = arg;
	const char *line = set->lines;
	size_t n;

	for (; (n = next_line(&line)) > 0; line += n) {
		int r = write_sysctl(line, n, set->e);

		if (r < 0)
			return r;
	}
	return 0;
}

int spaces_settings(struct spaces *s, const char *ns, const char *old, const char *val,
		    struct err *e)
{
	auto_free char *sysctls = sysctls_of(val, old);
	struct setting set = { sysctls, e };
	int fd = spaces_fd(s, ns, e);

	if (fd < 0)
		return fd;
	if (!sysctls)
		return err_set(e, ERR_INTERNAL, ENOMEM, "out of memory");
	return ns_do(fd, write_sysctls, &set);
}

int spaces_drop(struct spaces *s, const char *ns, struct err *e)
{
	struct space *p = space_find(s, ns);
	int r;

	if (p)
		space_free(p);
	r = ns_drop(s->lab, ns);
	return r < 0 ? err_set(e, ERR_KERNEL, -r, "namespace %s/%s: unpinning: %s", s->lab, ns,
			       strerror(-r)) :
		       0;
}

/* ---- what is open ---- */

int spaces_fd(struct spaces *s, const char *ns, struct err *e)
{
	struct space *p = space_get(s, ns, e);

	return p ? p->fd : -ENOENT;
}

struct nl *spaces_nl(struct spaces *s, const char *ns, struct err *e)
{
	struct space *p = space_get(s, ns, e);

	if (!p)
		return NULL;
	if (!p->nl && nl_open(p->fd, &p->nl, e) < 0) {
		err_wrap(e, "%s", ns);
		return NULL;
	}
	return p->nl;
}

struct nft *spaces_nft(struct spaces *s, const char *ns, struct err *e)
{
	struct space *p = space_get(s, ns, e);

	if (!p)
		return NULL;
	if (!p->nft && nft_open(p->fd, &p->nft, e) < 0) {
		err_wrap(e, "%s", ns);
		return NULL;
	}
	return p->nft;
}

static void nl_heard(int fd, unsigned what, void *arg)
{
	struct space *p = arg;

	(void)what;
	if (nl_monitor_read(fd) != 0) /* what can't be read may be anything */
		p->of->fn(p->name, false, p->of->arg);
}

static void nft_heard(int fd, unsigned what, void *arg)
{
	struct space *p = arg;

	(void)what;
	if (nft_monitor_read(fd) != 0)
		p->of->fn(p->name, true, p->of->arg);
}

int spaces_watch(struct spaces *s, const char *ns, struct err *e)
{
	struct space *p = space_get(s, ns, e);

	if (!p)
		return -ENOENT;
	if (p->nl_monitor < 0) {
		p->nl_monitor = nl_monitor_open(p->fd);
		if (p->nl_monitor < 0)
			return err_set(e, ERR_KERNEL, -p->nl_monitor, "%s: monitor: %s", ns,
				       strerror(-p->nl_monitor));
		p->nl_ev = loop_fd(s->loop, p->nl_monitor, LOOP_READ, nl_heard, p);
	}
	if (p->nft_monitor < 0) {
		p->nft_monitor = nft_monitor_open(p->fd);
		if (p->nft_monitor < 0)
			return err_set(e, ERR_KERNEL, -p->nft_monitor, "%s: nft monitor: %s", ns,
				       strerror(-p->nft_monitor));
		p->nft_ev = loop_fd(s->loop, p->nft_monitor, LOOP_READ, nft_heard, p);
	}
	return p->nl_ev && p->nft_ev ? 0 : err_set(e, ERR_INTERNAL, ENOMEM, "out of memory");
}

void spaces_trim(struct spaces *s)
{
	struct space *p, *next;

	if (!s)
		return;
	for (p = LIST_FIRST(&s->all); p; p = next) {
		next = LIST_NEXT(p, link);
		if (p->nl_monitor < 0) {
			space_free(p);
			continue;
		}
		/* not p->nft: closing an nfnetlink socket waits for what its last commit
		 * removed to be freed, 11 ms (6.18, nft_rcv_nl_event()) */
		p->nl = nl_free(p->nl);
	}
}

bool spaces_is_managed(const char *val)
{
	static const char *const roles[] = { "role router", "role nat_gateway", "role egress",
					     "role internet" };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(roles); i++)
		if (has_line(val, roles[i], strlen(roles[i])))
			return true;
	return false;
}

struct spaces *spaces_new(struct loop *l, const char *lab, spaces_foreign_fn fn, void *arg)
{
	struct spaces *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->loop = l;
	s->fn = fn;
	s->arg = arg;
	s->lab = strdup(lab);
	return s->lab ? s : spaces_free(s);
}

struct spaces *spaces_free(struct spaces *s)
{
	if (!s)
		return NULL;
	while (!LIST_EMPTY(&s->all))
		space_free(LIST_FIRST(&s->all));
	free(s->lab);
	free(s);
	return NULL;
}
