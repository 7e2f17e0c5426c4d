.PHONY: schema

## schema: write api/config.schema.json anew from the definitions
schema:
	UPDATE_EXPECT=1 cargo test -q -p puerto --bin puerto the_committed_schema

.PHONY: bench

## bench: measure what a call costs, beside a bare pass-through and other proxies (peers/install first)
bench:
	cargo build --release -p puerto -p puerto-bench
	target/release/puerto-bench run --puerto target/release/puerto --peers peers --out docs/perf-table.md
