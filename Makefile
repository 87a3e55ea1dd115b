# Thin names for commands that a person could type; what needs logic is Python in tests/tools.
# `make` or `make help` lists them.
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
.NOTPARALLEL:

run := .venv/bin/python -m

.PHONY: help
help: ## Show this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' Makefile | expand -t 14

.PHONY: packages
packages: ## Install the Debian packages that are missing
	@python=$$(tests/tools/find-python) && "$$python" -m tests.tools.packages

.PHONY: venv
venv: packages ## Make the Python environments and the collection tree (40 s each, once)
	@python=$$(tests/tools/find-python) && "$$python" -m tests.tools.venv
