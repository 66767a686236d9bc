// Package pgtest gives tests real PostgreSQL databases without Docker. Only tests and the dev module import it. Each of its parts does
// what the others cannot:
//
//   - install.go finds PostgreSQL's programs. Every distribution puts them into a folder of its own, and a machine without them must get
//     a sentence that says how to install them.
//   - server.go launches a server. A test process that ends in any way must leave no server and no files behind, and fault tests kill,
//     freeze and restart one.
//   - template.go copies the migrated database, and clears the copies for other tests. To create and drop a database takes ten times as
//     long as to clear it.
//   - pgtest.go is what most tests see: [New] gives a test a migrated database of its own.
//   - proxy.go puts a faulty network in front of a server. Slow, silent and broken connections are faults that no server shows by itself.
package pgtest
