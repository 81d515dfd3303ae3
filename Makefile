# vpclab - an AWS VPC on one Linux host.  "make help" lists the targets.

# ---- variables
MODE    ?= release
PREFIX  ?= /usr/local
DESTDIR ?=
FUZZ_TIME ?= 15
V ?= 0
Q := $(if $(filter 1,$(V)),,@)
VERSION := 0.1.0
ifdef MUTANTS
MODE := mutants
endif
ifdef TESTING
MODE := testing
endif
B := build/$(MODE)

# ---- flags: the user's come last, ours are added to, never overwritten
PKGS := libevent_core libmicrohttpd libnl-3.0 libnl-route-3.0 libmnl libnftnl libcurl libcjson \
	libnetfilter_conntrack libarchive libseccomp libcap-ng sqlite3 smartcols libcrypto
PKG_CONFIG ?= pkg-config
PKG_CFLAGS = $(shell $(PKG_CONFIG) --cflags $(PKGS) 2>/dev/null)
PKG_LIBS = $(shell $(PKG_CONFIG) --libs $(PKGS) 2>/dev/null)
# cut messages are meant to be cut: no warning about snprintf's truncation
WARN := -Wall -Wextra -Wno-format-truncation -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wmissing-declarations -Wpointer-arith \
	-Wwrite-strings -Wformat=2 -Wvla -Wundef $(if $(WERROR),-Werror)
BASE := -std=gnu17 -D_GNU_SOURCE -DVERSION=\"$(VERSION)\" -I. -fPIE -pthread
HARDEN := -D_FORTIFY_SOURCE=2 -fstack-protector-strong
OPT_release := -O2 -g $(HARDEN)
OPT_testing := -O1 -g $(HARDEN) -DVPCLAB_TESTING
OPT_mutants := -O1 -g $(HARDEN) -DVPCLAB_TESTING -DVPCLAB_MUTANTS
OPT_debug := -O0 -g3
OPT_asan := -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer -DVPCLAB_TESTING
ALL_CFLAGS = $(BASE) $(WARN) $(OPT_$(MODE)) $(PKG_CFLAGS) $(CFLAGS)
ALL_LDFLAGS = -pie -Wl,-z,relro,-z,now $(filter -fsanitize% -fno-sanitize%,$(OPT_$(MODE))) -pthread $(LDFLAGS)
LIBS = $(PKG_LIBS) -lhttp_parser -lresolv

