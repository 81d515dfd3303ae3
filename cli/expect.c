/* SPDX-License-Identifier: MIT */
/*
 * expect - cases are made in the file's order: of an expectation first those of
 * its first source, to each target on each port; of an only_from those of the
 * sources that it names, then those of all others.  Judging a probe of a function
 * with several interfaces judges each part: the expectation holds if all do.
 */
#include "cli/expect.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "lib/addr.h"
#include "lib/buf.h"
#include "lib/mutant.h"
#include "lib/util.h"

/* ---- cases ---- */

struct making {
	const struct lab *l;
	const cJSON *show;
	struct expect_case *cases; /* owns */
	size_t n, cap;
};

static const cJSON *show_instance(const cJSON *show, const char *name)
{
	const cJSON *vpc, *o = NULL;

	cJSON_ArrayForEach(vpc, json_get(show, "vpcs"))
		if ((o = json_get(json_get(vpc, "instances"), name)))
			break;
	return o;
}

static bool has_public_address(const struct making *m, const struct instance *i)
{
	const cJSON *o = show_instance(m->show, i->name);

	if (o)
		return json_str(o, "public_ip", NULL) != NULL;
	return i->elastic_ip.set || i->associate_public_ip_address;
}

/* which of the target's addresses; only an instance has a choice */
static const char *address_of(const struct making *m, const struct expect *x,
			      const struct endpoint *from, const struct endpoint *to)
{
	const struct instance *target = to->node ? lab_instance(m->l, to->node) : NULL;
	const char *address = x->address;

	if (!target)
		return address;
	if (!address)
		address = lab_host(m->l, from->node) ? "public" : "private";
	/* nobody chose this pair by name, so the target may not have what is asked for */
	if ((x->has_only_from || from->selected || to->selected) && !strcmp(address, "public") &&
	    !has_public_address(m, target))
		address = "private";
	return address;
}

static struct expect_case *new_case(struct making *m)
{
	struct expect_case *k;

	if (m->n == m->cap) {
		size_t cap = m->cap ? m->cap * 2 : 32;

		k = reallocarray(m->cases, cap, sizeof(*k));
		if (!k)
			return NULL;
		m->cases = k;
		m->cap = cap;
	}
	return &m->cases[m->n++];
}

/* "flow dstport=22 REJECT" */
static char *flow_name(const struct expect *x)
{
	struct buf b = BUF_INIT;
	const cJSON *field;

	buf_adds(&b, "flow ");
	cJSON_ArrayForEach(field, x->flow) {
		if (cJSON_IsString(field))
			buf_printf(&b, "%s=%s ", field->string, field->valuestring);
		else
			buf_printf(&b, "%s=%.15g ", field->string, field->valuedouble);
	}
	buf_adds(&b, x->action);
	return buf_steal(&b);
}

static int add_call(struct making *m, const struct expect *x)
{
	struct expect_case *k = new_case(m);

	if (!k)
		return -ENOMEM;
	*k = (struct expect_case){ .x = x, .named = x->name != NULL };
	if (x->name)
		k->name = strdup(x->name);
	else if (x->flow)
		k->name = flow_name(x);
	else if (asprintf(&k->name, "invoke %s", x->invoke) < 0)
		k->name = NULL;
	return k->name ? 0 : -ENOMEM;
}

/* "result": NULL: neither open nor refused */
static int add_probe(struct making *m, const struct expect *x, const struct endpoint *from,
		     const struct endpoint *to, const char *port, const char *result)
{
	struct expect_case *k = new_case(m);

	if (!k)
		return -ENOMEM;
	*k = (struct expect_case){
		.x = x,
		.named = x->name && !x->product && !x->has_only_from,
		.from = from->text,
		.to = to->text,
		.port = port,
		.result = result,
		.address = address_of(m, x, from, to),
	};
	/* the cells of one expectation must be told apart, also by --filter */
	if (k->named)
		k->name = strdup(x->name);
	else if (asprintf(&k->name, "%s%s%s -> %s %s %s", x->name ? x->name : "",
			  x->name ? ": " : "", from->text, to->text, port,
			  result ? result : "closed") < 0)
		k->name = NULL;
	return k->name ? 0 : -ENOMEM;
}

