# Every target that a person may want has a line of help behind ##.
.DEFAULT_GOAL := help
SHELL := /bin/bash

GO      ?= go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
export CGO_ENABLED ?= 0

PAGE_SOURCES := $(shell find web/src web/report web/worker web/public -type f 2>/dev/null) web/index.html web/package.json web/vite.config.ts web/tsconfig.json
GO_SOURCES   := $(shell find cmd internal -name '*.go' -o -name '*.sql' 2>/dev/null) go.mod go.sum

.PHONY: help
help: ## Show this help
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: run
run: build ## Build everything and start it on http://127.0.0.1:8080, with its data in ./data; PORT=9000 for another port
	$(if $(PORT),HIKYAKU_LISTEN="$${HIKYAKU_LISTEN:-127.0.0.1:$(PORT)}") ./bin/hikyaku serve

RABBITMQ_NODES ?= 1
REDIS          ?= single
SYSTEM         ?= hikyaku
.PHONY: stack
stack: build ## Run a whole cluster on this machine; RABBITMQ_NODES=3 REDIS=cluster for more, SYSTEM=ejabberd or reference for another system
	@case "$(REDIS)" in single|cluster) ;; *) echo "REDIS is single or cluster, not $(REDIS)" >&2; exit 2;; esac
	@case "$(SYSTEM)" in hikyaku|ejabberd|reference) ;; *) echo "SYSTEM is hikyaku, ejabberd or reference, not $(SYSTEM)" >&2; exit 2;; esac
	$(if $(filter hikyaku,$(SYSTEM)),scripts/servers,scripts/systems)
	./bin/hikyaku stack --system $(SYSTEM) --port $(or $(PORT),8080) --rabbitmq-nodes $(RABBITMQ_NODES) $(if $(filter cluster,$(REDIS)),--redis-cluster)

.PHONY: build
build: bin/hikyaku ## Build the page and the binary bin/hikyaku

bin/hikyaku: $(GO_SOURCES) web/embed.go web/dist/index.html web/dist-report/report.js
	$(GO) build -trimpath -ldflags '-s -w -X main.release=$(VERSION)' -o $@ ./cmd/hikyaku

web/node_modules/.package-lock.json: web/package.json web/package-lock.json
	scripts/need node npm
	cd web && npm ci --no-audit --no-fund --loglevel=error
	@touch $@

web/dist/index.html web/dist-report/report.js &: web/node_modules/.package-lock.json $(PAGE_SOURCES)
	rm -rf web/dist/assets
	cd web && npm run --silent build

.PHONY: generate
generate: web/node_modules/.package-lock.json ## Write the API's descriptions and the page's types again, from the Go types
	$(GO) run ./cmd/hikyaku spec openapi > web/spec/openapi.json
	$(GO) run ./cmd/hikyaku spec asyncapi > web/spec/asyncapi.json
	$(GO) run ./cmd/hikyaku spec bench > web/spec/bench.json
	cd web && npm run --silent generate

.PHONY: test
test: test-deps ## Run all tests, installing what they need; they must leave no server behind
	@status=0; $(MAKE) test-go test-web test-browser || status=$$?; \
	scripts/check-left || status=$$?; exit $$status

.PHONY: test-unit test-unit-go test-unit-web
test-unit: web/dist/index.html web/dist-report/report.js ## Run the tests that need no servers: under a minute, for the inner loop
	@$(MAKE) --no-print-directory -j2 test-unit-go test-unit-web

# Each waits at times, so they share the processors.
test-unit-go:
	$(GO) test -short ./cmd/... ./internal/... ./deploy

test-unit-web:
	cd web && npm test --silent

.PHONY: test-deps
test-deps:
	scripts/test-deps

# The race detector would have each test binary sleep for a second before it ends.
.PHONY: test-go
test-go: web/dist/index.html web/dist-report/report.js ## Run the Go tests, with the race detector
	CGO_ENABLED=1 GORACE=atexit_sleep_ms=0 $(GO) test -race -timeout 20m ./...

