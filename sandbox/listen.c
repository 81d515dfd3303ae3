/* SPDX-License-Identifier: MIT */
/*
 * listen - see listen.h.
 */
#include "sandbox/listen.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/addr.h"
#include "lib/log.h"
#include "lib/util.h"
#include "sandbox/invoke.h"
#include "sandbox/rows.h"

#define SERVICE "lambda"

/* ---- secrets ---- */

void listen_secret(const struct slab *l, char ret[SIGV4_SECRET_SIZE])
{
	char what[120];

	/* a lab of the same name that is made later is another one */
	(void)snprintf(what, sizeof(what), "%s %lld", l->name, (long long)l->created_ms);
	sigv4_secret(l->sd->key, sizeof(l->sd->key), what, ret);
}

void listen_credentials(const struct slab *l, struct http_req *r)
{
	cJSON *o = cJSON_CreateObject();
	char secret[SIGV4_SECRET_SIZE];

	listen_secret(l, secret);
	cJSON_AddStringToObject(o, "access_key_id", l->name);
	cJSON_AddStringToObject(o, "secret_access_key", secret);
	cJSON_AddStringToObject(o, "region", l->lab->region);
	if (*l->sd->endpoint)
		cJSON_AddStringToObject(o, "endpoint", l->sd->endpoint);
	else
		cJSON_AddNullToObject(o, "endpoint");
	http_reply_json(r, 200, o);
}

/* ---- requests ---- */

static const char *header_of(const char *name, void *arg)
{
	return http_header(arg, name);
}

static void refuse(struct http_req *r, int how)
{
	switch (how) {
	case SIGV4_NONE:
		invoke_refuse(r, 403, "MissingAuthenticationTokenException",
			      "Missing Authentication Token");
		break;
	case SIGV4_MALFORMED:
		invoke_refuse(r, 403, "IncompleteSignatureException",
			      "Authorization header is not a complete AWS4-HMAC-SHA256 signature "
			      "of at least host and x-amz-date");
		break;
	case SIGV4_EXPIRED:
		invoke_refuse(r, 403, "InvalidSignatureException",
			      "Signature expired: %s is more than %d s from now",
			      http_header(r, "x-amz-date"), SIGV4_SKEW_S);
		break;
	case SIGV4_SCOPE:
		invoke_refuse(r, 403, "InvalidSignatureException",
			      "Credential should be scoped to the lab's region and the service "
			      "'" SERVICE "'.");
		break;
	case SIGV4_MISMATCH:
		invoke_refuse(r, 403, "InvalidSignatureException",
			      "The request signature we calculated does not match the signature "
			      "you provided. Check your AWS Secret Access Key and signing method. "
			      "Consult the service documentation for details.");
		break;
	default:
		invoke_refuse(r, 500, "ServiceException", "Out of memory");
	}
}

void listen_answer(struct sandboxd *sd, const struct slab *only, struct http_req *r)
{
	struct sigv4_request q = {
		.method = http_method(r),
		.path = http_raw_path(r),
		.query = http_raw_query(r),
		.header = header_of,
		.arg = r,
	};
	char key[SIGV4_KEY_SIZE], secret[SIGV4_SECRET_SIZE];
	const struct slab *l;
	int how;

	q.body = http_body(r, &q.size);
	sigv4_key(&q, key);
	if (!*key) {
		refuse(r, http_header(r, "Authorization") ? SIGV4_MALFORMED : SIGV4_NONE);
		return;
	}
	l = slab_find(sd, key);
	if (!l || !l->lab || (only && l != only)) {
		invoke_refuse(r, 403, "UnrecognizedClientException",
			      "The security token included in the request is invalid.");
		return;
	}
	listen_secret(l, secret);
	how = sigv4_check(&q, l->lab->region, SERVICE, secret, wall_ms() / 1000);
	if (how != SIGV4_OK)
		refuse(r, how);
	else if (invoke_is_path(http_path(r)))
		invoke_handle(sd, r, l->name);
	else
		invoke_refuse(r, 404, "UnknownOperationException", "%s: no operation of Lambda's",
			      http_path(r));
}

static void on_request(struct http_req *r, void *arg)
{
	listen_answer(arg, NULL, r);
}

/* ---- the port ---- */

static bool is_loopback(const struct addr *a)
{
	return a->family == AF_INET && addr_to_v4(a) >> 24 == 127;
}

static int read_where(const char *where, struct addr *ret, uint16_t *ret_port)
{
	const char *colon = strrchr(where, ':');
	char host[40];
	uint64_t port;

	if (!colon || (size_t)(colon - where) >= sizeof(host))
		return -EINVAL;
	(void)snprintf(host, sizeof(host), "%.*s", (int)(colon - where), where);
	if (addr_parse(host, ret) < 0 || parse_u64(colon + 1, 0, UINT16_MAX, &port) < 0)
		return -EINVAL;
	*ret_port = (uint16_t)port;
	return 0;
}

int listen_open(struct sandboxd *sd, const char *where, struct err *e)
{
	struct addr a;
	uint16_t port;
	int fd;

	if (read_where(where, &a, &port) < 0)
		return err_set(e, ERR_INVALID_PARAMETER, EINVAL,
			       "--listen %s: not ADDRESS:PORT (127.0.0.1:9001)", where);
	if (!is_loopback(&a))
		return err_set(e, ERR_INVALID_PARAMETER, EINVAL,
			       "--listen %s: only on the loopback (127.0.0.0/8)", where);
	fd = sock_listen_tcp(&a, &port);
	if (fd < 0)
		return err_set(e, ERR_STATE, -fd, "--listen %s: %s", where, strerror(-fd));
	sd->tcp = http_server_new(sd->loop, fd, on_request, sd);
	if (!sd->tcp)
		return err_set(e, ERR_INTERNAL, ENOMEM, "--listen %s: no HTTP server", where);
	(void)snprintf(sd->endpoint, sizeof(sd->endpoint), "http://%s:%u", addr_str(&a), port);
	log_info("endpoint=%s", sd->endpoint);
	return 0;
}

void listen_close(struct sandboxd *sd)
{
	sd->tcp = http_server_free(sd->tcp);
	sd->endpoint[0] = '\0';
}
