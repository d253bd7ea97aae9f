# make demo      builds the library, quickly, and measures a small training, live
# make test      the fast tests: no network, no root, no tools but Rust and a C compiler
# make check     format, lints and all tests; as root on Debian it first installs the tools they call, after it has asked
# make test-NAME runs one test program, a folder of tests/; ONLY=TEXT: only its tests with this text in their name
# make faults    puts old faults back, one by one, and runs simulated worlds until one finds it: about 20 minutes
# make lint      checks format, lints and the house: layout, names, language, documents (tests/house)
# make msrv      compiles what is shipped with the oldest Rust that it supports
# make dist      builds the archive that installs without Rust and Debian packages in dist; make dist-check installs them
# make docs      builds the book in docs and the crate's documentation
# make           builds the shared and the static library (make lib), the command (make cli), modules and connectors
# make LIVE=0    builds without live services of carbon intensity: no code that opens a connection, 1.4 MB less
# make install   installs them and all bindings: PREFIX=/usr/local LIBDIR=PREFIX/lib DESTDIR=; make uninstall
# make header    rewrites include/carbontracker.h from capi/src/lib.rs
# make bench     prints the error of measured energy, the cost of a call, a sample and ten million epochs
# make trials    trains four real programs and prints what was forecast against the outcome (benches/live): 10 minutes
# make figure    scores the forecast on the recordings in CT_DATA and draws docs/src/explanation/forecast.svg

PREFIX   ?= /usr/local
LIBDIR   ?= lib
DESTDIR  ?=
CARGO    ?= cargo
CC       ?= cc
CXX      ?= c++
CXXFLAGS ?= -O2

TARGET  := $(or $(CARGO_TARGET_DIR),target)
OUT     := $(TARGET)/release
BUILD   := build
INSTALL := V='$(V)' PREFIX='$(PREFIX)' LIBDIR='$(LIBDIR)' DESTDIR='$(DESTDIR)' OUT='$(OUT)' BUILD='$(BUILD)' packaging/install.sh

all: lib cli lua connectors
.PHONY: all lib cli lua connectors demo check tools header bench trials figure install uninstall clean

# A file is built only if it is missing or older than its sources. So `make install` under sudo only copies: the PATH of
# sudo may lack cargo. Each build names all three packages, so that they get the same features and share one build of the
# core.
BUILD_CARGO := env -u CARGO_BUILD_TARGET $(CARGO) build --locked --target-dir $(TARGET) \
    -p carbontracker -p carbontracker-capi -p carbontracker-cli --no-default-features
# Remembers LIVE from the last build, so that `make LIVE=0 && sudo make install` installs that build.
LIVE        ?= $(or $(shell cat $(OUT)/live 2>/dev/null),1)
BUILD_CARGO += $(if $(filter-out 0,$(LIVE)),--features live)
CORE        := Cargo.toml Cargo.lock capi/Cargo.toml cli/Cargo.toml $(shell find src -type f)
TOOLCHAIN   := @CARGO='$(CARGO)' CC='$(CC)' CXX='$(if $(filter demo,$(MAKECMDGOALS)),$(CXX))' packaging/toolchain.sh

# The libraries and the command are linked side by side by one cargo, if the goals need both: each link keeps one processor
# busy for two minutes.
ONLY_LIB  := $(if $(filter-out lib demo,$(or $(MAKECMDGOALS),all)),,yes)
ONLY_CLI  := $(if $(filter-out cli,$(or $(MAKECMDGOALS),all)),,yes)
LIB_PARTS := --lib $(if $(ONLY_LIB),,--bin carbontracker)

