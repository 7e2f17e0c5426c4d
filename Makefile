# What a new machine needs: cargo, node with npm, python3 with venv, make, a C compiler (for fuzz, C++); for tests
# Chromium and Postgres, which peers/install gets by apt where it is root.
.PHONY: help run build fmt lint test ci bench fuzz schema monitoring openapi

SECONDS_EACH ?= 60

help: ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

run: ## build Puerto and start it on the default configuration
	cargo run --release -p puerto -- up

build: ## build everything, for development
	cargo build --workspace

fmt: ## format the code
	cargo fmt --all

lint: ## check the format, and clippy without warnings
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	# The fuzz targets are no part of the workspace; without this they would be left behind.
	! command -v c++ >/dev/null || RUSTFLAGS="--cfg fuzzing" cargo check --quiet --locked --bins --manifest-path fuzz/Cargo.toml

test: ## every test, with the real clients and servers of others
	peers/install
	cargo build -p puerto -p puerto-testkit
	cargo test --workspace -- --test-threads 4

ci: lint test ## what has to pass before a change lands

bench: ## what a call through Puerto costs, beside a bare proxy and others
	peers/install bench
	# One by one: together they would share features of libraries, and this would not be the program that users build.
	cargo build --release -p puerto
	cargo build --release -p puerto-bench
	target/release/puerto-bench run --puerto target/release/puerto --peers peers --out docs/perf-table.md

fuzz: ## look for texts that break what must hold, a minute each target (SECONDS_EACH=60)
	SECONDS_EACH=$(SECONDS_EACH) fuzz/run

schema: ## write api/config.schema.json anew from the definitions
	UPDATE_EXPECT=1 cargo test -q -p puerto --lib the_committed_schema

monitoring: ## write deploy/ and the table of docs/metrics.md anew from the list of metrics
	UPDATE_EXPECT=1 cargo test -q -p puerto --lib the_committed

openapi: ## write api/openapi.json anew from the routes
	UPDATE_EXPECT=1 cargo test -q -p puerto --test it openapi
