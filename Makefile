# csock: builds the C module, runs its specs and its checks, installs it.
#
# Not a package list: what a target needs from the system is named in the
# table below; .ci/deps finds it or gets it.
# Invariant: everything made lies in .build/, except lua/csock/core.so, which
# lets a checkout run in place, and what `make types` is asked to write.

PREFIX ?= /usr/local
LUADIR ?= $(PREFIX)/share/lua/5.4
LIBDIR ?= $(PREFIX)/lib/lua/5.4
CFLAGS ?= -O2
ifeq ($(shell uname -s),Darwin)
LIBFLAG ?= -bundle -undefined dynamic_lookup
else
LIBFLAG ?= -shared
endif

# --- what each target needs ------------------------------------------------

need/all      := cc headers
need/install  := cc headers
need/demo     := cc headers lua
need/bench    := cc headers lua
need/soak     := cc headers lua
need/instructions := cc headers lua valgrind
need/memory   := cc headers lua
need/docs     := lua
need/types    := lua
need/test     := cc headers lua busted
need/score    := cc headers lua busted
need/asan     := gcc headers lua busted asan
need/valgrind := cc headers lua busted valgrind
need/lint     := cc headers lua luacheck gcc clang clang-format
need/rock     := cc headers lua luarocks

# What some specs can do without, and are pending then.
want/test := curl haproxy nc python3 redis-cli services socat wrk

# All goals of one run together: they are looked for, and installed, once.
# (.ci/run asks with GOALS, for all that it will make.)
GOALS ?= $(MAKECMDGOALS)
needs := $(sort $(foreach goal,$(or $(GOALS),all),$(need/$(goal))))
wants := $(sort $(foreach goal,$(GOALS),$(want/$(goal))))
ask   := CC='$(CC)' LUA='$(LUA)' LUA_INCDIR='$(LUA_INCDIR)' .ci/deps

# Looked up when first used, that is after `deps` had its chance to install;
# the assignment inside keeps the answer.
lua    = $(eval lua := $(shell $(ask) where lua))$(lua)
incdir = $(eval incdir := $(shell $(ask) where headers))$(incdir)

# --- ways of compiling -----------------------------------------------------

VARIANT ?= release
out     := .build/$(VARIANT)
module  := $(out)/csock/core.so
objects := $(patsubst csrc/%.c,$(out)/%.o,$(wildcard csrc/*.c))

standard := -std=gnu11 -Wall -Wextra -Wshadow -Wconversion \
  -Wstrict-prototypes -Wmissing-prototypes

# The files of the hot path are compiled as one, where the compiler can.
lto = $(eval lto := $(shell mkdir -p $(out); $(CC) -flto=auto -fPIC $(LIBFLAG) \
  -x c /dev/null -o $(out)/lto 2>&1 && echo -flto=auto))$(lto)

cflags/release     = -fno-plt $(lto)
cflags/asan       := -O1 -g -fno-omit-frame-pointer \
  -fsanitize=address,undefined -fno-sanitize-recover=undefined
cflags/valgrind   := -O1 -g
cflags/lint-gcc   := -Werror
cflags/lint-clang := -Werror

# Leaks are reported when all is over: without nodelete the module would be
# unmapped by then, and the report would name nothing in it.
ldflags/release    = $(CFLAGS) $(lto)
ldflags/asan      := -fsanitize=address,undefined -Wl,-z,nodelete
ldflags/valgrind  := -Wl,-z,nodelete

# `make V=1` shows the commands.
quiet := $(if $(V),,@)

compile = $(CC) $(standard) -fPIC -pthread -fvisibility=hidden $(CFLAGS) \
  $(cflags/$(VARIANT)) -I$(incdir) -I.build

# --- what the programs see -------------------------------------------------

# Names with a version in them would win over these two.
unexport LUA_PATH_5_4 LUA_CPATH_5_4
export LUA_PATH  := $(CURDIR)/lua/?.lua;$(CURDIR)/lua/?/init.lua;$(or \
  $(LUA_PATH_5_4),$(LUA_PATH),;)
export LUA_CPATH := $(CURDIR)/$(out)/?.so;$(or $(LUA_CPATH_5_4),$(LUA_CPATH),;)

.PHONY: all demo test score lint asan valgrind bench instructions memory docs
.PHONY: install clean soak deps module objects specs rock types
.PHONY: lint-lua lint-gcc lint-clang lint-format lint-limits
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules --no-print-directory

# --- build -----------------------------------------------------------------

all: lua/csock/core.so
module: $(module)
objects: $(objects)

deps:
	@$(if $(needs),$(ask) need $(needs))
	@$(if $(wants),$(ask) want $(wants))

# Renamed into place: a program that runs keeps the file it has mapped.
lua/csock/core.so: .build/release/csock/core.so
	@cp $< $@.new && mv $@.new $@

$(module): $(objects)
	@mkdir -p $(@D)
	@echo "  link     $@"
	$(quiet)$(CC) $(LIBFLAG) -pthread $(LDFLAGS) $(ldflags/$(VARIANT)) -o $@ $^ $(LDLIBS)

$(out)/%.o: csrc/%.c Makefile | deps .build/constants.inc
	@mkdir -p $(@D)
	@echo "  compile  $@"
	$(quiet)$(compile) -MMD -MP -c -o $@ $<

# A name that this system lacks is simply absent, as in Python.
.build/constants.inc: csrc/constants.list
	@mkdir -p $(@D)
	@awk '{ sub(/#.*/, "") } NF { printf "#ifdef %s\n  {\"%s\", \
	(lua_Integer)(%s)},\n#endif\n", $$1, $$1, $$1 }' $< >$@.$$$$ \
	&& mv $@.$$$$ $@

