/* SPDX-License-Identifier: MIT */
/*
 * pcapng - see pcapng.h.  Numbers are in the host's order, which the section
 * header's magic tells a reader; everything is padded to four bytes, and a block's
 * length stands before and behind it.
 */
#include "lib/pcapng.h"

#include <string.h>

#define BLOCK_SECTION 0x0a0d0d0au
#define BLOCK_INTERFACE 1u
#define BLOCK_PACKET 6u
#define MAGIC 0x1a2b3c4du
#define LINKTYPE_ETHERNET 1
#define OPT_COMMENT 1
#define OPT_IF_NAME 2
#define OPT_IF_DESCRIPTION 3
#define OPT_IF_TSRESOL 9
#define OPT_EPB_FLAGS 2
#define FLAG_INBOUND 1u
#define FLAG_OUTBOUND 2u

static void add16(struct buf *b, uint16_t v)
{
	buf_add(b, &v, sizeof(v));
}

static void add32(struct buf *b, uint32_t v)
{
	buf_add(b, &v, sizeof(v));
}

static void add_padded(struct buf *b, const void *data, size_t size)
{
	static const char zero[4];

	buf_add(b, data, size);
	buf_add(b, zero, (4 - size % 4) % 4);
}

static void add_option(struct buf *b, uint16_t code, const void *data, size_t size)
{
	add16(b, code);
	add16(b, (uint16_t)size);
	add_padded(b, data, size);
}

/* a length doesn't fit an option's 16 bits: cut, for it is only a name */
static void add_text(struct buf *b, uint16_t code, const char *s)
{
	size_t len = s ? strlen(s) : 0;

	if (len)
		add_option(b, code, s, len > 1000 ? 1000 : len);
}

static void add_block(struct buf *b, uint32_t type, const struct buf *body)
{
	uint32_t length = (uint32_t)body->len + 12;

	add32(b, type);
	add32(b, length);
	buf_add(b, body->s, body->len);
	add32(b, length);
	if (buf_error(body))
		b->failed = true;
}

void pcapng_begin(struct buf *b, const char *comment)
{
	auto_buf struct buf body = BUF_INIT;

	add32(&body, MAGIC);
	add16(&body, 1); /* version 1.0 */
	add16(&body, 0);
	add32(&body, UINT32_MAX); /* the section's length isn't told */
	add32(&body, UINT32_MAX);
	add_text(&body, OPT_COMMENT, comment);
	add32(&body, 0); /* end of options */
	add_block(b, BLOCK_SECTION, &body);
}

void pcapng_interface(struct buf *b, const char *name, const char *description)
{
	static const uint8_t nanoseconds = 9;
	auto_buf struct buf body = BUF_INIT;

	add16(&body, LINKTYPE_ETHERNET);
	add16(&body, 0);
	add32(&body, PCAPNG_SNAPLEN);
	add_text(&body, OPT_IF_NAME, name);
	add_text(&body, OPT_IF_DESCRIPTION, description);
	add_option(&body, OPT_IF_TSRESOL, &nanoseconds, 1);
	add32(&body, 0);
	add_block(b, BLOCK_INTERFACE, &body);
}

void pcapng_packet(struct buf *b, uint32_t idx, uint64_t ns, bool outgoing, const void *data,
		   size_t size, size_t length)
{
	auto_buf struct buf body = BUF_INIT;
	uint32_t flags = outgoing ? FLAG_OUTBOUND : FLAG_INBOUND;

	add32(&body, idx);
	add32(&body, (uint32_t)(ns >> 32));
	add32(&body, (uint32_t)ns);
	add32(&body, (uint32_t)size);
	add32(&body, (uint32_t)length);
	add_padded(&body, data, size);
	add_option(&body, OPT_EPB_FLAGS, &flags, sizeof(flags));
	add32(&body, 0);
	add_block(b, BLOCK_PACKET, &body);
}
