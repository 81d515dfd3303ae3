/* SPDX-License-Identifier: MIT */
/*
 * package - see package.h.  The text: "code HEX", then "layer HEX" for each; of an image
 * "image HEX" (its configuration), then "rootfs HEX" for each of its layers.
 */
#include "sandbox/package.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/mutant.h"
#include "lib/util.h"
#include "sandbox/code.h"
#include "sandbox/limits.h"

/* PKG-1: one limit for all that is unpacked */
static int check_size(const char *state, const struct package *p, struct err *e)
{
	uint64_t sum = 0, one = 0;
	size_t i;
	int r = p->code[0] ? code_bytes(state, p->code, &sum) : 0;

	for (i = 0; i < p->n_layers && !r; i++) {
		r = code_bytes(state, p->layers[i], &one);
		sum += one;
	}
	if (r < 0)
		return err_set(e, ERR_STATE, -r, "%s/code: %s", state, strerror(-r));
	if (sum > LIMIT_CODE && !MUTANT("layers-size"))
		return err_set(e, ERR_INVALID_PARAMETER, EFBIG,
			       "Function code combined with layers exceeds the maximum allowed "
			       "size of %d bytes. The actual size is %" PRIu64 " bytes.",
			       LIMIT_CODE, sum);
	return 0;
}

static int write_text(const char *state, const struct package *p, char ret[65], struct err *e)
{
	auto_buf struct buf b = BUF_INIT;
	auto_free char *path = NULL;
	size_t i;
	int r;

	if (p->code[0])
		buf_printf(&b, "code %s\n", p->code);
	for (i = 0; i < p->n_layers; i++)
		buf_printf(&b, "layer %s\n", p->layers[i]);
	if (p->image.config[0])
		buf_printf(&b, "image %s\n", p->image.config);
	for (i = 0; i < p->image.n_layers; i++)
		buf_printf(&b, "rootfs %s\n", p->image.layers[i]);
	if (b.failed)
		return err_set(e, ERR_INTERNAL, ENOMEM, "out of memory");
	sha256_hex(b.s, b.len, ret);
	path = code_place(state, ret);
	if (!path)
		return err_set(e, ERR_INTERNAL, ENOMEM, "out of memory");
	r = write_file_atomic(path, b.s, b.len, 0600);
	return r < 0 ? err_set(e, ERR_STATE, -r, "%s: %s", path, strerror(-r)) : 0;
}

static int take_layers(const char *state, const char *base, const struct function *f,
		       struct package *p, struct err *e)
{
	size_t i;
	int r = 0;

	for (i = 0; i < f->layers.n && i < PACKAGE_LAYERS_MAX && !r; i++) {
		r = code_take(state, base, f->layers.v[i], p->layers[p->n_layers++], e);
		if (r < 0)
			err_path(e, "functions.%s.layers[%zu]", f->name, i);
	}
	return r;
}

static int take_image(const char *state, const char *base, const struct function *f,
		      struct image *ret, struct err *e)
{
	auto_free char *path = NULL;
	int r = code_path(base, f->image, &path, e);

	if (!r)
		r = image_take(state, path, ret, e);
	if (r < 0)
		err_path(e, "functions.%s.image", f->name);
	return r;
}

int package_take(const char *state, const char *base, const struct function *f, char ret[65],
		 struct err *e)
{
	struct package p = { 0 };
	int r = 0;

	ret[0] = '\0';
	if (f->image[0]) {
		r = take_image(state, base, f, &p.image, e);
		return r ? r : write_text(state, &p, ret, e);
	}
	if (f->code[0]) {
		r = code_take(state, base, f->code, p.code, e);
		if (r < 0)
			err_path(e, "functions.%s.code", f->name);
	}
	if (!r)
		r = take_layers(state, base, f, &p, e);
	if (r < 0)
		return r;
	if (!p.n_layers) {
		memcpy(ret, p.code, sizeof(p.code));
		return 0;
	}
	r = check_size(state, &p, e);
	if (r < 0)
		err_path(e, "functions.%s.layers", f->name);
	return r ? r : write_text(state, &p, ret, e);
}

static int take_line(struct package *p, const char *line, size_t len)
{
	char *to = NULL;

	if (len == 5 + 64 && !strncmp(line, "code ", 5))
		to = p->code;
	else if (len == 6 + 64 && !strncmp(line, "layer ", 6) && p->n_layers < PACKAGE_LAYERS_MAX)
		to = p->layers[p->n_layers++];
	else if (len == 6 + 64 && !strncmp(line, "image ", 6))
		to = p->image.config;
	else if (len == 7 + 64 && !strncmp(line, "rootfs ", 7) &&
		 p->image.n_layers < IMAGE_LAYERS_MAX)
		to = p->image.layers[p->image.n_layers++];
	if (!to)
		return -EBADMSG;
	memcpy(to, line + len - 64, 64);
	to[64] = '\0';
	return 0;
}

int package_read(const char *state, const char *digest, struct package *ret)
{
	auto_free char *path = NULL, *text = NULL;
	const char *s, *end;
	struct stat st;
	size_t size;
	int r;

	*ret = (struct package){ 0 };
	if (!digest[0])
		return 0;
	path = code_place(state, digest);
	if (!path)
		return -ENOMEM;
	if (stat(path, &st) < 0)
		return -errno;
	if (S_ISDIR(st.st_mode)) {
		(void)snprintf(ret->code, sizeof(ret->code), "%s", digest);
		return 0;
	}
	r = read_file(path, LIMIT_PACKAGE, &text, &size);
	for (s = text; !r && s && (end = strchr(s, '\n')); s = end + 1)
		r = take_line(ret, s, (size_t)(end - s));
	if (r < 0)
		*ret = (struct package){ 0 };
	return r;
}

void package_keep(const char *state, const char *digest, struct buf *b)
{
	struct package p;
	size_t i;

	if (!digest[0])
		return;
	buf_printf(b, "%s\n", digest);
	/* what can't be read now keeps nothing but itself: its function can't start either */
	if (package_read(state, digest, &p) < 0)
		return;
	if (p.code[0])
		buf_printf(b, "%s\n", p.code);
	for (i = 0; i < p.n_layers; i++)
		buf_printf(b, "%s\n", p.layers[i]);
	if (p.image.config[0])
		buf_printf(b, "%s\n", p.image.config);
	for (i = 0; i < p.image.n_layers; i++)
		buf_printf(b, "%s\n", p.image.layers[i]);
}