static bool list_has(const struct strings *list, const char *s)
{
	size_t i;

	for (i = 0; i < list->n; i++)
		if (!strcmp(list->v[i], s))
			return true;
	return false;
}

static bool is_address_of(const cJSON *o, const struct addr *a)
{
	static const char *const members[] = { "ip", "private_ip", "public_ip" };
	const cJSON *ip;
	struct addr b;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(members); i++)
		if (addr_parse(json_str(o, members[i], ""), &b) == 0 && addr_equal(a, &b))
			return true;
	cJSON_ArrayForEach(ip, json_get(o, "private_ips"))
		if (cJSON_IsString(ip) && addr_parse(ip->valuestring, &b) == 0 && addr_equal(a, &b))
			return true;
	cJSON_ArrayForEach(ip, json_get(o, "addresses"))
		if ((addr_parse(ip->string, &b) == 0 && addr_equal(a, &b)) ||
		    (cJSON_IsString(ip) && addr_parse(ip->valuestring, &b) == 0 &&
		     addr_equal(a, &b)))
			return true;
	return false;
}

/* "NAME.VPC.internal" */
static bool is_internal_name(const struct instance *i, const char *to)
{
	size_t len = strlen(i->name), vpc = strlen(i->vpc->name);

	return !strncmp(to, i->name, len) && to[len] == '.' &&
	       !strncmp(to + len + 1, i->vpc->name, vpc) &&
	       !strcmp(to + len + 1 + vpc, ".internal");
}

/* "to" is a node's name, one of its addresses or of its names in the DNS */
static bool is_target_host(const struct host *h, const char *to)
{
	struct addr a;

	if (!strcmp(to, h->name) || list_has(&h->dns_names, to))
		return true;
	return addr_parse(to, &a) == 0 && addr_equal(&a, &h->ip);
}

/* what the file gives to an interface that is attached to the instance */
static bool is_address_attached(const struct instance *i, const struct addr *a)
{
	size_t k, j;

	for (k = 0; k < i->vpc->n_network_interfaces; k++) {
		const struct network_interface *e = &i->vpc->network_interfaces[k];

		if (e->attach_to != i)
			continue;
		for (j = 0; j < e->n_private_ips; j++)
			if (addr_equal(a, &e->private_ips[j]))
				return true;
		for (j = 0; j < e->n_elastic_ips; j++)
			if (!e->elastic_ips[j].eip.automatic &&
			    addr_equal(a, &e->elastic_ips[j].eip.addr))
				return true;
	}
	return false;
}

static bool is_target_instance(const struct making *m, const struct instance *i, const char *to)
{
	struct addr a;
	size_t j;

	if (!strcmp(to, i->name) || list_has(&i->dns_names, to) || is_internal_name(i, to))
		return true;
	if (addr_parse(to, &a) < 0)
		return false;
	for (j = 0; j < i->n_private_ips; j++)
		if (addr_equal(&a, &i->private_ips[j]))
			return true;
	return (i->elastic_ip.set && !i->elastic_ip.automatic &&
		addr_equal(&a, &i->elastic_ip.addr)) ||
	       is_address_attached(i, &a) || is_address_of(show_instance(m->show, i->name), &a);
}

/* is the target the source itself, by whatever name or address? */
static bool is_itself(const struct making *m, const struct endpoint *from,
		      const struct endpoint *to)
{
	const struct instance *i;
	const struct host *h;

	if (to->node)
		return !strcmp(from->node, to->node);
	h = lab_host(m->l, from->node);
	i = h ? NULL : lab_instance(m->l, from->node);
	return (h && is_target_host(h, to->text)) || (i && is_target_instance(m, i, to->text));
}

