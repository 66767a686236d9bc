package stack

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"

	"quartermaster/dev/child"
)

// RestartWith stops a part cleanly and starts it again with more variables, as NAME=value, which override those of the stack, or without
// those that are given as NAME alone. index
// selects one of several workers, from 0. It returns when the part's process runs again, or, for the API, when it serves.
func (s *Stack) RestartWith(ctx context.Context, name string, index int, env ...string) error {
	if name != PartAPI && name != PartWorker {
		return fmt.Errorf("part %q cannot be restarted with variables", name)
	}
	p, err := s.part(name, index)
	if err != nil {
		return err
	}
	if err := s.restartWith(ctx, p, env); err != nil {
		return fmt.Errorf("starting %s again: %w", name, err)
	}
	if name == PartAPI {
		return s.awaitReady(ctx)
	}
	return nil
}

func (s *Stack) restartWith(ctx context.Context, p *part, env []string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wanted = true
	if err := p.running.Stop(); err != nil {
		return err
	}
	p.start = s.starter(p.name, env...)
	return s.launch(ctx, p)
}

// starter starts the program with one of its commands, in the background.
func (s *Stack) starter(name string, env ...string) func(context.Context) (process, error) {
	return func(ctx context.Context) (process, error) {
		log, err := os.OpenFile(s.LogFile(name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			return nil, err
		}
		cmd := s.Command(context.WithoutCancel(ctx), name)
		for _, variable := range env {
			if name, _, given := strings.Cut(variable, "="); !given {
				cmd.Env = slices.DeleteFunc(cmd.Env, func(v string) bool { return strings.HasPrefix(v, name+"=") })
				continue
			}
			cmd.Env = append(cmd.Env, variable)
		}
		cmd.Stdout, cmd.Stderr = log, log
		running, err := child.Start(cmd, log)
		if err != nil {
			return nil, err
		}
		return program{running}, nil
	}
}

// Run runs a command of the program to its end and returns what it prints.
func (s *Stack) Run(ctx context.Context, args ...string) (string, error) {
	out, err := s.Command(ctx, args...).Output()
	if failed, ok := errors.AsType[*exec.ExitError](err); ok {
		err = fmt.Errorf("quartermaster %v: %w\n%s", args, err, failed.Stderr)
	}
	return string(out), err
}
