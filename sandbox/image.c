/* SPDX-License-Identifier: MIT */
/*
 * image - see image.h.  An archive is unpacked aside first; a layer is unpacked to
 * DIGEST.part and renamed, so that a folder by that name is whole, and a daemon that was
 * killed in between leaves what the next sweep takes away.
 */
#include "sandbox/image.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/archive.h"
#include "lib/mutant.h"
#include "lib/util.h"
#include "sandbox/code.h"
#include "sandbox/limits.h"

/* ---- documents ---- */

static const struct {
	const char *media;
	int kind;
} kinds[] = {
	{ "application/vnd.oci.image.index.v1+json", IMAGE_INDEX },
	{ "application/vnd.docker.distribution.manifest.list.v2+json", IMAGE_INDEX },
	{ "application/vnd.oci.image.manifest.v1+json", IMAGE_MANIFEST },
	{ "application/vnd.docker.distribution.manifest.v2+json", IMAGE_MANIFEST },
	{ "application/vnd.oci.image.config.v1+json", IMAGE_CONFIG },
	{ "application/vnd.docker.container.image.v1+json", IMAGE_CONFIG },
	{ "application/vnd.oci.image.layer.v1.tar", IMAGE_LAYER },
	{ "application/vnd.oci.image.layer.v1.tar+gzip", IMAGE_LAYER },
	{ "application/vnd.oci.image.layer.v1.tar+zstd", IMAGE_LAYER },
	{ "application/vnd.docker.image.rootfs.diff.tar", IMAGE_LAYER },
	{ "application/vnd.docker.image.rootfs.diff.tar.gzip", IMAGE_LAYER },
	{ "application/vnd.docker.image.rootfs.diff.tar.zstd", IMAGE_LAYER },
};

static int read_ref(const cJSON *o, struct image_ref *ret)
{
	const char *digest = json_str(o, "digest", ""), *media = json_str(o, "mediaType", "");
	double size = json_num(o, "size", -1);
	size_t i;

	*ret = (struct image_ref){ .kind = IMAGE_BLOB };
	if (strncmp(digest, "sha256:", 7) != 0 || strlen(digest) != 7 + 64 ||
	    strspn(digest + 7, "0123456789abcdef") != 64 || size < 0 || size > LIMIT_IMAGE)
		return -EBADMSG;
	memcpy(ret->digest, digest + 7, sizeof(ret->digest));
	ret->size = (uint64_t)size;
	for (i = 0; i < ARRAY_SIZE(kinds); i++)
		if (!strcmp(kinds[i].media, media))
			ret->kind = kinds[i].kind;
	return 0;
}

static cJSON *read_document(const char *text, size_t size)
{
	cJSON *o = json_parse(text, size, NULL);

	if (cJSON_IsObject(o) && json_num(o, "schemaVersion", 0) == 2)
		return o;
	cJSON_Delete(o);
	return NULL;
}

static bool fits(const cJSON *entry)
{
	const cJSON *platform = json_get(entry, "platform");

	/* attestations say "unknown" */
	return !platform || (!strcmp(json_str(platform, "os", ""), "linux") &&
			     !strcmp(json_str(platform, "architecture", ""), "amd64"));
}

int image_read_index(const char *text, size_t size, struct image_ref *ret)
{
	auto_json cJSON *o = read_document(text, size);
	const cJSON *list = json_get(o, "manifests"), *entry;
	int r = -ENOENT;

	if (!cJSON_IsArray(list))
		return -EBADMSG;
	cJSON_ArrayForEach(entry, list) {
		if (!fits(entry))
			continue;
		r = read_ref(entry, ret);
		return !r && ret->kind != IMAGE_MANIFEST && ret->kind != IMAGE_INDEX ? -EBADMSG : r;
	}
	return r;
}

int image_read_manifest(const char *text, size_t size, struct image_ref *config,
			struct image_ref *layers, size_t *ret_n)
{
	auto_json cJSON *o = read_document(text, size);
	const cJSON *list = json_get(o, "layers"), *entry;
	int r;

