# SPDX-License-Identifier: Apache-2.0
# Every command of the project. `make` alone lists them.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:
MAKEFLAGS += --no-print-directory
CTEST_JOBS ?= 2
PREFIX ?= /usr/local
export FUZZ_SECONDS ?= $(or $(SECONDS),20)

.PHONY: help setup peers build run test check asan tsan fuzz sim bench e2e docs ci install clean

help:  # The list of commands, from the comments beside them.
	@echo 'make COMMAND, where COMMAND is:'
	@sed -n 's/^\([a-z0-9]*\):.*## \(.*\)/  \1\t\2/p' Makefile | expand -t 12

setup: ## install the Debian packages that everything needs; nothing to do the second time
	@tools/setup

peers: setup ## put the pinned client libraries that tests use as peers into .peers/
	@tools/peers/setup

build: setup ## build the product, its tests and tools into build/release
	@tools/configure release
	cmake --build --preset release

run: setup build ## demo: engines, gateway, a real trace, policies compared [KEEP=1] [FRONT=envoy]
	@$(if $(filter envoy,$(FRONT)),$(MAKE) --no-print-directory peers)
	@KEEP=$(KEEP) FRONT=$(FRONT) tools/run

test: setup peers build ## build and run every ordinary test
	ctest --preset release -j $(CTEST_JOBS)

check: setup ## formatting, project rules, static analysis of what changed, spelling [ALL=1]
	@ALL=$(ALL) tools/check

asan: setup peers ## the tests under the address and undefined-behaviour sanitizers
	@tools/configure asan
	cmake --build --preset asan
	ctest --preset asan -j $(CTEST_JOBS)

tsan: setup ## the concurrency suites under the thread sanitizer
	@tools/configure tsan
	cmake --build --preset tsan
	ctest --preset tsan -j $(CTEST_JOBS)

fuzz: setup ## run every fuzzer for a while [T=name] [SECONDS=20]
	@tools/configure asan
	cmake --build --preset fuzz
	@tools/fuzz $(T)

sim: setup ## random worlds with faults in virtual time [SEED=n] [WORLDS=n] [MUTANTS=1]
	@tools/configure release
	@SEED=$(SEED) WORLDS=$(WORLDS) MUTANTS=$(MUTANTS) tools/sim

bench: setup ## run the benchmarks and append their figures to build/bench.jsonl [T=name] [SMOKE=1]
	@tools/configure release
	cmake --build --preset release --target benches
	@tools/bench $(if $(SMOKE),--smoke) $(T)

e2e: setup peers build ## only the tests that drive the real program with real clients [T=vllm]
	$(if $(T),@tools/peers/$(T))
	ctest --preset release $(if $(T),-C extended -R '^$(T)$$',-L '^e2e$$')

docs: setup ## check the documents: titles, links, spelling
	@tools/tidy --docs
	@tools/spelling

ci: ## everything that a change must pass, in stages; what .ci/run runs
	@tools/ci

install: setup ## build the link-time optimised program and install it [PREFIX=] [DESTDIR=]
	@tools/configure dist
	cmake --build --preset dist
	DESTDIR=$(DESTDIR) cmake --install build/dist --prefix $(PREFIX) --strip

clean: ## remove what was built
	rm -rf build
