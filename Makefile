# goro - build, tests, installation. A user needs GNU make, a C compiler, binutils and a shell.
#
#   make                  build/libgoro.a, build/libgoro.so, build/goro
#   make demo             the above, then every example once
#   make test             what fits in 5 minutes on 2 cores
#   make check            everything; make deps installs what it needs (Debian)
#   make bench            the benchmarks
#   make install          PREFIX=/usr/local, DESTDIR=
#   make amalgamation     build/amalgamation: the library as one C file, its header, its assembly
#   make clean
#
# Variants, alone or together; each keeps its objects in a folder of its own under build/, and leaves
# its library and command in build/ itself:
#   DEBUG=1               assertions, lock ranks, state edges, audits
#   SAN=thread|address    instrumented library and tests (address: with undefined behaviour too)
#   CC=clang              another compiler
#   ARCH=arm64 CROSS_COMPILE=aarch64-linux-gnu-
#   WERROR=1              warnings are errors

.DELETE_ON_ERROR:
.SUFFIXES:
MAKEFLAGS += --no-builtin-rules

all: publish

# --- the configuration ----------------------------------------------------------------------------

ifeq ($(origin CC),default)
CC := $(if $(CROSS_COMPILE),$(CROSS_COMPILE)gcc,$(shell for c in cc gcc clang; do command -v $$c >/dev/null && echo $$c && break; done))
ifeq ($(CC),)
$(error no C compiler: install gcc or clang, or say make CC=...)
endif
else
cc_suffix := $(if $(filter cc gcc $(CROSS_COMPILE)gcc,$(CC)),,-$(subst /,_,$(firstword $(notdir $(CC)))))
endif
ifeq ($(origin CXX),default)
CXX := $(if $(findstring clang,$(CC)),$(subst clang,clang++,$(CC)),$(CROSS_COMPILE)g++)
endif
ifeq ($(origin LD),default)
LD := $(CROSS_COMPILE)ld
endif
ifeq ($(origin AR),default)
AR := $(CROSS_COMPILE)ar
endif
OBJCOPY ?= $(CROSS_COMPILE)objcopy

cc_version := $(shell $(CC) --version 2>/dev/null)
is_clang := $(findstring clang,$(cc_version))
machine := $(shell $(CC) -dumpmachine 2>/dev/null | cut -d- -f1)
ARCH ?= $(patsubst aarch64,arm64,$(patsubst x86_64,amd64,$(machine)))
ifeq ($(filter amd64 arm64,$(ARCH)),)
$(error goro runs on amd64 and arm64; the compiler $(CC) builds for "$(machine)")
endif
native := $(if $(CROSS_COMPILE),,y)

variant := $(if $(DEBUG),debug,release)$(if $(SAN),-$(SAN))$(if $(native),,-$(ARCH))$(cc_suffix)
B := build/$(variant)

VERSION := 0.1.0
PREFIX ?= /usr/local
BINDIR ?= $(PREFIX)/bin
LIBDIR ?= $(PREFIX)/lib
INCLUDEDIR ?= $(PREFIX)/include
PKGCONFIGDIR ?= $(LIBDIR)/pkgconfig
SONAME := libgoro.so.0

# libbacktrace comes with gcc and gives file:line in stacks; without it they show function names.
libbacktrace := $(wildcard $(shell $(CC) -print-file-name=libbacktrace.a 2>/dev/null))
backtrace_h := $(if $(libbacktrace),$(wildcard $(dir $(libbacktrace))include/backtrace.h))
ifeq ($(or $(NO_BACKTRACE),$(if $(backtrace_h),,none)),)
backtrace_flags := -DGORO_HAVE_BACKTRACE -idirafter $(dir $(backtrace_h))
backtrace_lib := $(libbacktrace)
endif

, := ,
warnings := -Wall -Wextra $(if $(WERROR),-Werror)
optimise := $(if $(DEBUG),-Og -g3,$(if $(SAN),-O1 -g,-O2 -g))
CFLAGS ?= $(optimise)
sanitize := $(if $(filter thread,$(SAN)),-fsanitize=thread) \
	$(if $(filter address,$(SAN)),-fsanitize=address$(,)undefined -fno-sanitize-recover=undefined) \
	$(if $(SAN),-fno-omit-frame-pointer)
common := -std=gnu11 -pthread $(warnings) $(sanitize) $(if $(is_clang),-fblocks)

# The library is one unit of position-independent-executable code: it links into both kinds of program.
lib_flags = $(common) -Iinclude -Isrc -D_GNU_SOURCE $(if $(DEBUG),-DGORO_DEBUG) $(backtrace_flags) \
	-fvisibility=hidden -ftls-model=initial-exec -fasynchronous-unwind-tables -fno-lto \
	$(if $(is_clang),-fno-addrsig)
program_flags = $(common) -Iinclude -Itests/harness -Itests
white_flags = $(program_flags) -Isrc -D_GNU_SOURCE $(if $(DEBUG),-DGORO_DEBUG) $(backtrace_flags)