	*ret_n = 0;
	if (!cJSON_IsArray(list))
		return -EBADMSG;
	r = read_ref(json_get(o, "config"), config);
	if (!r && config->kind != IMAGE_CONFIG)
		r = -EBADMSG;
	cJSON_ArrayForEach(entry, list) {
		if (!r && *ret_n == IMAGE_LAYERS_MAX)
			r = -E2BIG;
		if (!r)
			r = read_ref(entry, &layers[*ret_n]);
		if (!r && layers[(*ret_n)++].kind != IMAGE_LAYER)
			r = -ENOTSUP;
	}
	return r;
}

/* ---- blobs ---- */

struct taking {
	const char *state, *path, *layout;
	uint64_t left; /* bytes that may still be unpacked */
	struct err *e;
};

static int fault(const struct taking *t, const char *what, const char *why)
{
	return err_set(t->e, ERR_INVALID_PARAMETER, EBADMSG, "image %s: %s: %s", t->path, what,
		       why);
}

/* the path of a blob whose bytes are what their name says; caller frees */
static int open_blob(const struct taking *t, const struct image_ref *ref, char **ret)
{
	auto_free char *path = NULL;
	struct stat st;
	char hex[65];
	int r;

	if (asprintf(&path, "%s/blobs/sha256/%s", t->layout, ref->digest) < 0) {
		path = NULL;
		return err_set(t->e, ERR_INTERNAL, ENOMEM, "out of memory");
	}
	/* a link could lead out of the image */
	if (lstat(path, &st) < 0)
		return fault(t, ref->digest, strerror(errno));
	if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size != ref->size)
		return fault(t, ref->digest, "its size isn't what is said of it");
	r = sha256_file(path, hex);
	if (r < 0)
		return fault(t, ref->digest, strerror(-r));
	if (strcmp(hex, ref->digest) != 0 && !MUTANT("image-digest"))
		return fault(t, ref->digest, "its content isn't what its digest says");
	*ret = steal_ptr(&path);
	return 0;
}

static int read_blob(const struct taking *t, const struct image_ref *ref, char **ret, size_t *size)
{
	auto_free char *path = NULL;
	int r = open_blob(t, ref, &path);

	if (r < 0)
		return r;
	r = read_file(path, LIMIT_IMAGE_DOCUMENT, ret, size);
	return r < 0 ? fault(t, ref->digest, strerror(-r)) : 0;
}

/* index.json, and one more index at most, lead to the manifest */
static int find_manifest(const struct taking *t, struct image_ref *ret)
{
	auto_free char *path = NULL, *text = NULL;
	size_t size;
	int r, depth;

	if (asprintf(&path, "%s/index.json", t->layout) < 0) {
		path = NULL;
		return err_set(t->e, ERR_INTERNAL, ENOMEM, "out of memory");
	}
	r = read_file(path, LIMIT_IMAGE_DOCUMENT, &text, &size);
	if (r < 0)
		return fault(t, "index.json", strerror(-r));
	for (depth = 0; depth < 3; depth++) {
		r = image_read_index(text, size, ret);
		if (r < 0)
			return fault(t, "index",
				     r == -ENOENT ? "no image for linux/amd64" : "not an index");
		if (ret->kind == IMAGE_MANIFEST)
			return 0;
		free(text);
		text = NULL;
		r = read_blob(t, ret, &text, &size);
		if (r < 0)
			return r;
	}
	return fault(t, "index", "an index in an index in an index");
}

/* ---- layers ---- */

static int unpack_layer(struct taking *t, const struct image_ref *ref)
{
	auto_free char *done = code_place(t->state, ref->digest), *part = NULL, *blob = NULL;
	uint64_t bytes = 0;
	int r;

	if (!done)
		return err_set(t->e, ERR_INTERNAL, ENOMEM, "out of memory");
	if (access(done, F_OK) == 0) {
		r = code_bytes(t->state, ref->digest, &bytes);
		if (r < 0)
			return err_set(t->e, ERR_STATE, -r, "%s: %s", done, strerror(-r));
		if (bytes > t->left)
			return fault(t, "layers", "more than 10 GB unpacked");
		t->left -= bytes;
		return 0;
	}
	r = open_blob(t, ref, &blob);
	if (!r)
		r = code_aside(done, 0755, &part, t->e);
	if (r < 0)
		return r;
	r = archive_unpack_layer(blob, part, &t->left, LIMIT_IMAGE_FILES, t->e);
	if (r < 0)
		err_wrap(t->e, "image %s", t->path);
	return code_settle(part, done, r, t->e);
}

