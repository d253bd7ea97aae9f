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

all: lib cli
.PHONY: all lib cli demo check tools header bench figure install uninstall clean

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

$(BUILD)/train: examples/train.cpp include/carbontracker.h lib
	mkdir -p $(BUILD)
	$(CXX) -std=c++11 -Wall -Wextra -Wpedantic $(CPPFLAGS) $(CXXFLAGS) -Iinclude -o $@ $< \
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

install: lib cli
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

uninstall:
	rm -f $(DESTDIR)$(PREFIX)/bin/carbontracker $(DESTDIR)$(PREFIX)/include/carbontracker.h
	rm -f $(DESTDIR)$(LIBDIR)/libcarbontracker.* $(DESTDIR)$(LIBDIR)/pkgconfig/carbontracker.pc
	rm -rf $(DESTDIR)$(DOCDIR)

clean:
	$(CARGO) clean
	rm -rf $(BUILD)
