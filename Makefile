# goro - build, tests, installation. A user needs GNU make, a C compiler, binutils and a shell.
#
#   make                  build/libgoro.a, build/libgoro.so, build/goro
#   make demo             the above, then every example once
#   make test             what fits in 5 minutes on 2 cores
#   make check            everything; make deps installs what it needs (Debian)
#   make bench            the benchmarks
#   make bench-net        network servers beside raw epoll, Go, nginx and redis
#   make install          PREFIX=/usr/local, DESTDIR=
#   make man              build/man: the man pages (make install makes and installs them, too)
#   make amalgamation     build/amalgamation: the library as one C file, its header, its assembly
#   make clean
#   make help             this text
#
# Variants, alone or together; each keeps its objects in a folder of its own under build/, and leaves
# its library and command in build/ itself:
#   DEBUG=1               assertions, lock ranks, state edges, audits
#   SAN=thread|address    instrumented library and tests (address: with undefined behaviour too)
#   CC=clang              another compiler
#   ARCH=arm64 CROSS_COMPILE=aarch64-linux-gnu-
#   WERROR=1              warnings are errors
#   NO_CARES=1            without c-ares, NO_BACKTRACE=1 without libbacktrace, though their headers are there


.DELETE_ON_ERROR:
.SUFFIXES:
MAKEFLAGS += --no-builtin-rules

all: publish

.PHONY: help
help:
	@sed -n '/^[^#]/q; /^$$/q; s/^# \{0,1\}//p' $(firstword $(MAKEFILE_LIST))

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

VERSION := $(shell sed -n 's/^.define GORO_VERSION "\(.*\)"$$/\1/p' include/goro.h)
PREFIX ?= /usr/local
BINDIR ?= $(PREFIX)/bin
LIBDIR ?= $(PREFIX)/lib
INCLUDEDIR ?= $(PREFIX)/include
PKGCONFIGDIR ?= $(LIBDIR)/pkgconfig
DOCDIR ?= $(PREFIX)/share/doc/goro
MANDIR ?= $(PREFIX)/share/man
SONAME := libgoro.so.0

# libbacktrace comes with gcc and gives file:line in stacks; without it they show function names.
libbacktrace := $(wildcard $(shell $(CC) -print-file-name=libbacktrace.a 2>/dev/null))
backtrace_h := $(if $(libbacktrace),$(wildcard $(dir $(libbacktrace))include/backtrace.h))
ifeq ($(or $(NO_BACKTRACE),$(if $(backtrace_h),,none)),)
# Copied: of gcc's own folder clang's headers would find more than these two.
backtrace_flags := -DGORO_HAVE_BACKTRACE -I$(B)/backtrace
backtrace_lib := $(libbacktrace)
endif

# c-ares: only its header is wanted here, from 1.16 on, which has ares_getaddrinfo. The library is loaded by programs that
# find it when they run; without it (NO_CARES=1) names are resolved by getaddrinfo. $(hash): before make 4.3 a # in a
# function's arguments wanted a backslash, and since then it is the shell that would see that.
hash := \#
has_cares := $(if $(NO_CARES),,$(shell printf '$(hash)include <ares.h>\nstruct ares_addrinfo_node n; void *f = ares_getaddrinfo;' | \
	$(CC) -fsyntax-only -xc - >/dev/null 2>&1 && echo y))
cares_flags := $(if $(has_cares),-DGORO_HAVE_CARES)

, := ,
warnings := -Wall -Wextra $(if $(WERROR),-Werror)
optimise := $(if $(DEBUG),-Og -g3,$(if $(SAN),-O1 -g,-O2 -g))
CFLAGS ?= $(optimise)
sanitize := $(if $(filter thread,$(SAN)),-fsanitize=thread) \
	$(if $(filter address,$(SAN)),-fsanitize=address$(,)undefined -fno-sanitize-recover=undefined) \
	$(if $(SAN),-fno-omit-frame-pointer) \
	$(if $(filter thread,$(SAN)),$(if $(is_clang),,-Wno-tsan))
common := -std=gnu11 -pthread $(warnings) $(sanitize) $(if $(is_clang),-fblocks)

# The library is one unit of position-independent-executable code: it links into both kinds of program.
# -fno-plt: the first call of a libc function must not run the dynamic linker on a signal's small stack.
lib_flags = $(common) -Iinclude -Isrc -D_GNU_SOURCE $(if $(DEBUG),-DGORO_DEBUG) $(backtrace_flags) $(cares_flags) \
	-fvisibility=hidden -ftls-model=initial-exec -fasynchronous-unwind-tables -fno-lto -fno-plt \
	$(if $(is_clang),-fno-addrsig)