static int keep_config(const struct taking *t, const struct image_ref *ref)
{
	auto_free char *text = NULL, *path = NULL;
	auto_json cJSON *o = NULL;
	size_t size;
	int r = read_blob(t, ref, &text, &size);

	if (r < 0)
		return r;
	o = json_parse(text, size, NULL);
	if (!o || strcmp(json_str(o, "os", "linux"), "linux") != 0 ||
	    strcmp(json_str(o, "architecture", "amd64"), "amd64") != 0)
		return fault(t, "configuration", "not one of linux/amd64");
	path = code_place(t->state, ref->digest);
	if (!path)
		return err_set(t->e, ERR_INTERNAL, ENOMEM, "out of memory");
	r = write_file_atomic(path, text, size, 0600);
	return r < 0 ? err_set(t->e, ERR_STATE, -r, "%s: %s", path, strerror(-r)) : 0;
}

/* one that comes again hides all that its first coming did, and a union has it once */
static void add_layer(struct image *im, const char *digest)
{
	size_t i;

	for (i = 0; i < im->n_layers && strcmp(im->layers[i], digest) != 0; i++)
		;
	if (i < im->n_layers) {
		im->n_layers--;
		memmove(im->layers[i], im->layers[i + 1],
			(im->n_layers - i) * sizeof(im->layers[0]));
	}
	memcpy(im->layers[im->n_layers++], digest, sizeof(im->layers[0]));
}

static int take_layout(struct taking *t, struct image *ret)
{
	struct image_ref manifest, config, layers[IMAGE_LAYERS_MAX];
	auto_free char *text = NULL;
	size_t size, n, i;
	int r = find_manifest(t, &manifest);

	if (!r)
		r = read_blob(t, &manifest, &text, &size);
	if (r < 0)
		return r;
	r = image_read_manifest(text, size, &config, layers, &n);
	if (r < 0)
		return fault(t, "manifest",
			     r == -E2BIG   ? "more than 127 layers" :
			     r == -ENOTSUP ? "a layer that is no tar archive, plain, gzip or zstd" :
					     "not a manifest");
	r = keep_config(t, &config);
	for (i = 0; i < n && !r; i++) {
		r = unpack_layer(t, &layers[i]);
		add_layer(ret, layers[i].digest);
	}
	memcpy(ret->config, config.digest, sizeof(ret->config));
	return r;
}

/* the archive's files, aside; what is in them is looked at as in a folder */
static int take_archive(struct taking *t, const char *path, struct image *ret)
{
	auto_free char *place = NULL, *aside = NULL;
	char hex[65];
	int r;

	sha256_hex(path, strlen(path), hex);
	place = code_place(t->state, hex);
	if (!place)
		return err_set(t->e, ERR_INTERNAL, ENOMEM, "out of memory");
	r = code_aside(place, 0700, &aside, t->e);
	if (r < 0)
		return r;
	r = archive_unpack(path, aside, LIMIT_IMAGE, LIMIT_IMAGE_FILES, t->e);
	if (r < 0)
		err_wrap(t->e, "image");
	t->layout = aside;
	if (!r)
		r = take_layout(t, ret);
	(void)rm_rf(aside); /* else the next sweep's */
	return r;
}

int image_take(const char *state, const char *path, struct image *ret, struct err *e)
{
	struct taking t = { state, path, path, LIMIT_IMAGE, e };
	struct stat st;
	int r;

	*ret = (struct image){ 0 };
	if (stat(path, &st) < 0)
		return fault(&t, "open", strerror(errno));
	r = code_folder(state, e);
	if (r < 0)
		return r;
	return S_ISDIR(st.st_mode) ? take_layout(&t, ret) : take_archive(&t, path, ret);
}

cJSON *image_config(const char *state, const char *digest)
{
	auto_free char *path = code_place(state, digest), *text = NULL;
	auto_json cJSON *o = NULL;
	cJSON *config;
	size_t size;

	if (!path || read_file(path, LIMIT_IMAGE_DOCUMENT, &text, &size) < 0)
		return NULL;
	o = json_parse(text, size, NULL);
	config = o ? cJSON_DetachItemFromObjectCaseSensitive(o, "config") : NULL;
	return config ? config : cJSON_CreateObject();
}
