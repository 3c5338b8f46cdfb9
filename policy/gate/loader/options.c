/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * verity-load's arguments: long options only, each file named once, nothing by default but the
 * object.
 */
#include "load.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

static const char usage[] =
	"usage: verity-load [--observe | --until-seal] [--object FILE] [--host-id FILE]\n"
	"                   --pin FILE --pin FILE --bundle FILE\n"
	"                   [--boot ROOT [--boot-device DEVICE]...] [--least-policy SERIAL]\n"
	"       verity-load --seal [--bundle FILE]\n"
	"       verity-load --enter ROOT [--init PATH]\n"
	"       verity-load --stage ROOT --pin FILE --pin FILE [--least-policy SERIAL]\n"
	"       verity-load --try ROOT\n"
	"       verity-load --mode --bundle FILE\n"
	"\n"
	"Loads verity's gate into the kernel and seals it, if the signed policy says so.\n"
	"\n"
	"  --pin FILE      the root keys of one party; one for the vendor, one for the user\n"
	"  --bundle FILE   the boot bundle: signed keys, policy and grants\n"
	"  --object FILE   the gate (default: gate.bpf.o beside this program)\n"
	"  --host-id FILE  who this host is to unlock tokens; without it none is taken\n"
	"  --observe       decide and log, deny nothing, whatever the policy says\n"
	"  --until-seal    load it and only observe: --seal comes later in this boot\n"
	"  --seal          seal the gate that is loaded, if the policy says so and nothing that\n"
	"                  runs already would be refused\n"
	"  --boot ROOT     in an initramfs: files of it count as granted until ROOT is entered, and\n"
	"                  what the machine boots from isn't written any more\n"
	"  --boot-device DEVICE  what it boots from beside ROOT, such as the ESP and its disk\n"
	"  --least-policy SERIAL  refuse an older signed policy\n"
	"  --enter ROOT    in an initramfs, last: look at what still runs, and at the root's init\n"
	"  --init PATH     that init (default: /sbin/init)\n"
	"  --stage ROOT    in an initramfs, first: put into place what ROOT was given for this boot,\n"
	"                  if it is signed and no older than what is there; then reboot\n"
	"  --try ROOT      in an initramfs: count a boot of what was put into place; the host goes\n"
	"                  back to what was there before once it has failed too often\n"
	"  --mode          say mode and serial of the bundle's policy, and verify nothing\n"
	"  --help          this text\n"
	"\n"
	"Exit status: 0 done, 1 refused, 2 bad arguments, 3 this host can't.\n";

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
		{ "until-seal", no_argument, NULL, 'u' },
		{ "seal", no_argument, NULL, 's' },
		{ "boot", required_argument, NULL, 'r' },
		{ "boot-device", required_argument, NULL, 'd' },
		{ "least-policy", required_argument, NULL, 'l' },
		{ "enter", required_argument, NULL, 'e' },
		{ "stage", required_argument, NULL, 'S' },
		{ "try", required_argument, NULL, 't' },
		{ "init", required_argument, NULL, 'I' },
		{ "mode", no_argument, NULL, 'm' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	char *end;
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
		case 'u':
			out->until_seal = 1;
			break;
		case 's':
			out->seal = 1;
			break;
		case 'r':
			out->root = optarg;
			break;
		case 'd':
			if (out->n_devices == VERITY_BOOT_PLACES)
				return bad_usage("too many --boot-device, at ", optarg);
			out->devices[out->n_devices++] = optarg;
			break;
		case 'l':
			out->least_policy = strtoull(optarg, &end, 10);
			if (*optarg < '1' || *optarg > '9' || *end)
				return bad_usage("no serial: ", optarg);
			break;
		case 'e':
			out->enter = optarg;
			break;
		case 'I':
			out->init = optarg;
			break;
		case 'S':
			out->stage = optarg;
			break;
		case 't':
			out->attempt = optarg;
			break;
		case 'm':
			out->mode = 1;
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
	if (out->observe + out->until_seal + out->seal > 1)
		return bad_usage("one of --observe, --until-seal and --seal at most", "");
	if (out->seal) {
		if (out->n_pins || out->object || out->host_id)
			return bad_usage("--seal loads nothing: --bundle is all it takes", "");
		return -1;
	}
	if (!out->init)
		out->init = "/sbin/init";
	if (out->enter || out->attempt)
		return -1;
	if (out->n_devices && !out->root)
		return bad_usage("--boot-device goes with --boot", "");
	if (out->mode)
		return out->bundle ? -1 : bad_usage("--mode needs --bundle", "");
	if (out->n_pins != 2)
		return bad_usage("two --pin are needed, one of the vendor and one of the user", "");
	if (!out->bundle && !out->stage)
		return bad_usage("--bundle is needed", "");
	return -1;
}
