/* SPDX-License-Identifier: MIT */
/*
 * json - the strict scanner, and the join of its positions with cJSON's items.
 *
 * The scanner walks the text once, value by value in pre-order, and records
 * where each stands.  cJSON, given the same text, makes the same values; its
 * tree is walked in the same order and item n gets position n.  A text that the
 * scanner refuses never reaches cJSON.  Duplicate keys are reported, and both
 * values stay in the tree, so that the orders agree.
 */
#include "lib/json.h"

#include <errno.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/fmt.h"
#include "lib/util.h"

#define PATH_MAX_TEXT 1024

struct stand {
	struct json_pos pos;
	struct json_span span;
};

struct json_at {
	const cJSON *item;
	struct stand stand;
};

/* the decoded keys of one open object, for duplicates: a hash table that grows,
 * so that an object of a hundred thousand members stays linear */
struct key {
	size_t hash;
	size_t len;
	char text[];
};

struct keys {
	struct key **slot; /* owns; NULL: empty; "n_slots" is a power of two */
	size_t n_slots, n;
};

struct scan {
	const unsigned char *s, *end, *p;
	const unsigned char *line_start;
	unsigned line;
	/* where here() stopped counting: a file of one line must not cost its square */
	const unsigned char *counted;
	unsigned column;
	unsigned max_depth;
	struct stand *stands; /* owns; in pre-order */
	size_t n_stands, cap_stands;
	json_issue_fn issue;
	void *arg;
	bool duplicates;
	int error;
	char path[PATH_MAX_TEXT];
};

static bool plain_key(const char *key)
{
	const char *k;

	for (k = key; *k; k++)
		if ((unsigned char)*k <= ' ' || *k == '.' || *k == '/' || *k == '"' || *k == '[' ||
		    *k == ']' || *k == '\\' || *k == 0x7f)
			return false;
	return k > key;
}

char *json_path_member(char *ret, size_t size, const char *path, const char *key)
{
	size_t n_path = strlen(path), n_key = strlen(key), dot = n_path > 0;
	auto_buf struct buf joined = BUF_INIT;

	if (plain_key(key) && n_path + dot + n_key < size) {
		memmove(ret, path, n_path); /* may be the same place */
		ret[n_path] = '.';
		memcpy(ret + n_path + dot, key, n_key + 1);
		return ret;
	}
	buf_adds(&joined, path);
	if (plain_key(key)) {
		buf_printf(&joined, "%s%s", dot ? "." : "", key);
	} else {
		/* quoted as JSON, so that no control byte of a key reaches a terminal */
		buf_adds(&joined, "[");
		buf_json(&joined, key);
		buf_adds(&joined, "]");
	}
	snprintf(ret, size, "%s", buf_str(&joined));
	return ret;
}

char *json_path_index(char *ret, size_t size, const char *path, size_t index)
{
	char joined[PATH_MAX_TEXT];

	fmt_print(joined, sizeof(joined), "%s[%zu]", path, index);
	fmt_print(ret, size, "%s", joined);
	return ret;
}

static struct json_pos here(struct scan *c)
{
	if (c->counted < c->line_start || c->counted > c->p) {
		c->counted = c->line_start;
		c->column = 1;
	}
	for (; c->counted < c->p; c->counted++)
		c->column += (*c->counted & 0xc0) != 0x80;
	return (struct json_pos){ c->line, c->column };
}

static int fault(struct scan *c, const char *code, const char *msg)
{
	if (!c->error) {
		c->error = -EBADMSG;
		if (c->issue)
			c->issue(here(c), c->path, code, msg, c->arg);
	}
	return c->error;
}

static int record(struct scan *c)
{
	if (c->n_stands == c->cap_stands) {
		size_t cap = c->cap_stands ? c->cap_stands * 2 : 256;
		struct stand *more = realloc(c->stands, cap * sizeof(*more));

		if (!more)
			return c->error = -ENOMEM;
		c->stands = more;
		c->cap_stands = cap;
	}
	c->stands[c->n_stands++] = (struct stand){ here(c), { (size_t)(c->p - c->s), 0 } };
	return 0;
}

