# Workers of a cluster (docker-compose.yml). Candidates are built where they
# run, so the image keeps the Go toolchain, git, and a checkout to research.
FROM golang:1.26-bookworm
ENV GOTOOLCHAIN=local CGO_ENABLED=0
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN go build -o /usr/local/bin/autoresearch ./cmd/autoresearch
# The checkout under research: /src itself, as a git repository of one commit if
# the build context came without its history.
RUN git rev-parse HEAD >/dev/null 2>&1 || (git init -q && git add -A && \
    git -c user.name=autoresearch -c user.email=autoresearch@localhost commit -qm "as built")
ENTRYPOINT ["autoresearch"]