/* "itself": also who would probe itself, though a selector picked it */
static int add_cells(struct making *m, const struct expect *x, const struct endpoints *sources,
		     const char *result, bool itself)
{
	size_t i, j, n;
	int r = 0;

	for (i = 0; i < sources->n && !r; i++)
		for (j = 0; j < x->to.n && !r; j++) {
			const struct endpoint *from = &sources->v[i], *to = &x->to.v[j];

			if (!itself && (from->selected || to->selected) &&
			    !MUTANT("expect-itself") && is_itself(m, from, to))
				continue;
			for (n = 0; n < x->n_ports && !r; n++)
				r = add_probe(m, x, from, to, x->ports[n].text, result);
		}
	return r;
}

static int add_cases(struct making *m, const struct expect *x)
{
	const size_t before = m->n;
	bool itself = false;
	int r;

	if (x->invoke || x->flow)
		return add_call(m, x);
	do {
		r = add_cells(m, x, &x->from, x->result, itself);
		if (!r && !MUTANT("expect-rest"))
			r = add_cells(m, x, &x->rest, NULL, itself);
		/* all of them turn out to have the target's address: an expectation that
		 * asks nothing would hold in silence */
		itself = !itself && m->n == before;
	} while (!r && itself);
	return r;
}

int expect_cases(const struct lab *l, const cJSON *show, struct expect_case **ret, size_t *ret_n)
{
	struct making m = { .l = l, .show = show };
	size_t i;

	for (i = 0; i < l->n_expects; i++)
		if (add_cases(&m, &l->expects[i]) < 0) {
			expect_cases_free(m.cases, m.n);
			return -ENOMEM;
		}
	*ret = m.cases;
	*ret_n = m.n;
	return 0;
}

void expect_cases_free(struct expect_case *cases, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		free(cases[i].name);
	free(cases);
}

cJSON *expect_probe(const struct expect_case *k)
{
	cJSON *o = cJSON_CreateObject();

	cJSON_AddStringToObject(o, "from", k->from);
	cJSON_AddStringToObject(o, "to", k->to);
	cJSON_AddStringToObject(o, "port", k->port);
	if (k->address)
		cJSON_AddStringToObject(o, "address", k->address);
	if (k->x->timeout > 0)
		cJSON_AddNumberToObject(o, "timeout", k->x->timeout);
	return o;
}

static void add_strings(cJSON *o, const char *name, const struct strings *s)
{
	cJSON *list;
	size_t i;

	if (!s->n)
		return;
	list = cJSON_AddArrayToObject(o, name);
	for (i = 0; i < s->n; i++)
		cJSON_AddItemToArray(list, cJSON_CreateString(s->v[i]));
}

static void add_copy(cJSON *o, const char *name, const cJSON *v)
{
	if (v)
		cJSON_AddItemToObject(o, name, cJSON_Duplicate(v, true));
}

static void add_text(cJSON *o, const char *name, const char *s)
{
	if (s)
		cJSON_AddStringToObject(o, name, s);
}

static void add_number(cJSON *o, const char *name, double v, double def)
{
	if (v < def || v > def)
		cJSON_AddNumberToObject(o, name, v);
}

static void expected_call(const struct expect *x, cJSON *o)
{
	add_text(o, "invoke", x->invoke);
	add_text(o, "qualifier", x->qualifier);
	add_text(o, "type", x->type);
	add_copy(o, "payload", x->payload);
	add_copy(o, "returns", x->returns);
	add_copy(o, "matches", x->matches);
	add_copy(o, "outcomes", x->outcomes);
	add_text(o, "error", x->error);
	add_text(o, "log", x->log);
	add_number(o, "status", (double)x->status, 0);
	add_number(o, "times", x->times, 1);
	add_number(o, "parallel", x->parallel, 1);
}

/* of an only_from: the sources that it lets in */
static bool asks_who_was_seen(const struct expect_case *k)
{
	return k->x->seen_as && k->result;
}

