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

suites := lint unit molecule system faults

.PHONY: lint
lint: venv ## Static checks: YAML, Ansible, Python, types, layers, documentation, ansible-test sanity
	@$(run) tests.tools.check lint

.PHONY: unit
unit: venv ## Unit tests on every ansible-core found, the engine against a control plane of its own
	@$(run) tests.tools.check unit

.PHONY: molecule
molecule: venv ## Each role alone in the lab, then the site: check, converge, idempotence, verify
	@$(run) tests.tools.check molecule

.PHONY: system
system: venv ## Whole commands in the lab, as an operator types them
	@$(run) tests.tools.check system

.PHONY: faults
faults: venv ## A stream of requests in the lab while pods, processes and nodes go
	@$(run) tests.tools.check faults

.PHONY: test
test: venv ## All of the above, with one table at the end
	@$(run) tests.tools.check $(suites)
