# Builds, runs and checks this repository. `make help` lists targets and variables.
#
# Nothing needs Docker. On a bare Debian machine with Rust (and Go, where BuildKit's release tarball is
# out of reach), each target first installs what it misses; see .ci/need.

.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules --no-print-directory

#: The image that `docker-build` makes and that `gen`, `lint` and `docker-pull` use.
DOCKER_CI_IMAGE ?= ghcr.io/kitwright/kitwright/ci:latest
#: Base images: `official`, `standin`, or empty to decide by whether docker.io answers.
BASES ?=
#: Further flags for `kitwright build`, e.g. `--progress=plain`, `--push` or `--no-cache`.
BUILD_FLAGS ?=
#: Further flags for `kitwright bench`, e.g. `--against buildx,buildctl` or `--rounds 1`.
BENCH_FLAGS ?=
#: The kitwright to use; the default is built from this tree when its sources have changed.
KITWRIGHT ?= target/release/kitwright

export BASES
CARGO ?= cargo
GO ?= go

# What the engine and the tests take from Debian. Root needs nothing for user namespaces.
rootless_needs := newuidmap=uidmap rootlesskit
engine_needs := runc $(if $(filter 0,$(shell id -u)),,$(rootless_needs))
test_needs := runc $(rootless_needs) docker-registry git skopeo dockerd=docker.io podman \
	ssh-agent=openssh-client sshd=openssh-server setpriv=util-linux \
	useradd=passwd protoc=protobuf-compiler \
	/usr/include/google/protobuf/any.proto=libprotobuf-dev /bin/busybox=busybox-static chromium \
	python3 openssl mmdebstrap qemu-aarch64=qemu-user aarch64-linux-gnu-gcc=gcc-aarch64-linux-gnu
# What the program in cache mounts is also compiled for; a Rust without rustup has it or not.
other_target := aarch64-unknown-linux-musl

# Nothing is built for a kitwright from elsewhere.
kitwright_file := $(filter target/release/kitwright,$(KITWRIGHT))
sources := $(shell find build.rs src proto/src Cargo.toml Cargo.lock proto/Cargo.toml -type f)

##@ Image

docker-build: prepare ## Build the CI image
	@stages/with-bases $(KITWRIGHT) build --host-ca --load=store -f gen.Dockerfile -t $(DOCKER_CI_IMAGE) $(BUILD_FLAGS) .

docker-dev: docker-build gen ## Build the CI image and generate code with it

docker-pull: $(kitwright_file) ## Pull the CI image
	@$(KITWRIGHT) image pull $(DOCKER_CI_IMAGE)

docker-image: ## Print the reference of the CI image
	@echo $(DOCKER_CI_IMAGE)

gen: engine ## Generate code, in the CI image
	@$(KITWRIGHT) run $(DOCKER_CI_IMAGE) -- .ci/generate

lint: engine ## Check workflows, scripts and documents, in the CI image
	@$(KITWRIGHT) run $(DOCKER_CI_IMAGE) -- .ci/lint

##@ Checks

test: ## Run every test
	@.ci/need $(test_needs)
	@! command -v rustup >/dev/null || rustup -q target add $(other_target) || \
	echo "skipped: Rust for $(other_target) cannot be had" >&2
	@$(CARGO) build --locked --quiet
	@$(MAKE) -j2 test-engine test-programs
	@$(CARGO) test --locked --workspace --no-fail-fast

check: fmt clippy docs deny test benches docker-build check-gen lint ## Everything that CI checks

fmt: ## Check the formatting
	@$(CARGO) fmt --all --check

clippy: ## Check for suspicious code
	@.ci/need protoc=protobuf-compiler /usr/include/google/protobuf/any.proto=libprotobuf-dev
	@$(CARGO) clippy --locked --workspace --all-targets -- -D warnings

docs: ## Check the documentation comments
	@RUSTDOCFLAGS='-D warnings -A rustdoc::private_intra_doc_links' $(CARGO) doc --locked --no-deps --document-private-items

deny: ## Check licences and advisories of dependencies, if cargo-deny is there
	@if $(CARGO) deny --version >/dev/null 2>&1; then $(CARGO) deny --locked check; \
	else echo "skipped: cargo-deny is not installed" >&2; fi

check-gen: gen ## Check that the generated code is current
	@git diff --stat --exit-code -- proto/src/gen && test -z "$$(git ls-files --others --exclude-standard proto/src/gen)" || \
	{ echo "error: the generated code was not current: commit what \`make gen\` has changed" >&2; exit 1; }

bench: prepare ## Measure everything and write docs/benchmarks.md
	@.ci/need docker-registry
	@benches/report $(KITWRIGHT) $(BENCH_FLAGS)

benches: ## Compile the benches
	@$(CARGO) bench --locked --no-run

##@ Other

help: ## List targets and variables
	@awk 'BEGIN { FS = ":.*## " } \
		/^##@ / { printf "\n%s\n", substr($$0, 5) } \
		/^[a-z-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 } \
		/^#: / { about = about substr($$0, 4) " " } \
		/^[A-Z_]+ \?=/ && about { split($$0, part, " [?]= *"); \
			variables = variables sprintf("  %-16s %s(default: %s)\n", part[1], about, part[2] == "" ? "none" : part[2]); about = "" } \
		END { printf "\nVariables\n%s", variables }' $(MAKEFILE_LIST)

# Kitwright, the engine's programs and the downloads of the stand-ins need each other late or not at
# all: they are made at the same time.
prepare:
	@.ci/need $(engine_needs)
	@$(MAKE) -j3 engine engine-ahead downloads

engine: $(kitwright_file)
	@.ci/need $(engine_needs)
	@$(KITWRIGHT) engine install --quiet

engine-ahead:
	@.ci/compile-engine

downloads:
	@stages/with-bases

target/release/kitwright: $(sources)
	$(CARGO) build --release --locked --bin kitwright
	@touch $@

test-engine:
	@target/debug/kitwright engine install --quiet

test-programs:
	@$(CARGO) test --locked --workspace --no-run --quiet

.PHONY: docker-build docker-dev docker-pull docker-image gen lint test check fmt clippy docs deny \
	check-gen bench benches help prepare engine engine-ahead downloads test-engine test-programs