/* and here those that it doesn't */
static bool asks_what_dropped(const struct expect_case *k)
{
	return k->x->because.n && !(k->x->has_only_from && k->result);
}

cJSON *expect_expected(const struct expect_case *k)
{
	const struct expect *x = k->x;
	cJSON *o = cJSON_CreateObject();

	if (x->invoke) {
		expected_call(x, o);
		return o;
	}
	if (x->flow) {
		add_copy(o, "flow", x->flow);
		add_text(o, "action", x->action);
		return o;
	}
	add_text(o, "from", k->from);
	add_text(o, "to", k->to);
	add_text(o, "port", k->port);
	if (k->result)
		add_text(o, "result", k->result);
	else
		cJSON_AddStringToObject(o, "result", "neither open nor refused");
	if (asks_who_was_seen(k))
		add_text(o, "seen_as", x->seen_as);
	if (asks_what_dropped(k))
		add_strings(o, "because", &x->because);
	if (k->address && (x->address || !strcmp(k->address, "public")))
		add_text(o, "address", k->address);
	add_number(o, "within", x->within, 0);
	return o;
}

/* ---- who was seen ---- */

static bool is_nat_gateway(const cJSON *show, const char *word, const struct addr *seen)
{
	const char *slash = strchr(word, '/');
	auto_free char *vpc = NULL;
	const cJSON *nat, *ip, *list;
	struct addr a;

	vpc = slash ? strndup(word, (size_t)(slash - word)) : NULL;
	if (!vpc)
		return false;
	nat = json_get(json_get(json_get(json_get(show, "vpcs"), vpc), "nat_gateways"), slash + 1);
	if (is_address_of(nat, seen))
		return true;
	/* secondary addresses stand in lists */
	cJSON_ArrayForEach(list, nat) {
		if (!cJSON_IsArray(list))
			continue;
		cJSON_ArrayForEach(ip, list)
			if (cJSON_IsString(ip) && addr_parse(ip->valuestring, &a) == 0 &&
			    addr_equal(&a, seen))
				return true;
	}
	return false;
}

/* a function is seen as one of its interfaces, or, outside any VPC, as the service */
static bool is_function(const struct lab *l, const cJSON *show, const struct function *f,
			const struct addr *seen)
{
	const cJSON *ids = json_get(json_get(json_get(show, "functions"), f->name),
				    "network_interfaces"),
		    *id, *vpc;

	if (!f->vpc)
		return addr_equal(seen, &l->service_ip);
	cJSON_ArrayForEach(id, ids)
		cJSON_ArrayForEach(vpc, json_get(show, "vpcs"))
			if (cJSON_IsString(id) &&
			    is_address_of(json_get(json_get(vpc, "network_interfaces"),
						   id->valuestring),
					  seen))
				return true;
	return false;
}

bool expect_is_seen(const struct lab *l, const cJSON *show, const char *word, const char *seen)
{
	const struct host *h = lab_host(l, word);
	const struct instance *i = lab_instance(l, word);
	const struct function *f = lab_function(l, word);
	struct prefix p;
	struct addr a, b;
	bool bits;

	if (!seen || addr_parse(seen, &a) < 0)
		return false;
	if (h)
		return addr_equal(&a, &h->ip);
	if (i)
		return is_address_of(show_instance(show, word), &a);
	if (f)
		return is_function(l, show, f, &a);
	if (!strcmp(word, "service"))
		return addr_equal(&a, &l->service_ip);
	if (!strncmp(word, "nat_gateway:", 12))
		return is_nat_gateway(show, word + 12, &a);
	if (addr_parse(word, &b) == 0)
		return addr_equal(&a, &b);
	return prefix_parse(word, &p, &bits) == 0 && prefix_has(&p, &a);
}

/* ---- probes ---- */