.PHONY: test-deploy
test-deploy: ## Check the deployment's files with the types of Compose and Kubernetes
	$(GO) test ./deploy
	$(GO) test -run Deployment ./cmd/hikyaku
	cd deploy/check && $(GO) test -count=1 ./...

.PHONY: test-web
test-web: web/dist/index.html ## Run the page's unit tests
	cd web && npm run --silent typecheck && npm test --silent

.PHONY: test-browser
test-browser: build ## Run the tests in a real browser
	cd web && npm run --silent e2e

.PHONY: lint
lint: bin/tools/golangci-lint web/node_modules/.package-lock.json ## Check the form of everything
	bin/tools/golangci-lint run ./...
	cd web && npm run --silent lint

.PHONY: fmt
fmt: bin/tools/golangci-lint web/node_modules/.package-lock.json ## Put everything into form
	bin/tools/golangci-lint fmt ./...
	cd web && npm run --silent format

.PHONY: audit
audit: bin/tools/golangci-lint ## Look for known vulnerabilities in the dependencies
	scripts/audit

bin/tools/golangci-lint: tools/go.mod tools/go.sum
	@mkdir -p bin/tools
	cd tools && $(GO) build -o ../bin/tools/ tool

FUZZTIME ?= 20s
.PHONY: fuzz
fuzz: ## Run every fuzz target for FUZZTIME (20s)
	@set -e; for pkg in $$($(GO) list ./internal/...); do \
	  for target in $$($(GO) test -list '^Fuzz' $$pkg | grep '^Fuzz' || true); do \
	    echo "$$pkg $$target"; $(GO) test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) $$pkg; \
	  done; \
	done

BENCH ?= .
.PHONY: bench-go
bench-go: ## Run the Go benchmarks that match BENCH (all)
	$(GO) test -run '^$$' -bench '$(BENCH)' -benchmem ./...

OUT ?= bench-results
.PHONY: bench
bench: build ## Measure the cluster's whole path on this machine; reports go to OUT (bench-results)
	scripts/servers
	./bin/hikyaku bench suite --on cluster --out $(OUT)

.PHONY: bench-embedded
bench-embedded: build ## The same on the embedded parts
	./bin/hikyaku bench suite --on embedded --out $(OUT)

SOCKETS ?= 1000000
HOLD    ?= 2m
OPEN    ?= 1000
.PHONY: bench-sockets
bench-sockets: build ## Open SOCKETS (1000000) connections to a cluster on this machine, or as many as fit, OPEN (1000) each second, and keep them for HOLD (2m)
	scripts/servers
	./bin/hikyaku bench suite --on cluster --scenarios sockets --sockets $(SOCKETS) --per-second $(OPEN) --hold $(HOLD) --out $(OUT)

# How often each system is measured, and where the search for its rate begins.
COMPARE_RUNS ?= 1
.PHONY: bench-compare
bench-compare: build ## Measure Hikyaku, ejabberd and the original design on this machine, side by side
	scripts/servers
	scripts/systems
	@set -e; files=(); for run in $$(seq $(COMPARE_RUNS)); do \
	  for system in reference:200 ejabberd:400 cluster:1200; do \
	    out="$(OUT)/$${system%:*}-$$run"; \
	    ./bin/hikyaku bench suite --on $${system%:*} --scenarios latency --from $${system#*:} --out "$$out" || test $$? -eq 3; \
	    files+=("$$out/latency.json"); \
	  done; \
	done; \
	./bin/hikyaku bench compare --published --report "$(OUT)/compare.html" --png "$(OUT)" "$${files[@]}"

CONVERSATIONS ?= 10,300,1000
.PHONY: bench-page
bench-page: build ## Measure what the page costs in Chromium with CONVERSATIONS (10,300,1000)
	cd web && npm run --silent measure -- --conversations $(CONVERSATIONS)

.PHONY: picture
picture: build ## Take the README's picture of the page again
	cd web && node e2e/picture.mjs ../docs/images/page.png

.PHONY: clean
clean: ## Remove what was built (not the data)
	rm -rf bin web/node_modules
	find web/dist web/dist-report -mindepth 1 ! -name .gitkeep -delete