static void skip_space(struct scan *c)
{
	for (; c->p < c->end; c->p++) {
		if (*c->p == '\n') {
			c->line++;
			c->line_start = c->p + 1;
		} else if (*c->p != ' ' && *c->p != '\t' && *c->p != '\r') {
			return;
		}
	}
}

static int hex4(const unsigned char *p, const unsigned char *end)
{
	int v = 0;

	if (end - p < 4)
		return -1;
	for (int i = 0; i < 4; i++) {
		int d = p[i] >= '0' && p[i] <= '9'		 ? p[i] - '0' :
			(p[i] | 32) >= 'a' && (p[i] | 32) <= 'f' ? (p[i] | 32) - 'a' + 10 :
								   -1;

		if (d < 0)
			return -1;
		v = v << 4 | d;
	}
	return v;
}

static void put_utf8(struct buf *b, unsigned v)
{
	char t[4];

	if (v < 0x80) {
		t[0] = (char)v;
		buf_add(b, t, 1);
	} else if (v < 0x800) {
		t[0] = (char)(0xc0 | v >> 6);
		t[1] = (char)(0x80 | (v & 0x3f));
		buf_add(b, t, 2);
	} else if (v < 0x10000) {
		t[0] = (char)(0xe0 | v >> 12);
		t[1] = (char)(0x80 | (v >> 6 & 0x3f));
		t[2] = (char)(0x80 | (v & 0x3f));
		buf_add(b, t, 3);
	} else {
		t[0] = (char)(0xf0 | v >> 18);
		t[1] = (char)(0x80 | (v >> 12 & 0x3f));
		t[2] = (char)(0x80 | (v >> 6 & 0x3f));
		t[3] = (char)(0x80 | (v & 0x3f));
		buf_add(b, t, 4);
	}
}

/* the escape behind a backslash */
static int scan_escape(struct scan *c, struct buf *out)
{
	static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
	const char *found;
	int v, low;

	if (c->p >= c->end)
		return fault(c, "json-syntax", "the string has no end");
	found = *c->p ? strchr(from, *c->p) : NULL;
	if (found) {
		buf_add(out, &to[found - from], 1);
		c->p++;
		return 0;
	}
	if (*c->p != 'u')
		return fault(c, "json-syntax",
			     "unknown escape (allowed: \\\" \\\\ \\/ \\b \\f \\n \\r \\t \\uXXXX)");
	v = hex4(c->p + 1, c->end);
	if (v < 0)
		return fault(c, "json-syntax", "\\u needs four hexadecimal digits");
	if (v == 0)
		return fault(c, "json-nul", "\\u0000 is not allowed in a string");
	c->p += 5;
	if (v >= 0xd800 && v < 0xe000) {
		low = v < 0xdc00 && c->end - c->p >= 6 && c->p[0] == '\\' && c->p[1] == 'u' ?
			      hex4(c->p + 2, c->end) :
			      -1;
		if (low < 0xdc00 || low > 0xdfff)
			return fault(c, "json-syntax", "half of a surrogate pair");
		v = 0x10000 + ((v - 0xd800) << 10) + (low - 0xdc00);
		c->p += 6;
	}
	put_utf8(out, (unsigned)v);
	return 0;
}

/* how many bytes from here on stand for themselves */
static size_t plain_run(const struct scan *c)
{
	const unsigned char *p = c->p;

	while (p < c->end && *p >= 0x20 && *p < 0x80 && *p != '"' && *p != '\\')
		p++;
	return (size_t)(p - c->p);
}