__attribute__((format(printf, 2, 3))) static bool fails(struct expect_verdict *v, const char *fmt,
							...)
{
	size_t len = strlen(v->why);
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(v->why + len, sizeof(v->why) - len, fmt, ap);
	va_end(ap);
	v->ok = false;
	return false;
}

static bool result_holds(const struct expect_case *k, const cJSON *result, struct expect_verdict *v)
{
	const char *got = json_str(result, "result", "");

	if (k->result && strcmp(got, k->result))
		return fails(v, "%s instead of %s", *got ? got : "nothing", k->result);
	if (!k->result && strcmp(got, "timeout") && strcmp(got, "unreachable"))
		return fails(v, "%s instead of neither open nor refused", *got ? got : "nothing");
	return true;
}

static bool seen_holds(const struct lab *l, const cJSON *show, const struct expect_case *k,
		       const cJSON *result, struct expect_verdict *v)
{
	const char *seen = json_str(result, "seen_as", NULL), *want = k->x->seen_as;

	if (!asks_who_was_seen(k) || expect_is_seen(l, show, want, seen) ||
	    MUTANT("expect-seen-as"))
		return true;
	if (!seen)
		return fails(v, "the target told nobody's address, instead of %s", want);
	return fails(v, "the target saw %s instead of %s", seen, want);
}

static bool because_holds(const struct expect_case *k, const cJSON *result,
			  struct expect_verdict *v)
{
	const char *code = json_str(json_get(result, "dropped"), "code", NULL);
	const struct strings *want = &k->x->because;

	if (!asks_what_dropped(k) || (code && list_has(want, code)) || MUTANT("expect-because"))
		return true;
	return fails(v, "dropped by %s instead of %s%s", code ? code : "nothing that was noted",
		     want->v[0], want->n > 1 ? " or another of the list" : "");
}

static bool part_holds(const struct lab *l, const cJSON *show, const struct expect_case *k,
		       const cJSON *part, struct expect_verdict *v)
{
	const cJSON *error = json_get(part, "error");

	if (cJSON_IsObject(error))
		return fails(v, "%s", json_str(error, "message", "not probed"));
	return result_holds(k, part, v) && seen_holds(l, show, k, part, v) &&
	       because_holds(k, part, v);
}

void expect_judge_probe(const struct lab *l, const cJSON *show, const struct expect_case *k,
			const cJSON *result, struct expect_verdict *ret)
{
	const cJSON *parts = json_get(result, "parts"), *part;
	bool error = cJSON_IsObject(json_get(result, "error"));

	*ret = (struct expect_verdict){ .ok = true, .got = cJSON_Duplicate(result, true) };
	if (!ret->got)
		(void)fails(ret, "out of memory");
	if (error || !cJSON_GetArraySize(parts) || MUTANT("expect-parts")) {
		(void)part_holds(l, show, k, result, ret);
		return;
	}
	cJSON_ArrayForEach(part, parts) {
		const char *name = json_str(part, "interface", "?");
		size_t len = strlen(ret->why);

		(void)snprintf(ret->why + len, sizeof(ret->why) - len, "%s%s: ", len ? "; " : "",
			       name);
		if (part_holds(l, show, k, part, ret))
			ret->why[len] = '\0';
	}
}

/* ---- invocations ---- */

bool expect_matches(const cJSON *got, const cJSON *want)
{
	const cJSON *w, *g;

	if (!cJSON_IsObject(want))
		return json_equal(got, want);
	if (!cJSON_IsObject(got))
		return false;
	cJSON_ArrayForEach(w, want) {
		g = json_get(got, w->string);
		if (!g || !expect_matches(g, w))
			return false;
	}
	return true;
}

static bool is_success(const struct expect_call *call)
{
	return call->status >= 200 && call->status < 300;
}

/* the type of a function's error, or of the API's refusal; "" for neither */
static void error_of(const struct expect_call *call, const cJSON *body, char *ret, size_t size)
{
	*ret = '\0';
	if (is_success(call) && call->function_error)
		(void)snprintf(ret, size, "%s", json_str(body, "errorType", "?"));
	else if (!is_success(call))
		(void)snprintf(ret, size, "%.*s",
			       (int)strcspn(call->error_type ? call->error_type : "?", ":"),
			       call->error_type ? call->error_type : "?");
}

