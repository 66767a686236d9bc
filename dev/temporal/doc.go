// Package temporal runs a Temporal server as a child process, for development and for end-to-end tests.
//
// The server is a separate program (dev/temporal-server, or a Temporal CLI) and not a library in this module, because linking it
// adds 15 seconds and 150 MB to each test binary.
package temporal