/* a string, decoded into "out" */
static int scan_string(struct scan *c, struct buf *out)
{
	c->p++;
	while (c->p < c->end && *c->p != '"') {
		size_t n = plain_run(c);

		if (n) {
			buf_add(out, c->p, n);
			c->p += n;
			continue;
		}
		if (*c->p == '\\') {
			c->p++;
			if (scan_escape(c, out) < 0)
				return c->error;
			continue;
		}
		if (*c->p < 0x20)
			return fault(c, "json-syntax",
				     *c->p ? "a control character in a string has to be escaped" :
					     "a NUL byte in a string");
		n = utf8_len(c->p, (size_t)(c->end - c->p));
		if (!n)
			return fault(c, "json-utf8", "not UTF-8");
		buf_add(out, c->p, n);
		c->p += n;
	}
	if (c->p >= c->end)
		return fault(c, "json-syntax", "the string has no end");
	c->p++;
	return buf_error(out) ? (c->error = -ENOMEM) : 0;
}

static bool digits(struct scan *c)
{
	const unsigned char *from = c->p;

	while (c->p < c->end && *c->p >= '0' && *c->p <= '9')
		c->p++;
	return c->p > from;
}

static int scan_number(struct scan *c)
{
	const unsigned char *from = c->p;
	char text[64];
	bool whole = true;
	size_t len;

	if (*c->p == '-')
		c->p++;
	if (c->p < c->end && *c->p == '0') {
		c->p++;
		if (c->p < c->end && *c->p >= '0' && *c->p <= '9')
			return fault(c, "json-syntax", "a number has no leading zeros");
	} else if (!digits(c)) {
		return fault(c, "json-syntax", "not a value");
	}
	if (c->p < c->end && *c->p == '.') {
		c->p++;
		whole = false;
		if (!digits(c))
			return fault(c, "json-syntax", "digits are missing behind the point");
	}
	if (c->p < c->end && (*c->p | 32) == 'e') {
		c->p++;
		whole = false;
		if (c->p < c->end && (*c->p == '+' || *c->p == '-'))
			c->p++;
		if (!digits(c))
			return fault(c, "json-syntax", "digits are missing in the exponent");
	}
	/* cJSON takes 63 characters of a number */
	len = (size_t)(c->p - from);
	if (len >= sizeof(text)) {
		c->p = from;
		return fault(c, "json-number", "the number is too long (at most 63 characters)");
	}
	memcpy(text, from, len);
	text[len] = 0;
	if (!isfinite(strtod(text, NULL)) ||
	    (whole && fabs(strtod(text, NULL)) > 9007199254740991.0)) {
		c->p = from;
		return fault(c, "json-number", "the number is out of range");
	}
	return 0;
}

static int scan_value(struct scan *c, unsigned depth);

static int scan_word(struct scan *c)
{
	static const char *const words[] = { "true", "false", "null" };

	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		size_t len = strlen(words[i]);

		if ((size_t)(c->end - c->p) >= len && !memcmp(c->p, words[i], len)) {
			c->p += len;
			return 0;
		}
	}
	return fault(
		c, "json-syntax",
		c->p == c->end ?
			"the text ends here; a value is missing" :
			"not a value (allowed: object, array, string, number, true, false, null)");
}

static int scan_array(struct scan *c, unsigned depth)
{
	size_t base = strlen(c->path);

	c->p++;
	skip_space(c);
	if (c->p < c->end && *c->p == ']') {
		c->p++;
		return 0;
	}
	for (size_t i = 0;; i++) {
		char at[32];

		fmt_print(at, sizeof(at), "[%zu]", i);
		if (base + strlen(at) < sizeof(c->path))
			strcpy(c->path + base, at);
		skip_space(c);
		if (scan_value(c, depth + 1) < 0)
			return c->error;
		c->path[base] = 0;
		skip_space(c);
		if (c->p < c->end && *c->p == ',') {
			c->p++;
			continue;
		}
		if (c->p < c->end && *c->p == ']') {
			c->p++;
			return 0;
		}
		return fault(c, "json-syntax", "\",\" or \"]\" is missing");
	}
}

