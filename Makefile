# make demo      builds the library and measures a small training, live
# make check     all tests; as root on Debian it first installs the tools they call
# make           builds the shared and the static library (make lib), the command (make cli), modules and ways in
# make LIVE=0    leaves live services of carbon intensity out: no code that opens a connection, 1.8 MB less
# make install   copies them and all bindings: PREFIX=/usr/local LIBDIR=PREFIX/lib DESTDIR=; make uninstall
# make header    rewrites include/carbontracker.h from src/c_api.rs
# make bench     what a call, a sample and ten million epochs cost
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
LAY     := PREFIX='$(PREFIX)' LIBDIR='$(LIBDIR)' DESTDIR='$(DESTDIR)' OUT='$(OUT)' BUILD='$(BUILD)' packaging/lay

all: lib cli lua ways-in
.PHONY: all lib cli lua ways-in demo check tools header bench figure install uninstall clean

# Built where missing or older than its sources: `make install` under sudo, whose PATH may lack cargo, then
# just copies. One crate type a time: beside another, cargo leaves link-time optimisation out.
RUSTC   := env -u CARGO_BUILD_TARGET $(CARGO) rustc --locked --lib --release --target-dir $(TARGET) --no-default-features
# As said last, so that `make LIVE=0 && sudo make install` installs what it built.
LIVE    ?= $(or $(shell cat $(OUT)/live 2>/dev/null),1)
WITH    := $(if $(filter-out 0,$(LIVE)),live)
RUSTC   += --features '$(WITH)' --crate-type
SOURCES := Cargo.toml Cargo.lock build.rs $(shell find src -type f)
lib: $(OUT)/libcarbontracker.so $(OUT)/libcarbontracker.a
$(OUT)/libcarbontracker.so: $(SOURCES) $(OUT)/live
	$(RUSTC) cdylib
	test -s $@ && touch $@
	ln -sf libcarbontracker.so $(OUT)/libcarbontracker.so.0
$(OUT)/libcarbontracker.a: $(SOURCES) $(OUT)/live
	$(RUSTC) staticlib
	test -s $@ && touch $@
$(OUT)/live: as-said
	@mkdir -p $(@D)
	@echo $(LIVE) | cmp -s - $@ || echo $(LIVE) > $@
.PHONY: as-said

# Built in a folder of its own: cargo builds the library for it again, all crate types at once.
cli: $(OUT)/carbontracker
$(OUT)/carbontracker: $(SOURCES) $(OUT)/live
	env -u CARGO_BUILD_TARGET $(CARGO) build --locked --release --bin carbontracker --no-default-features --features 'cli $(WITH)' --target-dir $(TARGET)/cli
	mkdir -p $(OUT)
	cp $(TARGET)/cli/release/carbontracker $@

# The C module for each Lua whose headers are here; none is needed. It finds the library by its own place,
# LIBDIR/lua/5.X/carbontracker.
LUAS      := 5.1 5.2 5.3 5.4
lua-flags  = $(or $(shell pkg-config --cflags lua$1 2>/dev/null),$(if $(wildcard /usr/include/lua$1/lua.h),-I/usr/include/lua$1))
LUA_CORES := $(foreach v,$(LUAS),$(if $(call lua-flags,$v),$(BUILD)/lua/$v/core.so))
lua: $(LUA_CORES)
$(LUA_CORES): $(BUILD)/lua/%/core.so: bindings/lua/carbontracker/core.c include/carbontracker.h | $(OUT)/libcarbontracker.so
	mkdir -p $(@D)
	$(CC) -std=c99 -O2 -Wall -Wextra -Iinclude $(CPPFLAGS) $(CFLAGS) -fPIC $(call lua-flags,$*) -shared -o $@ $< \
	    -L$(OUT) $(LDFLAGS) -lcarbontracker -Wl,-rpath,'$$ORIGIN/../../..'

# For programs that stay as they are: a Kokkos Tools connector, and an object to link to them.
WAYS_IN := $(BUILD)/libkp_carbontracker.so $(BUILD)/carbontracker_auto.o
ways-in: $(WAYS_IN)
$(WAYS_IN): WAY = $(CC) -std=c99 -O2 -Wall -Wextra -Iinclude $(CPPFLAGS) $(CFLAGS) -fPIC -o $@ $<
$(WAYS_IN): bindings/relink/at_end.h include/carbontracker.h | $(OUT)/libcarbontracker.so
$(BUILD)/libkp_carbontracker.so: bindings/kokkos/kp_carbontracker.c
	mkdir -p $(BUILD)
	$(WAY) -shared -L$(OUT) $(LDFLAGS) -lcarbontracker -Wl,-rpath,'$$ORIGIN'
$(BUILD)/carbontracker_auto.o: bindings/relink/carbontracker_auto.c
	mkdir -p $(BUILD)
	$(WAY) -c

$(BUILD)/train: examples/train.cpp include/carbontracker.h bindings/cpp/carbontracker.hpp lib
	mkdir -p $(BUILD)
	$(CXX) -std=c++11 -Wall -Wextra -Wpedantic $(CPPFLAGS) $(CXXFLAGS) -Iinclude -Ibindings/cpp -o $@ $< \
	    $(LDFLAGS) -L$(OUT) -lcarbontracker -Wl,-rpath,$(abspath $(OUT))

demo: $(BUILD)/train
	$(BUILD)/train examples/digits.csv

tools:
	tests/tools.sh

check: tools all
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets -- -D warnings
	$(CARGO) test --locked --lib --no-default-features
	CT_LIBDIR=$(abspath $(OUT)) $(CARGO) test --locked

header:
	CT_UPDATE=1 $(CARGO) test --locked --test header the_committed_header

# In a folder of its own: cargo puts a library and a command that it builds for benches where ours are.
BENCH := $(CARGO) bench --locked --target-dir $(TARGET)/bench

bench: lib cli
	$(BENCH) --bench cost --bench bindings

figure:
	$(BENCH) --bench forecast

# packaging/lay lists what goes where; install-cpp, uninstall-julia and so on do one part of it.
install: lib cli lua ways-in
	$(LAY) install

uninstall:
	$(LAY) uninstall

install-core: lib cli
install-lua: lua
install-kokkos install-relink: ways-in
install-%:
	$(LAY) install $*

uninstall-%:
	$(LAY) uninstall $*

clean:
	$(CARGO) clean
	rm -rf $(BUILD)
