# One image for every command: quartermaster api | worker | migrate | accounts …
FROM golang:1.26.8 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
# docker build --build-arg COMMIT=$(git rev-parse --short HEAD)
ARG COMMIT=
RUN CGO_ENABLED=0 go build -trimpath -ldflags="-s -w -X main.commit=${COMMIT}" -o /quartermaster ./cmd/quartermaster

# Distroless: no shell, no package manager, an unprivileged user.
FROM gcr.io/distroless/static-debian12:nonroot
COPY --from=build /quartermaster /quartermaster
USER nonroot:nonroot
ENTRYPOINT ["/quartermaster"]
