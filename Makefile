# The two commands of the README are `go run ./cmd/autoresearch up` and `make test`.
GO ?= go

# The settings of workers/cluster/build.go: others would compile the engine's
# 1,780 packages a second time.
ENGINE_FLAGS = CGO_ENABLED=0 GOWORK=off GOFLAGS=-buildvcs=false

# The tag cuda needs a C compiler and nothing of NVIDIA's: gorgonia.org/cu finds
# our own header and an empty library (see package gpu). NVIDIA's go-nvml warns of
# functions that nobody here calls, and finds its library's at their first use,
# which some distributions' linkers do not allow by default.
HAS_CUDA = [ "$$($(GO) env GOOS)" = linux ] && command -v $$($(GO) env CC) >/dev/null
CUDA = CGO_ENABLED=1 CGO_CFLAGS="-O2 -I$(CURDIR)/gpu/include -Wno-deprecated-declarations" CGO_LDFLAGS="-L$(CURDIR)/gpu/lib -Wl,-z,lazy"

# Elsewhere the tests that need the tag are those in files that have it: what runs
# without it has run.
CUDA_FILES = $$(grep -rlE --include='*_test.go' '^//go:build (.*&& )?cuda' trainer e2e activities workers cmd | grep -v '^trainer/tensor/cuda/')
CUDA_TESTS = -run "^($$(sed -nE 's/^func (Test[A-Z][A-Za-z0-9_]*)\(t .*/\1/p' $(CUDA_FILES) | paste -sd'|' -))\$$" $$(dirname $(CUDA_FILES) | sort -u | sed 's,^,./,')

.PHONY: test engine check build cuda cuda-tools bench

## test: everything, on a machine with Go and git; the first run builds the engine (about 5 minutes on 2 cores)
test: check engine
	cd engine && $(ENGINE_FLAGS) $(GO) vet ./... && $(ENGINE_FLAGS) $(GO) test -timeout 20m -ldflags='-s -w' ./...
	$(GO) test -timeout 40m ./...
	@if $(HAS_CUDA); then set -x; \
	$(CUDA) $(GO) test -timeout 20m -tags cuda ./gpu/... ./trainer/tensor/cuda/... && \
	$(CUDA) $(GO) test -timeout 20m -tags cuda $(CUDA_TESTS); \
	else echo "not Linux, or no C compiler: the tests of the code for GPUs (tag cuda) do not run"; fi

## check: formatting, vet, and that the workflows are deterministic
check:
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); if [ -n "$$unformatted" ]; then echo "gofmt wants to change:"; echo "$$unformatted"; exit 1; fi
	$(GO) vet ./...
	GOOS=darwin $(GO) vet ./cmd/... ./workers/... ./activities/... ./trainer/...
	@if $(HAS_CUDA); then set -x; $(CUDA) $(GO) vet -tags cuda ./gpu/... ./trainer/... ./cmd/... ./e2e/...; \
	else echo "not Linux, or no C compiler: the code for GPUs (tag cuda) is not vetted"; fi
	$(GO) tool workflowcheck -config workflows/workflowcheck.yaml ./workflows/...

## engine: the embedded Temporal server, with the flags that `up` uses, into the user's cache
engine:
	$(GO) run ./cmd/autoresearch engine build

## build: the command line, into bin/
build:
	$(GO) build -o bin/autoresearch ./cmd/autoresearch

## cuda: the command line with support for NVIDIA GPUs, into bin/; it needs a C compiler, and starts without a GPU too
cuda:
	$(CUDA) $(GO) build -tags cuda -o bin/autoresearch ./cmd/autoresearch

## cuda-tools: NVIDIA's kernel compiler (NVRTC, 100 MB), without GPU or driver, into the user's cache: so the tests compile every kernel
NVRTC = nvidia-cuda-nvrtc-cu12==12.9.86
CUDA_TOOLS = $${XDG_CACHE_HOME:-$$HOME/.cache}/autoresearch/cuda-tools
cuda-tools:
	@dir="$(CUDA_TOOLS)"; if [ ! -e "$$dir/$(NVRTC)" ]; then \
	set -e; mkdir -p "$$dir"; part=$$(mktemp -d "$$dir/.part-XXXXXX"); trap 'rm -rf "$$part"' EXIT; \
	python3 -m pip download -q --no-deps -d "$$part" $(NVRTC); python3 -m zipfile -e "$$part"/*.whl "$$part/files"; \
	rm -rf "$$dir/nvidia"; mv "$$part/files/nvidia" "$$dir/nvidia"; touch "$$dir/$(NVRTC)"; fi; echo "NVRTC is in $$dir"

## bench: how busy the slots are, in virtual time (a minute) and on a real engine (half an hour)
bench:
	$(GO) run ./bench/slots simulate
	$(GO) run ./bench/slots engine