program_flags = $(common) -Iinclude -Itests/harness -Itests
white_flags = $(program_flags) -Isrc -D_GNU_SOURCE $(if $(DEBUG),-DGORO_DEBUG) $(backtrace_flags) $(cares_flags)

floors := base arch os core queue event sched sync io debug
sources := $(foreach f,$(floors),$(sort $(wildcard src/$(f)/*.c)))
asm := $(sort $(wildcard src/arch/*_$(ARCH).S))

# The library's code goes into a section of its own, so that reports tell it from the program's:
# the linker says where a section of such a name begins and ends.
own_text := $(foreach s,.text .text.unlikely .text.hot .text.startup .text.exit,--rename-section $(s)=goro_text)

# One file holds every flag, and every object depends on it: a change of flags rebuilds.
configuration := $(CC) | $(CFLAGS) | $(lib_flags) | $(LDFLAGS) | $(own_text) | $(sources) | $(VERSION)
ifneq ($(shell cat $(B)/configuration 2>/dev/null),$(strip $(configuration)))
ifeq ($(filter clean deps,$(MAKECMDGOALS)),)
$(shell mkdir -p $(B)/backtrace$(if $(backtrace_lib), && \
	cp $(backtrace_h) $(dir $(backtrace_h))backtrace-supported.h $(B)/backtrace/))
$(file >$(B)/configuration,$(strip $(configuration)))
endif
endif
CONFIG := $(B)/configuration
# Only after "make clean all".
$(CONFIG):
	@mkdir -p $(@D) && touch $@

# V=1 shows the commands.
Q := $(if $(V),,@)
say = $(if $(V),,@printf '  %-8s%s\n' $(1) $@)

# --- the library ----------------------------------------------------------------------------------

.PHONY: all lib publish
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
	$(Q)$(OBJCOPY) $(own_text) $@

asm_objects := $(asm:src/%.S=$(B)/src/%.S.o)
$(B)/src/%.S.o: src/%.S $(CONFIG)
	$(call say,AS)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) $(lib_flags) -fPIC -MMD -MP -c $< -o $@

# A debug build watches the program's pthread mutexes: src/sched/held.c.
debug_names := $(if $(DEBUG),--keep-global-symbol='pthread_mutex_*')

# Linked into one object, in which only the interface keeps its names: a program may have a
# function of its own with any name that the inside of the library uses.
localize = $(LD) -r -z noexecstack -o $@.tmp $(1) $(backtrace_lib) && \
	$(OBJCOPY) $(own_text) --localize-hidden --wildcard --keep-global-symbol='goro_*' $(debug_names) $@.tmp $@ && rm -f $@.tmp

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
		$(if $(SAN),,-static-libgcc -Wl$(,)-z$(,)defs) -Wl,-z,nodelete -Wl,-z,noexecstack -o $@ $(B)/goro.pic.o
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

HOSTCC ?= $(if $(native),$(CC),cc)
build/run: tests/harness/run.c
	$(call say,CC)
	@mkdir -p $(@D)
	$(Q)$(HOSTCC) -std=gnu11 -O2 -g -Wall -Wextra -Itests/harness -pthread $< -o $@

programs_of = $(patsubst %.c,$(B)/%,$(wildcard tests/$(1)/*.c))
program_suites := unit fault conform errors stress fuzz load
white_programs := $(call programs_of,unit) $(call programs_of,fault)
black_programs := $(foreach s,conform errors stress fuzz load,$(call programs_of,$(s)))
# Examples that need a library are built when pkg-config finds it, or for one that pkg-config does not know, when
# the compiler finds its header; tools/demo and the tests say what was not.
sqlworkers_needs := sqlite3
rediscrawl_needs := hiredis
tls_echo_needs := openssl
httpd_header := http_parser.h
httpd_libs = $(if $(call has,httpd),-lhttp_parser)
has_library = $(if $($(1)_needs),$(shell pkg-config --exists $($(1)_needs) 2>/dev/null && echo y),$(shell \
	echo '$(hash)include <$($(1)_header)>' | $(CC) -E -xc - >/dev/null 2>&1 && echo y))
has = $(if $($(1)_needs)$($(1)_header),$(if $(native),$(call has_library,$(1))),y)
examples := $(foreach e,$(patsubst examples/%.c,%,$(wildcard examples/*.c)),$(if $(call has,$(e)),$(B)/examples/$(e)))
needed = $(if $($(@F)_needs),$(shell pkg-config --cflags --libs $($(@F)_needs))) $($(@F)_libs)
benches := $(patsubst %.c,$(B)/%,$(wildcard bench/*.c))
# What servers are measured with and against is plain C.
plain_benches := $(addprefix $(B)/bench/net/,load epoll_echo epoll_redis)
benches += $(B)/bench/net/echo

# White-box tests see the library's inside; the others are programs like a user's.
# What nobody names, a constructor puts in place; an archive alone would leave it out.
unnamed_objects := $(B)/src/debug/leftover.o $(B)/src/debug/schedtrace.o $(B)/src/debug/tsan.o

$(white_programs): $(B)/%: %.c $(B)/libgoro_test.a $(unnamed_objects) $(CONFIG)
	$(call say,CC)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) $(white_flags) $(LDFLAGS) -MMD -MP $< $(unnamed_objects) $(B)/libgoro_test.a $(backtrace_lib) -o $@

# A program with a second half in C++: NAME.c and NAME_inside.cc.
cxx_programs := $(patsubst %_inside.cc,$(B)/%,$(wildcard tests/*/*_inside.cc))
cxx_flags = $(filter-out -std=gnu11 -fblocks,$(program_flags)) -std=gnu++17

$(cxx_programs:%=%_inside.o): $(B)/%.o: %.cc $(CONFIG)
	$(call say,CXX)
	@mkdir -p $(@D)
	$(Q)$(CXX) $(CFLAGS) $(cxx_flags) -MMD -MP -c $< -o $@

$(cxx_programs): $(B)/%: %.c $(B)/%_inside.o $(B)/libgoro.a $(CONFIG)
	$(call say,CC)
	$(Q)$(CC) $(CFLAGS) $(program_flags) -MMD -MP -c $< -o $@.o
	$(Q)$(CXX) $(CFLAGS) $(cxx_flags) $(LDFLAGS) $@.o $(B)/$*_inside.o $(B)/libgoro.a -o $@

$(filter-out $(cxx_programs),$(black_programs)): $(B)/%: %.c $(B)/libgoro.a $(CONFIG)
	$(call say,CC)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) $(program_flags) $(LDFLAGS) -MMD -MP $< $(B)/libgoro.a $($(@F)_libs) -o $@

