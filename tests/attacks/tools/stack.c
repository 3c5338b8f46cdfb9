/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stack FILE      makes FILE an ELF program that maps nothing executable: it asks for an executable
 *                 stack, and starts in it
 * stack run FILE  executes it with code in its environment, which the kernel copies to that stack:
 *                 prints `ran`
 */
#include "tool.h"
#include <elf.h>
#include <sys/personality.h>

/* Where the stack ends without randomisation (4-level page tables), and a place in the environment. */
#define STACK_TOP 0x7ffffffff000ull
#define ENTRY (STACK_TOP - 0x8000)
#define SLED 60000

/* No byte is zero. write(1, "ran\n", 4); _exit(0) */
static const unsigned char code[] = {
	0x6a, 1, 0x58, 0x50, 0x5f, 0x68, 'r', 'a', 'n', '\n', 0x54, 0x5e, 0x6a, 4, 0x5a, 0x0f, 5,
	0x6a, 60, 0x58, 0x31, 0xff, 0x0f, 5,
};

static int make(const char *path)
{
	struct {
		Elf64_Ehdr head;
		Elf64_Phdr segment[2];
	} file = {
		.head = { .e_ident = { 0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT },
			  .e_type = ET_EXEC,
			  .e_machine = EM_X86_64,
			  .e_version = EV_CURRENT,
			  .e_entry = ENTRY,
			  .e_phoff = sizeof(Elf64_Ehdr),
			  .e_ehsize = sizeof(Elf64_Ehdr),
			  .e_phentsize = sizeof(Elf64_Phdr),
			  .e_phnum = 2 },
		.segment = { { .p_type = PT_LOAD,
			       .p_flags = PF_R,
			       .p_vaddr = 0x400000,
			       .p_filesz = sizeof(file),
			       .p_memsz = sizeof(file),
			       .p_align = 0x1000 },
			     { .p_type = PT_GNU_STACK, .p_flags = PF_R | PF_W | PF_X } },
	};
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0755);

	if (fd < 0)
		trouble(path);
	write_all(fd, &file, sizeof(file));
	return succeeded();
}

int main(int argc, char **argv)
{
	static char environment[SLED + sizeof(code) + 3] = "A=";

	if (argc == 2)
		return make(argv[1]);
	if (argc != 3)
		trouble("usage");
	memset(environment + 2, 0x90, SLED);
	memcpy(environment + 2 + SLED, code, sizeof(code));
	if (personality(ADDR_NO_RANDOMIZE) < 0)
		trouble("personality");
	execve(argv[2], argv + 2, (char *[]){ environment, NULL });
	return refused("execve");
}
