// Package metrics exports to Prometheus the state of stock and orders, and of Temporal's task queue. It reads the numbers from
// the database, so every process exports the same: scrape one, or take the maximum.
//
// It only reads: internal/postgres counts stock and orders, workflows/control counts tasks, and internal/httpserver serves
// Handler.
package metrics