$(examples) $(benches): $(B)/%: %.c $(B)/libgoro.a $(CONFIG)
	$(call say,CC)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) $(common) -Iinclude $(LDFLAGS) -MMD -MP $< $(B)/libgoro.a $(needed) -o $@

$(plain_benches): $(B)/%: %.c $(CONFIG)
	$(call say,CC)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) $(common) $(LDFLAGS) -MMD -MP $< -o $@

.PHONY: examples white benches demo bench bench-net
examples: $(examples)
benches: $(benches) $(plain_benches)
white: $(B)/libgoro_test.a

demo: publish examples
	@tools/demo $(B)/examples

bench: benches examples
	@B=$(B) bench/run.sh

# SECTIONS="echo httpd redisd syscalls": which of them.
bench-net: benches examples
	@B=$(B) bench/net/run.sh $(SECTIONS)

# --- test suites ------------------------------------------------------------------------------------

# exec-SUITE builds and runs the programs of one suite in the variant that this make was asked for;
# run-SUITE chooses the variant. WRAP is a command that runs a program (qemu, valgrind): the runner is
# then given scripts that call it. TAP_SELF tells a test how to start itself again.
RUNFLAGS ?=
WRAP ?=
wrapped := $(B)/wrapped-$(notdir $(firstword $(WRAP)))
wrap_one = mkdir -p $(dir $(wrapped)/$(1)) && \
	printf '\#!/bin/sh\nTAP_SELF="$$0" exec %s %s "$$@"\n' '$(WRAP)' '$(CURDIR)/$(1)' >$(wrapped)/$(1) && \
	chmod +x $(wrapped)/$(1)

.PHONY: $(addprefix exec-,$(program_suites))
$(foreach s,$(program_suites),$(eval exec-$(s): $(call programs_of,$(s)) build/run))
# Some of its servers are those that people start from.
exec-load: examples
$(addprefix exec-,$(program_suites)): exec-%:
	$(if $(call programs_of,$*),,@echo "there is no program in tests/$*"; exit 1)
	$(if $(WRAP),@$(foreach p,$(call programs_of,$*),$(call wrap_one,$(p)) &&) true)
	@$(sanitizer_env) $(fixed_addresses) build/run $(RUNFLAGS) $(addprefix $(if $(WRAP),$(wrapped)/),$(call programs_of,$*))

