// Package provision defines the product's domain: accounts and their pools, orders, what an order does in an account, what
// can go wrong, and what providers, marketplaces and operators see of it.
//
// Every other package speaks in these types: api and cmd/quartermaster turn them into JSON and text, workflows and activities
// pass them to each other, and internal/postgres stores them. The package imports only the standard library, and it does no
// input or output: it holds types, rules and messages.
//
// Each file is about one noun; docs/states.md draws the states of orders and accounts.
package provision