# ---- sources: a folder is an archive; files with main() are named here
MAINS := netd/main.c netd/responder_main.c sandbox/main.c sandbox/init_main.c cli/main.c
srcs = $(sort $(filter-out $(MAINS),$(wildcard $(1)/*.c)))
objs = $(patsubst %.c,$(B)/%.o,$(1))
ARCHIVES := $(B)/cli.a $(B)/sandbox.a $(B)/netd.a $(B)/nat.a $(B)/topology.a $(B)/lib.a
PROGRAMS := $(if $(wildcard netd/main.c),netd) $(if $(wildcard netd/responder_main.c),responder) \
	$(if $(wildcard sandbox/main.c),sandboxd) $(if $(wildcard sandbox/init_main.c),vpclab-init) \
	$(if $(wildcard cli/main.c),vpclab)
UNIT := $(patsubst tests/unit/%.c,$(B)/tests/%,$(wildcard tests/unit/test_*.c))
KERNEL := $(patsubst tests/kernel/%.c,$(B)/tests/%,$(wildcard tests/kernel/kernel_*.c))

# ---- rules
.PHONY: all
all: $(addprefix $(B)/,$(PROGRAMS)) $(if $(filter release,$(MODE)),$(addprefix build/,$(PROGRAMS)))

$(B)/%.o: %.c
	@mkdir -p $(@D)
	$(Q)$(if $(filter 0,$(V)),echo "  CC      $@";) $(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

define archive
$(B)/$(1).a: $$(call objs,$$(call srcs,$(1)))
	@mkdir -p $$(@D)
	@rm -f $$@
	$(Q)ar rcs $$@ $$^
endef
$(foreach a,lib topology nat netd sandbox cli,$(eval $(call archive,$(a))))

define program
$(B)/$(1): $(B)/$(2).o $(3)
	$$(Q)$$(if $$(filter 0,$$(V)),echo "  LD      $$@";) $$(CC) $$(ALL_LDFLAGS) -o $$@ $$^ $$(LIBS)
endef
$(eval $(call program,netd,netd/main,$(B)/netd.a $(B)/nat.a $(B)/topology.a $(B)/lib.a))
$(eval $(call program,responder,netd/responder_main,$(B)/netd.a $(B)/topology.a $(B)/lib.a))
$(eval $(call program,sandboxd,sandbox/main,$(B)/sandbox.a $(B)/topology.a $(B)/lib.a))
$(eval $(call program,vpclab,cli/main,$(B)/cli.a $(B)/topology.a $(B)/lib.a))

# the init of sandboxes: static, for roots that hold no libraries of ours; never under sanitizers
ifeq ($(MODE),asan)
$(B)/vpclab-init: FORCE
	@mkdir -p $(@D)
	$(Q)$(MAKE) --no-print-directory MODE=release build/release/vpclab-init
	$(Q)ln -f build/release/vpclab-init $@
else
$(B)/vpclab-init: $(B)/sandbox/init_main.o $(B)/sandbox.a $(B)/lib.a
	$(Q)$(if $(filter 0,$(V)),echo "  LD      $@";) $(CC) -static $(LDFLAGS) -o $@ $^ -lhttp_parser -lseccomp -lcap-ng -lcrypto
endif
.PHONY: FORCE
FORCE:

build/%: build/release/%
	$(Q)ln -f $< $@

# ---- tests
LINK = $(ALL_LDFLAGS) -Wl,--start-group $(ARCHIVES) -Wl,--end-group $(LIBS)
$(B)/tests/%: tests/unit/%.c $(ARCHIVES)
	@mkdir -p $(@D)
	$(Q)$(if $(filter 0,$(V)),echo "  CC      $@";) $(CC) $(ALL_CFLAGS) -MMD -MP -o $@ $< $(LINK) -lcmocka
$(B)/tests/%: tests/kernel/%.c $(ARCHIVES)
	@mkdir -p $(@D)
	$(Q)$(if $(filter 0,$(V)),echo "  CC      $@";) $(CC) $(ALL_CFLAGS) -MMD -MP -o $@ $< $(LINK) -lcmocka
$(B)/tests/bench_%: tests/bench/%.c $(ARCHIVES)
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) -o $@ $< $(LINK)
.PHONY: tests unit kernel
tests: unit kernel
unit: $(UNIT)
kernel: $(KERNEL)

# one process for every mode: a sub-make a mode
.PHONY: testing mutants-build
testing:
	$(Q)$(MAKE) --no-print-directory TESTING=1 all
mutants-build:
	$(Q)$(MAKE) --no-print-directory MUTANTS=1 all unit

.PHONY: check check-root test demo bench check-asan mutants mutants-full faults fuzz
check: all unit
	@tests/run_unit $(B)/tests
check-root: all kernel testing
	@tests/run_lab
test:
	@$(MAKE) --no-print-directory deps
	@$(MAKE) --no-print-directory all
	@$(MAKE) --no-print-directory check
	@$(MAKE) --no-print-directory check-root
demo:
	@$(MAKE) --no-print-directory deps
	@$(MAKE) --no-print-directory all
	@scripts/demo
bench: all build/release/tests/bench_floor
	@tests/bench/run_bench
check-asan:
	@$(MAKE) --no-print-directory MODE=asan all unit
	@tests/run_unit build/asan/tests
	@VPCLAB_BUILD=$(CURDIR)/build/asan tests/run_lab --asan-subset
mutants: mutants-build
	@tests/run_mutants
mutants-full: mutants-build
	@tests/run_mutants --full
faults: testing
	@VPCLAB_FAULTS=all tests/run_lab test_faults.py
FUZZERS := $(patsubst tests/fuzz/%.c,build/fuzz/%,$(wildcard tests/fuzz/fuzz_*.c))
FUZZ_FLAGS := -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined
build/fuzz/%: tests/fuzz/%.c $(wildcard lib/*.c topology/*.c netd/*.c nat/*.c sandbox/*.c)
	@mkdir -p build/fuzz
	$(Q)echo "  FUZZ    $@"; clang $(BASE) -O1 -g $(FUZZ_FLAGS) -DVPCLAB_FUZZ $(PKG_CFLAGS) -o $@ $< \
		$(filter-out $(MAINS),$(wildcard lib/*.c topology/*.c nat/*.c netd/*.c sandbox/*.c)) $(LIBS)
fuzz: $(FUZZERS)
	@tests/run_fuzz $(FUZZ_TIME)

# ---- tools
.PHONY: deps lint format format-check
deps:
	@scripts/deps
lint:
	@tests/lint
C_FILES := $(wildcard lib/*.[ch] topology/*.[ch] nat/*.[ch] netd/*.[ch] sandbox/*.[ch] cli/*.[ch] tests/*/*.[ch])
format:
	clang-format -i $(C_FILES)
format-check:
	@clang-format --dry-run -Werror $(C_FILES)

# ---- install
LIBDIR := $(DESTDIR)$(PREFIX)/lib/vpclab
MANDIR := $(DESTDIR)$(PREFIX)/share/man
.PHONY: install uninstall
install: all
	install -d $(LIBDIR) $(DESTDIR)$(PREFIX)/bin $(MANDIR)/man1 $(MANDIR)/man5 $(MANDIR)/man8 \
		$(DESTDIR)$(PREFIX)/share/bash-completion/completions $(DESTDIR)$(PREFIX)/lib/systemd/system \
		$(DESTDIR)$(PREFIX)/share/vpclab/examples
	install -m 755 $(addprefix build/,netd sandboxd responder vpclab-init) $(LIBDIR)
	install -m 755 build/vpclab $(DESTDIR)$(PREFIX)/bin
	install -m 644 man/*.1 $(MANDIR)/man1
	install -m 644 man/*.5 $(MANDIR)/man5
	install -m 644 man/*.8 $(MANDIR)/man8
	install -m 644 dist/vpclab.bash $(DESTDIR)$(PREFIX)/share/bash-completion/completions/vpclab
	sed 's,@LIBDIR@,$(PREFIX)/lib/vpclab,' dist/vpclab-netd.service >$(DESTDIR)$(PREFIX)/lib/systemd/system/vpclab-netd.service
	sed 's,@LIBDIR@,$(PREFIX)/lib/vpclab,' dist/vpclab-sandboxd.service >$(DESTDIR)$(PREFIX)/lib/systemd/system/vpclab-sandboxd.service
	install -m 644 topology/schema.json topology/examples/*.json $(DESTDIR)$(PREFIX)/share/vpclab/examples
uninstall:
	rm -rf $(LIBDIR) $(DESTDIR)$(PREFIX)/share/vpclab
	rm -f $(DESTDIR)$(PREFIX)/bin/vpclab $(MANDIR)/man1/vpclab.1 $(MANDIR)/man5/vpclab-lab.5 $(MANDIR)/man8/netd.8 \
		$(MANDIR)/man8/sandboxd.8 $(DESTDIR)$(PREFIX)/share/bash-completion/completions/vpclab \
		$(DESTDIR)$(PREFIX)/lib/systemd/system/vpclab-netd.service \
		$(DESTDIR)$(PREFIX)/lib/systemd/system/vpclab-sandboxd.service
.PHONY: clean help
clean:
	rm -rf build

# ---- help
help:
	@echo 'all          the programs, in build/'
	@echo 'demo         installs packages, builds, runs the three-modes lab and prints its expectations (root)'
	@echo 'test         deps, all, check and check-root (root)'
	@echo 'check        unit tests; needs no root'
	@echo 'check-root   kernel and lab tests (root)'
	@echo 'check-asan   unit tests and a third of the lab tests under sanitizers (root)'
	@echo 'mutants      each mutant against the tests meant to catch it; mutants-full: against all (root)'
	@echo 'faults       every kernel request of three-modes fails once (root)'
	@echo 'fuzz         each fuzz target for FUZZ_TIME seconds ($(FUZZ_TIME))'
	@echo 'bench        the figures (root)'
	@echo 'lint format format-check deps install uninstall clean'
	@echo 'variables: MODE=release|debug|asan V=1 WERROR=1 CFLAGS LDFLAGS PREFIX DESTDIR'

-include $(shell find $(B) -name '*.d' 2>/dev/null)
