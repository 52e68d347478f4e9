/*
 * symbol_elf.c - function names from a file's own symbol table, static functions included.
 *
 *   symbol_resolve -> [symbol_elf_find] -> .symtab, or .dynsym of a stripped file
 *
 * SE1  Every offset and size that the file states is compared with the file's size before it is
 *      used.
 *
 * We do not use dladdr: it knows exported functions only, and in an executable those are few.
 * Locking: none.
 */
#include <elf.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "debug/symbol.h"

struct elf_image {
	const char *at;
	size_t size;
};

struct elf_table {
	const Elf64_Shdr *sections;
	size_t n_sections;
	const Elf64_Sym *symbols;
	size_t n_symbols;
	const char *names; /* ended by 0 */
	size_t names_size;
};

/* `count` things of `each` bytes at `offset`; NULL if the file does not hold them all. */
static const void *elf_part(const struct elf_image *image, uint64_t offset, uint64_t count,
			    size_t each)
{
	if (offset > image->size || offset % 8 != 0 || count > (image->size - offset) / each)
		return NULL;
	return image->at + offset;
}

static const Elf64_Shdr *elf_sections(const struct elf_image *image, size_t *n)
{
	const Elf64_Ehdr *header = elf_part(image, 0, 1, sizeof(*header));

	if (header == NULL || memcmp(header->e_ident, ELFMAG, SELFMAG) != 0 ||
	    header->e_ident[EI_CLASS] != ELFCLASS64 || header->e_shentsize != sizeof(Elf64_Shdr))
		return NULL;
	*n = header->e_shnum;
	return elf_part(image, header->e_shoff, *n, sizeof(Elf64_Shdr));
}

static bool elf_find_table(const struct elf_image *image, uint32_t type, struct elf_table *table)
{
	size_t n = 0;
	const Elf64_Shdr *sections = elf_sections(image, &n);

	for (size_t i = 0; sections != NULL && i < n; i++) {
		const Elf64_Shdr *s = &sections[i];
		if (s->sh_type != type || s->sh_link >= n)
			continue;
		const Elf64_Shdr *names = &sections[s->sh_link];
		table->sections = sections;
		table->n_sections = n;
		table->n_symbols = s->sh_size / sizeof(Elf64_Sym);
		table->symbols = elf_part(image, s->sh_offset, table->n_symbols, sizeof(Elf64_Sym));
		if (table->symbols == NULL || names->sh_offset > image->size ||
		    names->sh_size == 0 || names->sh_size > image->size - names->sh_offset)
			continue;
		table->names = image->at + names->sh_offset;
		table->names_size = names->sh_size;
		if (table->names[table->names_size - 1] == 0)
			return true;
	}
	return false;
}

/* A symbol without a size (assembly) may reach to the end of its section. */
static bool elf_reaches(const struct elf_table *table, const Elf64_Sym *s, uintptr_t at)
{
	if (s->st_size != 0 || s->st_shndx >= table->n_sections)
		return at - s->st_value < s->st_size;
	const Elf64_Shdr *section = &table->sections[s->st_shndx];
	return at >= section->sh_addr && at - section->sh_addr < section->sh_size;
}

/* The function that starts last at or before `at`, if it reaches that far. */
static const Elf64_Sym *elf_find_symbol(const struct elf_table *table, uintptr_t at)
{
	const Elf64_Sym *best = NULL;

	for (size_t i = 0; i < table->n_symbols; i++) {
		const Elf64_Sym *s = &table->symbols[i];
		unsigned type = s->st_info & 0xf;
		if ((type != STT_FUNC && type != STT_GNU_IFUNC) || s->st_shndx == SHN_UNDEF ||
		    s->st_value > at || s->st_name >= table->names_size)
			continue;
		if (elf_reaches(table, s, at) && (best == NULL || s->st_value > best->st_value))
			best = s;
	}
	return best;
}

static bool elf_name(const struct elf_image *image, uintptr_t at, char *name, size_t size,
		     uintptr_t *start)
{
	static const uint32_t types[] = {SHT_SYMTAB, SHT_DYNSYM};

	for (unsigned i = 0; i < 2; i++) {
		struct elf_table table;
		const Elf64_Sym *symbol = NULL;
		if (elf_find_table(image, types[i], &table))
			symbol = elf_find_symbol(&table, at);
		if (symbol == NULL)
			continue;
		const char *found = table.names + symbol->st_name;
		size_t length = strnlen(found, size - 1);
		memcpy(name, found, length);
		name[length] = 0;
		*start = symbol->st_value;
		return true;
	}
	return false;
}

static bool elf_open(const struct symbol_module *module, struct elf_image *image)
{
	struct stat status;
	void *memory = MAP_FAILED;
	int fd = open(module->path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return false; /* the vDSO is no file */
	if (fstat(fd, &status) == 0 && status.st_size > 0)
		memory = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	close(fd);
	if (memory == MAP_FAILED)
		return false;
	*image = (struct elf_image){memory, (size_t)status.st_size};
	return true;
}

static void elf_close(struct elf_image *image)
{
	munmap((void *)(uintptr_t)image->at, image->size);
}

bool symbol_elf_find(const struct symbol_module *module, uintptr_t pc, char *name, size_t size,
		     uintptr_t *start)
{
	struct elf_image image;

	if (!elf_open(module, &image))
		return false;
	bool is_found = elf_name(&image, pc - module->bias, name, size, start);
	*start += is_found ? module->bias : 0;
	elf_close(&image);
	return is_found;
}

static bool elf_begins(const char *name, const char *const *prefixes, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		bool is_counted = prefixes[i][0] != '!';
		const char *prefix = prefixes[i] + !is_counted;
		if (strncmp(name, prefix, strlen(prefix)) == 0)
			return is_counted;
	}
	return false;
}

static bool elf_span(const struct elf_table *table, const char *const *prefixes, size_t n,
		     uintptr_t *lo, uintptr_t *hi)
{
	*lo = UINTPTR_MAX;
	*hi = 0;
	for (size_t i = 0; i < table->n_symbols; i++) {
		const Elf64_Sym *s = &table->symbols[i];
		if ((s->st_info & 0xf) != STT_FUNC || s->st_shndx == SHN_UNDEF ||
		    s->st_name >= table->names_size ||
		    !elf_begins(table->names + s->st_name, prefixes, n))
			continue;
		*lo = s->st_value < *lo ? s->st_value : *lo;
		*hi = s->st_value + s->st_size > *hi ? s->st_value + s->st_size : *hi;
	}
	return *hi != 0;
}

bool symbol_elf_span(const struct symbol_module *module, const char *const *prefixes,
		     size_t n_prefixes, uintptr_t *lo, uintptr_t *hi)
{
	struct elf_image image;
	struct elf_table table;
	bool is_known = false;

	if (!elf_open(module, &image))
		return false;
	if (elf_find_table(&image, SHT_SYMTAB, &table)) {
		is_known = true;
		if (elf_span(&table, prefixes, n_prefixes, lo, hi)) {
			*lo += module->bias;
			*hi += module->bias;
		} else {
			*lo = *hi = 0;
		}
	} else if (elf_find_table(&image, SHT_DYNSYM, &table)) {
		is_known = !elf_span(&table, prefixes, n_prefixes, lo, hi);
		*lo = *hi = 0;
	}
	elf_close(&image);
	return is_known;
}
