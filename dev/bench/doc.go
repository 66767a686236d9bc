// Package bench measures the running product: the real program, a real Temporal and a real PostgreSQL, with a simulated AWS. Every figure
// is measured next to its limit, in the same run, on the same servers, in turns, because seconds mean little on a machine that does
// other work. The limit of an order is Bare8, a workflow of eight activities that do nothing.
//
// The simulated AWS and the load are in the process of the benchmark, and each part of the product has a process of its own, so the
// CPU time of a part is that of its process.
package bench
