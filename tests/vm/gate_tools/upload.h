/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VERITY_TESTS_UPLOAD_H
#define VERITY_TESTS_UPLOAD_H
/*
 * Fragments of a boot bundle (docs/formats.md section 12), and the calls that carry one to the
 * gate. Nothing of what is sent is checked. Whatever a tool can't do by itself ends it with 2.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "verity.h"

#define FILE_MAX (32u << 20)
#define SLOTS 16

struct stream {
	uint8_t *data;
	size_t len, at;
};

struct upload {
	const uint8_t *blob;
	uint32_t len, nsig;
	struct verity_signature sigs[SLOTS];
};

static inline void trouble(const char *what)
{
	fprintf(stderr, "trouble: %s: %s\n", what, strerror(errno));
	exit(2);
}

static int call(unsigned int command, struct verity_request request)
{
	request.size = sizeof(request);
	request.version = VERITY_REQUEST_VERSION;
	return syscall(SYS_bpf, VERITY_COMMAND(command), &request, sizeof(request)) < 0 ? errno : 0;
}

/* --- files ---------------------------------------------------------------------------------- */

static inline struct stream read_stream(const char *path)
{
	struct stream out = { malloc(FILE_MAX), 0, 0 };
	int fd = strcmp(path, "-") ? open(path, O_RDONLY) : 0;
	ssize_t count;

	if (fd < 0 || !out.data)
		trouble(path);
	while ((count = read(fd, out.data + out.len, FILE_MAX - out.len)) > 0)
		out.len += (size_t)count;
	if (count < 0)
		trouble(path);
	if (fd)
		close(fd);
	return out;
}

static inline const uint8_t *record(struct stream *from, struct verity_record *head)
{
	const uint8_t *data = from->data + from->at + sizeof(*head);

	if (from->len - from->at < sizeof(*head))
		return NULL;
	memcpy(head, from->data + from->at, sizeof(*head));
	if (head->len > from->len - from->at - sizeof(*head))
		return NULL;
	from->at += sizeof(*head) + head->len;
	return data;
}

/* 0 at the end. A signature that is longer than its slot says so and is cut. */
static inline int take(struct stream *from, struct upload *out)
{
	struct verity_record head;

	if (from->at == from->len)
		return 0;
	memset(out, 0, sizeof(*out));
	out->blob = record(from, &head);
	if (!out->blob || head.kind == VERITY_RECORD_SIGNATURE)
		trouble("not a blob");
	out->len = head.len;
	while (from->at < from->len) {
		size_t at = from->at;
		const uint8_t *der = record(from, &head);

		if (!der)
			trouble("not a record");
		if (head.kind != VERITY_RECORD_SIGNATURE) {
			from->at = at;
			break;
		}
		if (out->nsig == SLOTS)
			trouble("too many signatures");
		out->sigs[out->nsig].len = head.len;
		memcpy(out->sigs[out->nsig].der, der,
		       head.len < VERITY_DER_SIZE ? head.len : VERITY_DER_SIZE);
		out->nsig++;
	}
	return 1;
}

/* --- uploads -------------------------------------------------------------------------------- */

static inline int begin(uint32_t len)
{
	return call(VERITY_COMMAND_BEGIN, (struct verity_request){ .len = len });
}

static inline int put(const void *data, uint32_t len)
{
	return call(VERITY_COMMAND_PUT,
		    (struct verity_request){ .data = (uintptr_t)data, .len = len });
}

static inline int put_all(const struct upload *upload)
{
	int answer = VERITY_ACCEPTED;
	uint32_t at, len;

	for (at = 0; answer == VERITY_ACCEPTED && at < upload->len; at += len) {
		len = upload->len - at < VERITY_PART_SIZE ? upload->len - at : VERITY_PART_SIZE;
		answer = put(upload->blob + at, len);
	}
	return answer;
}

static inline int commit(const struct upload *upload, uint32_t nsig)
{
	return call(VERITY_COMMAND_COMMIT,
		    (struct verity_request){ .nsig = nsig, .sigs = (uintptr_t)upload->sigs });
}

static inline int send(const struct upload *upload)
{
	int answer = begin(upload->len);

	if (answer == VERITY_ACCEPTED)
		answer = put_all(upload);
	return answer == VERITY_ACCEPTED ? commit(upload, upload->nsig) : answer;
}

#endif
