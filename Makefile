# make demo      builds the library and measures a small training, live
# make check     all tests; as root on Debian it first installs the tools they call
# make           builds the shared and the static library (make lib) and the command (make cli)
# make install   copies them: PREFIX=/usr/local LIBDIR=PREFIX/lib DESTDIR=
# make header    rewrites include/carbontracker.h from src/c_api.rs
# make bench     what a call, a sample and ten million epochs cost
# make figure    scores the forecast on the recordings in CT_DATA and draws docs/forecast.svg

PREFIX   ?= /usr/local
LIBDIR   ?= $(PREFIX)/lib
DESTDIR  ?=
CARGO    ?= cargo
CC       ?= cc
CXX      ?= c++
CXXFLAGS ?= -O2

ifneq ($(filter-out /%,$(PREFIX) $(LIBDIR)),)
$(error PREFIX and LIBDIR are absolute paths; DESTDIR= goes before them)
endif

VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
SONAME  := libcarbontracker.so.0
TARGET  := $(or $(CARGO_TARGET_DIR),target)
OUT     := $(TARGET)/release
BUILD   := build
DOCDIR  := $(PREFIX)/share/doc/carbontracker

all: lib cli lua
.PHONY: all lib cli lua demo check tools header bench figure install uninstall clean
.PHONY: install-cpp uninstall-cpp install-fortran uninstall-fortran install-lua uninstall-lua

# Built where missing or older than its sources: `make install` under sudo, whose PATH may lack cargo, then
# just copies. One crate type a time: beside another, cargo leaves link-time optimisation out.
SOURCES := Cargo.toml Cargo.lock build.rs $(shell find src -type f)
lib: $(OUT)/libcarbontracker.so $(OUT)/libcarbontracker.a
$(OUT)/libcarbontracker.so: $(SOURCES)
	$(CARGO) rustc --locked --lib --release --no-default-features --crate-type cdylib
	touch $@
	ln -sf libcarbontracker.so $(OUT)/$(SONAME)
$(OUT)/libcarbontracker.a: $(SOURCES)
	$(CARGO) rustc --locked --lib --release --no-default-features --crate-type staticlib
	touch $@

# Built in a folder of its own: cargo builds the library for it again, all crate types at once.
cli: $(OUT)/carbontracker
$(OUT)/carbontracker: $(SOURCES)
	$(CARGO) build --locked --release --bin carbontracker --target-dir $(TARGET)/cli
	mkdir -p $(OUT)
	cp $(TARGET)/cli/release/carbontracker $@

# The C module for each Lua whose headers are here; none is needed.
LUAS      := 5.1 5.2 5.3 5.4
lua-flags  = $(or $(shell pkg-config --cflags lua$1 2>/dev/null),$(if $(wildcard /usr/include/lua$1/lua.h),-I/usr/include/lua$1))
LUA_CORES := $(foreach v,$(LUAS),$(if $(call lua-flags,$v),$(BUILD)/lua/$v/core.so))
lua: $(LUA_CORES)
$(LUA_CORES): $(BUILD)/lua/%/core.so: bindings/lua/carbontracker/core.c include/carbontracker.h | $(OUT)/libcarbontracker.so
	mkdir -p $(@D)
	$(CC) -std=c99 -O2 -Wall -Wextra -Iinclude $(CPPFLAGS) $(CFLAGS) -fPIC $(call lua-flags,$*) -shared -o $@ $< \
	    -L$(OUT) $(LDFLAGS) -lcarbontracker -Wl,-rpath,'$$ORIGIN/../../..'

$(BUILD)/train: examples/train.cpp include/carbontracker.h bindings/cpp/carbontracker.hpp lib
	mkdir -p $(BUILD)
	$(CXX) -std=c++11 -Wall -Wextra -Wpedantic $(CPPFLAGS) $(CXXFLAGS) -Iinclude -Ibindings/cpp -o $@ $< \
	    $(LDFLAGS) -L$(OUT) -lcarbontracker -Wl,-rpath,$(abspath $(OUT))

demo: $(BUILD)/train
	$(BUILD)/train examples/digits.csv

tools:
	tests/tools.sh

check: tools lib cli
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets -- -D warnings
	CT_LIBDIR=$(abspath $(OUT)) $(CARGO) test --locked

header:
	CT_UPDATE=1 $(CARGO) test --locked --test header the_committed_header

bench: lib cli
	$(CARGO) bench --locked --bench cost --bench bindings

figure:
	$(CARGO) bench --locked --bench forecast

