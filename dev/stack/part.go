package stack

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"quartermaster/dev/child"
)

// The parts of the stack that can be crashed.
const (
	PartPostgres = "postgres"
	PartTemporal = "temporal"
	PartAPI      = "api"
	PartWorker   = "worker"
)

// process is a running server.
type process interface {
	Stop() error // cleanly
	Kill() error // as a crash would
	Freeze() error
	Thaw() error
	PID() int
	Done() <-chan struct{}
}

// part is a process of the stack and how to start it again on the same data and ports.
type part struct {
	name    string
	start   func(context.Context) (process, error)
	restart bool // start it again when it ends unexpectedly, as a platform does

	mu      sync.Mutex
	running process
	wanted  bool // the end of the running process is intended
}

// startPart starts a part, stops it with the stack, and reports when it ends unexpectedly.
func (s *Stack) startPart(ctx context.Context, p *part) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := s.launch(ctx, p); err != nil {
		return err
	}
	s.parts = append(s.parts, p)
	s.onStop(func() error {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.wanted = true
		if err := errors.Join(p.running.Thaw(), p.running.Stop()); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		return nil
	})
	return nil
}

// launch starts the part's process and watches it. The caller has locked the part.
func (s *Stack) launch(ctx context.Context, p *part) error {
	running, err := p.start(ctx)
	if err != nil {
		return err
	}
	p.running, p.wanted = running, false
	go func() {
		<-running.Done()
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.wanted || p.running != running {
			return
		}
		err := fmt.Errorf("%s ended unexpectedly; its log is %s", p.name, s.LogFile(p.name))
		if p.restart {
			err = s.launch(ctx, p)
		}
		if err != nil {
			s.failed <- err
		}
	}()
	return nil
}

// Crash kills a part and starts it again on the data that it left. Of several workers it crashes the first.
func (s *Stack) Crash(ctx context.Context, name string) error {
	p, err := s.part(name, 0)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wanted = true
	if err := p.running.Kill(); err != nil {
		return fmt.Errorf("crashing %s: %w", name, err)
	}
	if err := s.launch(ctx, p); err != nil {
		return fmt.Errorf("starting %s again: %w", name, err)
	}
	return nil
}

// Freeze pauses a part (SIGSTOP), like a paused virtual machine: its connections stay open, and it does not answer until Thaw.
// nth selects one of several workers, from 0. A crash ends the pause.
func (s *Stack) Freeze(name string, nth int) error {
	return s.signal(name, nth, process.Freeze)
}

// Thaw resumes a frozen part. It does nothing when the part is not frozen.
func (s *Stack) Thaw(name string, nth int) error {
	return s.signal(name, nth, process.Thaw)
}

func (s *Stack) signal(name string, nth int, send func(process) error) error {
	p, err := s.part(name, nth)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := send(p.running); err != nil {
		return fmt.Errorf("%s, process %d: %w", name, p.running.PID(), err)
	}
	return nil
}

// PID returns the process id of the nth part of that name, from 0.
func (s *Stack) PID(name string, nth int) (int, error) {
	p, err := s.part(name, nth)
	if err != nil {
		return 0, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.running.PID(), nil
}

// PIDs returns the process ids of all parts of that name.
func (s *Stack) PIDs(name string) (ids []int) {
	for _, p := range s.parts {
		if p.name == name {
			p.mu.Lock()
			ids = append(ids, p.running.PID())
			p.mu.Unlock()
		}
	}
	return ids
}

// part returns the nth part of that name, from 0.
func (s *Stack) part(name string, nth int) (*part, error) {
	for _, p := range s.parts {
		if p.name != name {
			continue
		}
		if nth == 0 {
			return p, nil
		}
		nth--
	}
	return nil, fmt.Errorf("the stack did not start a part %q", name)
}

// program is a process of quartermaster.
type program struct{ *child.Process }

// Stop asks the program to end and waits as long as the worker waits for its activities.
func (p program) Stop() error { return p.Process.Stop(stopGrace) }

// startProgram starts a command of quartermaster as a part.
func (s *Stack) startProgram(ctx context.Context, name string, restart bool) error {
	return s.startPart(ctx, &part{name: name, restart: restart, start: s.starter(name)})
}
