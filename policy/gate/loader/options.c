/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * verity-load's arguments: long options only, each file named once, nothing by default but the
 * object.
 */
#include "load.h"

#include <getopt.h>
#include <stdio.h>

static const char usage[] =
	"usage: verity-load [--observe] [--object FILE] [--host-id FILE]\n"
	"                   --pin FILE --pin FILE --bundle FILE\n"
	"\n"
	"Loads verity's gate into the kernel and seals it, if the signed policy says so.\n"
	"\n"
	"  --pin FILE      the root keys of one party; one for the vendor, one for the user\n"
	"  --bundle FILE   the boot bundle: signed keys, policy and grants\n"
	"  --object FILE   the gate (default: gate.bpf.o beside this program)\n"
	"  --host-id FILE  who this host is to unlock tokens; without it none is taken\n"
	"  --observe       decide and log, deny nothing, whatever the policy says\n"
	"  --help          this text\n"
	"\n"
	"Exit status: 0 loaded, 1 refused, 2 bad arguments, 3 this host can't.\n";

static int bad_usage(const char *what, const char *which)
{
	fprintf(stderr, "verity-load: error: %s%s\n  hint: see verity-load --help\n", what, which);
	return STATUS_USAGE;
}

int options_parse(int argc, char **argv, struct options *out)
{
	static const struct option known[] = {
		{ "pin", required_argument, NULL, 'p' },
		{ "bundle", required_argument, NULL, 'b' },
		{ "object", required_argument, NULL, 'o' },
		{ "host-id", required_argument, NULL, 'i' },
		{ "observe", no_argument, NULL, 'n' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	int letter;

	opterr = 0;
	while ((letter = getopt_long(argc, argv, ":", known, NULL)) != -1) {
		switch (letter) {
		case 'p':
			if (out->n_pins == 2)
				return bad_usage("a third --pin ", optarg);
			out->pins[out->n_pins++] = optarg;
			break;
		case 'b':
			if (out->bundle)
				return bad_usage("a second --bundle ", optarg);
			out->bundle = optarg;
			break;
		case 'o':
			if (out->object)
				return bad_usage("a second --object ", optarg);
			out->object = optarg;
			break;
		case 'i':
			if (out->host_id)
				return bad_usage("a second --host-id ", optarg);
			out->host_id = optarg;
			break;
		case 'n':
			out->observe = 1;
			break;
		case 'h':
			fputs(usage, stdout);
			return 0;
		case ':':
			return bad_usage("no value for ", argv[optind - 1]);
		default:
			return bad_usage("unknown option ", argv[optind - 1]);
		}
	}
	if (optind < argc)
		return bad_usage("unexpected argument ", argv[optind]);
	if (out->n_pins != 2)
		return bad_usage("two --pin are needed, one of the vendor and one of the user", "");
	if (!out->bundle)
		return bad_usage("--bundle is needed", "");
	return -1;
}