static size_t hash_of(const struct buf *name)
{
	uint64_t h = 0xcbf29ce484222325; /* FNV-1a */

	for (size_t i = 0; i < name->len; i++)
		h = (h ^ (unsigned char)name->s[i]) * 0x100000001b3;
	return (size_t)h;
}

static void keys_done(struct keys *keys)
{
	for (size_t i = 0; i < keys->n_slots; i++)
		free(keys->slot[i]);
	free(keys->slot);
}

/* room for one more at a load of at most a half */
static int keys_grow(struct keys *keys)
{
	struct keys more = { .n_slots = keys->n_slots ? keys->n_slots * 2 : 16, .n = keys->n };

	if (keys->n * 2 < keys->n_slots)
		return 0;
	more.slot = calloc(more.n_slots, sizeof(*more.slot));
	if (!more.slot)
		return -ENOMEM;
	for (size_t i = 0; i < keys->n_slots; i++) {
		size_t at;

		if (!keys->slot[i])
			continue;
		at = keys->slot[i]->hash & (more.n_slots - 1);
		while (more.slot[at])
			at = (at + 1) & (more.n_slots - 1);
		more.slot[at] = keys->slot[i];
	}
	free(keys->slot);
	*keys = more;
	return 0;
}

/* reports a key that its object has already; a new one is kept in "keys" */
static int note_key(struct scan *c, struct keys *keys, const struct buf *name, struct json_pos pos)
{
	size_t hash = hash_of(name), at;
	struct key *k;
	auto_buf struct buf msg = BUF_INIT;

	if (keys_grow(keys) < 0)
		return c->error = -ENOMEM;
	for (at = hash & (keys->n_slots - 1); keys->slot[at]; at = (at + 1) & (keys->n_slots - 1)) {
		k = keys->slot[at];
		if (k->hash != hash || k->len != name->len ||
		    memcmp(k->text, buf_str(name), name->len))
			continue;
		c->duplicates = true;
		buf_json(&msg, buf_str(name));
		buf_adds(&msg, " is there twice (each key once)");
		if (c->issue)
			c->issue(pos, c->path, "duplicate-key", buf_str(&msg), c->arg);
		return 0;
	}
	k = malloc(sizeof(*k) + name->len);
	if (!k)
		return c->error = -ENOMEM;
	k->hash = hash;
	k->len = name->len;
	memcpy(k->text, buf_str(name), name->len);
	keys->slot[at] = k;
	keys->n++;
	return 0;
}

static int scan_member(struct scan *c, unsigned depth, struct keys *keys, size_t base)
{
	auto_buf struct buf name = BUF_INIT;
	struct json_pos pos;

	skip_space(c);
	if (c->p >= c->end || *c->p != '"')
		return fault(c, "json-syntax", "a key in double quotes is missing");
	pos = here(c);
	if (scan_string(c, &name) < 0)
		return c->error;
	json_path_member(c->path, sizeof(c->path), c->path, buf_str(&name));
	skip_space(c);
	if (c->p >= c->end || *c->p != ':')
		return fault(c, "json-syntax", "\":\" is missing behind the key");
	c->p++;
	skip_space(c);
	/* a duplicate is pointed at by its value, like every other fault */
	pos = c->p < c->end ? here(c) : pos;
	if (note_key(c, keys, &name, pos) < 0)
		return c->error;
	if (scan_value(c, depth + 1) < 0)
		return c->error;
	c->path[base] = 0;
	return 0;
}

static int scan_object(struct scan *c, unsigned depth)
{
	struct keys keys = { 0 };
	size_t base = strlen(c->path);
	int r = 0;

	c->p++;
	skip_space(c);
	if (c->p < c->end && *c->p == '}') {
		c->p++;
		return 0;
	}
	for (;;) {
		r = scan_member(c, depth, &keys, base);
		if (r < 0)
			break;
		skip_space(c);
		if (c->p < c->end && *c->p == ',') {
			c->p++;
			continue;
		}
		if (c->p < c->end && *c->p == '}')
			c->p++;
		else
			r = fault(c, "json-syntax", "\",\" or \"}\" is missing");
		break;
	}
	keys_done(&keys);
	return r;
}

