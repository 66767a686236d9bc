# One image for every command: quartermaster api | worker | migrate | accounts …
FROM golang:1.26.8 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -ldflags='-s -w' -o /quartermaster ./cmd/quartermaster

# Distroless: no shell, no package manager, a user without rights.
FROM gcr.io/distroless/static-debian12:nonroot
COPY --from=build /quartermaster /quartermaster
USER nonroot:nonroot
ENTRYPOINT ["/quartermaster"]
