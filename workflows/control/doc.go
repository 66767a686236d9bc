// Package control is the client side of Temporal: it starts, updates and signals the workflows of package workflows, describes and resets
// them, and reads their histories. It checks whether the namespace is usable, and what Temporal reports about the workers.
//
// The API (package api), the commands and the worker (cmd/quartermaster) and package reconcile use it, through one Temporal that is
// created once a process.
package control