# ThreadSanitizer of gcc 12 and clang 14 cannot live with the wider address randomisation of some kernels.
fixed_addresses := $(if $(filter thread,$(SAN)),$(shell \
	[ "$$(cat /proc/sys/vm/mmap_rnd_bits 2>/dev/null || echo 0)" -gt 28 ] && \
	setarch -R true 2>/dev/null && echo setarch -R))
sanitizer_env := $(if $(filter thread,$(SAN)),TSAN_OPTIONS="$${TSAN_OPTIONS:-halt_on_error=1}") \
	$(if $(filter address,$(SAN)),UBSAN_OPTIONS="$${UBSAN_OPTIONS:-print_stacktrace=1}")

# The suites that are scripts find the variant in the environment.
script_env = B=$(B) CC='$(CC)' CXX='$(CXX)' LIB=$(B)/libgoro.a
.PHONY: exec-sanitize exec-header exec-abi exec-cmd exec-examples exec-docs exec-man exec-libs exec-storm
.PHONY: exec-net-examples exec-amalgamation exec-harness
exec-header: lib
	@$(script_env) tests/header/run.sh $(CURDIR)/$(B)/libgoro.a
exec-sanitize: lib
	@$(script_env) tests/sanitize/run.sh $(CURDIR)/$(B)/libgoro.a
exec-abi: lib
	@$(script_env) tests/abi/run.sh
exec-cmd: lib
	@$(script_env) tests/cmd/run.sh
exec-examples: lib examples
	@$(script_env) tests/examples/run.sh $(B)/examples
exec-docs: lib
	@$(script_env) tests/docs/run.sh
exec-man: lib
	@MAKE='$(MAKE)' $(script_env) tests/man/run.sh
exec-net-examples: lib examples
	@$(script_env) tests/net-examples/run.sh $(B)/examples
exec-libs: lib
	@$(script_env) tests/libs/run.sh
exec-storm: lib
	@$(script_env) WRAP='$(WRAP)' tests/storm/run.sh
exec-harness: build/run
	@CC='$(CC)' tests/harness/selftest.sh $<
exec-amalgamation: amalgamation
	@$(script_env) tools/amalgamate-test

jobs = $(if $(findstring jobserver,$(MAKEFLAGS)),,-j$(shell nproc))
variant_make = +@$(MAKE) --no-print-directory $(jobs)
release := DEBUG= SAN=
debug := DEBUG=1 SAN=
tsan := DEBUG= SAN=thread
asan := DEBUG=1 SAN=address
clang := CC=clang CXX=clang++
arm64_prefix ?= aarch64-linux-gnu-
arm64 := ARCH=arm64 CROSS_COMPILE=$(arm64_prefix) CC=$(arm64_prefix)gcc CXX=$(arm64_prefix)g++ \
	LD=$(arm64_prefix)ld AR=$(arm64_prefix)ar OBJCOPY=$(arm64_prefix)objcopy
# TAP_EMULATED: the emulator has threads and memory of its own, which some tests would count.
QEMU ?= env TAP_EMULATED=1 qemu-aarch64 -L /usr/aarch64-linux-gnu
VALGRIND ?= valgrind -q --error-exitcode=99 --leak-check=no --fair-sched=try

model_check = $(MAKE) --no-print-directory $(jobs) -C tests/model check OUT=$(CURDIR)/build/model

run-header:;		$(variant_make) exec-header $(release)
run-sanitize:;		$(variant_make) exec-sanitize $(release)
run-abi:;		$(variant_make) exec-abi $(release)
run-cmd:;		$(variant_make) exec-cmd $(release)
run-examples:;		$(variant_make) exec-examples $(release)
run-docs:;		$(variant_make) exec-docs $(release)
run-man:;		$(variant_make) exec-man $(release)
run-unit:;		$(variant_make) exec-unit $(debug)
run-conform:;		$(variant_make) exec-conform $(release) RUNFLAGS='-s 1 -p 1,4 $(RUNFLAGS)'
run-errors:;		$(variant_make) exec-errors $(release)
run-stress:;		$(variant_make) exec-stress $(release) RUNFLAGS='-s 1 -p 1,4 $(RUNFLAGS)'
run-stress-tsan:;	$(variant_make) exec-stress $(tsan) RUNFLAGS='-t 3 -s 1 -p 4 $(RUNFLAGS)'
run-stress-asan:;	$(variant_make) exec-stress $(asan) RUNFLAGS='-t 3 -s 1 -p 2 $(RUNFLAGS)'
run-fuzz:;		$(variant_make) exec-fuzz $(asan) RUNFLAGS='-t 3 -s 3 $(RUNFLAGS)'
run-fault:;		$(variant_make) exec-fault $(asan) RUNFLAGS='-t 3 $(RUNFLAGS)'
run-model:;		+@EXPLORE_QUICK=1 $(model_check)

