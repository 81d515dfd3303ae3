/* SPDX-License-Identifier: MIT */
/*
 * image - container images (PKG-2): an OCI image layout, as a folder or as an archive of
 * one.  Every blob is held against its digest before a byte of it is used; each layer is
 * unpacked once, to STATE/code/DIGEST, and shared by all images that have it.
 */
#ifndef IMAGE_H
#define IMAGE_H

#include <stddef.h>
#include <stdint.h>

#include "lib/err.h"
#include "lib/json.h"

#define IMAGE_LAYERS_MAX 127

struct image {
	char config[65]; /* digest of the image's configuration, kept beside the layers */
	char layers[IMAGE_LAYERS_MAX][65]; /* lowest first */
	size_t n_layers;
};

/* what of a manifest or an index is used; pure */
struct image_ref {
	char digest[65];
	uint64_t size;
	enum { IMAGE_BLOB, IMAGE_MANIFEST, IMAGE_INDEX, IMAGE_LAYER, IMAGE_CONFIG } kind;
};

/* the manifest that an index names for this host's kind of machine, or the index below it.
 * 0; -EBADMSG: not an index, -ENOENT: none for linux/amd64 */
int image_read_index(const char *text, size_t size, struct image_ref *ret);
/* "layers" takes IMAGE_LAYERS_MAX; 0; -EBADMSG: not a manifest, -E2BIG: more layers,
 * -ENOTSUP: a layer of a kind that isn't known */
int image_read_manifest(const char *text, size_t size, struct image_ref *config,
			struct image_ref *layers, size_t *ret_n);

/* "path": absolute */
int image_take(const char *state, const char *path, struct image *ret, struct err *e);
/* the member "config" of a configuration that image_take() kept; NULL: it can't be read */
cJSON *image_config(const char *state, const char *digest);

#endif