floors := base arch os core queue event sched sync io debug
sources := $(foreach f,$(floors),$(sort $(wildcard src/$(f)/*.c)))
asm := $(sort $(wildcard src/arch/*_$(ARCH).S))

# One file holds every flag, and every object depends on it: a change of flags rebuilds.
configuration := $(CC) | $(CFLAGS) | $(lib_flags) | $(LDFLAGS) | $(sources) | $(VERSION)
ifneq ($(shell cat $(B)/configuration 2>/dev/null),$(strip $(configuration)))
ifeq ($(filter clean deps,$(MAKECMDGOALS)),)
$(shell mkdir -p $(B))
$(file >$(B)/configuration,$(strip $(configuration)))
endif
endif
CONFIG := $(B)/configuration

# V=1 shows the commands.
Q := $(if $(V),,@)
say = $(if $(V),,@printf '  %-8s%s\n' $(1) $@)

# --- the library ----------------------------------------------------------------------------------

.PHONY: all lib publish FORCE
lib: $(B)/libgoro.a $(B)/libgoro.so $(B)/goro

$(B)/goro_all.c: tools/amalgamate $(CONFIG)
	$(Q)tools/amalgamate $(sources:src/%=%) >$@

$(B)/goro_all.o: $(B)/goro_all.c $(CONFIG)
	$(call say,CC)
	$(Q)$(CC) $(CFLAGS) $(lib_flags) -fPIE -MMD -MP -c $< -o $@

$(B)/goro_all.pic.o: $(B)/goro_all.c $(CONFIG)
	$(call say,CC)
	$(Q)$(CC) $(CFLAGS) $(lib_flags) -fPIC -fno-semantic-interposition -MMD -MP -c $< -o $@

$(B)/main.o: src/main.c $(CONFIG)
	$(call say,CC)
	$(Q)$(CC) $(CFLAGS) $(lib_flags) -fPIE -MMD -MP -c $< -o $@

asm_objects := $(asm:src/%.S=$(B)/src/%.S.o)
$(B)/src/%.S.o: src/%.S $(CONFIG)
	$(call say,AS)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) $(lib_flags) -fPIC -MMD -MP -c $< -o $@

# Linked into one object, in which only the interface keeps its names: a program may have a
# function of its own with any name that the inside of the library uses.
localize = $(LD) -r -z noexecstack -o $@.tmp $(1) $(backtrace_lib) && \
	$(OBJCOPY) --localize-hidden --wildcard --keep-global-symbol='goro_*' $@.tmp $@ && rm -f $@.tmp

$(B)/goro.o: $(B)/goro_all.o $(asm_objects)
	$(Q)$(call localize,$^)

$(B)/goro.pic.o: $(B)/goro_all.pic.o $(asm_objects)
	$(Q)$(call localize,$^)

$(B)/libgoro.a: $(B)/goro.o $(B)/main.o
	$(call say,AR)
	$(Q)rm -f $@
	$(Q)$(AR) rcsD $@ $^

$(B)/libgoro.so: $(B)/goro.pic.o goro.map
	$(call say,LD)
	$(Q)$(CC) $(CFLAGS) $(common) $(LDFLAGS) -shared -Wl,-soname,$(SONAME) -Wl,--version-script=goro.map \
		-Wl,-z,nodelete -Wl,-z,noexecstack -o $@ $(B)/goro.pic.o
	$(Q)ln -sf libgoro.so $(B)/$(SONAME)

# Tests look inside: every source compiled alone (which shows that it includes what it needs), nothing localised.
white_objects := $(sources:src/%.c=$(B)/src/%.o)
$(white_objects): $(B)/src/%.o: src/%.c $(CONFIG)
	$(call say,CC)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) $(lib_flags) -fPIE -MMD -MP -c $< -o $@

$(B)/libgoro_test.a: $(white_objects) $(asm_objects) $(B)/main.o
	$(call say,AR)
	$(Q)rm -f $@
	$(Q)$(AR) rcsD $@ $^

# --- the command ----------------------------------------------------------------------------------

cmd_objects := $(patsubst %.c,$(B)/%.o,$(wildcard cmd/*.c))
$(cmd_objects): $(B)/%.o: %.c $(CONFIG)
	$(call say,CC)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) $(lib_flags) -fPIE -DGORO_VERSION_TEXT='"$(VERSION)"' \
		-DGORO_SANITIZE_FLAGS='"$(strip $(sanitize))"' -MMD -MP -c $< -o $@

# The command asks the library's own inside about CPUs and guards.
$(B)/goro: $(cmd_objects) $(B)/goro_all.o $(asm_objects)
	$(call say,LD)
	$(Q)$(CC) $(CFLAGS) $(common) $(LDFLAGS) -pie -o $@ $^ $(backtrace_lib)

# --- what stands in build/ itself -------------------------------------------------------------------

# Copies, made only when they differ, so that whatever variant was asked for last is the one there.
publish: lib
	@for f in libgoro.a libgoro.so goro; do \
		cmp -s $(B)/$$f build/$$f || { cp -f $(B)/$$f build/$$f.new.$$$$ && mv -f build/$$f.new.$$$$ build/$$f; } || exit 1; \
	done
	@ln -sf libgoro.so build/$(SONAME)

# --- programs: tests, examples, benchmarks ----------------------------------------------------------

# tests/harness/run.c runs the others; the rest of that folder, if any, is linked with every test.
harness_objects := $(patsubst %.c,$(B)/%.o,$(filter-out tests/harness/run.c,$(wildcard tests/harness/*.c)))
$(harness_objects): $(B)/%.o: %.c $(CONFIG)
	$(call say,CC)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) $(program_flags) -D_GNU_SOURCE -MMD -MP -c $< -o $@

HOSTCC ?= cc
build/run: tests/harness/run.c
	$(call say,CC)
	@mkdir -p $(@D)
	$(Q)$(HOSTCC) -std=gnu11 -D_GNU_SOURCE -O2 -g -Wall -Wextra -Itests/harness -pthread $< -o $@

programs_of = $(patsubst %.c,$(B)/%,$(wildcard tests/$(1)/*.c))
white_programs := $(call programs_of,unit) $(call programs_of,fault)
black_programs := $(foreach s,conform errors stress,$(call programs_of,$(s)))
examples := $(patsubst %.c,$(B)/%,$(wildcard examples/*.c))
benches := $(patsubst %.c,$(B)/%,$(wildcard bench/*.c))

$(white_programs): $(B)/%: %.c $(B)/libgoro_test.a $(harness_objects) $(CONFIG)
	$(call say,CC)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) $(white_flags) $(LDFLAGS) -MMD -MP $< $(harness_objects) $(B)/libgoro_test.a \
		$(backtrace_lib) -o $@

$(black_programs): $(B)/%: %.c $(B)/libgoro.a $(harness_objects) $(CONFIG)
	$(call say,CC)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) $(program_flags) $(LDFLAGS) -MMD -MP $< $(harness_objects) $(B)/libgoro.a -o $@

$(examples) $(benches): $(B)/%: %.c $(B)/libgoro.a $(CONFIG)
	$(call say,CC)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) $(common) -Iinclude $(LDFLAGS) -MMD -MP $< $(B)/libgoro.a -o $@

.PHONY: examples white $(addprefix build-,unit fault conform errors stress bench)
examples: $(examples)
white: $(B)/libgoro_test.a
build-bench: $(benches)
$(addprefix build-,unit fault conform errors stress): build-%: build/run
build-unit: $(call programs_of,unit)
build-fault: $(call programs_of,fault)
build-conform: $(call programs_of,conform)
build-errors: $(call programs_of,errors)
build-stress: $(call programs_of,stress)

# --- installation -----------------------------------------------------------------------------------

libgoro_file := libgoro.so.$(VERSION)

.PHONY: install uninstall amalgamation clean
install: lib
	install -d $(DESTDIR)$(BINDIR) $(DESTDIR)$(LIBDIR) $(DESTDIR)$(INCLUDEDIR) $(DESTDIR)$(PKGCONFIGDIR)
	install -m 755 $(B)/goro $(DESTDIR)$(BINDIR)/goro
	install -m 644 include/goro.h $(DESTDIR)$(INCLUDEDIR)/goro.h
	install -m 644 $(B)/libgoro.a $(DESTDIR)$(LIBDIR)/libgoro.a
	install -m 755 $(B)/libgoro.so $(DESTDIR)$(LIBDIR)/$(libgoro_file)
	ln -sf $(libgoro_file) $(DESTDIR)$(LIBDIR)/$(SONAME)
	ln -sf $(SONAME) $(DESTDIR)$(LIBDIR)/libgoro.so
	sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@LIBDIR@|$(LIBDIR)|' -e 's|@INCLUDEDIR@|$(INCLUDEDIR)|' \
		-e 's|@VERSION@|$(VERSION)|' goro.pc.in >$(DESTDIR)$(PKGCONFIGDIR)/goro.pc

uninstall:
	rm -f $(addprefix $(DESTDIR),$(BINDIR)/goro $(INCLUDEDIR)/goro.h $(PKGCONFIGDIR)/goro.pc \
		$(addprefix $(LIBDIR)/,libgoro.a libgoro.so $(SONAME) $(libgoro_file)))

# The library for copying into another project: one C file, the header, the assembly, main().
amalgamation:
	mkdir -p build/amalgamation/arch
	tools/amalgamate -1 $(sources:src/%=%) >build/amalgamation/goro.c
	cp include/goro.h src/main.c build/amalgamation/
	cp src/arch/*.S src/arch/ctx_*.h build/amalgamation/arch/

clean:
	rm -rf build

-include $(wildcard $(B)/*.d $(B)/src/*/*.d $(B)/cmd/*.d $(B)/tests/*/*.d $(B)/examples/*.d $(B)/bench/*.d)