static int scan_any(struct scan *c, unsigned depth)
{
	auto_buf struct buf text = BUF_INIT;

	if (c->p >= c->end)
		return scan_word(c);
	if ((*c->p == '{' || *c->p == '[') && depth > c->max_depth) {
		char msg[80];

		snprintf(msg, sizeof(msg), "nested too deep (at most %u levels)", c->max_depth);
		return fault(c, "json-depth", msg);
	}
	switch (*c->p) {
	case '{':
		return scan_object(c, depth);
	case '[':
		return scan_array(c, depth);
	case '"':
		return scan_string(c, &text);
	case '-':
	case '0':
	case '1':
	case '2':
	case '3':
	case '4':
	case '5':
	case '6':
	case '7':
	case '8':
	case '9':
		return scan_number(c);
	default:
		return scan_word(c);
	}
}

static int scan_value(struct scan *c, unsigned depth)
{
	size_t i = c->n_stands;
	int r = record(c);

	if (r == 0)
		r = scan_any(c, depth);
	if (r == 0)
		c->stands[i].span.to = (size_t)(c->p - c->s);
	return r;
}

static int scan_text(struct scan *c)
{
	if (c->end - c->s >= 3 && !memcmp(c->s, "\xef\xbb\xbf", 3))
		return fault(c, "json-syntax", "a byte order mark is not allowed");
	skip_space(c);
	if (scan_value(c, 1) < 0)
		return c->error;
	skip_space(c);
	if (c->p < c->end)
		return fault(c, "json-syntax", "something follows the value");
	return 0;
}

/* pre-order walk that gives item n place n; recursion is bounded by max_depth */
static bool join(struct json_doc *doc, const cJSON *item, const struct stand *stands, size_t n)
{
	if (doc->n_at == n)
		return false;
	doc->at[doc->n_at].item = item;
	doc->at[doc->n_at].stand = stands[doc->n_at];
	doc->n_at++;
	for (const cJSON *child = item->child; child; child = child->next)
		if (!join(doc, child, stands, n))
			return false;
	return true;
}

static int by_item(const void *a, const void *b)
{
	uintptr_t x = (uintptr_t)((const struct json_at *)a)->item;
	uintptr_t y = (uintptr_t)((const struct json_at *)b)->item;

	return x < y ? -1 : x > y;
}

int json_doc_parse(const char *text, size_t size, unsigned max_depth, json_issue_fn issue,
		   void *arg, struct json_doc *ret)
{
	const unsigned char *s = (const unsigned char *)text;
	struct scan c = { .s = s,
			  .p = s,
			  .end = s + size,
			  .line_start = s,
			  .line = 1,
			  .counted = s,
			  .column = 1,
			  .max_depth = max_depth,
			  .issue = issue,
			  .arg = arg };
	struct json_doc doc = { 0 };
	int r;

	*ret = (struct json_doc){ 0 };
	r = scan_text(&c);
	if (r == 0) {
		doc.root = cJSON_ParseWithLength(text, size);
		doc.at = calloc(c.n_stands ? c.n_stands : 1, sizeof(*doc.at));
		if (!doc.root || !doc.at) {
			r = -ENOMEM;
		} else if (!join(&doc, doc.root, c.stands, c.n_stands) || doc.n_at != c.n_stands) {
			/* scanner and cJSON disagree on what the text holds: refuse it */
			c.p = c.s;
			c.line = 1;
			c.line_start = c.s;
			r = fault(&c, "json-syntax", "the text can't be read the same way twice");
		}
	}
	free(c.stands);
	if (r < 0) {
		json_doc_done(&doc);
		return r;
	}
	qsort(doc.at, doc.n_at, sizeof(*doc.at), by_item);
	*ret = doc;
	return c.duplicates ? -EBADMSG : 0;
}