# What make check adds.

run-model-full:;	+@$(model_check)
run-examples-clang:;	$(variant_make) exec-examples $(release) $(clang)
run-unit-clang:;	$(variant_make) exec-unit $(debug) $(clang)
run-conform-clang:;	$(variant_make) exec-conform $(release) $(clang)
run-conform-debug:;	$(variant_make) exec-conform $(debug) RUNFLAGS='-t 2 $(RUNFLAGS)'
run-errors-clang:;	$(variant_make) exec-errors $(debug) $(clang)
run-stress-debug:;	$(variant_make) exec-stress $(debug) RUNFLAGS='-t 2 $(RUNFLAGS)'
run-stress-tsan-clang:;	$(variant_make) exec-stress $(tsan) $(clang) RUNFLAGS='-t 3 $(RUNFLAGS)'
run-unit-memcheck:;	$(variant_make) exec-unit $(debug) WRAP='$(VALGRIND)' RUNFLAGS='-t 20 $(RUNFLAGS)'
run-unit-arm64:;	$(variant_make) exec-unit $(debug) $(arm64) WRAP='$(QEMU)' RUNFLAGS='-t 10 $(RUNFLAGS)'
run-conform-arm64:;	$(variant_make) exec-conform $(release) $(arm64) WRAP='$(QEMU)' \
				RUNFLAGS='-t 3 $(RUNFLAGS) -p 1,4'
run-libs:;		$(variant_make) exec-libs $(release)
run-net-examples:;	$(variant_make) exec-net-examples $(release)
run-load:;		$(variant_make) exec-load $(release)
run-storm:;		$(variant_make) exec-storm $(release)
run-storm-arm64:;	$(variant_make) exec-storm $(release) $(arm64) WRAP='$(QEMU)'
run-amalgamation:;	$(variant_make) exec-amalgamation $(release)
run-tidy:;		@tools/tidy
run-floors:;		@tools/floors src
run-orders:;		@tools/orders src
run-tools:;		@tools/selftest
run-harness:;		$(variant_make) exec-harness $(release)
# Every variant, each source alone and all at once, without a warning.
run-warnings:
	@number=0; status=0; \
	for variant in "$(release)" "$(debug)" "$(tsan)" "$(asan)" \
		$(if $(shell command -v clang),"$(release) $(clang)" "$(debug) $(clang)"); do \
		number=$$((number + 1)); \
		if $(MAKE) --no-print-directory $(jobs) lib white examples benches WERROR=1 $$variant; then \
			echo "ok $$number - no warning with $$variant"; \
		else \
			echo "not ok $$number - no warning with $$variant"; status=1; \
		fi; \
	done; exit $$status

# Those with a + do one thing after the other, and run side by side; abi has built what they share.
fast_suites := tools floors abi +harness +cmd +examples +docs +man unit errors conform stress
slow_suites := header sanitize stress-tsan stress-asan fault fuzz model-full tidy:python3 orders warnings amalgamation examples-clang:clang \
	unit-clang:clang errors-clang:clang conform-clang:clang conform-debug stress-debug +net-examples load \
	stress-tsan-clang:clang unit-memcheck:valgrind \
	storm storm-arm64:$(arm64_prefix)gcc,qemu-aarch64 unit-arm64:$(arm64_prefix)gcc,qemu-aarch64 conform-arm64:$(arm64_prefix)gcc,qemu-aarch64

.PHONY: test check deps
test:
	+@MAKE='$(MAKE)' V='$(V)' tools/suites build/logs $(fast_suites)

# The same with the slow cases (-a), longer, at more numbers of Ps; and everything else.
thorough := -a -s 5 -p 1,2,4,8
check:
	+@MAKE='$(MAKE) RUNFLAGS="$(thorough)"' V='$(V)' tools/suites build/logs-check \
		$(fast_suites) $(slow_suites)

