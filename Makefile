# make demo      builds the library and measures a small training, live
# make check     all tests, with what they need
# make           builds the shared and the static library
# make install   copies them: PREFIX=/usr/local DESTDIR=
# make header    rewrites include/carbontracker.h from src/c_api.rs
# make bench     what a call, a sample and ten million epochs cost

PREFIX  ?= /usr/local
DESTDIR ?=
CARGO   ?= cargo
CC      ?= cc
CXX     ?= c++

VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
SONAME  := libcarbontracker.so.0
LIB     := target/release
BUILD   := build

.PHONY: all lib demo check tools header bench install uninstall clean
all: lib

# One crate type a time: beside an rlib, cargo leaves link-time optimisation out.
lib:
	$(CARGO) rustc --locked --lib --release --crate-type cdylib
	$(CARGO) rustc --locked --lib --release --crate-type staticlib
	ln -sf libcarbontracker.so $(LIB)/$(SONAME)

# Built only where missing: `make install` under sudo, whose PATH may lack cargo, then just copies.
$(LIB)/libcarbontracker.so:
	$(CARGO) rustc --locked --lib --release --crate-type cdylib
$(LIB)/libcarbontracker.a:
	$(CARGO) rustc --locked --lib --release --crate-type staticlib

$(BUILD)/train: examples/train.cpp include/carbontracker.h lib
	mkdir -p $(BUILD)
	$(CXX) -std=c++11 -O2 -Wall -Wextra -Wpedantic -Iinclude -o $@ $< -L$(LIB) -lcarbontracker -Wl,-rpath,$(abspath $(LIB))

demo: $(BUILD)/train
	$(BUILD)/train examples/digits.csv

tools:
	tests/tools.sh

check: tools lib
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets -- -D warnings
	CT_LIBDIR=$(abspath $(LIB)) $(CARGO) test --locked

header:
	CT_UPDATE=1 $(CARGO) test --locked --test header the_committed_header

bench: lib
	$(CARGO) bench --locked

install: $(LIB)/libcarbontracker.so $(LIB)/libcarbontracker.a
	install -d $(DESTDIR)$(PREFIX)/include $(DESTDIR)$(PREFIX)/lib/pkgconfig
	install -m 644 include/carbontracker.h $(DESTDIR)$(PREFIX)/include/
	install -m 755 $(LIB)/libcarbontracker.so $(DESTDIR)$(PREFIX)/lib/libcarbontracker.so.$(VERSION)
	ln -sf libcarbontracker.so.$(VERSION) $(DESTDIR)$(PREFIX)/lib/$(SONAME)
	ln -sf $(SONAME) $(DESTDIR)$(PREFIX)/lib/libcarbontracker.so
	install -m 644 $(LIB)/libcarbontracker.a $(DESTDIR)$(PREFIX)/lib/
	sed -e 's|@VERSION@|$(VERSION)|' carbontracker.pc.in > $(DESTDIR)$(PREFIX)/lib/pkgconfig/carbontracker.pc

uninstall:
	rm -f $(DESTDIR)$(PREFIX)/include/carbontracker.h $(DESTDIR)$(PREFIX)/lib/libcarbontracker.* \
	      $(DESTDIR)$(PREFIX)/lib/pkgconfig/carbontracker.pc

clean:
	$(CARGO) clean
	rm -rf $(BUILD)
