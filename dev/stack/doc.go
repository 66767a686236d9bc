// Package stack runs the whole product on one machine: PostgreSQL, Temporal with its Web UI, an AWS simulator, and the real program
// (quartermaster migrate, api and worker). It uses existing servers when DATABASE_URL or TEMPORAL_ADDRESS names them.
//
// The command dev/cmd/dev starts a stack for people. The tests of this package are the end-to-end tests of the product: they place
// orders, crash, pause and disconnect parts, and check what customers, operators and AWS see afterwards. Scenarios names the ways
// that an order can go; their recorded histories are the replay tests of package workflows.
package stack
