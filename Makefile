# Recipes; `make` alone lists them.
.DEFAULT_GOAL := help
.PHONY: help check lint test demo bench fmt deny

help: ## List the recipes
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

check: lint test ## Everything that CI runs

lint: ## Formatting, lints, documentation: warnings are errors
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps

test: ## All tests; installs the programs they run against when missing
	scripts/test-needs
	cargo test --locked

demo: ## The demonstration: a silent failure, caught and scored
	cargo run --locked --release -- demo

bench: ## All benchmarks; writes benches/README.md
	scripts/bench-report

fmt: ## Format the sources
	cargo fmt

deny: ## Licences, sources and known faults of dependencies (needs: cargo install cargo-deny --locked)
	cargo deny --locked check
