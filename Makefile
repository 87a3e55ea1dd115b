# Thin names for commands that a person could type; what needs logic is Python in tests/tools.
# `make` or `make help` lists them.
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
.NOTPARALLEL:

run := .venv/bin/python -m
check := $(run) tests.tools.check
lab := $(run) tests.lab
tool := python=$$(tests/tools/find-python) && "$$python" -m

.PHONY: help
help: ## Show this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' Makefile | expand -t 14

.PHONY: demo
demo: $(if $(INVENTORY),packages,lab-packages) ## Deploy the service on an embedded Kubernetes, or on your cluster: KUBECONFIG=... INVENTORY=...
	@$(tool) tests.tools.venv --default
	@$(run) tests.tools.demo $(if $(INVENTORY),--inventory '$(INVENTORY)') \
	  $(if $(filter command,$(firstword $(origin KUBECONFIG))),--kubeconfig '$(KUBECONFIG)')

.PHONY: test
test: lab-packages venv ## Everything: lint, unit, lab, molecule, system, faults, with one table at the end
	@$(check) lint unit lab system molecule faults

.PHONY: lint
lint: venv ## Static checks: YAML, Ansible, Python, types, layers, documentation, ansible-test sanity
	@$(check) lint

.PHONY: unit
unit: venv ## Unit tests on every ansible-core found, the engine against a control plane of its own
	@$(check) unit

.PHONY: molecule
molecule: lab-packages venv ## Each role alone in the lab, then the site: check, converge, idempotence, verify
	@$(check) molecule

.PHONY: system
system: lab-packages venv ## The lab itself, then whole commands in it, as an operator types them
	@$(check) lab system

.PHONY: faults
faults: lab-packages venv ## A stream of requests in the lab while pods, processes and nodes go
	@$(check) faults

.PHONY: soak
soak: lab-packages venv ## The faults three times, with the lab's DNS caching and not, large tensors and long requests
	@$(check) soak

.PHONY: bench
bench: lab-packages venv ## Figures as ratios, measured side by side
	@$(check) bench

.PHONY: lab-up
lab-up: lab-packages venv ## Start the lab: a real Kubernetes of two nodes on this machine (root)
	@$(lab) up --form node --nodes 2

.PHONY: lab-down
lab-down: venv ## Stop it and leave nothing behind
	@$(lab) down

.PHONY: lab-status
lab-status: venv ## What of it runs, since when, with how much memory
	@$(lab) status

.PHONY: docs
docs: venv ## Write the variable tables of the roles' READMEs from their argument specs, and the dashboards
	@$(run) tests.tools.role_readme
	@$(run) tests.tools.dashboards

.PHONY: venv
venv: packages ## The Python environments and the collection tree (about a minute each, once)
	@$(tool) tests.tools.venv

.PHONY: packages
packages: ## The Debian packages that every command needs
	@$(tool) tests.tools.packages

.PHONY: lab-packages
lab-packages: ## Those of the lab's real nodes, too
	@$(tool) tests.tools.packages --lab
