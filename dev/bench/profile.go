package bench

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"quartermaster/dev/child"
	"quartermaster/dev/stack"
)

// topStatementsSQL selects the statements of a round that took longest, of our database and of Temporal's.
const topStatementsSQL = `
SELECT CASE datname WHEN 'postgres' THEN 'ours' ELSE 'temporal' END AS database, calls, total_exec_time, wal_bytes,
	left(regexp_replace(query, '\s+', ' ', 'g'), 160) AS query
FROM pg_stat_statements JOIN pg_database ON oid = dbid
WHERE datname <> 'measures' AND toplevel ORDER BY total_exec_time DESC LIMIT $1`

// topStatements is how many statements a profile lists.
const topStatements = 30

// resetStatements begins to count statements, if a profile is wanted. The function that it returns writes the most expensive ones,
// divided by the number of orders.
func (s *servers) resetStatements(ctx context.Context, o Options) (write func(orders int) error, err error) {
	if o.Profile == "" {
		return func(int) error { return nil }, nil
	}
	if _, err := s.measures.ExecContext(ctx, `SELECT pg_stat_statements_reset()`); err != nil {
		return nil, err
	}
	return func(orders int) error {
		var top []struct {
			Database  string
			Calls     float64
			TotalTime float64 `db:"total_exec_time"`
			WAL       float64 `db:"wal_bytes"`
			Query     string
		}
		if err := s.measures.SelectContext(ctx, &top, topStatementsSQL, topStatements); err != nil {
			return err
		}
		var out strings.Builder
		fmt.Fprintf(&out, "%8s %9s %8s %9s  %s\n", "calls", "ms", "ms/call", "WAL bytes", "statement (all columns but ms/call are per order)")
		for _, t := range top {
			fmt.Fprintf(&out, "%8.2f %9.3f %8.3f %9.0f  %s: %s\n", t.Calls/float64(orders), t.TotalTime/float64(orders), t.TotalTime/t.Calls,
				t.WAL/float64(orders), t.Database, t.Query)
		}
		o.say("the statements that took longest:\n%s", out.String())
		return os.WriteFile(filepath.Join(o.Profile, "statements.txt"), []byte(out.String()), 0o600)
	}, nil
}

// profileParts records with perf where the parts of the product spend their CPU time during a round, if a profile is wanted and the
// program perf exists. The function that it returns ends the recording.
func (o Options) profileParts(ctx context.Context, s *servers, round int) (stop func() error) {
	nothing := func() error { return nil }
	perf, err := exec.LookPath("perf")
	if o.Profile == "" || err != nil {
		return nothing
	}
	var running []*child.Process
	for _, part := range []string{stack.PartWorker, stack.PartAPI, stack.PartTemporal} {
		for nth, pid := range s.PIDs(part) {
			file := filepath.Join(o.Profile, fmt.Sprintf("%s-%d-round-%d.perf", part, nth, round))
			record := exec.CommandContext(ctx, perf, "record", "-q", "-F", "199", "-g", "-o", file, "-p", strconv.Itoa(pid))
			if p, err := child.Start(record); err == nil { // else the round goes on without this profile
				running = append(running, p)
			}
		}
	}
	return func() error {
		for _, p := range running {
			_ = p.Signal(os.Interrupt)
			_ = p.Wait() // perf ends by the signal, which is what was asked for
		}
		return nil
	}
}
