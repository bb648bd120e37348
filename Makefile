# The front door. Everything is built by meson; this says it in words people know.
#
#   make            builds build/spica (packages must be there: make setup-apt)
#   make demo       sets everything up and runs the demonstration study
#   make test       sets everything up and runs every test
#   make bench      measures this project's own numbers (make bench-NAME for one)
#   make bench-faults   every kind of failure on a fake GPU, 20 times each
#   make bench-promote  what a promotion costs, on a real systemd in a box (root)
#   make bench-guard    what watching production promises (bench-guard-long: its long forms)
#   make bench-instrument   spica as an instrument, beside wrk, vegeta, AIPerf and jiwer (ROWS="freeze fixed" for some)
#   make bundle     build/spica-VERSION-linux-x86_64.tar.xz, which needs nothing installed
#   make install    PREFIX=/usr/local DESTDIR=; make uninstall

BUILD  ?= build
PREFIX ?= /usr/local
NINJA  ?= ninja

.PHONY: all setup-apt setup demo test test-quick bench bench-faults bench-promote bench-instrument bench-guard bench-guard-long bundle bundle-test install uninstall clean help

all: $(BUILD)/build.ninja
	$(NINJA) -C $(BUILD)
	@ln -sf src/cli/spica $(BUILD)/spica

$(BUILD)/build.ninja:
	@command -v meson >/dev/null || { echo "meson is missing: run 'make setup-apt' (or: tools/setup apt)" >&2; exit 1; }
	meson setup $(BUILD) --prefix $(PREFIX) $(MESON_OPTIONS)

setup-apt:
	tools/setup apt

setup:
	tools/setup all

demo: setup
	$(MAKE) all
	tools/demo

test: setup
	$(MAKE) all
	tools/run-tests

# Only what needs no services, weights or second compiler: for the minutes between two edits.
test-quick: all
	meson test -C $(BUILD) --no-rebuild --print-errorlogs --no-suite real

bench: setup
	$(MAKE) all
	tools/bench

# Needs no services and no GPU.
bench-faults: all
	tools/bench faults

# Needs no services and no GPU, but root: systemd runs in a box. For the guest qemu-system-x86, cpio and mmdebstrap.
bench-promote: all
	-SPICA_BUILD=$(BUILD) bench/promote_guest.py --setup
	tools/bench promote

# Needs the real llama-server of the set-up; the referees come into the set-up's cache. 25 minutes.
bench-instrument: setup
	$(MAKE) all
	SPICA_BUILD=$(BUILD) bench/instrument.py --setup
	SPICA_BUILD=$(BUILD) bench/instrument.py $(ROWS)

# Needs the real whisper-server of the set-up and HAProxy; for a guest that runs out of memory qemu-system-x86
# and cpio, and a kernel that is fetched here. An hour. ROWS="sketch anytime" for some.
bench-guard: setup
	$(MAKE) all
	-SPICA_BUILD=$(BUILD) bench/guard_guest.py --setup
	SPICA_BUILD=$(BUILD) bench/guard.py $(ROWS)

# The same with a swing of 30 minutes and an hour of quiet.
bench-guard-long: setup
	$(MAKE) all
	SPICA_BUILD=$(BUILD) SPICA_BENCH_LONG=1 bench/guard.py $(ROWS)

bench-%: setup
	$(MAKE) all
	tools/bench $*

bundle:
	tools/bundle --output $(BUILD)

# The same on a bare Debian 12, which is fetched once (root; needs mmdebstrap).
BARE := $(or $(SPICA_CACHE),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/spica)/bare-bookworm.tar
bundle-test: all
	[ -f $(BARE) ] || tools/bundle --root $(BARE)
	root=$$(mktemp -d) && tar -xf $(BARE) -C $$root && \
	tools/bundle --try $$root "$$(tools/bundle --output $(BUILD) | tail -n 1)" \
	    $(BUILD)/tests/fakes/fake-service; status=$$?; rm -rf $$root; exit $$status

install: all
	meson configure $(BUILD) -Dprefix=$(PREFIX)
	$(NINJA) -C $(BUILD)
	DESTDIR=$(if $(DESTDIR),$(abspath $(DESTDIR))) meson install -C $(BUILD) --no-rebuild

uninstall:
	$(NINJA) -C $(BUILD) uninstall

clean:
	rm -rf $(BUILD)

help:
	@sed -n '3,11s/^# \{0,1\}//p' Makefile
