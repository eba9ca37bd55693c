# The commands of a new user. Each installs first what is missing, which takes no time when nothing is.
.PHONY: help up down test accept check bench setup lock
.DEFAULT_GOAL := help

BIN := .venv/bin
export PATH := $(CURDIR)/.venv/bin:$(PATH)

help: ## list these commands
	@sed -n 's/^\([a-z]*\):.*## /make \1\t/p' Makefile | expand -t 14

up: setup ## install what is needed, start the lab, bring it to what the requests say
	@$(BIN)/socle lab up

down: ## remove the lab's hosts (data stays: see socle lab down --help)
	@$(BIN)/socle lab down

test: setup ## all tests, on real hosts of their own
	@$(BIN)/python setup/suites.py lint unit catalogue programs live

accept: setup ## make test, and each fault, attack and loss alone: what a release is accepted with (hours)
	@SOCLE_ACCEPTANCE=1 SOCLE_KILLS=20 $(BIN)/python setup/suites.py lint unit catalogue programs live

check: setup ## lint, types, unit and catalogue tests: under a minute
	@$(BIN)/python setup/suites.py lint unit catalogue

bench: setup ## time the sites stage
	@$(BIN)/python -m tests.bench

setup:
	@setup/install

lock: ## choose the newest allowed Python packages and lock them by hash
	@setup/lock