lib: $(OUT)/libcarbontracker.so $(OUT)/libcarbontracker.a
$(OUT)/libcarbontracker.so: $(CORE) capi/build.rs $(wildcard capi/src/*) $(OUT)/live
	$(TOOLCHAIN) 'the libraries$(if $(ONLY_LIB),, and the command)' $(if $(ONLY_LIB),150,220)
	$(BUILD_CARGO) --release $(LIB_PARTS)
	test -s $@ && touch $@
	ln -sf libcarbontracker.so $(OUT)/libcarbontracker.so.0
$(OUT)/libcarbontracker.a: $(OUT)/libcarbontracker.so
	test -s $@ || $(BUILD_CARGO) --release --lib
	touch $@

cli: $(OUT)/carbontracker
$(OUT)/carbontracker: $(CORE) $(shell find cli/src -type f) $(OUT)/live | $(if $(ONLY_CLI),,$(OUT)/libcarbontracker.so)
	$(if $(ONLY_CLI),$(TOOLCHAIN) 'the command' 180)
	$(BUILD_CARGO) --release --bin carbontracker
	test -s $@ && touch $@

$(OUT)/live: as-set
	@mkdir -p $(@D)
	@echo $(LIVE) | cmp -s - $@ || echo $(LIVE) > $@
.PHONY: as-set

# The C module for each Lua with installed headers; it is optional. It finds the library relative to its own folder,
# LIBDIR/lua/5.X/carbontracker.
LUAS      := 5.1 5.2 5.3 5.4
lua-flags  = $(or $(shell pkg-config --cflags lua$1 2>/dev/null),$(if $(wildcard /usr/include/lua$1/lua.h),-I/usr/include/lua$1))
LUA_CORES := $(foreach v,$(LUAS),$(if $(call lua-flags,$v),$(BUILD)/lua/$v/core.so))
lua: $(LUA_CORES)
$(LUA_CORES): $(BUILD)/lua/%/core.so: bindings/lua/carbontracker/core.c include/carbontracker.h | $(OUT)/libcarbontracker.so
	mkdir -p $(@D)
	$(CC) -std=c99 -O2 -Wall -Wextra -Iinclude $(CPPFLAGS) $(CFLAGS) -fPIC $(call lua-flags,$*) -shared -o $@ $< \
	    -L$(OUT) $(LDFLAGS) -lcarbontracker -Wl,-rpath,'$$ORIGIN/../../..'

# Connectors for programs without changes to their source: a Kokkos Tools connector, and an object to link.
CONNECTORS := $(BUILD)/libkp_carbontracker.so $(BUILD)/carbontracker_auto.o
connectors: $(CONNECTORS)
$(CONNECTORS): CONNECT = $(CC) -std=c99 -O2 -Wall -Wextra -Iinclude $(CPPFLAGS) $(CFLAGS) -fPIC -o $@ $<
$(CONNECTORS): bindings/relink/exit_report.h include/carbontracker.h | $(OUT)/libcarbontracker.so
$(BUILD)/libkp_carbontracker.so: bindings/kokkos/kp_carbontracker.c
	mkdir -p $(BUILD)
	$(CONNECT) -shared -L$(OUT) $(LDFLAGS) -lcarbontracker -Wl,-rpath,'$$ORIGIN'
$(BUILD)/carbontracker_auto.o: bindings/relink/carbontracker_auto.c
	mkdir -p $(BUILD)
	$(CONNECT) -c

# The demo takes the library of `make lib`. Without that, it builds one by the profile `demo`, in half the time.
DEMO_OUT := $(if $(wildcard $(OUT)/libcarbontracker.so),$(OUT),$(TARGET)/demo)
$(TARGET)/demo/libcarbontracker.so: $(CORE) capi/build.rs $(wildcard capi/src/*)
	$(TOOLCHAIN) 'the library for the demo, by a quick profile without optimisation at the link' 100
	$(BUILD_CARGO) --profile demo --lib
	test -s $@ && touch $@
	ln -sf libcarbontracker.so $(@D)/libcarbontracker.so.0

$(BUILD)/train: examples/train.cpp include/carbontracker.h bindings/cpp/carbontracker.hpp $(DEMO_OUT)/libcarbontracker.so
	mkdir -p $(BUILD)
	$(CXX) -std=c++11 -Wall -Wextra -Wpedantic $(CPPFLAGS) $(CXXFLAGS) -Iinclude -Ibindings/cpp -o $@ $< \
	    $(LDFLAGS) -L$(DEMO_OUT) -lcarbontracker -Wl,-rpath,$(abspath $(DEMO_OUT))

demo: $(BUILD)/train
	$(BUILD)/train examples/digits.csv

tools:
	tests/tools.sh

.PHONY: fmt clippy lint msrv test docs
fmt:
	$(CARGO) fmt --all --check

clippy:
	$(CARGO) clippy --locked --all-targets -- -D warnings

lint: fmt clippy test-house

msrv:
	tests/msrv.sh

# A build that will not be repeated needs no incremental files.
ifeq ($(CI),true)
export CARGO_INCREMENTAL ?= 0
endif

# tests/run.sh builds what the test programs need and runs them side by side.
RUN_TESTS := ONLY='$(ONLY)' CARGO='$(CARGO)' tests/run.sh

test:
	$(RUN_TESTS) fast

.PHONY: faults
test-%:
	$(RUN_TESTS) $*

# A fault in one part hides no fault of another.
check: tools
	$(MAKE) --keep-going --no-print-directory fmt test-all

faults:
	tests/simulation/faults.sh $(ONLY)

docs:
	mdbook build docs
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc --locked --workspace --no-deps

header:
	CT_UPDATE=1 $(CARGO) test --locked -p carbontracker --test bindings header::

# Benches have their own folder, because the command that cargo builds for them always has all features.
BENCH := $(CARGO) bench --locked --target-dir $(TARGET)/bench

bench: lib cli
	$(BENCH) -p carbontracker --bench accuracy --bench cost --bench bindings --bench scale

trials: lib
	CT_LIBDIR=$(abspath $(OUT)) benches/live/run.sh

figure:
	$(BENCH) -p carbontracker-cli --bench forecast

# packaging/install.sh lists the files and their places. install-cpp, uninstall-julia and so on handle one part.
install: lib cli lua connectors
	@$(INSTALL) install

uninstall:
	@$(INSTALL) uninstall

install-core: lib cli
install-lua: lua
install-kokkos install-relink: connectors
install-%:
	@$(INSTALL) install $*

uninstall-%:
	@$(INSTALL) uninstall $*

.PHONY: dist dist-check
dist:
	CARGO='$(CARGO)' packaging/dist.sh

VERSION = $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
dist-check: dist
	tests/archive.sh dist/carbontracker-$(VERSION)-x86_64-linux.tar.gz
	tests/deb.sh dist/*_$(VERSION)-1_amd64.deb
	tests/recipes.sh dist/carbontracker-$(VERSION)-x86_64-linux.tar.gz

clean:
	$(CARGO) clean
	rm -rf $(BUILD) dist