-include $(objects:.o=.d)

# --- run -------------------------------------------------------------------

demo: all
	@$(lua) examples/demo.lua

bench: all
	@bench/run

# Counted, not timed: the same on every day and under any load.
instructions: all .build/bench/bare.so
	@LUA_CPATH='.build/bench/?.so;$(LUA_CPATH)' $(lua) bench/instructions.lua

# What idle connections cost; MEMORY=10000 if so many descriptors are allowed.
memory: all
	@$(lua) bench/memory.lua $(MEMORY)

.build/bench/bare.so: bench/bare.c | deps
	@mkdir -p $(@D)
	$(quiet)$(CC) $(standard) -fPIC $(LIBFLAG) -O2 -I$(incdir) -o $@ $<

test: all specs
	@$(lua) .ci/score spec/cpython.list $(out)/results brief

# The specs that carry out CPython's tests alone, and how many of those that
# makes, by name.
score: export BUSTED_FLAGS += --filter=%stest[_%u]
score: all specs
	@$(lua) .ci/score spec/cpython.list $(out)/results

# gcc in any case: clang links its sanitizer into programs, not into modules.
asan: deps .build/constants.inc
	+@$(MAKE) VARIANT=asan CC=gcc specs

valgrind: deps .build/constants.inc
	+@$(MAKE) VARIANT=valgrind specs

# An hour in bad company, or SOAK seconds, with 11,000 connections at once, or
# as many as the hard limit of descriptors allows.
soak: all
	@ulimit -n "$$(ulimit -Hn)"; exec $(lua) spec/soak.lua $(SOAK)

specs: $(module)
	@.ci/suite $(VARIANT) $(run/$(VARIANT)) $(lua)

# The interpreter is not instrumented, so the library has to be there before
# the module is; which library, the module itself says.
run/asan = env LD_PRELOAD=$(shell ldd $(module) | awk '/libasan/ {print $$3}')

# Children made by fork end without freeing anything: what Lua holds by the
# middle of a block is "possibly lost" there.
run/valgrind = valgrind --quiet --error-exitcode=99 --leak-check=full \
  --show-leak-kinds=definite --errors-for-leak-kinds=definite \
  --suppressions=.ci/valgrind.supp --num-callers=12

# --- check -----------------------------------------------------------------

c_files := $(wildcard csrc/*.[ch] bench/*.[ch])

lint: lint-lua lint-gcc lint-clang lint-format lint-limits

lint-lua: deps
	@luacheck --quiet --no-color .

lint-gcc lint-clang: deps .build/constants.inc
	+@$(MAKE) VARIANT=$@ CC=$(@:lint-%=%) objects
	@for file in $(wildcard bench/*.c); do \
	$(@:lint-%=%) $(standard) -I$(incdir) -Werror -fsyntax-only "$$file" \
	|| exit; done

lint-format: deps
	@clang-format --dry-run -Werror $(c_files)

lint-limits: all
	@$(lua) .ci/limits $(objects) $(module) $(c_files)

docs: deps
	@$(lua) .ci/docs $(wildcard README.md docs/*.md)

# The parts of the annotations for editors that nobody writes by hand.
types: deps
	@mkdir -p .build
	@$(lua) .ci/types lua/csock/types.lua csrc/constants.list >.build/types.new \
	&& mv .build/types.new lua/csock/types.lua

rock: deps
	@.ci/rock $(lua)

# --- install ---------------------------------------------------------------

install: all
	@cd lua && find . -name '*.lua' | while read -r file; do \
	mkdir -p "$(DESTDIR)$(LUADIR)/$${file%/*}" && \
	install -m 644 "$$file" "$(DESTDIR)$(LUADIR)/$$file" || exit; done
	@mkdir -p "$(DESTDIR)$(LIBDIR)/csock"
	@install -m 755 lua/csock/core.so "$(DESTDIR)$(LIBDIR)/csock/core.so"

clean:
	@rm -rf .build lua/csock/core.so