static bool body_holds(const struct expect *x, const cJSON *body, struct expect_verdict *v)
{
	if (x->returns && !json_equal(body, x->returns) && !MUTANT("expect-returns"))
		return fails(v, "the response differs");
	if (x->matches && !expect_matches(body, x->matches))
		return fails(v, "the response does not match");
	return true;
}

static bool call_holds(const struct expect *x, const struct expect_call *call,
		       struct expect_verdict *v)
{
	auto_json cJSON *body = json_parse(call->body ? call->body : "", call->size, NULL);
	char error[200];

	error_of(call, body, error, sizeof(error));
	if (x->status && call->status != x->status)
		return fails(v, "status %d instead of %ld", call->status, x->status);
	if (x->error && strcmp(error, x->error))
		return fails(v, "%s instead of error %s", *error ? error : "no error", x->error);
	/* an error that nobody asked about */
	if (!x->error && !x->status && *error)
		return fails(v, "%s %s: %s",
			     call->function_error ? "function error" : "refused:", error,
			     json_str(body, "errorMessage",
				      json_str(body, "message", json_str(body, "Message", ""))));
	if (x->log && (!call->log || !strstr(call->log, x->log)))
		return fails(v, "the log's tail has no line with '%s'", x->log);
	return body_holds(x, body, v);
}

static const char *outcome_of(const struct expect_call *call)
{
	if (call->status == 429 && !MUTANT("expect-outcomes"))
		return "throttled";
	return is_success(call) && !call->function_error ? "ok" : "error";
}

static bool outcomes_hold(const struct expect *x, const struct expect_call *calls, size_t n,
			  struct expect_verdict *v)
{
	const cJSON *want;
	size_t i, count;

	cJSON_ArrayForEach(want, x->outcomes) {
		for (count = 0, i = 0; i < n; i++)
			count += !strcmp(outcome_of(&calls[i]), want->string);
		if ((double)count < want->valuedouble || (double)count > want->valuedouble)
			return fails(v, "%zu %s instead of %.0f", count, want->string,
				     want->valuedouble);
	}
	return true;
}

static cJSON *got_of(const struct expect_call *call)
{
	cJSON *o = cJSON_CreateObject();
	cJSON *body = json_parse(call->body ? call->body : "", call->size, NULL);
	char error[200];

	error_of(call, body, error, sizeof(error));
	cJSON_AddNumberToObject(o, "status", call->status);
	if (*error)
		cJSON_AddStringToObject(o, "error", error);
	else
		cJSON_AddNullToObject(o, "error");
	if (body)
		cJSON_AddItemToObject(o, "response", body);
	else
		cJSON_AddNullToObject(o, "response");
	return o;
}

void expect_judge_calls(const struct expect_case *k, const struct expect_call *calls, size_t n,
			struct expect_verdict *ret)
{
	const struct expect *x = k->x;
	size_t i, shown = 0;
	cJSON *counts;

	*ret = (struct expect_verdict){ .ok = true };
	for (i = 0; i < n && ret->ok && !x->outcomes; i++) {
		shown = i;
		(void)call_holds(x, &calls[i], ret);
	}
	if (x->outcomes)
		(void)outcomes_hold(x, calls, n, ret);
	ret->got = n ? got_of(&calls[shown]) : cJSON_CreateObject();
	if (!x->outcomes)
		return;
	counts = cJSON_AddObjectToObject(ret->got, "outcomes");
	for (i = 0; i < n && counts; i++) {
		const char *o = outcome_of(&calls[i]);
		double before = json_num(counts, o, 0);

		cJSON_DeleteItemFromObjectCaseSensitive(counts, o);
		cJSON_AddNumberToObject(counts, o, before + 1);
	}
}
