/* SPDX-License-Identifier: MIT */
/*
 * packet - see packet.h.
 */
#include "cli/packet.h"

#include <netinet/in.h>
#include <stdint.h>

#define ETHER_SIZE 14
#define TYPE_IPV4 0x0800
#define TYPE_ARP 0x0806
#define ARP_SIZE 28
#define IP_SIZE 20
#define TCP_SIZE 20
#define UDP_SIZE 8
#define ICMP_SIZE 8

static unsigned be16_at(const uint8_t *p)
{
	return (unsigned)p[0] << 8 | p[1];
}

static void address(const uint8_t *p, struct buf *b)
{
	buf_printf(b, "%u.%u.%u.%u", p[0], p[1], p[2], p[3]);
}

static void arp(const uint8_t *p, size_t size, struct buf *b)
{
	const unsigned op = size < ARP_SIZE ? 0 : be16_at(p + 6);

	if (op == 1) {
		buf_adds(b, "arp who has ");
		address(p + 24, b);
		buf_adds(b, "? ");
		address(p + 14, b);
		buf_adds(b, " asks");
	} else if (op == 2) {
		buf_adds(b, "arp ");
		address(p + 14, b);
		buf_printf(b, " is at %02x:%02x:%02x:%02x:%02x:%02x", p[8], p[9], p[10], p[11],
			   p[12], p[13]);
	} else {
		buf_printf(b, "arp, %zu bytes", size);
	}
}

static void ends(const uint8_t *ip, const uint8_t *ports, struct buf *b)
{
	address(ip + 12, b);
	if (ports)
		buf_printf(b, ":%u", be16_at(ports));
	buf_adds(b, " > ");
	address(ip + 16, b);
	if (ports)
		buf_printf(b, ":%u", be16_at(ports + 2));
}

static void tcp(const uint8_t *ip, const uint8_t *p, size_t length, struct buf *b)
{
	static const char letters[] = "FSRP.UEW";
	const size_t header = (size_t)(p[12] >> 4) * 4;
	size_t i;

	ends(ip, p, b);
	buf_adds(b, " tcp ");
	for (i = 0; i < 8; i++)
		if (p[13] & 1u << i)
			buf_add(b, &letters[i], 1);
	buf_printf(b, ", %zu bytes", length > header ? length - header : 0);
}

static void icmp(const uint8_t *ip, const uint8_t *p, struct buf *b)
{
	ends(ip, NULL, b);
	if (p[0] == 8 || p[0] == 0)
		buf_printf(b, " icmp echo %s, id %u, seq %u", p[0] ? "request" : "reply",
			   be16_at(p + 4), be16_at(p + 6));
	else
		buf_printf(b, " icmp type %u code %u", p[0], p[1]);
}

static void ipv4(const uint8_t *ip, size_t size, struct buf *b)
{
	const size_t header = size ? (size_t)(ip[0] & 15) * 4 : 0;
	const uint8_t *p = ip + header;
	size_t total, left;

	if (size < IP_SIZE || header < IP_SIZE || header > size) {
		buf_printf(b, "ip, %zu bytes", size);
		return;
	}
	total = be16_at(ip + 2);
	left = size - header;
	if (be16_at(ip + 6) & 0x1fff) {
		ends(ip, NULL, b);
		buf_printf(b, " a later fragment, %zu bytes", total > header ? total - header : 0);
	} else if (ip[9] == IPPROTO_TCP && left >= TCP_SIZE) {
		tcp(ip, p, total > header ? total - header : 0, b);
	} else if (ip[9] == IPPROTO_UDP && left >= UDP_SIZE) {
		ends(ip, p, b);
		buf_printf(b, " udp, %u bytes",
			   be16_at(p + 4) > UDP_SIZE ? be16_at(p + 4) - UDP_SIZE : 0);
	} else if (ip[9] == IPPROTO_ICMP && left >= ICMP_SIZE) {
		icmp(ip, p, b);
	} else {
		ends(ip, NULL, b);
		buf_printf(b, " protocol %u, %zu bytes", ip[9],
			   total > header ? total - header : 0);
	}
}

void packet_words(const void *frame, size_t size, struct buf *b)
{
	const uint8_t *p = frame;
	unsigned type;

	if (size < ETHER_SIZE) {
		buf_printf(b, "%zu bytes", size);
		return;
	}
	type = be16_at(p + 12);
	if (type == TYPE_IPV4)
		ipv4(p + ETHER_SIZE, size - ETHER_SIZE, b);
	else if (type == TYPE_ARP)
		arp(p + ETHER_SIZE, size - ETHER_SIZE, b);
	else
		buf_printf(b, "ethertype 0x%04x, %zu bytes", type, size - ETHER_SIZE);
}
