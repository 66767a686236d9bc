//go:build unix

package pgtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"syscall"
)

// Freeze stops the postmaster and all its backends where they are (SIGSTOP), as a machine that hangs does: connections stay
// open, new ones are accepted by the system, and nothing is answered. Stop needs a [Server.Thaw] first, Kill does not.
func (s *Server) Freeze() error {
	s.stop.Lock()
	defer s.stop.Unlock()
	// The postmaster stops first, so that it forks no more backends.
	if err := s.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		return fmt.Errorf("freeze PostgreSQL, process %d: %w", s.PID(), err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	var frozen []int
	return poll(ctx, func() (bool, error) { // a backend that was being forked shows in the next look
		backends, err := s.backends(ctx)
		if err != nil {
			return false, err
		}
		fresh := slices.DeleteFunc(backends, func(pid int) bool { return slices.Contains(frozen, pid) })
		frozen = append(frozen, fresh...)
		return len(fresh) == 0, signal(fresh, syscall.SIGSTOP)
	})
}

// Thaw lets a frozen server go on. For one that is not frozen, or has ended, it does nothing.
func (s *Server) Thaw() error {
	s.stop.Lock()
	defer s.stop.Unlock()
	backends, err := s.backends(context.Background())
	if err != nil {
		return err
	}
	if err := s.cmd.Process.Signal(syscall.SIGCONT); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("thaw PostgreSQL, process %d: %w", s.PID(), err)
	}
	return signal(backends, syscall.SIGCONT)
}

// backends are the ids of the postmaster's children that run.
func (s *Server) backends(ctx context.Context) (pids []int, err error) {
	table, err := processes(ctx)
	for _, p := range table {
		if p.parent == s.PID() && !p.zombie {
			pids = append(pids, p.pid)
		}
	}
	return pids, err
}

// signal sends a signal to processes, some of which may have ended.
func signal(pids []int, s syscall.Signal) error {
	var errs []error
	for _, pid := range pids {
		if err := syscall.Kill(pid, s); err != nil && !errors.Is(err, syscall.ESRCH) {
			errs = append(errs, fmt.Errorf("signal %v to process %d: %w", s, pid, err))
		}
	}
	return errors.Join(errs...)
}
