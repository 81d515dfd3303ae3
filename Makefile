# vpclab - an AWS VPC on one Linux host.  "make help" lists the targets.

# ---- variables
# Everything is built below build/$(MODE)/; the release's programs are linked into build/ itself.
# TESTING=1: faults can be injected.  MUTANTS=1: besides, VPCLAB_MUTANT leaves one thing out (lib/mutant.h).
MODE      ?= release
PREFIX    ?= /usr/local
DESTDIR   ?=
FUZZ_TIME ?= 15
ROUNDS    ?= 3
KILLS     ?= 200
V         ?= 0
VERSION   := 0.1.0
ifeq ($(MUTANTS),1)
MODE := mutants
else ifeq ($(TESTING),1)
MODE := testing
endif
ifeq ($(MODE),fuzz)
CC := clang
endif
B := build/$(MODE)
Q := $(if $(filter 1,$(V)),,@)
SAY = $(if $(filter 1,$(V)),,@echo "  $(1)$@")
# targets that run make again use all processors, unless the user said how many
AGAIN = $(MAKE) --no-print-directory $(if $(findstring jobserver,$(MAKEFLAGS)),,-j$(shell nproc))

# ---- flags: the user's come last, ours are added to, never overwritten
PKG_CONFIG ?= pkg-config
PKGS := libevent_core=libevent-dev libmicrohttpd=libmicrohttpd-dev libnl-3.0=libnl-3-dev \
	libnl-route-3.0=libnl-route-3-dev libmnl=libmnl-dev libnftnl=libnftnl-dev \
	libcurl=libcurl4-openssl-dev libcjson=libcjson-dev \
	libnetfilter_conntrack=libnetfilter-conntrack-dev libarchive=libarchive-dev \
	libseccomp=libseccomp-dev libcap-ng=libcap-ng-dev sqlite3=libsqlite3-dev \
	smartcols=libsmartcols-dev libcrypto=libssl-dev libxxhash=libxxhash-dev libpcap=libpcap-dev zlib=zlib1g-dev