void json_doc_done(struct json_doc *doc)
{
	cJSON_Delete(doc->root);
	free(doc->at);
	*doc = (struct json_doc){ 0 };
}

static const struct json_at *find_at(const struct json_doc *doc, const cJSON *item)
{
	struct json_at key = { .item = item };

	return doc->n_at ? bsearch(&key, doc->at, doc->n_at, sizeof(key), by_item) : NULL;
}

struct json_pos json_doc_pos(const struct json_doc *doc, const cJSON *item)
{
	const struct json_at *found = find_at(doc, item);

	return found ? found->stand.pos : (struct json_pos){ 1, 1 };
}

bool json_doc_span(const struct json_doc *doc, const cJSON *item, struct json_span *ret)
{
	const struct json_at *found = find_at(doc, item);

	if (found)
		*ret = found->stand.span;
	return found != NULL;
}

static void keep_first(struct json_pos pos, const char *path, const char *code, const char *msg,
		       void *arg)
{
	char *why = arg;

	(void)code;
	if (why && !*why)
		snprintf(why, 200, "line %u column %u: %s%s%.100s", pos.line, pos.column, path,
			 *path ? ": " : "", msg);
}

cJSON *json_parse(const char *text, size_t size, char *ret_why)
{
	struct json_doc doc;
	cJSON *root = NULL;

	if (ret_why)
		*ret_why = 0;
	if (json_doc_parse(text, size, 512, keep_first, ret_why, &doc) == 0) {
		root = doc.root;
		doc.root = NULL;
	} else if (ret_why && !*ret_why) {
		strcpy(ret_why, "out of memory");
	}
	json_doc_done(&doc);
	return root;
}

const cJSON *json_get(const cJSON *o, const char *key)
{
	return cJSON_GetObjectItemCaseSensitive(o, key);
}

const char *json_str(const cJSON *o, const char *key, const char *def)
{
	const cJSON *v = json_get(o, key);

	return cJSON_IsString(v) ? v->valuestring : def;
}

double json_num(const cJSON *o, const char *key, double def)
{
	const cJSON *v = json_get(o, key);

	return cJSON_IsNumber(v) ? v->valuedouble : def;
}

bool json_bool(const cJSON *o, const char *key, bool def)
{
	const cJSON *v = json_get(o, key);

	return cJSON_IsBool(v) ? cJSON_IsTrue(v) : def;
}

char *json_print(const cJSON *v)
{
	return cJSON_PrintUnformatted(v);
}

bool json_equal(const cJSON *a, const cJSON *b)
{
	return cJSON_Compare(a, b, true);
}

/* a member keeps its place: addresses are given out in the file's order */
static int merge_member(cJSON *merged, const cJSON *m)
{
	cJSON *old = cJSON_GetObjectItemCaseSensitive(merged, m->string), *value;
	bool done;

	if (cJSON_IsNull(m)) {
		cJSON_Delete(cJSON_DetachItemViaPointer(merged, old));
		return 0;
	}
	value = json_merge_patch(old, m);
	if (!value)
		return -ENOMEM;
	done = old ? cJSON_ReplaceItemInObjectCaseSensitive(merged, m->string, value) :
		     cJSON_AddItemToObject(merged, m->string, value);
	if (!done)
		cJSON_Delete(value);
	return done ? 0 : -ENOMEM;
}

cJSON *json_merge_patch(const cJSON *target, const cJSON *patch)
{
	cJSON *merged;

	if (!cJSON_IsObject(patch))
		return cJSON_Duplicate(patch, true);
	merged = cJSON_IsObject(target) ? cJSON_Duplicate(target, true) : cJSON_CreateObject();
	if (!merged)
		return NULL;
	for (const cJSON *m = patch->child; m; m = m->next) {
		if (merge_member(merged, m) < 0) {
			cJSON_Delete(merged);
			return NULL;
		}
	}
	return merged;
}
