// Package controltest serves a Temporal frontend on the loopback for tests: it keeps what it is sent, and answers from what a test
// puts into it. It runs no workflow.
package controltest
