/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs the loader's pure parts on files: test_loader.py compiles it with them.
 *
 *   certificate FILE (a key id and a key) | documents PIN PIN BUNDLE | host-id FILE
 *   typed STATUS TEXT... (for each text: the token and its signatures, or what is wrong)
 *   token FILE
 */
#include "load.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A buffer of exactly the file's size, so that a sanitizer sees a read behind it. */
static void slurp(const char *path, struct bytes *out)
{
	FILE *file = fopen(path, "rb");
	long size;

	if (!file || fseek(file, 0, SEEK_END) || (size = ftell(file)) < 0)
		exit(9);
	rewind(file);
	out->name = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
	out->len = (size_t)size;
	out->data = malloc(out->len ? out->len : 1);
	if (!out->data || fread(out->data, 1, out->len, file) != out->len)
		exit(9);
	fclose(file);
}

static void hex(const uint8_t *data, size_t len)
{
	while (len--)
		printf("%02x", *data++);
	printf("\n");
}

static void show(const char *what, const struct key_list *list)
{
	uint32_t i;

	for (i = 0; i < list->count; i++)
		printf("%s %s %s %u %02x%02x\n", what, party_names[list->party],
		       role_names[list->keys[i].role], list->keys[i].owner,
		       list->keys[i].key_id[0], list->keys[i].key_id[1]);
}

static int documents(char **paths)
{
	struct documents documents = { 0 };
	struct bundle_cursor cursor = { 0 };
	struct failure f = { 0 };
	struct bytes pins[2];
	struct blob blob;
	int result, party;

	slurp(paths[0], &pins[0]);
	slurp(paths[1], &pins[1]);
	slurp(paths[2], &documents.bundle);
	result = documents_check(pins, &documents, &f);
	for (party = 1; !result && party < VERITY_PARTIES; party++) {
		show("pin", &documents.pins[party]);
		show("keys", &documents.keys[party]);
	}
	while (!result && bundle_next(&documents.bundle, &cursor, &blob, &f) > 0)
		printf("blob %u %s %u %u\n", blob.number, record_name(blob.kind), blob.len,
		       blob.nsig);
	if (result)
		printf("%s\n%s\n", f.message, f.hint);
	free(pins[0].data);
	free(pins[1].data);
	free(documents.bundle.data);
	return result ? f.status : 0;
}

static void show_token(const struct token *token)
{
	uint32_t i;

	hex((const uint8_t *)&token->token, sizeof(token->token));
	for (i = 0; i < token->nsig; i++)
		hex(token->sigs[i].der, token->sigs[i].len);
}

/* Many texts in one run: starting a program with sanitizers takes long. */
static int typed(int n, char **paths)
{
	struct challenge here;
	struct failure f = { 0 };
	struct token token;
	struct bytes file;
	char *status;

	slurp(paths[0], &file);
	status = calloc(1, file.len + 1);
	if (!status)
		exit(9);
	memcpy(status, file.data, file.len);
	free(file.data);
	if (challenge_parse(status, &here, &f))
		printf("%s\n%s\n", f.message, f.hint);
	else
		while (--n) {
			int result;

			slurp(*++paths, &file);
			result = typed_decode((const char *)file.data, file.len, &here, &token, &f);
			if (result)
				printf("%s %s\n%s\n", result == -ENODATA ? "more" : "wrong",
				       f.message, f.hint);
			else
				show_token(&token);
			printf("\n");
			free(file.data);
		}
	free(status);
	return f.status;
}

static int token_file(const char *path)
{
	struct failure f = { 0 };
	struct token token;
	struct bytes file;

	slurp(path, &file);
	if (token_parse(&file, &token, &f))
		printf("%s\n%s\n", f.message, f.hint);
	else
		show_token(&token);
	free(file.data);
	return f.status;
}

static int host_id(const char *path)
{
	uint8_t id[VERITY_HOST_ID_SIZE] = { 0 };
	struct failure f = { 0 };
	struct bytes text;
	int result;

	slurp(path, &text);
	result = host_id_parse(&text, id, &f);
	if (result)
		printf("%s\n%s\n", f.message, f.hint);
	else
		hex(id, sizeof(id));
	free(text.data);
	return result ? f.status : 0;
}

int main(int argc, char **argv)
{
	if (argc == 3 && !strcmp(argv[1], "host-id"))
		return host_id(argv[2]);

	uint8_t der[CERTIFICATE_MAX];
	struct bytes file;

	if (argc == 5 && !strcmp(argv[1], "documents"))
		return documents(argv + 2);
	if (argc >= 3 && !strcmp(argv[1], "typed"))
		return typed(argc - 2, argv + 2);
	if (argc == 3 && !strcmp(argv[1], "token"))
		return token_file(argv[2]);
	if (argc != 3)
		return 9;
	slurp(argv[2], &file);
	if (strcmp(argv[1], "certificate") != 0 ||
	    file.len != VERITY_SHA256_SIZE + VERITY_SPKI_SIZE)
		return 9;
	hex(der, certificate(file.data, file.data + VERITY_SHA256_SIZE, der));
	free(file.data);
	return 0;
}
