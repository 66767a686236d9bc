// Package pgtest gives tests real PostgreSQL databases without Docker. [New] gives a test a migrated database of its own,
// [Start] launches a server for development and fault tests, and [NewProxy] puts a faulty network in front of one. Only tests
// and the dev module import it.
package pgtest
