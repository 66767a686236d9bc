// Package httpserver runs the HTTP servers of a process: it listens, answers probes and stops gracefully.
//
// The API, the metrics endpoint and the codec endpoint share it, so that timeouts, header limits and the way in which a
// server stops are the same everywhere. It knows no route but those of the probes; handlers come from the packages api,
// internal/metrics and internal/secrets, and cmd/quartermaster starts them.
package httpserver
