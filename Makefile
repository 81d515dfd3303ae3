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
WARN := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wmissing-declarations -Wpointer-arith \
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

build/%: build/release/%
	$(Q)ln -f $< $@

-include $(shell find $(B) -name '*.d' 2>/dev/null)


# ---- tests
$(B)/tests/%: tests/unit/%.c $(ARCHIVES)
	@mkdir -p $(@D)
	$(Q)$(if $(filter 0,$(V)),echo "  CC      $@";) $(CC) $(ALL_CFLAGS) -o $@ $< $(ALL_LDFLAGS) -Wl,--start-group $(ARCHIVES) -Wl,--end-group $(LIBS) -lcmocka