# What continuous integration runs after make test: make check without what make test has run already, and
# without the emulator and memcheck, whose own speed is still measured by the time limits.
.PHONY: check-ci
check-ci:
	+@MAKE='$(MAKE)' V='$(V)' tools/suites build/logs-check \
		$(filter-out unit-memcheck% storm-arm64% unit-arm64% conform-arm64%,$(slow_suites))

# Debian's names of what make check and make bench-net call.
packages := gcc g++ libc6-dev make binutils clang valgrind gdb python3 pkg-config util-linux bsdutils \
	man-db groff-base qemu-user gcc-aarch64-linux-gnu g++-aarch64-linux-gnu libc6-dev-arm64-cross \
	libsqlite3-dev libhiredis-dev redis-server libpq-dev postgresql libcurl4-openssl-dev \
	libhttp-parser-dev libssl-dev libc-ares-dev openssl curl redis-tools wrk nginx-light apache2-utils strace
deps:
	DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $(packages)

# --- installation -----------------------------------------------------------------------------------

libgoro_file := libgoro.so.$(VERSION)

# goro.pc names these folders, and programs are built in any other.
ifneq ($(filter install install-man uninstall,$(MAKECMDGOALS)),)
$(foreach dir,PREFIX BINDIR LIBDIR INCLUDEDIR PKGCONFIGDIR DOCDIR MANDIR,\
	$(if $(filter-out /%,$($(dir))),$(error $(dir)=$($(dir)) is not absolute, or has a blank in it)))
endif

.PHONY: man install install-man uninstall amalgamation clean
man:
	$(Q)tools/man build/man

install-man: man
	for section in 1 3 7; do \
		install -d $(DESTDIR)$(MANDIR)/man$$section && \
		install -m 644 build/man/man$$section/* $(DESTDIR)$(MANDIR)/man$$section || exit 1; \
	done

install: lib install-man
	install -d $(DESTDIR)$(BINDIR) $(DESTDIR)$(LIBDIR) $(DESTDIR)$(INCLUDEDIR) \
		$(DESTDIR)$(PKGCONFIGDIR) $(DESTDIR)$(DOCDIR)
	install -m 755 $(B)/goro $(DESTDIR)$(BINDIR)/goro
	install -m 644 include/goro.h $(DESTDIR)$(INCLUDEDIR)/goro.h
	install -m 644 $(B)/libgoro.a $(DESTDIR)$(LIBDIR)/libgoro.a
	install -m 755 $(B)/libgoro.so $(DESTDIR)$(LIBDIR)/$(libgoro_file)
	ln -sf $(libgoro_file) $(DESTDIR)$(LIBDIR)/$(SONAME)
	ln -sf $(SONAME) $(DESTDIR)$(LIBDIR)/libgoro.so
	sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@LIBDIR@|$(LIBDIR)|' -e 's|@INCLUDEDIR@|$(INCLUDEDIR)|' \
		-e 's|@VERSION@|$(VERSION)|' goro.pc.in >$(DESTDIR)$(PKGCONFIGDIR)/goro.pc
	install -m 644 LICENSE $(if $(backtrace_lib),docs/third-party.md) $(DESTDIR)$(DOCDIR)

uninstall: man
	rm -f $(addprefix $(DESTDIR),$(BINDIR)/goro $(INCLUDEDIR)/goro.h $(PKGCONFIGDIR)/goro.pc \
		$(addprefix $(LIBDIR)/,libgoro.a libgoro.so $(SONAME) $(libgoro_file)) \
		$(DOCDIR)/LICENSE $(DOCDIR)/third-party.md)
	cd build/man && for page in man[137]/*; do rm -f $(DESTDIR)$(MANDIR)/$$page; done
	rmdir $(DESTDIR)$(DOCDIR) 2>/dev/null || true

# The library for copying into another project: one C file, the header, the assembly, main().
amalgamation:
	mkdir -p build/amalgamation/arch
	tools/amalgamate -1 $(sources:src/%=%) >build/amalgamation/goro.c
	cp include/goro.h src/main.c build/amalgamation/
	cp src/arch/*.S src/arch/*.h build/amalgamation/arch/

clean:
	rm -rf build
ifneq ($(filter clean,$(MAKECMDGOALS)),)
.NOTPARALLEL:
endif

-include $(wildcard $(B)/*.d $(B)/src/*/*.d $(B)/cmd/*.d $(B)/tests/*/*.d $(B)/examples/*.d $(B)/bench/*.d $(B)/bench/net/*.d)
