//go:build unix

package pgtest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"syscall"
)

// Freeze stops all processes of the server, as a machine that hangs would: connections stay open, new ones are accepted by the
// system, and nothing answers until [Server.Thaw].
func (s *Server) Freeze() error { return s.signalAll(syscall.SIGSTOP) }

// Thaw lets a frozen server go on. A server that is to be stopped must be thawed before.
func (s *Server) Thaw() error { return s.signalAll(syscall.SIGCONT) }

// signalAll signals the postmaster, and then its children until it has no others.
func (s *Server) signalAll(signal syscall.Signal) error {
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	if err := s.cmd.Process.Signal(signal); err != nil {
		return fmt.Errorf("signal PostgreSQL, process %d: %w", s.PID(), err)
	}
	var reached []int
	return poll(ctx, func() (bool, error) {
		table, err := processes(ctx)
		if err != nil {
			return false, err
		}
		all := true
		for _, p := range table {
			if p.parent != s.PID() || p.zombie || slices.Contains(reached, p.pid) {
				continue
			}
			all = false
			reached = append(reached, p.pid)
			if err := syscall.Kill(p.pid, signal); err != nil && !errors.Is(err, syscall.ESRCH) {
				return false, fmt.Errorf("signal backend %d: %w", p.pid, err)
			}
		}
		return all, nil
	})
}