install: lib cli install-cpp install-fortran install-lua
	install -d $(DESTDIR)$(PREFIX)/bin
	install -m 755 $(OUT)/carbontracker $(DESTDIR)$(PREFIX)/bin/
	install -d $(DESTDIR)$(PREFIX)/include $(DESTDIR)$(LIBDIR)/pkgconfig
	install -m 644 include/carbontracker.h $(DESTDIR)$(PREFIX)/include/
	install -m 755 $(OUT)/libcarbontracker.so $(DESTDIR)$(LIBDIR)/libcarbontracker.so.$(VERSION)
	ln -sf libcarbontracker.so.$(VERSION) $(DESTDIR)$(LIBDIR)/$(SONAME)
	ln -sf $(SONAME) $(DESTDIR)$(LIBDIR)/libcarbontracker.so
	install -m 644 $(OUT)/libcarbontracker.a $(DESTDIR)$(LIBDIR)/
	install -d $(DESTDIR)$(DOCDIR)
	install -m 644 README.md CHANGELOG.md LICENSE $(DESTDIR)$(DOCDIR)/
	sed -e 's|@VERSION@|$(VERSION)|' -e 's|@UP@|'$$(realpath -m --relative-to=$(LIBDIR)/pkgconfig $(PREFIX))'|' \
	    -e 's|@LIB@|'$$(realpath -m --relative-to=$(PREFIX) $(LIBDIR))'|' \
	    carbontracker.pc.in > $(DESTDIR)$(LIBDIR)/pkgconfig/carbontracker.pc

# The module as source, which the user's compiler compiles; once more as a package for fpm.
FPMDIR := $(PREFIX)/share/fpm/carbontracker
install-fortran:
	install -d $(DESTDIR)$(PREFIX)/include $(DESTDIR)$(FPMDIR)/src $(DESTDIR)$(DOCDIR)/examples
	install -m 644 bindings/fortran/src/carbontracker.f90 $(DESTDIR)$(PREFIX)/include/
	install -m 644 bindings/fortran/src/carbontracker.f90 $(DESTDIR)$(FPMDIR)/src/
	install -m 644 bindings/fortran/fpm.toml bindings/fortran/README.md LICENSE $(DESTDIR)$(FPMDIR)/
	install -m 644 examples/digits.f90 examples/heat.f examples/digits.csv $(DESTDIR)$(DOCDIR)/examples/

install-cpp:
	install -d $(DESTDIR)$(PREFIX)/include
	install -m 644 bindings/cpp/carbontracker.hpp $(DESTDIR)$(PREFIX)/include/

uninstall: uninstall-cpp uninstall-fortran uninstall-lua
	rm -f $(DESTDIR)$(PREFIX)/bin/carbontracker $(DESTDIR)$(PREFIX)/include/carbontracker.h
	rm -f $(DESTDIR)$(LIBDIR)/libcarbontracker.* $(DESTDIR)$(LIBDIR)/pkgconfig/carbontracker.pc
	rm -rf $(DESTDIR)$(DOCDIR)

# The C modules find the library by their own place, $(LIBDIR)/lua/5.X/carbontracker.
LUA_PURE := options.lua ffi.lua
install-lua: lua
	for v in $(LUAS); do \
	    dir=$(DESTDIR)$(PREFIX)/share/lua/$$v && install -d $$dir/carbontracker && \
	    install -m 644 bindings/lua/carbontracker.lua $$dir/ && \
	    install -m 644 $(LUA_PURE:%=bindings/lua/carbontracker/%) $$dir/carbontracker/ || exit 1; \
	done
	for v in $(LUA_CORES:$(BUILD)/lua/%/core.so=%); do \
	    dir=$(DESTDIR)$(LIBDIR)/lua/$$v/carbontracker && install -d $$dir && \
	    install -m 755 $(BUILD)/lua/$$v/core.so $$dir/ || exit 1; \
	done

uninstall-lua:
	for v in $(LUAS); do \
	    rm -rf $(DESTDIR)$(PREFIX)/share/lua/$$v/carbontracker.lua $(DESTDIR)$(PREFIX)/share/lua/$$v/carbontracker \
	        $(DESTDIR)$(LIBDIR)/lua/$$v/carbontracker; \
	done

uninstall-fortran:
	rm -f $(DESTDIR)$(PREFIX)/include/carbontracker.f90
	rm -rf $(DESTDIR)$(FPMDIR)

uninstall-cpp:
	rm -f $(DESTDIR)$(PREFIX)/include/carbontracker.hpp

clean:
	$(CARGO) clean
	rm -rf $(BUILD)
