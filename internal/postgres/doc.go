// Package postgres keeps everything that Quartermaster knows in PostgreSQL.
//
// A [DB] is the database. It has a type for each aggregate: [Orders], [Accounts], [Pools], [Webhooks] and so on,
// each with its few methods in the file named after it. The SQL of a method is a constant above it. All methods
// are safe for concurrent use and safe to repeat.
//
// A transaction often changes more than one table. What several aggregates do to a table is written once, where the
// table is at home: changes of accounts in account_changes.go, verifications that become due in verifications.go, the
// suspension of claims in claim_suspension.go, passwords in passwords.go, positions of webhooks in deliveries.go.
//
// The rules that must always hold are constraints and triggers of the schema, in package migrations. An error of a
// constraint comes back as an error of package provision, which also defines the types that the methods take and
// return. The methods that take an actor record the actor in the history rows that their change causes.
//
// The packages that use the database (activities, api, internal/metrics, internal/reconcile) do not import this
// one. Each declares an interface for the few methods that it calls, and cmd/quartermaster connects the two.
// Package pgtest gives every test a database of its own.
package postgres