package = $(lastword $(subst =, ,$(1)))
pc = $(firstword $(subst =, ,$(1)))
NAMES := $(foreach p,$(PKGS),$(call pc,$(p)))
ifneq ($(filter-out deps help clean test demo format format-check uninstall deb check-deb,$(or $(MAKECMDGOALS),all)),)
ifneq ($(shell $(PKG_CONFIG) --exists $(NAMES) && echo yes),yes)
$(error missing: $(foreach p,$(PKGS),$(if $(shell $(PKG_CONFIG) --exists $(call pc,$(p)) && echo yes),,\
	Debian's $(call package,$(p)) for $(call pc,$(p)))) (or run "make deps"))
endif
PKG_CFLAGS := $(shell $(PKG_CONFIG) --cflags $(NAMES))
# loaded when it is needed (lib/bpf.c)
PKG_LIBS := $(filter-out -lpcap,$(shell $(PKG_CONFIG) --libs $(NAMES)))
endif
# messages that don't fit are cut on purpose: no warning about snprintf's truncation; clang, in fuzz mode, warns of
# libseccomp's own macros
WARN := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wmissing-declarations -Wpointer-arith \
	-Wwrite-strings -Wformat=2 -Wvla -Wundef $(if $(filter fuzz,$(MODE)),-Wno-missing-field-initializers,-Wno-format-truncation \
	$(if $(filter 1,$(WERROR)),-Werror))
BASE := -std=gnu17 -D_GNU_SOURCE -DVERSION=\"$(VERSION)\" -I. -fPIE -pthread
HARDEN := -D_FORTIFY_SOURCE=2 -fstack-protector-strong
SANITIZE := -fsanitize=address,undefined -fno-omit-frame-pointer
OPT_release := -O2 -g $(HARDEN)
OPT_testing := -O1 -g $(HARDEN) -DVPCLAB_TESTING
OPT_mutants := -O1 -g $(HARDEN) -DVPCLAB_TESTING -DVPCLAB_MUTANTS
OPT_debug   := -O0 -g3
OPT_cov     := -O0 -g --coverage
OPT_asan    := -O1 -g $(SANITIZE) -fno-sanitize-recover=all -DVPCLAB_TESTING
OPT_fuzz    := -O1 -g $(SANITIZE) -fno-sanitize-recover=undefined -fsanitize=fuzzer-no-link -DVPCLAB_FUZZ
ifndef OPT_$(MODE)
$(error MODE=$(MODE): release, debug, asan, cov, fuzz, testing or mutants)
endif
ALL_CFLAGS = $(BASE) $(WARN) $(OPT_$(MODE)) $(PKG_CFLAGS) $(CPPFLAGS) $(CFLAGS)
ALL_LDFLAGS = -pie -Wl,-z,relro,-z,now -pthread $(filter -fsanitize% -fno-sanitize% --coverage,$(OPT_$(MODE))) $(LDFLAGS)
LIBS = $(PKG_LIBS) -lhttp_parser -lresolv -lm
STATIC_LIBS = -lhttp_parser -lcap-ng -lcrypto -lm

# ---- sources: a folder is an archive; the files with a main() are named here
FOLDERS := lib topology nat netd sandbox cli
MAINS := netd/main.c netd/responder_main.c sandbox/main.c sandbox/init_main.c cli/main.c
program_of = $(if $(wildcard $(1)),$(2))
PROGRAMS := $(call program_of,netd/main.c,netd) $(call program_of,netd/responder_main.c,responder) \
	$(call program_of,sandbox/main.c,sandboxd) $(call program_of,sandbox/init_main.c,vpclab-init) \
	$(call program_of,cli/main.c,vpclab)
objs = $(patsubst %.c,$(B)/obj/%.o,$(sort $(filter-out $(MAINS),$(wildcard $(1)/*.c))))
ARCHIVES := $(patsubst %,$(B)/%.a,cli sandbox netd nat topology lib)

# ---- rules
.PHONY: all FORCE
# the client of Java is compiled: a build without javac leaves it out, and functions in Java are refused by name then
JAVAC ?= $(shell command -v javac)
JAVA := $(shell find sandbox/runtimes/java -name '*.java')
RUNTIMES := $(patsubst sandbox/%,%,$(wildcard sandbox/runtimes/*/bootstrap sandbox/runtimes/*/*.mjs)) \
	$(if $(JAVAC),runtimes/java/runtime.jar)
all: $(addprefix $(B)/,$(PROGRAMS) $(RUNTIMES)) \
	$(if $(filter release,$(MODE)),$(addprefix build/,$(PROGRAMS) $(RUNTIMES)))
FORCE:

$(B)/obj/%.o: %.c
	@mkdir -p $(@D)
	$(call SAY,CC      )
	$(Q)$(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

$(addprefix $(B)/,$(filter-out %.jar,$(RUNTIMES))): $(B)/%: sandbox/%
	$(Q)install -D -m 755 $< $@

$(B)/runtimes/java/runtime.jar: $(JAVA)
	@mkdir -p $(@D) $(B)/obj/java
	$(call SAY,JAVAC   )
	$(Q)$(JAVAC) --release 11 -Xlint:all -Werror -d $(B)/obj/java $(JAVA)
	$(Q)jar --create --no-compress --file $@ -C $(B)/obj/java .

# these hold files (.incbin), which -MMD can't tell
$(B)/obj/cli/init.o: cli/starter.json
$(B)/obj/cli/completion.o: dist/vpclab.bash dist/vpclab.zsh

define archive
$(B)/$(1).a: $$(call objs,$(1))
	@mkdir -p $$(@D)
	@rm -f $$@
	$$(Q)ar rcs $$@ $$^
endef
$(foreach folder,$(FOLDERS),$(eval $(call archive,$(folder))))

# ---- programs
define program
$(B)/$(1): $(B)/obj/$(2).o $(patsubst %,$(B)/%.a,$(3))
	$$(call SAY,LD      )
	$$(Q)$$(CC) $$(ALL_LDFLAGS) -o $$@ $$^ $$(LIBS)
endef
$(eval $(call program,netd,netd/main,netd nat topology lib))
$(eval $(call program,responder,netd/responder_main,netd topology lib))
$(eval $(call program,sandboxd,sandbox/main,sandbox topology lib))
$(eval $(call program,vpclab,cli/main,cli topology lib))

# the init of sandboxes: static, for roots that hold no libraries of ours; so never under sanitizers
ifneq ($(filter asan cov fuzz,$(MODE)),)
$(B)/vpclab-init: FORCE
	@mkdir -p $(@D)
	$(Q)$(MAKE) --no-print-directory MODE=release build/release/vpclab-init
	$(Q)ln -f build/release/vpclab-init $@
else
$(B)/vpclab-init: $(B)/obj/sandbox/init_main.o $(B)/sandbox.a $(B)/lib.a
	$(call SAY,LD      )
	$(Q)$(CC) -static -pthread -Wl,-z,relro,-z,now,--no-warnings $(LDFLAGS) -o $@ $^ $(STATIC_LIBS)
endif

build/%: build/release/%
	@mkdir -p $(@D)
	$(Q)ln -f $< $@

# ---- tests
LINK = $(ALL_LDFLAGS) -Wl,--start-group $(ARCHIVES) -Wl,--end-group $(LIBS)
FUZZERS := $(patsubst tests/fuzz/%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
UNIT := $(patsubst tests/unit/%.c,$(B)/tests/%,$(wildcard tests/unit/*.c)) $(FUZZERS:%=$(B)/tests/test_%)
KERNEL := $(patsubst tests/kernel/%.c,$(B)/tests/%,$(wildcard tests/kernel/kernel_*.c))
define test_program
$(B)/tests/%: $(1)/%.c $(ARCHIVES)
	@mkdir -p $$(@D)
	$$(call SAY,CC      )
	$$(Q)$$(CC) $$(ALL_CFLAGS) -MMD -MP -o $$@ $$< $$(LINK) -lcmocka
endef
$(foreach folder,tests/unit tests/kernel,$(eval $(call test_program,$(folder))))
# a fuzz target with a plain main: its corpus is replayed by "check"
$(B)/tests/test_fuzz_%: tests/fuzz/fuzz_%.c tests/fuzz/replay.c $(ARCHIVES)
	@mkdir -p $(@D)
	$(call SAY,CC      )
	$(Q)$(CC) $(ALL_CFLAGS) -DCORPUS=\"tests/fuzz/corpus/$*\" -o $@ $< tests/fuzz/replay.c $(LINK)
$(B)/tests/bench_%: tests/bench/bench_%.c
	@mkdir -p $(@D)
	$(call SAY,CC      )
	$(Q)$(CC) $(ALL_CFLAGS) -o $@ $< $(ALL_LDFLAGS) $(LIBS)
build/fuzz/fuzz_%: tests/fuzz/fuzz_%.c $(ARCHIVES)
	$(call SAY,FUZZ    )
	$(Q)$(CC) $(ALL_CFLAGS) -fsanitize=fuzzer -o $@ $< $(LINK)

.PHONY: unit kernel fuzzers
unit: $(UNIT)
kernel: $(KERNEL)
fuzzers: $(FUZZERS:%=build/fuzz/%)

.PHONY: test check check-root check-asan mutants mutants-full kill faults fuzz bench demo
test:
	@$(MAKE) --no-print-directory deps
	@$(AGAIN) all unit kernel
	@$(MAKE) --no-print-directory check
	@$(MAKE) --no-print-directory check-root
check: all unit
	@tests/run_unit $(B)/tests
check-root: all kernel
	@$(AGAIN) TESTING=1 all
	@VPCLAB_ROUNDS=$(ROUNDS) tests/run_lab
check-asan:
	@$(AGAIN) MODE=asan all unit
	@tests/run_unit build/asan/tests
	@VPCLAB_BUILD=$(CURDIR)/build/asan tests/run_lab --asan-subset
mutants mutants-full:
	@$(AGAIN) MUTANTS=1 all unit
	@tests/run_mutants $(if $(filter mutants-full,$@),--full)
kill: all
	@$(AGAIN) TESTING=1 all
	@VPCLAB_KILLS=$(KILLS) tests/run_lab test_async_kill.py -rP
faults: all
	@$(AGAIN) TESTING=1 all
	@VPCLAB_FAULTS=all tests/run_lab test_faults.py
fuzz:
	@$(AGAIN) MODE=fuzz fuzzers
	@tests/run_fuzz $(FUZZ_TIME)
bench: all build/tests/bench_floor build/tests/bench_spawn build/tests/bench_invoke
	@tests/bench/run_bench
demo:
	@$(MAKE) --no-print-directory deps
	@$(AGAIN) all
	@scripts/demo

# ---- tools
.PHONY: deps lint format format-check
C_FILES := $(wildcard $(foreach d,$(FOLDERS) tests/unit tests/kernel tests/fuzz tests/bench,$(d)/*.[ch]))
deps:
	@scripts/deps
lint: all
	@tests/lint
format:
	clang-format -i $(C_FILES)
format-check:
	@clang-format --dry-run -Werror $(C_FILES)

# ---- install
LIBDIR := $(PREFIX)/lib/vpclab
SHARE := $(PREFIX)/share
UNITS ?= $(PREFIX)/lib/systemd/system
# for pip: which Python's it is to be, and whether as root, is the user's choice
PYTHON_CLIENT := $(addprefix clients/python/,README.md pyproject.toml pytest_vpclab.py vpclab.py)
.PHONY: install uninstall deb check-deb
install: all
	install -d $(addprefix $(DESTDIR),$(LIBDIR) $(PREFIX)/bin $(UNITS) $(SHARE)/vpclab/examples $(SHARE)/vpclab/python \
		$(SHARE)/man/man1 $(SHARE)/man/man5 $(SHARE)/man/man8 $(SHARE)/bash-completion/completions \
		$(SHARE)/zsh/site-functions)
	install -m 755 build/netd build/sandboxd build/responder build/vpclab-init $(DESTDIR)$(LIBDIR)
	install -m 755 build/vpclab $(DESTDIR)$(PREFIX)/bin
	for r in $(RUNTIMES); do case $$r in */bootstrap) m=755 ;; *) m=644 ;; esac; \
		install -D -m $$m build/$$r $(DESTDIR)$(LIBDIR)/$$r || exit 1; done
	for s in 1 5 8; do install -m 644 man/*.$$s $(DESTDIR)$(SHARE)/man/man$$s || exit 1; done
	install -m 644 dist/vpclab.bash $(DESTDIR)$(SHARE)/bash-completion/completions/vpclab
	install -m 644 dist/vpclab.zsh $(DESTDIR)$(SHARE)/zsh/site-functions/_vpclab
	for u in netd sandboxd; do sed 's,@LIBDIR@,$(LIBDIR),' dist/vpclab-$$u.service \
		>$(DESTDIR)$(UNITS)/vpclab-$$u.service || exit 1; done
	install -m 644 topology/schema.json $(DESTDIR)$(SHARE)/vpclab
	install -m 644 topology/examples/*.json $(DESTDIR)$(SHARE)/vpclab/examples
	cd topology/examples && find shop -type f -not -path '*/node_modules/*' \
		-exec install -D -m 644 {} $(abspath $(DESTDIR)$(SHARE))/vpclab/examples/{} \;
	install -m 644 $(PYTHON_CLIENT) $(DESTDIR)$(SHARE)/vpclab/python
uninstall:
	rm -rf $(addprefix $(DESTDIR),$(LIBDIR) $(SHARE)/vpclab)
	rm -f $(addprefix $(DESTDIR),$(PREFIX)/bin/vpclab $(SHARE)/bash-completion/completions/vpclab \
		$(SHARE)/zsh/site-functions/_vpclab \
		$(foreach s,1 5 8,$(patsubst man/%,$(SHARE)/man/man$s/%,$(wildcard man/*.$s))) \
		$(UNITS)/vpclab-netd.service $(UNITS)/vpclab-sandboxd.service)

# a copy is built, so that neither this folder nor the one above it changes; tests/run_deb holds lintian against it
DEB := build/deb
deb:
	rm -rf $(DEB)
	install -d $(DEB)/vpclab-$(VERSION)
	tar --exclude-vcs --exclude=./build -cf - . | tar -xf - -C $(DEB)/vpclab-$(VERSION)
	cd $(DEB)/vpclab-$(VERSION) && env -u MAKEFLAGS -u MAKELEVEL dpkg-buildpackage -us -uc -b \
		$(if $(filter 1,$(V)),,>../build.log 2>&1 || { tail -n 40 ../build.log; exit 1; })
	rm -rf $(DEB)/vpclab-$(VERSION)
	@ls $(DEB)/*.deb
check-deb: deb
	@tests/run_deb $(DEB)/vpclab_$(VERSION)_*.deb

# ---- help
.PHONY: clean help
clean:
	rm -rf build
help:
	@echo 'all          the programs, in build/'
	@echo 'deps         installs the Debian packages that all of this needs (root)'
	@echo 'demo         deps, all, then the three-modes lab with its invocations and expectations, then scenarios (root)'
	@echo 'test         deps, all, check, check-root (root)'
	@echo 'check        unit tests, fuzz corpora; needs no root'
	@echo 'check-root   kernel and lab tests (root); ROUNDS=20: copies are killed so often ($(ROUNDS))'
	@echo 'check-asan   unit tests and a third of the lab tests under sanitizers (root)'
	@echo 'mutants      each mutant against the tests meant to catch it; mutants-full: against all (root)'
	@echo 'kill         sandboxd is killed KILLS times (200) in an event'"'"'s life (root)'
	@echo 'faults       every kernel request of three-modes fails once (root)'
	@echo 'fuzz         each fuzz target for FUZZ_TIME seconds ($(FUZZ_TIME))'
	@echo 'bench        the figures (root)'
	@echo 'lint         what a program can check of the style; format, format-check: clang-format'
	@echo 'install      to PREFIX ($(PREFIX)) below DESTDIR; uninstall'
	@echo 'deb          a Debian package, in build/deb/; check-deb: lintian, and installed in a container (root)'
	@echo 'clean        removes build/'
	@echo 'variables    MODE=release|debug|asan|cov V=1 WERROR=1 CC CFLAGS LDFLAGS'

-include $(shell find $(B) -name '*.d' 2>/dev/null)
