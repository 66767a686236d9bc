# CI runs these targets too. Each works from a clean clone with Go, git and make.
SHELL := /usr/bin/env bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z][a-z-]*:.*## / {printf "  \033[1m%-14s\033[0m %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

.PHONY: demo
demo: postgres ## run two orders through the whole system on this machine, with a simulated AWS
	@go build -C dev -o ../.build/bin/quartermaster-dev ./cmd/dev && cd dev && exec ../.build/bin/quartermaster-dev demo

.PHONY: dev
dev: postgres ## start everything in one terminal: database, Temporal with its Web UI, simulated AWS, API and worker; Ctrl-C stops it
	@go build -C dev -o ../.build/bin/quartermaster-dev ./cmd/dev && cd dev && exec ../.build/bin/quartermaster-dev up

.PHONY: build
build: ## compile the programs into .build/bin
	@mkdir -p .build/bin
	go build -o .build/bin/ ./cmd/...
	go build -C dev -o ../.build/bin/quartermaster-dev ./cmd/dev

.PHONY: test
test: ## run all tests of all modules; the last line is "N passed, N failed"
	@tools/test.sh -timeout=30m

.PHONY: test-race
test-race: ## run all tests with the race detector, which takes several times as long
	@tools/test.sh -timeout=60m -race

.PHONY: test-chaos
test-chaos: postgres ## kill, slow down, stall and pause every part for two minutes while 200 orders run
	@QM_CHAOS_ORDERS=200 QM_CHAOS_SECONDS=120 go -C dev test -run TestNothingIsLost -count=1 -v -timeout 30m ./stack

.PHONY: test-load
test-load: postgres ## place 10,000 orders on an empty pool, freeze the database for a minute, then add 2,000 accounts
	@QM_LOAD_ORDERS=10000 QM_LOAD_FREEZE_SECONDS=60 QM_LOAD_ACCOUNTS=2000 go -C dev test -run TestNoAcknowledgedOrderIsLost -count=1 -v -timeout 90m ./stack

.PHONY: test-resets
test-resets: postgres ## reset orders at every workflow task of every history
	@QM_RESETS=all go -C dev test -run TestReset -count=1 -v -timeout 60m ./stack

.PHONY: test-console
test-console: postgres ## use every page of the console in Chromium, in both schemes and both widths; FOLDER=… keeps their pictures
	@tools/ensure-chromium.sh
	@QM_CONSOLE=all $(if $(FOLDER),CONSOLE_PICTURES=$(abspath $(FOLDER))) go -C dev test -count=1 -timeout 30m ./console

BENCH = go build -C dev -o ../.build/bin/quartermaster-dev ./cmd/dev && cd dev && exec ../.build/bin/quartermaster-dev bench

.PHONY: bench
bench: postgres ## measure the product next to its limits in 25 minutes; WRITE=1 puts the result into docs/performance.md
	@$(BENCH) $(if $(WRITE),--write ../docs)

.PHONY: bench-quick
bench-quick: postgres ## measure in two minutes what an order costs, and fail when it is much worse than expected; RECORD=1 changes what is expected
	@$(BENCH) --quick $(if $(RECORD),--record)

.PHONY: bench-million
bench-million: postgres ## measure what depends on the number of accounts, with a million of them; WRITE=1 as in bench
	@$(BENCH) --million $(if $(WRITE),--write ../docs)

.PHONY: soak
soak: postgres ## run orders for an hour, or MINUTES, and measure whether memory grows; WRITE=1 as in bench
	@$(BENCH) --soak $(if $(MINUTES),--soak-minutes $(MINUTES)) $(if $(WRITE),--write ../docs)

.PHONY: lint
lint: ## run all static checks: linters, formatting, dead code, tidy modules, generated code, documents, secrets, vulnerabilities
	@tools/lint.sh

.PHONY: fmt
fmt: ## format all Go files
	@gofmt -w $$(git ls-files --cached --others --exclude-standard -- '*.go')

.PHONY: generate
generate: ## run the code generators, for example after a change of the API document
	@tools/generate.sh

.PHONY: histories
histories: postgres ## record the missing workflow histories
	@go -C dev run ./cmd/dev histories

.PHONY: screenshots
screenshots: postgres ## take the pictures of the console and of Temporal's Web UI for the documents
	@tools/ensure-chromium.sh
	@CONSOLE_PICTURES=$(CURDIR)/docs/images/console QM_CONSOLE=pictures go -C dev test -count=1 -run TestEveryPageCanBeUsed ./console
	@go -C dev run ./cmd/dev screenshots

.PHONY: migrate
migrate: ## migrate the database of QM_DATABASE_URL to the newest schema
	@go run ./cmd/quartermaster migrate

.PHONY: postgres
postgres: ## install PostgreSQL's programs if they are missing; the other targets do so automatically
	@tools/ensure-postgres.sh

.PHONY: clean
clean: ## remove everything that was built
	rm -rf .build
