package secrets

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"quartermaster/internal/provision"
)

// Processes is where the running processes announce which keys they have.
type Processes interface {
	// Announce notes that the process lives, with which key it seals, and how long ago each of its keys was used. It
	// returns the other live processes.
	Announce(ctx context.Context, p provision.Process, used map[string]time.Duration) (others []provision.Process, err error)
	// Remove forgets a process that has stopped.
	Remove(ctx context.Context, id string) error
}

const (
	announceEvery   = 5 * time.Second
	announceTimeout = 4 * time.Second
	outOfTouch      = 3 * announceEvery // after this long without an answer, the others were probably without one too
	remindEvery     = time.Minute       // how often the log repeats what lasts
)

// Join announces the process with the keys of the ring. From then on the ring seals with the first of its keys that every live
// process has. Call Join before anything is sealed, and leave when nothing is sealed any more. The context bounds only the
// start. While the registry does not answer, the last answer counts.
func (r *Ring) Join(ctx context.Context, registry Processes, self provision.Process, log *slog.Logger) (leave func(), err error) {
	self.Keys = r.Names()
	m := &member{ring: r, registry: registry, self: self, log: log, heard: time.Now()}
	for range 2 { // the second time it sees processes that were announced at the same moment
		if err := m.announce(ctx); err != nil {
			return nil, fmt.Errorf("announcing this process: %w", err)
		}
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		m.run(ctx)
	}()
	return func() {
		stop()
		<-stopped
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), announceTimeout)
		defer cancel()
		if err := registry.Remove(ctx, self.ID); err != nil {
			log.Warn("this process stops and could not be removed from the list of processes; it counts as live for "+
				provision.ProcessLifetime.String(), "error", err)
		}
	}, nil
}

// member is this process among the others.
type member struct {
	ring     *Ring
	registry Processes
	self     provision.Process
	log      *slog.Logger
	heard    time.Time // when the registry answered last
	back     time.Time // when it answered again after an outage
	warned   time.Time // when the log said last that it does not answer
	alarmed  time.Time // when the log said last that no key is common
}

func (m *member) run(ctx context.Context) {
	ticker := time.NewTicker(announceEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if err := m.announce(ctx); err != nil && ctx.Err() == nil && time.Since(m.warned) >= remindEvery {
			m.warned = time.Now()
			m.log.Warn("this process could not be announced to the others; it continues to seal with the same key",
				"key", m.ring.ActiveID(), "error", err)
		}
	}
}

// announce announces the process and follows the others. When that changes the key, it announces the new key at once.
func (m *member) announce(ctx context.Context) error {
	for {
		others, err := m.ask(ctx)
		if err != nil {
			return err
		}
		before := m.ring.Active()
		m.follow(others)
		if m.ring.Active() == before {
			return nil
		}
		m.log.Info("this process seals with another key now", "key", m.ring.ActiveID(), "before", idOf(before))
	}
}

func (m *member) ask(ctx context.Context) ([]provision.Process, error) {
	ctx, cancel := context.WithTimeout(ctx, announceTimeout)
	defer cancel()
	used := map[string]time.Duration{}
	for id, at := range m.ring.LastUsed() {
		used[id] = time.Since(at)
	}
	m.self.SealsWith = m.ring.Active()
	others, err := m.registry.Announce(ctx, m.self, used)
	if err != nil {
		return nil, err
	}
	if time.Since(m.heard) > outOfTouch {
		m.back = time.Now()
	}
	m.heard = time.Now()
	return others, nil
}

// follow makes the ring follow the others. For a while after an outage, processes that live may not have been seen again yet,
// so the key stays unless one that was seen lacks it.
func (m *member) follow(others []provision.Process) {
	if time.Since(m.back) < provision.ProcessLifetime && len(lacking(others, m.ring.Active())) == 0 {
		return
	}
	if m.ring.Follow(KeysOf(others)) {
		m.alarmed = time.Time{}
		return
	}
	if time.Since(m.alarmed) >= remindEvery {
		m.alarmed = time.Now()
		m.log.Error("no key that seals is known to every process, so some cannot open what this one seals: "+
			"give all of them the same QM_SEAL_KEYS",
			"key", m.ring.ActiveID(), "lacked_by", strings.Join(lacking(others, m.ring.Active()), ", "))
	}
}

// KeysOf returns the names of the keys of each process, as Follow takes them.
func KeysOf(processes []provision.Process) [][]string {
	names := make([][]string, len(processes))
	for i, p := range processes {
		names[i] = p.Keys
	}
	return names
}

// lacking returns the processes that do not have the key of that name.
func lacking(processes []provision.Process, name string) (lack []string) {
	for _, p := range processes {
		if !slices.Contains(p.Keys, name) {
			lack = append(lack, p.String())
		}
	}
	return lack
}

// idOf returns the id in the name of a key.
func idOf(name string) string {
	id, _, _ := strings.Cut(name, ":")
	return id
}
